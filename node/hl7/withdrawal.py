"""An ORU that was sent, taken back: the same message, every result of it marked as wrong."""

from __future__ import annotations

from typing import Final

from node.domain.wording import WITHDRAWN
from node.hl7.message import read_header

_POSTED_AS_WRONG: Final = "W"
"""Table 0085: post original as wrong, e.g. transmitted for the wrong patient."""
_NO_RESULTS: Final = "X"
"""Table 0123: no results available."""
_DELETED: Final = '""'
"""What stood there is to be deleted. Source: HL7 v2.5.1 §2.5.3."""
_INTERPRETER: Final = 32
"""OBR-32, of what a person had signed."""
_DESCRIBES: Final = "O"
"""Table 0085: describes the order and was not observed, so there is nothing to take back."""


def withdraw_oru(sent: bytes, *, control_id: str) -> bytes:
    """The message that takes back one of ours.

    Its readable report says that and nothing else; a document does not go out again.
    sent: with CR segment ends. control_id becomes MSH-10; orders, patient and identifiers stay.
    Source: HL7 v2.5.1 §4.5.3.25 (OBR-25), §7.4.2.11 (OBX-11).
    """
    codec = read_header(sent).codec
    segments = [each.split("|") for each in sent.decode(codec).split("\r") if each]
    said = False
    for fields in segments:
        if fields[0] == "MSH":
            fields[9] = control_id
        elif fields[0] == "OBR":
            fields[25] = _NO_RESULTS
            if any(fields[_INTERPRETER : _INTERPRETER + 1]):
                fields[_INTERPRETER] = _DELETED
        elif fields[0] == "OBX":
            if fields[2] == "TX":
                fields[5], said = (_DELETED if said else WITHDRAWN), True
            elif fields[2] == "ED":
                fields[5] = _DELETED
            if fields[11] != _DESCRIBES:
                fields[11] = _POSTED_AS_WRONG
    return "".join(f"{'|'.join(fields)}\r" for fields in segments).encode(codec)


def is_withdrawal(sent: bytes) -> bool:
    """Whether one of ours takes another back."""
    return _observation_request(sent)[25] == _NO_RESULTS


def filler_number(sent: bytes) -> str:
    """OBR-3 of one of ours, as it stands there: what its results are known by."""
    return _observation_request(sent)[3]


def _observation_request(sent: bytes) -> list[str]:
    text = sent.decode(read_header(sent).codec)
    return next(each.split("|") for each in text.split("\r") if each.startswith("OBR|"))
