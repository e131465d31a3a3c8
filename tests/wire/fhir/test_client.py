"""Transactions to servers that answer as told, or not at all: what it means for a delivery."""

from __future__ import annotations

import email
import email.policy
import json
import re
import socket
import ssl
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.configured import build_fhir_client
from node.domain.errors import (
    DeliveryError,
    Refused,
    TemporarilyRefused,
    Unanswered,
    Unavailable,
    Unreachable,
)
from node.fhir.client import FhirClient
from node.fhir.withdrawal import withdraw_report
from node.settings import FhirDestinationSettings
from tests.certificates import Authority
from tests.unit.fhir.test_report import NUMBER, SITE, built
from tests.unit.hl7.test_oru import study
from tests.wire.dicom.scripted_server import answer, serving
from tests.wire.fhir.fhir_server import serving_fhir

SECRET = "s3cret-token"
CONTENT = built()


def client(url: str, **options: Any) -> FhirClient:
    given = {
        "kind": "fhir", "url": url, "time_zone": "Europe/Vienna",
        "connect_timeout_s": 5, "answer_timeout_s": 5, **options,
    }  # fmt: skip
    return build_fhir_client(FhirDestinationSettings.model_validate(given))


def at(port: int, **options: Any) -> FhirClient:
    return client(f"http://127.0.0.1:{port}/fhir/", **options)


def done(*statuses: str) -> bytes:
    entries = [{"response": {"status": status}} for status in statuses]
    told = {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}
    return json.dumps(told).encode()


def outcome(*codes: object) -> bytes:
    """With words that must not be repeated."""
    issues = [
        {
            "severity": "error", "code": code, "diagnostics": "DOE is no name",
            "details": {"text": "DOE"}, "expression": ["DOE"],
        }
        for code in codes
    ]  # fmt: skip
    return json.dumps({"resourceType": "OperationOutcome", "issue": issues}).encode()


def error_after(*script: bytes) -> DeliveryError:
    with serving(*script) as server, pytest.raises(DeliveryError) as raised:
        at(server.port).send(CONTENT)
    return raised.value


def test_a_request_is_the_transaction_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EHR_TOKEN", SECRET)
    with serving(answer(200, done("201 Created"))) as server:
        at(server.port, token="env:EHR_TOKEN").send(CONTENT)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /fhir HTTP/1.1"
    headers = email.message_from_bytes(b"\r\n".join(lines[1:]), policy=email.policy.HTTP)
    assert headers["Content-Type"] == headers["Accept"] == "application/fhir+json"
    assert headers["Prefer"] == "return=minimal"
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert body == CONTENT


def test_a_server_at_the_root_is_called_there() -> None:
    with serving(answer(200, done("200 OK"))) as server:
        client(f"http://127.0.0.1:{server.port}").send(CONTENT)
    assert server.requests[0].startswith(b"POST / HTTP/1.1\r\n")


def test_a_resend_is_the_same_bytes() -> None:
    with serving(b"", answer(200, done("200 OK"))) as server:
        with pytest.raises(Unanswered):
            at(server.port).send(CONTENT)
        at(server.port).send(CONTENT)
    assert server.requests[0] == server.requests[1]


@pytest.mark.parametrize(
    "said",
    [
        answer(200, done("201 Created", "200 OK")),
        answer(201, done("204")),
        answer(200, done("200 OK")[:-1] + b', "id": "' + b"x" * 5_000_000 + b'"}'),  # an echo
        b"HTTP/1.0 200 OK\r\n\r\n" + done("200"),  # ended by the connection's end
    ],
)
def test_a_transaction_that_is_said_to_be_done_is_delivered(said: bytes) -> None:
    with serving(said) as server:
        at(server.port).send(CONTENT)


@pytest.mark.parametrize(
    ("status", "error", "to_do"),
    [
        (301, Refused, "moved"),
        (400, Refused, "log"),
        (401, Refused, "token, or user and password"),
        (403, Refused, "DiagnosticReport and Observation"),
        (404, Refused, "base of its FHIR services"),
        (405, Refused, "transactions"),
        (406, Refused, r"fhir\+json"),
        (410, Refused, "new address"),
        (412, Refused, "none or several"),
        (413, Refused, "pdf = false"),
        (415, Refused, r"fhir\+json"),
        (422, Refused, "profile"),
        (501, Refused, "conditional updates"),
        (408, Unavailable, "again"),
        (409, TemporarilyRefused, "again"),
        (425, Unavailable, "again"),
        (429, Unavailable, "again"),
        (500, TemporarilyRefused, "again"),
        (502, Unavailable, "again"),
        (503, Unavailable, "again"),
        (507, Unavailable, "again"),
        (200, Unanswered, "again"),
        (204, Unanswered, "again"),
    ],
)
def test_a_status_says_what_to_do(status: int, error: type[DeliveryError], to_do: str) -> None:
    said = error_after(answer(status))
    assert type(said) is error
    assert str(status) in said.message
    assert re.search(to_do, said.message)


def test_retry_after_is_told_on() -> None:
    error = error_after(answer(503, b"", "Retry-After: 120"))
    assert isinstance(error, TemporarilyRefused)
    assert error.retry_after_s == 120


@pytest.mark.parametrize("status", [400, 422, 500])
def test_of_an_operation_outcome_its_codes_are_told_and_nothing_else(status: int) -> None:
    codes = ("required", "DOE", "invalid", "required", None, ["invalid"], {"a": 1}, "structure")
    said = error_after(answer(status, outcome(*codes)))
    assert f"answered {status} (required, invalid, structure)" in said.message
    assert "DOE" not in said.message


@pytest.mark.parametrize(
    ("entry", "error"),
    [("412 Precondition Failed", Refused), ("503", Unavailable), ("what?", Unanswered)],
)
def test_an_entry_that_is_not_done_is_taken_at_its_word(
    entry: str, error: type[DeliveryError]
) -> None:
    assert type(error_after(answer(200, done("201 Created", entry)))) is error


@pytest.mark.parametrize(
    "said",
    [
        answer(200, b"<html>log in</html>"),
        answer(200, b"[" * 100_000),
        answer(200, b"null"),
        answer(200, b"\xff\xfe{}"),
        answer(200, done()),
        answer(200, outcome("informational")),
        answer(200, b'{"resourceType": "Bundle", "type": "transaction"}'),
        answer(200, b'{"resourceType": "Bundle", "type": "transaction-response", "entry": 7}'),
        answer(200, b'{"resourceType": "Bundle", "type": "transaction-response", "entry": [7]}'),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\ncut",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b" " * 2_000_000,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
    ],
)
def test_an_answer_that_says_nothing_is_ambiguous(said: bytes) -> None:
    assert type(error_after(said)) is Unanswered


def test_a_server_that_does_not_answer_is_given_up() -> None:
    for said in (b"", b"HTTP/1.1 200 OK\r\n"):
        with serving(said) as server:
            server.hold.clear()
            started_s = time.monotonic()
            with pytest.raises(Unanswered, match="no whole answer"):
                at(server.port, answer_timeout_s=0.3).send(CONTENT)
            assert time.monotonic() - started_s < 3


def test_nobody_there_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = int(closed.getsockname()[1])
    with pytest.raises(Unreachable, match="check address, port and firewall"):
        at(port).send(CONTENT)


def test_by_https_the_server_is_the_authoritys_or_gets_nothing(tmp_path: Path) -> None:
    for name in ("theirs", "another"):
        (tmp_path / name).mkdir()
    files = Authority(tmp_path / "theirs").issue("server")
    other = Authority(tmp_path / "another").issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    with serving(answer(200, done("200")), tls=context) as server:
        url = f"https://127.0.0.1:{server.port}/fhir"
        client(url, authorities=files.authorities).send(CONTENT)
        with pytest.raises(Unreachable, match="not trusted"):
            client(url, authorities=other.authorities).send(CONTENT)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "said", [answer(200, done()), answer(400, outcome("invalid")), answer(422, outcome("required"))]
)
def test_a_probe_is_content_with_who_finds_nothing_to_do(said: bytes) -> None:
    with serving(said) as server:
        at(server.port).probe()
    assert b"DiagnosticReport" not in server.requests[0]


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (answer(200, b"<html/>"), Unanswered),
        (answer(400), Refused),
        (answer(401, outcome("login")), Refused),
        (answer(404), Refused),
        (answer(503), Unavailable),
    ],
)
def test_a_probe_says_what_would_be_said_to_a_delivery(
    said: bytes, error: type[DeliveryError]
) -> None:
    with serving(said) as server, pytest.raises(error):
        at(server.port).probe()


def test_a_resend_a_correction_and_a_withdrawal_make_no_second_report() -> None:
    with serving_fhir() as server:
        ehr = client(server.url)
        ehr.probe()
        server.loses_answers = 1
        with pytest.raises(Unanswered):
            ehr.send(CONTENT)
        ehr.send(CONTENT)
        (report,) = server.of("DiagnosticReport")
        known = set(server.resources)
        assert {each["reference"] for each in report["result"]} == {
            f"Observation/{each['id']}" for each in server.of("Observation")
        }
        assert report["status"] == "preliminary"
        assert set(server.versions.values()) == {2}

        corrected = built(replaces=CONTENT)
        ehr.send(corrected)
        assert set(server.resources) == known
        assert {each["status"] for each in server.resources.values()} == {"corrected"}

        ehr.send(withdraw_report(corrected, identifier=NUMBER))
        assert set(server.resources) == known
        assert {each["status"] for each in server.resources.values()} == {"entered-in-error"}
    assert server.requests[1] == server.requests[2]


def test_results_are_linked_with_the_patient_that_the_server_has() -> None:
    system = "http://site.example/mrn"
    subject = study()
    patient = replace(subject.patient, issuer_universal_id="")
    content = built(
        subject=replace(subject, patient=patient),
        site=replace(SITE, patient_system=system, finds_patient=True),
    )
    with serving_fhir() as server:
        with pytest.raises(Refused, match=r"412 \(not-found\)") as refused:
            client(server.url).send(content)
        assert "admitted" in refused.value.message
        assert server.resources == {}
        server.resources["Patient/7"] = {"identifier": [{"system": system, "value": "P-1"}]}
        client(server.url).send(content)
        for each in (*server.of("DiagnosticReport"), *server.of("Observation")):
            assert each["subject"]["reference"] == "Patient/7"
