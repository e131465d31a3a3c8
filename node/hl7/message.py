"""Tolerant reading of any v2 message's header, and acknowledgements both ways.

Nothing here needs the grammar of a version: segments end with CR, LF or both, unknown segments and
surplus fields are let pass. No error quotes what it read.
Source: HL7 v2.5.1 chapter 2 (2.7 escape sequences, 2.9 processing rules, 2.15.5 ERR, 2.15.8 MSA,
2.15.9 MSH).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from node.domain.errors import MalformedMessage

CODECS: dict[str, str] = {
    "ASCII": "ascii",
    "UNICODE UTF-8": "utf-8",
    **{f"8859/{part}": f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)},
}
"""Character sets of HL7 table 0211 (MSH-18) that MLLP can carry -> Python's name."""
_READ_CODECS = CODECS | {
    "ISO IR87": "iso2022_jp",
    "ISO IR159": "iso2022_jp_ext",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5hkscs",
}
"""Those that are read, too."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLANKS = " \t\n\r\v\f"
"""Around a value. Python's own white space holds separators of ASCII too: they are a sender's."""
_SEGMENT_END = re.compile("\r\n|\r|\n")
_HEADER_END = re.compile(rb"[\r\n]")
"""In none of the character sets a part of a letter."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Separators:
    """MSH-1 and MSH-2; one that a message leaves out is empty and parts nothing."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"


STANDARD_SEPARATORS = Separators()


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """MSH. Applications and facilities (HD) are kept as written, still escaped, to be echoed."""

    separators: Separators = STANDARD_SEPARATORS
    sending_application: str = ""
    sending_facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""
    message_type: str = ""
    """MSH-9.1, e.g. "ORM"."""
    trigger: str = ""
    """MSH-9.2, e.g. "O01"."""
    control_id: str = ""
    written_control_id: str = ""
    """MSH-10 likewise as written: its sender may compare letters, not what they mean."""
    processing_id: str = ""
    version: str = ""
    accept_acknowledgement: str = ""
    """MSH-15: AL, NE, ER, SU, or empty."""
    application_acknowledgement: str = ""
    """MSH-16, likewise."""
    charset: str = ""
    """MSH-18, first repetition."""

    @property
    def event(self) -> str:
        """Message type and trigger, e.g. "ORM^O01"."""
        return f"{self.message_type}^{self.trigger}"

    @property
    def enhanced(self) -> bool:
        """Whether the sender asks for enhanced mode (HL7 v2.5.1 §2.9.3)."""
        return bool(self.accept_acknowledgement or self.application_acknowledgement)

    @property
    def codec(self) -> str:
        """Python's name of MSH-18; Latin-1, which reads any byte, for one that is not known."""
        return _READ_CODECS.get(self.charset, "iso8859-1")


class AcknowledgementCode(Enum):
    """HL7 table 0008: A… is original mode or the application's answer, C… the accept answer."""

    AA = "AA"
    AE = "AE"
    AR = "AR"
    CA = "CA"
    CE = "CE"
    CR = "CR"


class ErrorCondition(Enum):
    """What ERR-3 says, of HL7 table 0357."""

    SEGMENT_SEQUENCE_ERROR = ("100", "Segment sequence error")
    REQUIRED_FIELD_MISSING = ("101", "Required field missing")
    DATA_TYPE_ERROR = ("102", "Data type error")
    UNSUPPORTED_MESSAGE_TYPE = ("200", "Unsupported message type")
    UNSUPPORTED_EVENT_CODE = ("201", "Unsupported event code")
    UNSUPPORTED_PROCESSING_ID = ("202", "Unsupported processing id")
    APPLICATION_INTERNAL_ERROR = ("207", "Application internal error")


class UnacceptableContent(MalformedMessage):
    """A message with a header that can be answered, whose content cannot be used."""

    def __init__(self, condition: ErrorCondition, message: str) -> None:
        super().__init__(message)
        self.condition = condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """An answer to a message of ours. `text` may repeat patient data: it is not shown by repr."""

    code: AcknowledgementCode
    control_id: str
    """MSA-2: the MSH-10 of the message that is answered."""
    text: str = field(default="", repr=False)
    """MSA-3."""
    error_code: str = ""
    """ERR-3, else ERR-1.4 or MSA-6 of older versions; only when it has the form of table 0357."""


def escape(text: str, separators: Separators = STANDARD_SEPARATORS) -> str:
    """The text so that none of its characters is taken for a separator or a segment end.

    Control characters become \\Xhh\\.
    """
    mark = separators.escape
    names = {
        separators.field: "F",
        separators.component: "S",
        separators.subcomponent: "T",
        separators.repetition: "R",
        mark: "E",
    }
    return "".join(
        f"{mark}{names[character]}{mark}"
        if character in names
        else f"{mark}X{ord(character):02X}{mark}"
        if _CONTROL.match(character)
        else character
        for character in text
    )


def unescape(
    text: str, separators: Separators = STANDARD_SEPARATORS, *, codec: str = "utf-8"
) -> str:
    """The text as it was meant; sequences that name no character (\\H\\, \\.br\\) stay."""
    if not separators.escape or separators.escape not in text:
        return text
    characters = {
        "F": separators.field,
        "S": separators.component,
        "T": separators.subcomponent,
        "R": separators.repetition,
        "E": separators.escape,
    }

    def meant(match: re.Match[str]) -> str:
        name = match[1]
        if name in characters:
            return characters[name]
        try:
            return bytes.fromhex(name[1:]).decode(codec)
        except ValueError:
            return match[0]

    mark = re.escape(separators.escape)
    return re.sub(f"{mark}([FSTRE]|X(?:[0-9A-Fa-f]{{2}})+){mark}", meant, text)


def read_header(message: bytes) -> Header:
    """The MSH segment of a message.

    Raises MalformedMessage (does not begin with a readable MSH).
    """
    return _read(_HEADER_END.split(_trimmed(message), maxsplit=1)[0])[0]


def read_segments(message: bytes, *, unmarked: str) -> tuple[Header, list[list[str]]]:
    """The header and every segment as its fields, field n at index n, still escaped.

    unmarked: of table 0211, what a message without MSH-18 and byte order mark is written in.
    Raises MalformedMessage (no readable MSH), UnacceptableContent (a character set that is not
    read, or bytes that are not of it): a name is read as it was meant, or not at all.
    """
    marked = message.startswith(_BYTE_ORDER_MARK)
    header = read_header(message)
    charset = header.charset or ("UNICODE UTF-8" if marked else unmarked)
    if charset not in _READ_CODECS:
        raise UnacceptableContent(
            ErrorCondition.DATA_TYPE_ERROR,
            "MSH-18 names a character set that is not read here; have the sender use UNICODE UTF-8",
        )
    try:
        text = message.removeprefix(_BYTE_ORDER_MARK).decode(_READ_CODECS[charset])
    except UnicodeDecodeError:
        raise UnacceptableContent(
            ErrorCondition.DATA_TYPE_ERROR,
            f"the message has bytes that are not of {charset}; have the sender state its character "
            "set in MSH-18" + ("" if header.charset else ", or set hl7.unmarked_charset"),
        ) from None
    return header, list(_segments(text.lstrip(), header.separators))


def read_acknowledgement(message: bytes) -> Acknowledgement:
    """What an ACK, or any message with an MSA segment, answers.

    Raises MalformedMessage (no MSH or MSA, or a code that is not in table 0008).
    """
    header, segments = _read(message)
    first = {fields[0]: fields for fields in reversed(segments)}
    if "MSA" not in first:
        raise MalformedMessage("an answer without an MSA segment acknowledges nothing")
    msa, err = first["MSA"], first.get("ERR", [])
    try:
        code = AcknowledgementCode(_component(header, msa, 1))
    except ValueError:
        raise MalformedMessage("MSA-1 holds no code of HL7 table 0008") from None
    return Acknowledgement(
        code=code,
        control_id=_component(header, msa, 2),
        text=_component(header, msa, 3),
        error_code=_error_code(header, msa, err),
    )


def build_acknowledgement(
    header: Header,
    code: AcknowledgementCode,
    *,
    control_id: str,
    at: datetime,
    text: str = "",
    error: ErrorCondition | None = None,
) -> bytes:
    """An ACK for the message with this header, in its separators, version and character set.

    control_id and at become MSH-10 and MSH-7.
    """
    part = header.separators
    version = header.version or "2.5.1"
    trigger = [escape(header.trigger, part)] if header.trigger else []
    msh = [
        "MSH",
        "".join((part.component, part.repetition, part.escape, part.subcomponent)),
        header.receiving_application,
        header.receiving_facility,
        header.sending_application,
        header.sending_facility,
        escape(timestamp(at), part),
        "",
        part.component.join(["ACK", *trigger, *(["ACK"] if trigger else [])]),
        escape(control_id, part),
        escape(header.processing_id or "P", part),
        escape(version, part),
        *[""] * 5,
        escape(header.charset, part),
    ]
    answered = header.written_control_id or escape(header.control_id, part)
    segments = [msh, ["MSA", code.value, answered, escape(text, part)]]
    if error is not None:
        segments.append(_error_segment(error, part, version))
    lines = [part.field.join(fields).rstrip(part.field) + "\r" for fields in segments]
    return "".join(lines).encode(header.codec, errors="replace")


def timestamp(at: datetime) -> str:
    """YYYYMMDDHHMMSS, with +ZZZZ when the offset is known (HL7 v2.5.1 §2.A.22, DTM)."""
    return at.strftime("%Y%m%d%H%M%S").rjust(14, "0") + at.strftime("%z")[:5]


def _error_segment(error: ErrorCondition, part: Separators, version: str) -> list[str]:
    """ERR-3 and ERR-4; ERR-1 (segment, sequence, field, code) before version 2.5."""
    code, meaning = error.value
    if version < "2.5":
        location = part.component * 3
        return ["ERR", location + (part.subcomponent or " ").join((code, meaning, "HL70357"))]
    return ["ERR", "", "", part.component.join((code, meaning, "HL70357")), "E"]


def _error_code(header: Header, msa: list[str], err: list[str]) -> str:
    part = header.separators
    older = _component(header, err, 1, component=4).split(part.subcomponent or None)
    candidates = (_component(header, err, 3), *older[:1], _component(header, msa, 6))
    return next((code for code in candidates if re.fullmatch(r"\d{3}", code, re.ASCII)), "")


def _read(message: bytes) -> tuple[Header, list[list[str]]]:
    """The header and every segment as its fields, field n at index n, still escaped."""
    message = _trimmed(message)
    latin = message.decode("iso8859-1")
    separators, fields = _header_fields(latin)
    # Told once, before anything is decoded: what is answered is read, and written, by the same.
    charset = _component(Header(separators=separators), fields, 18)
    text = message.decode(Header(charset=charset).codec, errors="replace")
    segments = list(_segments(text, separators))
    return _header(segments[0], separators, charset), segments


def _trimmed(message: bytes) -> bytes:
    return message.removeprefix(_BYTE_ORDER_MARK).lstrip(b" \t\r\n")


def _header_fields(text: str) -> tuple[Separators, list[str]]:
    line = _SEGMENT_END.split(text, maxsplit=1)[0]
    separator = line[3:4]
    marks = line[4:].split(separator, maxsplit=1)[0] if separator else ""
    distinct = len({separator, *marks}) == 1 + len(marks)
    alien = any(
        mark.isalnum() or not (mark.isprintable() and mark.isascii()) for mark in separator + marks
    )
    if not line.startswith("MSH") or not 1 <= len(marks) <= 5 or not distinct or alien:
        raise MalformedMessage("the message does not begin with an MSH segment and its separators")
    padded = [*marks, "", "", ""]
    separators = Separators(
        field=separator,
        component=padded[0],
        repetition=padded[1],
        escape=padded[2],
        subcomponent=padded[3],
    )
    return separators, next(_segments(line, separators))


def _segments(text: str, separators: Separators) -> Iterator[list[str]]:
    for line in _SEGMENT_END.split(text):
        if not line.strip():
            continue
        fields = line.lstrip(" ").split(separators.field)
        # MSH-1 is the separator itself: put it where its number says.
        yield [fields[0], separators.field, *fields[1:]] if fields[0] == "MSH" else fields


def _header(fields: list[str], separators: Separators, charset: str) -> Header:
    bare = Header(separators=separators, charset=charset)
    return Header(
        separators=separators,
        sending_application=_field(fields, 3),
        sending_facility=_field(fields, 4),
        receiving_application=_field(fields, 5),
        receiving_facility=_field(fields, 6),
        message_type=_component(bare, fields, 9),
        trigger=_component(bare, fields, 9, component=2),
        control_id=_component(bare, fields, 10),
        written_control_id=_written(separators, fields, 10),
        processing_id=_component(bare, fields, 11),
        version=_component(bare, fields, 12),
        accept_acknowledgement=_component(bare, fields, 15),
        application_acknowledgement=_component(bare, fields, 16),
        charset=charset,
    )


def _field(fields: list[str], number: int) -> str:
    return fields[number] if number < len(fields) else ""


def _component(header: Header, fields: list[str], number: int, *, component: int = 1) -> str:
    """One component of the first repetition of a field, unescaped."""
    written = _written(header.separators, fields, number, component=component)
    return unescape(written, header.separators, codec=header.codec)


def _written(part: Separators, fields: list[str], number: int, *, component: int = 1) -> str:
    first = _field(fields, number)
    if part.repetition:
        first = first.split(part.repetition, maxsplit=1)[0]
    components = first.split(part.component)
    return components[component - 1].strip(_BLANKS) if component <= len(components) else ""
