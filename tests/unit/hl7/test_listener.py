"""What a message is answered, by HL7 v2.5.1 §2.9.2 and §2.9.3 and table 0155."""

from __future__ import annotations

from datetime import UTC, datetime

import hl7
import pytest

from node.domain.errors import OutOfSpace
from node.hl7.listener import acknowledge
from node.hl7.message import Header

AT = datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC)


def message(
    *, kind: str = "ORM^O01", control_id: str = "C1", accept: str = "", application: str = ""
) -> bytes:
    asked = f"{accept}|{application}"
    return f"MSH|^~\\&|RIS|H|CN||20240229||{kind}|{control_id}|P|2.5.1|||{asked}\r".encode()


def keep(message: bytes, header: Header) -> None:
    """Takes everything."""


def never(message: bytes, header: Header) -> None:
    raise AssertionError("what is refused must not be kept")


def full(message: bytes, header: Header) -> None:
    raise OutOfSpace("the spool is full")


def code_of(answer: bytes) -> str:
    return str(hl7.parse(answer.decode())["MSA.F1.R1"]) if answer else ""


@pytest.mark.parametrize(
    ("accept", "application", "taken", "not_taken"),
    [
        ("", "", "AA", "AE"),
        ("AL", "NE", "CA", "CE"),
        ("AL", "", "CA", "CE"),
        ("ER", "NE", "", "CE"),
        ("SU", "NE", "CA", ""),
        ("NE", "AL", "AA", "AE"),
        ("NE", "NE", "", ""),
    ],
)
def test_the_sender_gets_the_acknowledgement_it_asked_for(
    accept: str, application: str, taken: str, not_taken: str
) -> None:
    content = message(accept=accept, application=application)
    assert code_of(acknowledge(content, keep, at=AT)) == taken
    assert code_of(acknowledge(content, full, at=AT)) == not_taken


@pytest.mark.parametrize(
    ("content", "code", "error", "control_id"),
    [
        (b"PID|1||P-1\r", "AR", "100", ""),
        (message(control_id=""), "AR", "101", ""),
        (message(kind=""), "AR", "101", "C1"),
        (message(kind="ACK^O01^ACK"), "AR", "200", "C1"),
        (message(control_id="", accept="AL"), "CR", "101", ""),
    ],
    ids=["no-header", "no-control-id", "no-type", "acknowledgement", "enhanced"],
)
def test_what_can_never_be_taken_is_rejected_with_its_reason_and_not_kept(
    content: bytes, code: str, error: str, control_id: str
) -> None:
    answer = hl7.parse(acknowledge(content, never, at=AT).decode())
    assert str(answer["MSA.F1.R1"]) == code
    assert (str(answer["MSA.F2.R1"]) if control_id else "") == control_id
    assert str(answer["ERR.F3.R1.C1"]) == error


def test_the_answer_follows_from_message_and_time_alone() -> None:
    first, second = (acknowledge(message(), keep, at=AT) for _ in range(2))
    assert first == second
    other = acknowledge(message(control_id="C2"), keep, at=AT)
    assert hl7.parse(other.decode())["MSH.F10"] != hl7.parse(first.decode())["MSH.F10"]
