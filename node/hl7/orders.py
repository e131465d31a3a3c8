"""What a message says of orders: placed, changed, cancelled.

Three messages carry them: ORM^O01, whose study stands in IHE's ZDS; OMG^O19; OMI^O23, with IPC.
Source: HL7 v2.5.1 §4.4 (messages), §4.5.1 (ORC), §4.5.3 (OBR), §4.5.6 (IPC), table 0119; IHE RAD
TF-2 RAD-4 (OBR-18, OBR-19, ZDS) and RAD-2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from node.domain.code import Code
from node.domain.identifiers import is_valid_uid
from node.domain.order import Order, ScheduledOrder
from node.domain.study import Patient
from node.hl7.patients import read_patient
from node.hl7.segment import MOST_TOLD, Segment, fitting, missing, too_many

ORDER_MESSAGES: Final = frozenset({"ORM^O01", "OMG^O19", "OMI^O23"})

_CANCELS = frozenset({"CA", "OC", "CR", "DC", "OD", "DR", "RP", "RU", "RQ"})
"""Order controls after which the order stands no more: cancelled, discontinued, replaced."""
_PLACES = frozenset({"NW", "XO", "XX", "RO", "SN", "NA", "OK", "RL", "PA", "CH"})
"""Order controls by which the order stands, whatever was said of it before."""
_SAYS_NOTHING = frozenset({"DE", "UA", "UC", "UD", "UF", "UH", "UM", "UN", "UR", "UX"})
"""Answers that something was not done: the order is as it was."""
_CANCELLED = frozenset({"CA", "DC", "RP"})
"""Order statuses (ORC-5, table 0038) that say so, whatever the order control."""
_SHORT = 16
_LONG = 64
"""Characters of SH and LO, which is what results have for it. Source: DICOM PS3.5 §6.2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderNews:
    """An order as the sender has it now."""

    scheduled: ScheduledOrder = field(repr=False)
    is_placed: bool
    """Whether the message says that the order stands; one that tells of its progress does not."""
    is_described: bool
    """Whether it has what an ECG is matched by: a cancellation may be an ORC alone."""


@dataclass(slots=True, kw_only=True)
class _Group:
    """The segments of one order."""

    orc: Segment | None = None
    obr: Segment | None = None
    ipc: Segment | None = None

    def entity(self, number: int) -> tuple[str, ...]:
        """ORC-n or OBR-n, 2 the placer's and 3 the filler's number: it, and who gave it (EI)."""
        for segment in (self.orc, self.obr):
            if segment is not None and (text := fitting(segment.text(number), _LONG)):
                return text, *(segment.text(number, part) for part in (2, 3, 4))
        return ("",)

    def of_request(self, in_ipc: int, in_obr: int) -> str:
        """A number of the request: where OMI has it, else where IHE has ORM carry it."""
        found = self.ipc.text(in_ipc) if self.ipc is not None else ""
        if not found and self.obr is not None:
            found = self.obr.text(in_obr)
        return fitting(found, _SHORT)


def read_order_news(segments: Iterable[Segment]) -> tuple[OrderNews, ...]:
    """What a message says of orders, in its order; results of earlier ones are passed over.

    Raises UnacceptableContent (no ORC or OBR, no ORC-1, an order without any number, more than
    MOST_TOLD orders).
    """
    patient, groups, study_uid = _parted(segments)
    if not groups:
        raise missing("ORC, the order")
    if len(groups) > MOST_TOLD:
        raise too_many("orders")
    news = []
    for group in groups:
        control = group.orc.text(1).upper() if group.orc is not None else ""
        if not control:
            raise missing("ORC-1, the order control")
        if control not in _SAYS_NOTHING:
            news.append(_read(group, control, patient, study_uid))
    return tuple(news)


def _parted(segments: Iterable[Segment]) -> tuple[Patient, list[_Group], str]:
    """The patient, the orders, and the Study Instance UID that a ZDS has for all of them."""
    patient, groups, study_uid = Patient(), list[_Group](), ""
    for segment in segments:
        match segment.name:
            case "PID" if groups:
                break  # from here on: the patient's earlier results
            case "PID":
                patient = read_patient(segment)
            case "ORC":
                groups.append(_Group(orc=segment))
            case "OBR" if groups and groups[-1].obr is None:
                groups[-1].obr = segment
            case "OBR":
                groups.append(_Group(orc=groups[-1].orc if groups else None, obr=segment))
            case "IPC" if groups and groups[-1].ipc is None:
                groups[-1].ipc = segment
            case "ZDS":
                study_uid = study_uid or segment.text(1)
    return patient, groups, study_uid


def _read(group: _Group, control: str, patient: Patient, study_uid: str) -> OrderNews:
    placer, *placer_issuer = group.entity(2)
    filler, *filler_issuer = group.entity(3)
    own_study_uid = (group.ipc.text(3) if group.ipc is not None else "") or study_uid
    if not is_valid_uid(own_study_uid):
        own_study_uid = ""
    procedure = _procedure(group.obr)
    order = Order(
        placer_order_number=placer,
        placer_issuer=tuple(placer_issuer),
        filler_order_number=filler,
        filler_issuer=tuple(filler_issuer),
        accession_number=group.of_request(1, 18),
        requested_procedure_id=group.of_request(2, 19),
        procedure=procedure,
        procedure_text=procedure.meaning if procedure is not None else "",
    )
    if not (placer or filler or order.accession_number or own_study_uid):
        raise missing("number of the order: ORC-2, ORC-3, an accession number or a study")
    status = group.orc.text(5).upper() if group.orc is not None else ""
    return OrderNews(
        scheduled=ScheduledOrder(
            order=order,
            patient=patient,
            study_instance_uid=own_study_uid,
            is_cancelled=control in _CANCELS or status in _CANCELLED,
        ),
        is_placed=control in _PLACES,
        is_described=group.obr is not None and bool(order.accession_number or own_study_uid),
    )


def _procedure(obr: Segment | None) -> Code | None:
    """OBR-44 (procedure code), else OBR-4 (universal service); None where it is not whole."""
    if obr is None:
        return None
    for number in (44, 4):
        value, scheme = (fitting(obr.text(number, part), _SHORT) for part in (1, 3))
        meaning = fitting(obr.text(number, 2), _LONG)
        if value and scheme and meaning:
            return Code(value=value, scheme=scheme, meaning=meaning)
    return None
