"""A result, or a message that came, as a person reads it."""

from __future__ import annotations

import io
import json
from typing import Final

from pydicom import dcmread

from node.dicom.report_reading import report_text
from node.domain.delivery import MESSAGES, ResultKind
from node.domain.errors import CardioNodeError
from node.hl7.message import Header, read_header

READABLE: Final = MESSAGES | {ResultKind.REPORT}
"""Results that are words and numbers."""
_CONTROL: Final = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - {*b"\t\n"}, "\ufffd")
"""What would do something to a terminal."""
_ENDS: Final = {ResultKind.ORU: "hl7", ResultKind.FHIR: "json"}


def file_name(kind: ResultKind, delivery_id: int) -> str:
    """Of a result that is kept as a file; no part of it is of a patient."""
    return f"{kind.value}-{delivery_id}.{_ENDS.get(kind, 'dcm')}"


def result_text(kind: ResultKind, content: bytes) -> str:
    """The words of a result of one of the kinds in READABLE, as they are sent."""
    if kind is ResultKind.REPORT:
        return report_text(dcmread(io.BytesIO(content)))
    if kind is ResultKind.FHIR:
        return json.dumps(json.loads(content), indent=2, ensure_ascii=False)
    return message_text(content)


def message_text(content: bytes, *, unmarked: str = "ASCII") -> str:
    """A segment a line. unmarked: HL7 table 0211, of a message that does not say what it is in."""
    try:
        header = read_header(content)
        codec = header.codec if header.charset else Header(charset=unmarked).codec
    except CardioNodeError:
        codec = "utf-8"
    text = content.decode(codec, "replace").replace("\r\n", "\n").replace("\r", "\n")
    return text.translate(_CONTROL)
