"""The spool keeps what it was given, and says so when it cannot."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from node.domain.errors import OutOfSpace, StorageError
from node.store.spool import Spool


def test_bytes_come_back_under_their_sha256(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    digest = spool.put(b"an ECG")
    assert digest == hashlib.sha256(b"an ECG").hexdigest()
    assert spool.get(digest) == b"an ECG"


def test_the_same_bytes_are_kept_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert spool.put(b"twice") == spool.put(b"twice")
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 1


def test_altered_bytes_are_refused_when_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    digest = spool.put(b"right")
    (tmp_path / digest[:2] / digest[2:]).write_bytes(b"wrong")
    with pytest.raises(StorageError, match="not what was written"):
        spool.get(digest)


@pytest.mark.parametrize("torn", [b"", b"half an E", b"\0" * 6])
def test_a_file_that_the_power_tore_before_it_was_named_is_written_anew(
    tmp_path: Path, torn: bytes
) -> None:
    spool = Spool(tmp_path)
    digest = spool.put(b"an ECG")
    (tmp_path / digest[:2] / digest[2:]).write_bytes(torn)
    assert spool.put(b"an ECG") == digest
    assert spool.get(digest) == b"an ECG"


def test_a_disk_below_the_watermark_refuses_new_bytes_but_gives_old_ones(tmp_path: Path) -> None:
    digest = Spool(tmp_path).put(b"old")
    spool = Spool(tmp_path, minimum_free_bytes=1 << 60)
    with pytest.raises(OutOfSpace):
        spool.put(b"new")
    assert spool.get(digest) == b"old"


def test_bytes_kept_again_are_not_removed_as_old(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    digest = spool.put(b"bytes")
    before = datetime.now(UTC) - timedelta(seconds=5)
    assert not spool.remove_if_older(digest, than=before)
    assert spool.remove_if_older(digest, than=datetime.now(UTC) + timedelta(seconds=5))
    with pytest.raises(StorageError):
        spool.get(digest)


def test_no_half_written_file_stays_behind(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(b"x" * 100_000)
    assert not list(tmp_path.rglob(".writing-*"))
