"""What is said of certificates, keys and authorities, and what happens when the files change."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from node.dicom.credentials import Credentials, Expiry
from node.domain.errors import ConfigurationError
from tests.certificates import Authority, Files
from tests.wire.dicom.pki import credentials


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def files(authority: Authority) -> Files:
    return authority.issue("node", days=90.5)


def problem(files: Files) -> str:
    with pytest.raises(ConfigurationError) as raised:
        credentials(files)
    assert "PRIVATE KEY-----\n" not in raised.value.message
    return raised.value.message


@pytest.mark.parametrize("which", ["certificate", "key", "authorities"])
def test_a_file_that_is_not_there_or_holds_nothing_is_named_with_its_key(
    files: Files, which: str
) -> None:
    file: Path = getattr(files, which)
    for content in (b"", b"no PEM", None):
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)
        said = problem(files)
        assert f"tls.{which} {file}" in said
    assert "No such file" in said


def test_a_key_that_does_not_fit_the_certificate_is_said_so(
    authority: Authority, files: Files
) -> None:
    other = authority.issue("other")
    assert "does not fit" in problem(replace(files, key=other.key))


def test_a_key_with_a_passphrase_is_said_so_and_nobody_is_asked_for_it(files: Files) -> None:
    key = load_pem_private_key(files.key.read_bytes(), password=None)
    encryption = BestAvailableEncryption(b"secret")
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    assert "is encrypted" in problem(files)


def test_a_key_that_is_too_short_for_tls_is_said_so(authority: Authority) -> None:
    assert "2048 bits or more" in problem(authority.issue("short", key_bits=1024))


def test_expiry_is_that_of_the_first_certificate_of_a_file_to_expire(
    authority: Authority, files: Files
) -> None:
    soon = authority.issue("soon", days=3.5)
    chain = files.certificate.read_bytes() + soon.certificate.read_bytes()
    files.certificate.write_bytes(chain)
    own, authorities = credentials(files).expiries
    now = datetime.now(UTC)
    assert own.file == files.certificate
    assert round(own.days_left(now), 1) == 3.5
    assert round(authorities.days_left(now)) == 365


def test_what_expires_is_told_with_file_date_and_days() -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    expiry = Expiry(file=Path("/etc/node.pem"), at=now + timedelta(days=40))
    assert expiry.sentence(now) == "/etc/node.pem expires on 2026-12-11, in 40 days"
    assert "in 10 days: renew it" in expiry.sentence(now + timedelta(days=30))
    assert "expired on 2026-12-11" in expiry.sentence(now + timedelta(days=41))


def test_changed_files_are_taken_up_once(authority: Authority, files: Files) -> None:
    shown = credentials(files)
    before = shown.server(), shown.client()
    assert not shown.refresh()
    authority.issue("node", days=10.5)
    assert shown.refresh()
    assert not shown.refresh()
    assert shown.server() is not before[0]
    assert shown.client() is not before[1]
    assert 10 < shown.expiries[0].days_left(datetime.now(UTC)) < 11


def refused(shown: Credentials) -> str:
    with pytest.raises(ConfigurationError) as raised:
        shown.refresh()
    return raised.value.message


def test_files_that_cannot_be_used_leave_those_before_in_use_and_are_told_of_once(
    authority: Authority, files: Files
) -> None:
    shown = credentials(files)
    before = shown.server()
    content = files.certificate.read_bytes()
    files.certificate.write_text("half a certifica")
    assert "tls.certificate" in refused(shown)
    assert not shown.refresh()
    files.certificate.unlink()
    assert "No such file" in refused(shown)
    assert not shown.refresh()
    assert shown.server() is before
    files.certificate.write_bytes(content)
    assert shown.refresh()


def test_a_file_that_is_moved_into_place_with_the_same_time_is_seen(
    authority: Authority, files: Files
) -> None:
    shown = credentials(files)
    status = files.certificate.stat()
    other = files.certificate.with_suffix(".new")
    other.write_bytes(files.certificate.read_bytes())
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.rename(files.certificate)
    assert shown.refresh()
