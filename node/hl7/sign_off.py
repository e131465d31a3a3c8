"""An ORU that was sent, signed by a person: the same numbers, final."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from node.domain.errors import NotPossible
from node.domain.user import Signature, name_parts
from node.domain.wording import SYNTHETIC, signed_by
from node.hl7.message import escape, read_header, timestamp

_FINAL: Final = "F"
"""Tables 0123 and 0085."""
_DESCRIBES: Final = "O"
_NAME_NO_REPORT: Final = ("PID", "PV1", "ORC")
_INTERPRETER: Final = 32
"""OBR-32, the principal result interpreter."""


def sign_oru(
    sent: bytes, *, control_id: str, signature: Signature, reports: Mapping[str, str]
) -> bytes:
    """The message that tells the same as final, with who signed it in OBR-32 and when in OBR-22.

    A document that goes along keeps its status: it says itself that nobody has verified it.
    sent: one of ours, with CR segment ends. control_id becomes MSH-10. reports: the SOP Instance
    UID of each report, and of its signed copy, which is named in its place.
    Raises NotPossible (its character set cannot write the signer's name).
    Source: HL7 v2.5.1 §4.5.3.22, §4.5.3.25, §4.5.3.32 (OBR), §7.4.2.11 (OBX-11).
    """
    codec = read_header(sent).codec
    segments = [each.split("|") for each in sent.decode(codec).split("\r") if each]
    for fields in segments:
        if fields[0] == "MSH":
            fields[9] = control_id
        elif fields[0] == "OBR":
            fields.extend([""] * (_INTERPRETER + 1 - len(fields)))
            fields[22] = timestamp(signature.signed_at)
            fields[25] = _FINAL
            fields[_INTERPRETER] = _interpreter(signature)
        elif fields[0] == "OBX" and fields[2] == "ED":
            pass
        elif fields[0] == "OBX" and fields[11] != _DESCRIBES:
            fields[11] = _FINAL
            if fields[5] == SYNTHETIC:
                fields[5] = escape(signed_by(signature))
        elif fields[0] not in _NAME_NO_REPORT:
            fields[1:] = [_renamed(text, reports) for text in fields[1:]]
    try:
        return "".join(f"{'|'.join(fields)}\r" for fields in segments).encode(codec)
    except UnicodeEncodeError:
        raise NotPossible(
            "the name of who signs holds a letter that the character set of the message has not; "
            'set charset = "UNICODE UTF-8" in the destination\'s HL7 profile and correct the job'
        ) from None


def _renamed(text: str, reports: Mapping[str, str]) -> str:
    for unsigned, signed in reports.items():
        text = text.replace(unsigned, signed)
    return text


def _interpreter(signature: Signature) -> str:
    """NDL: a CNN, whose parts are subcomponents, and when. Source: HL7 v2.5.1 §2.A.9, §2.A.48."""
    family, given, middle, prefix, suffix = name_parts(signature.person_name)
    name = [signature.user_name, family, given, middle, suffix, prefix]
    told = "&".join(escape(part) for part in name).rstrip("&")
    return f"{told}^{timestamp(signature.signed_at)}"
