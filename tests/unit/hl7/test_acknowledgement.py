"""What a message is answered, by HL7 v2.5.1 §2.9.2 and §2.9.3 and table 0155."""

from __future__ import annotations

from datetime import UTC, datetime

import hl7
import pytest

from node.domain.errors import OutOfSpace
from node.hl7.acknowledgement import acknowledge
from node.hl7.message import ErrorCondition, Header, read_acknowledgement, read_header

AT = datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC)


def message(
    *, kind: str = "ORM^O01", control_id: str = "C1", accept: str = "", application: str = ""
) -> bytes:
    asked = f"{accept}|{application}"
    return f"MSH|^~\\&|RIS|H|CN||20240229||{kind}|{control_id}|P|2.5.1|||{asked}\r".encode()


def keep(message: bytes, header: Header) -> ErrorCondition | None:
    """Takes everything."""
    return None


def unusable(message: bytes, header: Header) -> ErrorCondition | None:
    return ErrorCondition.REQUIRED_FIELD_MISSING


def never(message: bytes, header: Header) -> ErrorCondition | None:
    raise AssertionError("what is refused must not be kept")


def full(message: bytes, header: Header) -> ErrorCondition | None:
    raise OutOfSpace("the spool is full")


def codes_of(answers: tuple[bytes, ...]) -> str:
    return " ".join(str(hl7.parse(each.decode())["MSA.F1.R1"]) for each in answers)


@pytest.mark.parametrize(
    ("mode", "taken", "not_usable", "not_taken", "not_of_a_type_taken"),
    [
        ("|", "AA", "AE", "AE", "AR"),
        ("AL|NE", "CA", "CA", "CE", "CR"),
        ("AL|", "CA", "CA", "CE", "CR"),
        ("AL|AL", "CA AA", "CA AE", "CE", "CR"),
        ("AL|ER", "CA", "CA AE", "CE", "CR"),
        ("AL|SU", "CA AA", "CA", "CE", "CR"),
        ("ER|NE", "", "", "CE", "CR"),
        ("ER|AL", "AA", "AE", "CE", "CR"),
        ("SU|NE", "CA", "CA", "", ""),
        ("NE|AL", "AA", "AE", "AE", "AR"),
        ("NE|", "", "", "", ""),
        ("|AL", "AA", "AE", "AE", "AR"),
        ("NE|NE", "", "", "", ""),
    ],
)
def test_the_sender_gets_the_acknowledgements_it_asked_for(
    mode: str, taken: str, not_usable: str, not_taken: str, not_of_a_type_taken: str
) -> None:
    accept, _, application = mode.partition("|")
    content = message(accept=accept, application=application)
    assert codes_of(acknowledge(content, keep, at=AT)) == taken
    assert codes_of(acknowledge(content, unusable, at=AT)) == not_usable
    assert codes_of(acknowledge(content, full, at=AT)) == not_taken
    others = frozenset({"ADT^A08"})
    assert codes_of(acknowledge(content, never, at=AT, accepted_types=others)) == (
        not_of_a_type_taken
    )


def test_all_acknowledgements_of_a_message_name_it_and_differ() -> None:
    content = message(accept="AL", application="AL")
    answers = [hl7.parse(each.decode()) for each in acknowledge(content, unusable, at=AT)]
    assert [str(each["MSA.F2.R1"]) for each in answers] == ["C1", "C1"]
    assert len({str(each["MSH.F10"]) for each in answers}) == 2
    assert str(answers[1]["ERR.F3.R1.C1"]) == "101"


@pytest.mark.parametrize(
    ("kind", "processing_id", "error"),
    [("SIU^S12", "P", "200"), ("ORM^O02", "P", "201"), ("ORM^O01", "T", "202"),
     ("ORM^O01", "P", ""), ("ORM^O01", "", "")],
)  # fmt: skip
def test_what_is_not_taken_is_told_apart(kind: str, processing_id: str, error: str) -> None:
    refused: list[ErrorCondition] = []
    (answer,) = acknowledge(
        message(kind=kind).replace(b"|P|", f"|{processing_id}|".encode()),
        keep,
        at=AT,
        accepted_types=frozenset({"ORM^O01", "ADT^A08"}),
        processing_ids=frozenset({"P"}),
        refused=lambda header, condition: refused.append(condition),
    )
    assert read_acknowledgement(answer).error_code == error
    assert [condition.value[0] for condition in refused] == ([error] if error else [])


@pytest.mark.parametrize(
    ("content", "code", "error", "control_id"),
    [
        (b"PID|1||P-1\r", "AR", "100", ""),
        (message(control_id=""), "AR", "101", ""),
        (message(kind=""), "AR", "101", "C1"),
        (message(kind="ACK^O01^ACK"), "AR", "200", "C1"),
        (message(control_id="", accept="AL"), "CR", "101", ""),
        (message(control_id="C" * 200), "AR", "102", "C" * 200),
        (message(control_id="C\0"), "AR", "102", "C\0"),
        (message(control_id="C\x1f"), "AR", "102", "C\x1f"),
        (message(control_id="\\X0D\\"), "AR", "102", "\r"),
    ],
    ids=[
        "no-header",
        "no-control-id",
        "no-type",
        "acknowledgement",
        "enhanced",
        "endless",
        "nul",
        "unit-separator",
        "segment-end",
    ],
)
def test_what_can_never_be_taken_is_rejected_with_its_reason_and_not_kept(
    content: bytes, code: str, error: str, control_id: str
) -> None:
    (reply,) = acknowledge(content, never, at=AT)
    answer = hl7.parse(reply.decode())
    assert str(answer["MSA.F1.R1"]) == code
    assert (str(answer["MSA.F2.R1"]) if control_id else "") == control_id
    assert str(answer["ERR.F3.R1.C1"]) == error


@pytest.mark.parametrize(
    "written", ["\\XC3A4\\", "\\E\\X\\E\\", "\\.br\\", "A\\T\\B", "\\", "ä#1", "A&B"]
)
@pytest.mark.parametrize("charset", ["UNICODE UTF-8", "8859/1"])
def test_the_control_id_comes_back_letter_for_letter(written: str, charset: str) -> None:
    asked = message(control_id=written).decode().replace("||||\r", f"||||||||{charset}\r")
    codec = read_header(asked.encode()).codec
    (reply,) = acknowledge(asked.encode(codec), keep, at=AT)
    assert reply.decode(codec).split("\r")[1] == f"MSA|AA|{written}"


def test_the_answer_follows_from_message_and_time_alone() -> None:
    (first,), (second,) = (acknowledge(message(), keep, at=AT) for _ in range(2))
    assert first == second
    (other,) = acknowledge(message(control_id="C2"), keep, at=AT)
    assert hl7.parse(other.decode())["MSH.F10"] != hl7.parse(first.decode())["MSH.F10"]
