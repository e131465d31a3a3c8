"""STOW-RS by https: whom the client trusts, and what it says of whom it does not."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from node.dicom.dicomweb import StowClient, TlsFiles
from node.domain.errors import ConfigurationError, Unreachable
from tests.certificates import Authority, Files
from tests.ecg_instances import instances
from tests.wire.dicom.scripted_server import serving, stored

_, ECG = next(instances(1))


def server_context(files: Files, *, mutual: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    if mutual:
        context.load_verify_locations(files.authorities)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client(port: int, tls: TlsFiles) -> StowClient:
    return StowClient(
        url=f"https://127.0.0.1:{port}/dicom-web",
        authorization=lambda: "",
        tls=tls,
        connect_timeout_s=5,
        answer_timeout_s=5,
    )


def test_a_server_of_the_authority_is_trusted(tmp_path: Path) -> None:
    files = Authority(tmp_path).issue("server")
    with serving(stored, tls=server_context(files)) as server:
        client(server.port, TlsFiles(authorities=files.authorities)).send(ECG)


def test_a_server_that_asks_for_our_certificate_gets_it_or_gets_nothing(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files, ours = authority.issue("server"), authority.issue("node")
    with serving(stored, tls=server_context(files, mutual=True)) as server:
        mutual = TlsFiles(authorities=authority.file, certificate=ours.certificate, key=ours.key)
        client(server.port, mutual).send(ECG)
        with pytest.raises(Unreachable, match="certificate"):
            client(server.port, TlsFiles(authorities=authority.file)).send(ECG)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("host", "days", "trusts_its_own"),
    [("127.0.0.1", 90, False), ("127.0.0.2", 90, True), ("127.0.0.1", -1, True)],
    ids=["another-authority", "another-name", "expired"],
)
def test_a_server_that_is_not_trusted_gets_nothing(
    tmp_path: Path, host: str, days: float, trusts_its_own: bool
) -> None:
    files = Authority(tmp_path).issue("server", host=host, days=days)
    authority = files.authorities if trusts_its_own else Authority(tmp_path, "other").file
    with (
        serving(stored, tls=server_context(files)) as server,
        pytest.raises(Unreachable, match="is not trusted"),
    ):
        client(server.port, TlsFiles(authorities=authority)).send(ECG)
    assert server.requests == []


def test_a_key_of_another_certificate_is_a_matter_of_configuration(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    one, other = authority.issue("one"), authority.issue("other")
    with pytest.raises(ConfigurationError, match=r"one\.pem"):
        TlsFiles(certificate=one.certificate, key=other.key).context()
