"""STOW-RS to a server that answers as told: what each answer means for a delivery."""

from __future__ import annotations

import email
import email.policy
import re
import socket
import time
from pathlib import Path

import pytest

from node.dicom.dicomweb import StowClient, TlsFiles
from node.domain.errors import (
    ConfigurationError,
    DeliveryError,
    Refused,
    TemporarilyRefused,
    Unanswered,
    Unreachable,
)
from tests.ecg_instances import instances
from tests.wire.dicom.scripted_server import answer, response, serving

UID, ECG = next(instances(1))
SECRET = "s3cret-token"


def client(port: int, *, scheme: str = "http", **options: object) -> StowClient:
    given: dict[str, object] = {
        "url": f"{scheme}://127.0.0.1:{port}/dicom-web",
        "authorization": lambda: "",
        "tls": TlsFiles(),
        "connect_timeout_s": 5,
        "answer_timeout_s": 5,
        **options,
    }
    return StowClient(**given)  # type: ignore[arg-type]


def error_after(*script: bytes) -> DeliveryError:
    with serving(*script) as server, pytest.raises(DeliveryError) as raised:
        client(server.port).send(ECG)
    return raised.value


def test_a_request_is_one_part_with_the_file_as_it_is() -> None:
    with serving(answer(200, response(stored=UID))) as server:
        client(server.port, authorization=lambda: f"Bearer {SECRET}").send(ECG)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /dicom-web/studies HTTP/1.1"
    headers = email.message_from_bytes(b"\r\n".join(lines[1:]), policy=email.policy.HTTP)
    assert headers["Accept"] == "application/dicom+json"
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert headers.get_content_type() == "multipart/related"
    assert headers.get_param("type") == "application/dicom"
    boundary = str(headers.get_param("boundary")).encode()
    before, part, after = body.split(b"--" + boundary)
    assert (before, after) == (b"", b"--\r\n")
    assert part == b"\r\nContent-Type: application/dicom\r\n\r\n" + ECG + b"\r\n"


def test_a_resend_is_the_same_bytes() -> None:
    with serving(answer(200, response(stored=UID))) as server:
        for _ in range(2):
            client(server.port).send(ECG)
    assert server.requests[0] == server.requests[1]


@pytest.mark.parametrize(
    "said",
    [
        answer(200, response(stored=UID)),
        answer(202, response(stored=UID)),  # with a warning
        answer(202, response(stored=UID, failed="2.25.1")),  # another one failed
        answer(409, response(failed=UID, reason=0x0111)),
        answer(409, response(failed=UID, reason=45070)),  # Azure's "already there"
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(200, response(stored=UID)),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"%x\r\n%b\r\n0\r\n\r\n" % (len(response(stored=UID)), response(stored=UID)),
        b"HTTP/1.0 200 OK\r\n\r\n" + response(stored=UID),  # ended by the connection's end
    ],
)
def test_a_server_that_says_it_has_the_object_has_it(said: bytes) -> None:
    with serving(said) as server:
        client(server.port).send(ECG)


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (0xA700, TemporarilyRefused),
        (0x0110, TemporarilyRefused),
        (0, TemporarilyRefused),
        (0xB00F, TemporarilyRefused),  # Azure: another request is storing it
        ("272", TemporarilyRefused),
        ("many", TemporarilyRefused),
        (0xA900, Refused),
        (0xC122, Refused),
        (0x0122, Refused),
        (0x0124, Refused),
    ],
)
def test_a_failure_reason_says_whether_to_try_again(
    reason: object, error: type[DeliveryError]
) -> None:
    assert type(error_after(answer(409, response(failed=UID, reason=reason)))) is error


def test_a_failure_that_names_no_instance_is_of_the_one_sent() -> None:
    other = b'{"0008119A": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [49152]}}]}}'
    assert type(error_after(answer(409, other))) is Refused


@pytest.mark.parametrize(
    ("status", "error", "to_do"),
    [
        (301, Refused, "moved"),
        (400, Refused, "log"),
        (401, Refused, "token, or user and password"),
        (403, Refused, "credentials"),
        (404, Refused, "url"),
        (405, Refused, "url"),
        (406, Refused, "dicom\\+json"),
        (409, Refused, "log"),
        (415, Refused, "multipart/related"),
        (408, TemporarilyRefused, "again"),
        (413, TemporarilyRefused, "again"),
        (429, TemporarilyRefused, "again"),
        (500, TemporarilyRefused, "again"),
        (503, TemporarilyRefused, "again"),
        (200, Unanswered, "again"),
        (204, Unanswered, "again"),
    ],
)
def test_a_status_without_a_data_set_says_what_to_do(
    status: int, error: type[DeliveryError], to_do: str
) -> None:
    said = error_after(answer(status))
    assert type(said) is error
    assert str(status) in said.message
    assert re.search(to_do, said.message)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (("Retry-After: 120",), 120),
        (
            ("Date: Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After: Wed, 21 Oct 2015 07:29:30 GMT"),
            90,
        ),
        (("Retry-After: Wed, 21 Oct 2015 07:29:30 GMT",), 0),  # against whose clock?
        (("Retry-After: soon",), 0),
        (("Retry-After: -5",), 0),
        ((), 0),
    ],
)
def test_retry_after_is_told_on(headers: tuple[str, ...], seconds: float) -> None:
    error = error_after(answer(503, b"", *headers))
    assert isinstance(error, TemporarilyRefused)
    assert error.retry_after_s == seconds


@pytest.mark.parametrize(
    "said",
    [
        answer(200, b"<NativeDicomModel/>"),
        answer(200, b"[" * 100_000),
        answer(200, response(stored="2.25.1")),
        answer(200, b'{"00081199": {"vr": "SQ", "Value": [7, {"00081155": {"Value": 7}}]}}'),
        answer(200, b"null"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\ncut",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b" " * 2_000_000,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00" * 1000,
        b"",
    ],
)
def test_an_answer_that_says_nothing_is_ambiguous(said: bytes) -> None:
    assert type(error_after(said)) is Unanswered


def test_a_server_that_answers_byte_by_byte_or_not_at_all_is_given_up() -> None:
    for said in (b"", b"HTTP/1.1 200 OK\r\n"):
        with serving(said) as server:
            server.hold.clear()
            started_s = time.monotonic()
            with pytest.raises(Unanswered, match="no whole answer"):
                client(server.port, answer_timeout_s=0.3).send(ECG)
            assert time.monotonic() - started_s < 3


def test_a_refusal_before_the_whole_request_was_taken_is_read() -> None:
    with serving(answer(401)) as server:
        server.takes_bytes = 1
        server.hold.clear()  # a close with bytes unread would reset the connection
        with pytest.raises(Refused, match="401"):
            client(server.port, answer_timeout_s=0.5).send(ECG + b"\0" * 8_000_000)


def test_nobody_there_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = int(closed.getsockname()[1])
    with pytest.raises(Unreachable, match="check address, port and firewall"):
        client(port).send(ECG)


def test_a_server_without_tls_is_unreachable_by_https() -> None:
    with serving(answer(200)) as server:
        server.takes_bytes = 1
        with pytest.raises(Unreachable, match="the peer speaks no TLS on this port"):
            client(server.port, scheme="https").send(ECG)


@pytest.mark.parametrize("said", [answer(400), answer(200, response()), answer(204), answer(409)])
def test_a_probe_is_content_with_who_finds_nothing_to_store(said: bytes) -> None:
    with serving(said) as server:
        client(server.port).probe()
    assert b"DICM" not in server.requests[0]


@pytest.mark.parametrize(
    ("status", "error"), [(401, Refused), (404, Refused), (503, TemporarilyRefused)]
)
def test_a_probe_says_what_would_be_said_to_a_delivery(
    status: int, error: type[DeliveryError]
) -> None:
    with serving(answer(status)) as server, pytest.raises(error, match=str(status)):
        client(server.port).probe()


def test_authorities_that_are_no_certificates_are_a_matter_of_configuration(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    with pytest.raises(ConfigurationError, match=r"ca\.pem"):
        TlsFiles(authorities=file).context()
