"""Which order an ECG answers: what the ECG itself states, and what the RIS says of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Final, TypeVar

from node.domain.identifiers import digest_of
from node.domain.order import Order, ScheduledOrder
from node.domain.study import Patient, Study

Value = TypeVar("Value")

UNCERTAIN_ORDER: Final = "uncertain-order"
"""The error code of a held job."""
_CANCELLED: Final = "the order of this ECG was cancelled; release or reject the job"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPolicy:
    """What becomes of an ECG that no order is found for."""

    holds_unmatched: bool = False
    patience_s: float = 60.0
    """How long after an ECG came its result waits for a RIS that does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    order: Order | None
    """None where neither the ECG nor the RIS names one."""
    is_scheduled: bool
    """Whether the RIS has it."""
    doubt: str | None = None
    """Why a person has to look at it."""


def stated_order(study: Study) -> Order | None:
    """The order the ECG names by accession, placer or filler number; None when it names none."""
    if not (study.accession_number or study.placer_order_number or study.filler_order_number):
        return None
    return _stated(study)


def order_digest(order: Order | None) -> str | None:
    """What tells whether results would name another order; None where they name none."""
    return None if order is None else digest_of(*map(str, astuple(order)))


def unasked(study: Study) -> Reconciled:
    """What stands where nobody has said which orders there are."""
    return Reconciled(order=stated_order(study), is_scheduled=False)


def reconcile(study: Study, known: Sequence[ScheduledOrder]) -> Reconciled:
    """The order that is meant for the ECG's study, else the one of its accession number.

    Of several (procedures of one accession) what they agree in. What the ECG states and the order
    does not stays.
    """
    accession = study.accession_number
    named = [each for each in known if accession and each.order.accession_number == accession]
    own = [each for each in known if each.study_instance_uid == study.study_instance_uid]
    # Of several orders in one study, those that the ECG names.
    own = [each for each in own if each in named] or own or named
    if not own:
        return unasked(study)
    standing = [each for each in own if not each.is_cancelled]
    doubts = (_contradiction(study, each) for each in standing or own)
    doubt = next((doubt for doubt in doubts if doubt), None)
    return Reconciled(
        order=_agreed([each.order for each in standing or own], _stated(study)),
        is_scheduled=True,
        doubt=doubt if standing else _CANCELLED,
    )


def _stated(study: Study) -> Order:
    return Order(
        placer_order_number=study.placer_order_number,
        filler_order_number=study.filler_order_number,
        accession_number=study.accession_number,
        requested_procedure_id=study.requested_procedure_id,
    )


def _agreed(orders: Sequence[Order], stated: Order) -> Order:
    def one(read: Callable[[Order], Value]) -> Value:
        found = {read(order) for order in orders}
        return (found.pop() if len(found) == 1 else None) or read(stated)

    # A number stays with who gave it.
    placer, placer_issuer = one(_placer) or ("", ())
    filler, filler_issuer = one(_filler) or ("", ())
    return Order(
        placer_order_number=placer,
        placer_issuer=placer_issuer,
        filler_order_number=filler,
        filler_issuer=filler_issuer,
        accession_number=one(lambda order: order.accession_number),
        requested_procedure_id=one(lambda order: order.requested_procedure_id),
        procedure=one(lambda order: order.procedure),
        procedure_text=one(lambda order: order.procedure_text),
    )


def _placer(order: Order) -> tuple[str, tuple[str, ...]] | None:
    number = order.placer_order_number
    return (number, order.placer_issuer) if number else None


def _filler(order: Order) -> tuple[str, tuple[str, ...]] | None:
    number = order.filler_order_number
    return (number, order.filler_issuer) if number else None


def _contradiction(study: Study, known: ScheduledOrder) -> str | None:
    """In what the ECG and the order differ; what one of them leaves out contradicts nothing."""
    accession = known.order.accession_number
    if study.accession_number and accession and accession != study.accession_number:
        differs = "accession number"
    else:
        differs = difference(study.patient, known.patient)
    if not differs:
        return None
    return (
        f"the order of this ECG has another {differs}; find out which is right, then release or "
        "reject the job"
    )


def difference(ecg: Patient, order: Patient) -> str:
    """In what the patient of an ECG is not the one a RIS names; empty where nothing says so."""
    issuers = {each.issuer_of_patient_id for each in (ecg, order)} - {""}
    told: list[tuple[str, object, object]] = [
        ("birth date", ecg.birth_date, order.birth_date),
        ("sex", _sex(ecg), _sex(order)),
    ]
    names = _family_name(ecg), _family_name(order)
    if names[0].isascii() == names[1].isascii():  # one name may be written in two scripts
        told.append(("family name", *names))
    if len(issuers) < 2:  # two authorities give one person two numbers
        told.insert(0, ("Patient ID", ecg.patient_id, order.patient_id))
    return next((name for name, one, other in told if one and other and one != other), "")


def _sex(patient: Patient) -> str:
    return patient.sex if patient.sex in ("M", "F") else ""


def _family_name(patient: Patient) -> str:
    """Without what is written now so, now so: case, accents, spaces and hyphens.

    Empty where all of a name may stand as the family's.
    """
    family, parted, _ = patient.leading_name.partition("^")
    letters = unicodedata.normalize("NFKD", family.casefold())
    return "".join(letter for letter in letters if letter.isalnum()) if parted else ""
