"""The web server over TLS: the node's certificate, as it is now."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from node.dicom.credentials import Credentials
from node.dicom.tls import CredentialFiles
from node.web.server import WebServer
from tests.certificates import HOST, Authority, Files


def scheme(request: Request) -> Response:
    return PlainTextResponse(request.url.scheme)


def ask(port: int, authority: Path) -> tuple[str, int]:
    """What is answered, and the serial number of the certificate that was shown."""
    context = ssl.create_default_context(cafile=str(authority))
    connection = http.client.HTTPSConnection(HOST, port, timeout=5, context=context)
    try:
        connection.request("GET", "/scheme")
        shown = connection.sock.getpeercert()
        said = connection.getresponse().read().decode()
    finally:
        connection.close()
    return said, int(str(shown["serialNumber"]), 16)


def replace(files: Files, by: Files) -> None:
    files.key.write_bytes(by.key.read_bytes())
    files.certificate.write_bytes(by.certificate.read_bytes())


def credentials_of(files: Files) -> Credentials:
    return Credentials(
        CredentialFiles(
            certificate=files.certificate,
            key=files.key,
            authorities=files.authorities,
            minimum_version=ssl.TLSVersion.TLSv1_2,
        )
    )


@contextmanager
def serving(credentials: Credentials) -> Iterator[int]:
    """Gives the port with TLS."""
    server = WebServer(
        host=HOST, port=0, health=list, readiness=list, metrics=bytes,
        pages=[Route("/scheme", scheme)], tls_port=0, tls=credentials.web,
    )  # fmt: skip
    server.start()
    assert server.tls_port is not None
    yield server.tls_port
    server.stop()


def test_a_browser_is_shown_the_certificate_of_now_and_asked_for_none(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files = authority.issue("node")
    credentials = credentials_of(files)
    with serving(credentials) as port:
        said, first = ask(port, files.authorities)
        assert said == "https"
        replace(files, authority.issue("renewed"))
        assert credentials.refresh()
        _, renewed = ask(port, files.authorities)
        assert renewed != first


def test_whoever_does_not_shake_hands_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.web.connection._HANDSHAKE_WITHIN_S", 0.5)
    files = Authority(tmp_path).issue("node")
    with serving(credentials_of(files)) as port:
        with socket.create_connection((HOST, port), timeout=10) as silent:
            assert silent.recv(1) == b""
        with socket.create_connection((HOST, port), timeout=10) as plain:
            plain.sendall(b"GET /scheme HTTP/1.1\r\nHost: x\r\n\r\n")
            with suppress(ConnectionResetError):
                assert not plain.recv(100).startswith(b"HTTP")
        assert ask(port, files.authorities)[0] == "https"


def test_no_more_than_some_shake_hands_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.web.connection._HANDSHAKES", 2)
    files = Authority(tmp_path).issue("node")
    with serving(credentials_of(files)) as port:
        kept = [socket.create_connection((HOST, port), timeout=5) for _ in range(2)]
        time.sleep(0.2)
        third = socket.create_connection((HOST, port), timeout=5)
        with third, suppress(ConnectionResetError):
            assert third.recv(1) == b""
        for each in kept:
            each.close()
        time.sleep(0.2)
        assert ask(port, files.authorities)[0] == "https"
