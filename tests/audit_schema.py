"""Judges audit messages by the schema of DICOM PS3.15 A.5.1."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from lxml import etree

_SCHEMA = Path(__file__).parent / "data" / "audit-message.rng"


@cache
def _schema() -> Any:
    return etree.RelaxNG(etree.parse(str(_SCHEMA)))


def read_audit_message(content: bytes) -> Any:
    """The message as an element. Raises AssertionError, XMLSyntaxError."""
    message = etree.fromstring(content)
    assert _schema().validate(message), _schema().error_log
    return message


def summary(content: bytes) -> str:
    """Event, kind, outcome and who, of a message that is one."""
    message = read_audit_message(content)
    event = message.find("EventIdentification")
    kinds = [each.get("originalText") for each in event.findall("EventTypeCode")]
    who = [each.get("UserID") for each in message.findall("ActiveParticipant")]
    words = [event.find("EventID").get("originalText"), *kinds, event.get("EventOutcomeIndicator")]
    return f"{', '.join(words)}: {', '.join(who)}"
