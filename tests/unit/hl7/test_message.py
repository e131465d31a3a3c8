"""Reading headers and acknowledgements of others, and writing our own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import hl7
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.errors import MalformedMessage
from node.hl7.message import (
    AcknowledgementCode,
    ErrorCondition,
    Header,
    Separators,
    build_acknowledgement,
    escape,
    read_acknowledgement,
    read_header,
    timestamp,
    unescape,
)

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ORM = (
    rb"MSH|^~\&|RIS^1.2.3^ISO|HOSP|CARDIONODE|ECG|202601020304||ORM^O01^ORM_O01|C\T\1|P|2.3.1"
    b"|||AL|NE||8859/1~UNICODE UTF-8\rPID|||secret\r"
)


def test_a_header_is_read_field_by_field() -> None:
    header = read_header(ORM)
    assert header == Header(
        sending_application="RIS^1.2.3^ISO",
        sending_facility="HOSP",
        receiving_application="CARDIONODE",
        receiving_facility="ECG",
        message_type="ORM",
        trigger="O01",
        control_id="C&1",
        written_control_id="C\\T\\1",
        processing_id="P",
        version="2.3.1",
        accept_acknowledgement="AL",
        application_acknowledgement="NE",
        charset="8859/1",
    )
    assert header.enhanced
    assert header.codec == "iso8859-1"


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("before", ["", "\r\n", "\ufeff"])
def test_any_segment_end_and_what_exporters_put_in_front_are_read(end: str, before: str) -> None:
    text = before + end.join(["MSH|^~\\&|||||||ACK|1|P|2.4", "MSA|AA|77|ok", ""])
    answer = read_acknowledgement(text.encode())
    assert (answer.code, answer.control_id, answer.text) == (AcknowledgementCode.AA, "77", "ok")


def test_unusual_separators_are_obeyed() -> None:
    header = read_header(b"MSH#*~!%#LAB######ORU*R01#C!S!1#P#2.5.1\r")
    assert header.separators == Separators(
        field="#", component="*", repetition="~", escape="!", subcomponent="%"
    )
    assert (header.message_type, header.trigger, header.control_id) == (
        "ORU",
        "R01",
        "C*1",
    )


def test_missing_separators_part_nothing() -> None:
    header = read_header(b"MSH|^|A|B|||||ADT^A01|9|P|2.2\r")
    assert (header.message_type, header.trigger, header.control_id) == ("ADT", "A01", "9")


@pytest.mark.parametrize(
    "message",
    [b"", b"MSH", b"MSH|", b"MSH||||", b"MSH|^^~\\&|", b"MSHABCDE", b"PID|1", b"\xff\xfeM\0S\0H\0"],
)
def test_what_has_no_readable_msh_is_refused(message: bytes) -> None:
    with pytest.raises(MalformedMessage):
        read_header(message)


@given(message=st.binary(max_size=200).map(lambda tail: b"MSH|^~\\&|" + tail))
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    read_header(message)
    try:
        read_acknowledgement(message)
    except MalformedMessage as error:
        assert "MSA" in error.message


def test_every_sample_of_other_systems_has_the_header_python_hl7_reads(shared: Path) -> None:
    compared = 0
    for path in sorted((shared / "data" / "hl7").iterdir()):
        content = path.read_bytes()
        if not content.startswith(b"MSH|^~\\&|"):
            continue
        header = read_header(content)
        first = content.decode("iso8859-1").replace("\r", "\n").split("\n")[0]
        other = hl7.parse(first + "\r").segment("MSH")
        assert header.control_id == str(other[10])
        assert header.version == str(other[12]).split("^")[0]
        assert header.message_type == str(other[9]).split("^")[0]
        compared += 1
    assert compared > 30


def test_the_fuzzed_messages_that_broke_others_do_not_break_us(shared: Path) -> None:
    files = sorted((shared / "data" / "malformed" / "hl7_fuzz").iterdir())
    assert files
    for path in files:
        try:
            read_header(path.read_bytes())
            read_acknowledgement(path.read_bytes())
        except MalformedMessage:
            pass


@pytest.mark.parametrize(
    ("lines", "error_code"),
    [
        ("MSA|AE|77|JANE DOE unknown\rERR||PID^1^3|204^Unknown key^HL70357|E", "204"),
        ("MSA|AE|77|JANE DOE unknown\rERR|PID^1^3^101&Required field missing&HL70357", "101"),
        ("MSA|AE|77|JANE DOE unknown|||207^Internal^HL70357", "207"),
        ("MSA|AE|77|JANE DOE unknown\rERR|||JANE^DOE", ""),
    ],
)
def test_the_error_code_is_found_where_each_version_puts_it(lines: str, error_code: str) -> None:
    answer = read_acknowledgement(f"MSH|^~\\&|||||||ACK|1|P|2.5.1\r{lines}\r".encode())
    assert answer.code is AcknowledgementCode.AE
    assert answer.error_code == error_code
    assert "JANE" not in repr(answer)


@pytest.mark.parametrize("lines", ["PID|1", "MSA|OK|77", "MSA||77", "MSA"])
def test_an_answer_that_acknowledges_nothing_is_refused(lines: str) -> None:
    with pytest.raises(MalformedMessage):
        read_acknowledgement(f"MSH|^~\\&|||||||ACK|1|P|2.5.1\r{lines}\r".encode())


def test_no_error_quotes_the_message() -> None:
    for message in (b"JANE|DOE", b"MSH|^~\\&|\rMSA|JANE|DOE", b"MSH|^~\\&|\rPID|||JANE"):
        with pytest.raises(MalformedMessage) as caught:
            read_acknowledgement(message)
        assert "JANE" not in caught.value.message


def test_an_acknowledgement_goes_back_where_the_message_came_from() -> None:
    ack = build_acknowledgement(
        read_header(ORM), AcknowledgementCode.CA, control_id="A1", at=AT, text="kept|all"
    )
    assert ack.split(b"\r") == [
        rb"MSH|^~\&|CARDIONODE|ECG|RIS^1.2.3^ISO|HOSP|20260102030405+0000||ACK^O01^ACK|A1|P|2.3.1"
        b"||||||8859/1",
        rb"MSA|CA|C\T\1|kept\F\all",
        b"",
    ]


@pytest.mark.parametrize(
    ("version", "segment"),
    [
        ("2.3.1", "ERR|^^^200&Unsupported message type&HL70357"),
        ("2.5.1", "ERR|||200^Unsupported message type^HL70357|E"),
    ],
)
def test_the_error_stands_where_the_version_wants_it(version: str, segment: str) -> None:
    ack = build_acknowledgement(
        Header(version=version, control_id="7"),
        AcknowledgementCode.AR,
        control_id="A1",
        at=AT,
        error=ErrorCondition.UNSUPPORTED_MESSAGE_TYPE,
    )
    assert ack.decode().split("\r")[2] == segment
    answer = read_acknowledgement(ack)
    assert (answer.code, answer.control_id, answer.error_code) == (
        AcknowledgementCode.AR,
        "7",
        "200",
    )


@given(text=st.text())
def test_escaped_text_comes_back_as_it_was(text: str) -> None:
    escaped = escape(text)
    assert not set("|^~&\r\n") & set(escaped)
    assert unescape(escaped) == text


@pytest.mark.parametrize(
    ("escaped", "meant"),
    [
        (r"a\F\b\S\c\T\d\R\e\E\f", r"a|b^c&d~e\f"),
        (r"\E\F\E\ ", "\\F\\ "),
        (r"\X0D0A\end", "\r\nend"),
        (r"\XC3BC\ ", "ü "),
        (r"\XFF\ ", r"\XFF\ "),
        (r"\H\bold\N\.br\ \X0\ lone \ end", r"\H\bold\N\.br\ \X0\ lone \ end"),
    ],
)
def test_escape_sequences_mean_what_chapter_2_says(escaped: str, meant: str) -> None:
    assert unescape(escaped) == meant


def test_a_timestamp_has_an_offset_only_when_it_is_known() -> None:
    assert timestamp(AT) == "20260102030405+0000"
    assert timestamp(AT.replace(tzinfo=None)) == "20260102030405"


@pytest.mark.parametrize(
    ("marks", "charset"),
    [("^~\\&", "GB 18030-2000"), (" ~\\&", "GB 18030-2000"), ("-~\\&", "GB 18030-2000"),
     ("^ \\&", "UNICODE UTF-8"), ("/~", "8859/15"), ("^/\\&", "8859/1")],
)  # fmt: skip
def test_a_control_id_is_answered_as_it_came_whatever_parts_the_character_set(
    marks: str, charset: str
) -> None:
    """Read, written and read again by one character set, also where that is not the one meant."""
    head = f"MSH|{marks}|A|B|C|D|20260101||ADT|".encode()
    message = head + b"N\xc3\xbc1" + f"|P|2.5||||||{charset}\r".encode()
    header = read_header(message)
    answer = build_acknowledgement(header, AcknowledgementCode.AA, control_id="1", at=AT)
    assert read_acknowledgement(answer).control_id == header.control_id
    assert b"|N\xc3\xbc1\r" in answer


def test_separators_are_of_ascii() -> None:
    """In another character set they would be answered as two bytes, or none."""
    with pytest.raises(MalformedMessage):
        read_header("MSH¤^~\\&¤A¤B¤C¤D¤20260101¤¤ADT¤1¤P¤2.5\r".encode("latin-1"))


def test_a_trigger_with_a_separator_in_it_moves_no_field_of_the_answer() -> None:
    message = b"MSH|^~\\&|A|B|C|D|20260101||ADT^A\\F\\01|N\xc3\xbc1|P|2.5||||||UNICODE UTF-8\r"
    header = read_header(message)
    assert header.trigger == "A|01"
    answer = build_acknowledgement(header, AcknowledgementCode.AR, control_id="1", at=AT)
    assert read_header(answer).charset == "UNICODE UTF-8"
    assert read_acknowledgement(answer).control_id == header.control_id == "N\u00fc1"


def test_a_separator_of_the_time_zone_moves_no_field_of_the_answer() -> None:
    message = b"MSH+\\,|$+A+B+C+D+20260101++ADT\\A08+|XFFFE|+P+2.4++++++KS X 1001\r"
    header = read_header(message)
    answer = build_acknowledgement(header, AcknowledgementCode.AA, control_id="1", at=AT)
    assert read_header(answer).charset == "KS X 1001"
    assert read_acknowledgement(answer).control_id == header.control_id
