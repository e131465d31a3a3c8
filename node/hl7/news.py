"""What a message that came in tells of orders and patients, by its type."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from node.hl7.orders import ORDER_MESSAGES, OrderNews, read_order_news
from node.hl7.patients import MERGES, PATIENT_MESSAGES, PatientNews, read_patient_news
from node.hl7.segment import segments_of

MESSAGES: Final = ORDER_MESSAGES | PATIENT_MESSAGES
"""MSH-9 of those that are read, e.g. "ADT^A40"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """In the order of the message."""

    orders: tuple[OrderNews, ...] = field(default=(), repr=False)
    patients: tuple[PatientNews, ...] = field(default=(), repr=False)


def read_news(message: bytes, message_type: str, *, unmarked: str) -> News:
    """What a message of one of MESSAGES tells.

    unmarked: of HL7 table 0211, what a message is written in that does not say so.
    Raises UnacceptableContent (its character set, or a required field).
    """
    segments = list(segments_of(message, unmarked=unmarked))
    if message_type in ORDER_MESSAGES:
        return News(orders=read_order_news(segments))
    return News(patients=read_patient_news(segments, merges=message_type in MERGES))
