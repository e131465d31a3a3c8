"""Who did what to which study, as an audit repository wants to be told.

Source: DICOM PS3.15 A.5.1 (schema), A.5.2 (fields), A.5.3 (messages by event); codes of CID 400 to
405.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from ipaddress import ip_address
from typing import Final
from xml.etree import ElementTree as ET

from node.domain.audit import Action, AuditEntry
from node.domain.code import Code


def _dcm(value: str, meaning: str) -> Code:
    return Code(value=value, scheme="DCM", meaning=meaning)


_ACTIVITY: Final = _dcm("110100", "Application Activity")
_START: Final = _dcm("110120", "Application Start")
_STOP: Final = _dcm("110121", "Application Stop")
_APPLICATION: Final = _dcm("110150", "Application")
_ACCESSED: Final = _dcm("110103", "DICOM Instances Accessed")
_TRANSFERRED: Final = _dcm("110104", "DICOM Instances Transferred")
_PATIENT_RECORD: Final = _dcm("110110", "Patient Record")
_QUERY: Final = _dcm("110112", "Query")
_ALERT: Final = _dcm("110113", "Security Alert")
_AUTHENTICATION: Final = _dcm("110114", "User Authentication")
_LOGIN: Final = _dcm("110122", "Login")
_LOGOUT: Final = _dcm("110123", "Logout")
_SOFTWARE_CHANGED: Final = _dcm("110131", "Software Configuration")
_USER_CHANGED: Final = _dcm("110137", "User security Attributes Changed")
_DESTINATION: Final = _dcm("110152", "Destination Role ID")
_SOURCE: Final = _dcm("110153", "Source Role ID")
_STUDY: Final = _dcm("110180", "Study Instance UID")
_NODE: Final = _dcm("110182", "Node ID")
_PATIENT_NUMBER: Final = Code(value="2", scheme="RFC-3881", meaning="Patient Number")
_SEARCH: Final = Code(value="10", scheme="RFC-3881", meaning="Search Criteria")
_APPLICATION_SERVER: Final = "4"
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UNKNOWN: Final = "unknown"


class Outcome(Enum):
    """EventOutcomeIndicator."""

    SUCCESS = "0"
    MINOR_FAILURE = "4"
    SERIOUS_FAILURE = "8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """Who reports: this node."""

    source_id: str
    """AuditSourceID: what the repository knows the node by."""
    site_id: str
    """AuditEnterpriseSiteID; empty for none."""
    machine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What something was done to. No field is shown by repr; the patient's name is not told."""

    study_instance_uid: str = field(repr=False)
    patient_id: str = field(repr=False)
    sop_class_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """That an instance went from one application to another."""

    at: datetime
    sop_class_uid: str
    source: str
    """AE title, or URL."""
    source_address: str
    """Empty where it is this machine."""
    destination: str
    destination_address: str
    outcome: Outcome
    is_new_there: bool
    """As far as its sender knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    event: Code
    action: str
    kinds: Sequence[Code] = ()
    outcome: Outcome = Outcome.SUCCESS


_EVENTS: Final[Mapping[Action, _Event | None]] = {
    Action.SIGNED_IN: _Event(event=_AUTHENTICATION, action="E", kinds=(_LOGIN,)),
    Action.REFUSED: _Event(
        event=_AUTHENTICATION, action="E", kinds=(_LOGIN,), outcome=Outcome.MINOR_FAILURE
    ),
    Action.SIGNED_OUT: _Event(event=_AUTHENTICATION, action="E", kinds=(_LOGOUT,)),
    Action.LISTED: _Event(event=_QUERY, action="E"),
    Action.SEARCHED: _Event(event=_QUERY, action="E"),
    Action.VIEWED: _Event(event=_ACCESSED, action="R"),
    Action.DOWNLOADED: _Event(event=_ACCESSED, action="R"),
    Action.READ: _Event(event=_PATIENT_RECORD, action="R"),
    Action.REPLAYED: _Event(event=_PATIENT_RECORD, action="U"),
    Action.RETRIED: _Event(event=_ACCESSED, action="U"),
    Action.SENT_AGAIN: _Event(event=_ACCESSED, action="U"),
    Action.RELEASED: _Event(event=_ACCESSED, action="U"),
    Action.REJECTED: _Event(event=_ACCESSED, action="U"),
    Action.CORRECTED: _Event(event=_ACCESSED, action="U"),
    Action.CANCELLED: _Event(event=_ACCESSED, action="U"),
    Action.SIGNED: _Event(event=_ACCESSED, action="U"),
    Action.WITHDREW: _Event(event=_ACCESSED, action="D"),
    Action.CONFIGURED: _Event(event=_ALERT, action="E", kinds=(_SOFTWARE_CHANGED,)),
    Action.TOOK_UP: _Event(event=_ALERT, action="E", kinds=(_SOFTWARE_CHANGED,)),
    Action.ADDED_USER: _Event(event=_ALERT, action="E", kinds=(_USER_CHANGED,)),
    Action.CHANGED_PASSWORD: _Event(event=_ALERT, action="E", kinds=(_USER_CHANGED,)),
    Action.REMOVED_USER: _Event(event=_ALERT, action="E", kinds=(_USER_CHANGED,)),
    Action.UNKNOWN: None,
    Action.TRIED: None,
    Action.PROVED: None,
    Action.REHEARSED: None,
}
"""None: of no patient and no security; it stands in the node's own audit."""


def activity(reporter: Reporter, *, has_started: bool, at: datetime) -> bytes:
    """That the node has started, or stops. Source: A.5.3.1."""
    kind = _START if has_started else _STOP
    message = _message(_Event(event=_ACTIVITY, action="E", kinds=(kind,)), at)
    _participant(message, reporter.source_id, roles=(_APPLICATION,), machine=reporter.machine)
    _report(message, reporter)
    return _encoded(message)


def of_entry(reporter: Reporter, entry: AuditEntry, subject: Subject | None) -> bytes | None:
    """What a person did; None where no message is for it. subject: of the entry's job."""
    event = _EVENTS[entry.action]
    if event is None:
        return None
    message = _message(event, entry.at)
    _participant(message, entry.user_name, is_requestor=True, address=entry.peer)
    _participant(message, reporter.source_id, machine=reporter.machine)
    _report(message, reporter)
    if event.event is _QUERY:
        query = _object(message, "studies", _SEARCH, kind="2", role="24", name=None)
        ET.SubElement(query, "ParticipantObjectQuery")
    elif event.event is _ALERT:
        _object(message, reporter.machine, _NODE, kind="2", role="13", name=entry.said)
    elif subject is not None:
        _subject(message, subject, with_study=event.event is _ACCESSED)
    return _encoded(message)


def of_transfer(reporter: Reporter, transfer: Transfer, subject: Subject | None) -> bytes:
    """That an instance came, or was sent. Source: A.5.3.7."""
    action = "C" if transfer.is_new_there else "R"
    message = _message(
        _Event(event=_TRANSFERRED, action=action, outcome=transfer.outcome), transfer.at
    )
    for name, address, role in (
        (transfer.source, transfer.source_address, _SOURCE),
        (transfer.destination, transfer.destination_address, _DESTINATION),
    ):
        machine = "" if address else reporter.machine
        _participant(
            message,
            name,
            roles=(role,),
            address=address,
            machine=machine,
            is_requestor=role is _SOURCE,
        )
    _report(message, reporter)
    if subject is not None:
        _subject(message, subject, with_study=True, sop_class_uid=transfer.sop_class_uid)
    return _encoded(message)


def _message(event: _Event, at: datetime) -> ET.Element:
    message = ET.Element("AuditMessage")
    identification = ET.SubElement(
        message,
        "EventIdentification",
        EventActionCode=event.action,
        EventDateTime=at.isoformat(timespec="milliseconds"),
        EventOutcomeIndicator=event.outcome.value,
    )
    _code(identification, "EventID", event.event)
    for kind in event.kinds:
        _code(identification, "EventTypeCode", kind)
    return message


def _participant(
    message: ET.Element,
    user_id: str,
    *,
    roles: Sequence[Code] = (),
    address: str = "",
    machine: str = "",
    is_requestor: bool = False,
) -> None:
    """address: an IP address where it is one, else no more is known than that it is here."""
    participant = ET.SubElement(
        message,
        "ActiveParticipant",
        UserID=_text(user_id) or _UNKNOWN,
        UserIsRequestor="true" if is_requestor else "false",
    )
    if _is_address(address):
        participant.set("NetworkAccessPointID", address)
        participant.set("NetworkAccessPointTypeCode", "2")
    elif machine or address:
        participant.set("NetworkAccessPointID", _text(machine or address))
        participant.set("NetworkAccessPointTypeCode", "1")
    for role in roles:
        _code(participant, "RoleIDCode", role)


def _report(message: ET.Element, reporter: Reporter) -> None:
    source = ET.SubElement(
        message, "AuditSourceIdentification", AuditSourceID=_text(reporter.source_id)
    )
    if reporter.site_id:
        source.set("AuditEnterpriseSiteID", _text(reporter.site_id))
    ET.SubElement(source, "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})


def _subject(
    message: ET.Element, subject: Subject, *, with_study: bool, sop_class_uid: str = ""
) -> None:
    if with_study:
        study = _object(message, subject.study_instance_uid, _STUDY, kind="2", role="3", name="ECG")
        description = ET.SubElement(study, "ParticipantObjectDescription")
        uid = sop_class_uid or subject.sop_class_uid
        ET.SubElement(description, "SOPClass", UID=_text(uid), NumberOfInstances="1")
    _object(message, subject.patient_id, _PATIENT_NUMBER, kind="1", role="1", name="")


def _object(
    message: ET.Element, value: str, id_type: Code, *, kind: str, role: str, name: str | None
) -> ET.Element:
    found = ET.SubElement(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID=_text(value) or _UNKNOWN,
        ParticipantObjectTypeCode=kind,
        ParticipantObjectTypeCodeRole=role,
    )
    _code(found, "ParticipantObjectIDTypeCode", id_type)
    if name is not None:
        ET.SubElement(found, "ParticipantObjectName").text = _text(name)
    return found


def _code(above: ET.Element, name: str, code: Code) -> None:
    ET.SubElement(
        above,
        name,
        {"csd-code": code.value, "codeSystemName": code.scheme, "originalText": code.meaning},
    )


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _text(value: str) -> str:
    """What XML can hold of it, as a token has it: single spaces, none at the ends."""
    return " ".join(_NO_XML.sub("\ufffd", value).split())


def _encoded(message: ET.Element) -> bytes:
    return bytes(ET.tostring(message, encoding="utf-8", xml_declaration=True))
