"""An imaging order that an ECG answers, and what a RIS says of the orders it has."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from node.domain.code import Code
from node.domain.study import Patient


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What links a result to the request; none of it is shown by repr."""

    placer_order_number: str = field(default="", repr=False)
    placer_issuer: tuple[str, ...] = field(default=(), repr=False)
    """Who gave that number: namespace, universal id and its type."""
    filler_order_number: str = field(default="", repr=False)
    filler_issuer: tuple[str, ...] = field(default=(), repr=False)
    accession_number: str = field(default="", repr=False)
    requested_procedure_id: str = field(default="", repr=False)
    procedure: Code | None = field(default=None, repr=False)
    """Code of what was asked for."""
    procedure_text: str = field(default="", repr=False)
    """In the words of who asked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledOrder:
    """An order that is known, for whom it is, and the study that what it asks for belongs to."""

    order: Order = field(repr=False)
    patient: Patient = field(repr=False)
    study_instance_uid: str = field(default="", repr=False)
    is_cancelled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderKeys:
    """What an order is found by, as digests but for the study; None where it is not."""

    placer_digest: str | None
    filler_digest: str | None
    accession_digest: str | None
    procedure_digest: str | None
    """Of the Requested Procedure ID: an order may be several procedures."""
    study_instance_uid: str | None


@dataclass(frozen=True, slots=True)
class Matched:
    """What ECGs are matched to an order by; its last message may have left it out."""

    study_instance_uid: str | None
    accession_digest: str | None = field(repr=False)


class AskBy(StrEnum):
    """What a RIS is asked by; for an ECG that does not have it, by the other."""

    ACCESSION_NUMBER = "accession-number"
    PATIENT_ID = "patient-id"
