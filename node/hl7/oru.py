"""A prediction as ORU^R01: the message an HL7 destination receives.

hl7apy has the grammar of every version and checks the message before it leaves. What it is given is
already escaped (message.escape), because it takes ^ and & in a plain value for separators.
Source: HL7 v2.5.1 chapters 2, 3, 4, 7; IHE RAD TF-2 RAD-128.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final
from urllib.parse import quote

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Message
from hl7apy.exceptions import HL7apyException

from node.domain.code import ConceptCode
from node.domain.concept import PRIVATE_SCHEME
from node.domain.errors import ConfigurationError, UnsupportedInstance
from node.domain.order import Order
from node.domain.prediction import ModelIdentity, Prediction
from node.domain.reference_range import ReferenceRanges
from node.domain.study import NameGroup, Patient, Study, StudyReferences
from node.hl7.message import CODECS, escape, timestamp
from node.hl7.observation import Observation, components, observations
from node.hl7.placeholder import fill, placeholders
from node.hl7.profile import Profile

_VALUE: Final = re.compile(r"[^|^~&]+")
"""Whatever stands between two separators."""
_CORRECTION: Final = "C"
"""Tables 0123 and 0085."""
_DELETED: Final = '""'
"""What stood there is to be deleted. Source: HL7 v2.5.1 §2.5.3."""
_NAME_REPRESENTATIONS: Final = {
    NameGroup.ALPHABETIC: "A",
    NameGroup.IDEOGRAPHIC: "I",
    NameGroup.PHONETIC: "P",
}
"""XPN.8. Source: HL7 v2.5.1 §2.A.88.8, table 0465."""


def build_oru(
    prediction: Prediction,
    study: Study,
    order: Order | None,
    profile: Profile,
    *,
    control_id: str,
    filler_number: str,
    codes: Mapping[str, ConceptCode],
    references: StudyReferences,
    ranges: ReferenceRanges,
    pdf: bytes | None = None,
    is_correction: bool = False,
) -> bytes:
    """The message in the profile's version and character set, segments ending with CR.

    All times in it are the ECG's. control_id becomes MSH-10. filler_number: for OBR-3 where neither
    order nor study has one. pdf: the summary, which goes along where it is given. is_correction: it
    replaces one that was sent under the same number.
    Raises UnsupportedInstance (the ECG has no Patient ID), BundleError (a field without a code, or
    in another unit), ConfigurationError (the character set cannot write the message; the version's
    structure does not allow it).
    """
    if not study.patient.patient_id:
        raise UnsupportedInstance(
            "the ECG has no Patient ID, which PID-3 requires; reconcile the patient and try again"
        )
    model = prediction.model
    status = _CORRECTION if is_correction else profile.result_status
    known = _identifiers(study, order, references, filler_number)
    found = observations(
        prediction,
        codes,
        replace(references, link=_link(profile, known)),
        ranges,
        profile,
        pdf=pdf,
        is_correction=is_correction,
    )
    head = [
        _msh(study, profile, control_id),
        _segment("PID", _pid(study.patient, profile)),
        # Table 0004: U, unknown; an ECG does not say whether its patient was admitted.
        _segment("PV1", {2: "U"}),
        _segment("ORC", {1: "RE", 2: _placer(known, order)}),
        _segment("OBR", _obr(study, order, profile, known, status)),
    ]
    results = [
        _segment("OBX", _obx(number, observation, study, profile, model, status))
        for number, observation in enumerate(found, start=1)
    ]
    _check_structure(head, results, profile)
    own = [
        _segment(
            name, {place: fill(text, known, components) for place, text in enumerate(texts, 1)}
        )
        for name, *texts in profile.z_segments
    ]
    return _encode("".join(f"{segment}\r" for segment in (*head, *results, *own)), profile)


def _identifiers(
    study: Study, order: Order | None, references: StudyReferences, filler_number: str
) -> dict[str, str]:
    """What the result is known by, by the names of `SEGMENT_PLACES`; empty where there is none."""
    ordered = order or Order()
    accession = ordered.accession_number or study.accession_number
    filler = ordered.filler_order_number or study.filler_order_number or accession or filler_number
    return {
        "study_uid": references.study_uid,
        "report_uid": references.report_uid or "",
        "cine_uid": references.cine_uid or "",
        "patient_id": study.patient.patient_id,
        "accession": accession,
        "placer_order_number": ordered.placer_order_number or study.placer_order_number,
        "filler_order_number": filler,
        "requested_procedure_id": ordered.requested_procedure_id or study.requested_procedure_id,
    }


def _link(profile: Profile, known: Mapping[str, str]) -> str:
    """Empty where it would lead nowhere: a number that it is made of is unknown."""
    if not all(known[name] for name in placeholders(profile.study_link)):
        return ""
    return fill(profile.study_link, known, partial(quote, safe=""))


def _segment(name: str, fields: Mapping[int, str]) -> str:
    last = max((number for number, text in fields.items() if text), default=1)
    return "|".join([name, *(fields.get(number, "") for number in range(1, last + 1))])


def _check_structure(head: Sequence[str], results: Sequence[str], profile: Profile) -> None:
    """hl7apy's judgement of the message: which segments, fields and components the version allows.

    Values have no part in it, so that of all OBX with the same fields and components one is judged.
    Raises ConfigurationError.
    """
    outlines = {_outline(segment): segment for segment in results}
    message = Message(
        "ORU_R01", version=profile.version, validation_level=VALIDATION_LEVEL.TOLERANT
    )
    result = message.add_group("ORU_R01_PATIENT_RESULT")
    patient = result.add_group("ORU_R01_PATIENT")
    visit = patient.add_group("ORU_R01_VISIT")
    request = result.add_group("ORU_R01_ORDER_OBSERVATION")
    message.msh.value = head[0]
    for place, segment in zip((patient, visit, request, request), head[1:], strict=True):
        place.add_segment(segment[:3]).value = segment
    for segment in outlines.values():
        request.add_group("ORU_R01_OBSERVATION").add_segment("OBX").value = segment
    try:
        message.validate()
    except HL7apyException as error:
        # hl7apy's text names elements of the grammar, never their values.
        raise ConfigurationError(
            f"the ORU does not follow the structure of HL7 v{profile.version}: {error}; "
            "choose another version in the destination's profile"
        ) from None


def _outline(segment: str) -> tuple[str, str]:
    """OBX-2, on which OBX-5 depends, and where there is anything."""
    return segment.split("|", 3)[2], _VALUE.sub("x", segment)


def _encode(text: str, profile: Profile) -> bytes:
    try:
        return text.encode(CODECS[profile.charset])
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"the result holds a character that {profile.charset} cannot write; set "
            'charset = "UNICODE UTF-8" in the destination\'s HL7 profile, or where only further '
            'groups of a name hold it, name_groups = "first"'
        ) from None


def _msh(study: Study, profile: Profile, control_id: str) -> str:
    enhanced = profile.acknowledgement_mode == "enhanced"
    fields = {
        2: escape(profile.sending.application),
        3: escape(profile.sending.facility),
        4: escape(profile.receiving.application),
        5: escape(profile.receiving.facility),
        6: timestamp(study.performed_at),
        8: "ORU^R01^ORU_R01",
        9: components(control_id),
        10: profile.processing_id,
        11: profile.version,
        14: "AL" if enhanced else "",
        15: "NE" if enhanced else "",
        17: profile.charset,
    }
    # Numbers here are one less than MSH's own: MSH-1 is the separator itself.
    return _segment("MSH", {1: "^~\\&"} | fields)


def _pid(patient: Patient, profile: Profile) -> dict[int, str]:
    authority = (
        patient.issuer_of_patient_id,
        patient.issuer_universal_id,
        patient.issuer_universal_id_type if patient.issuer_universal_id else "",
    )
    assigner = "&".join(components(part) for part in authority).rstrip("&")
    birth_date = patient.birth_date
    return {
        1: "1",
        3: f"{components(patient.patient_id)}^^^{assigner}^MR",
        5: _names(patient, profile),
        7: birth_date.isoformat().replace("-", "") if birth_date else "",
        8: patient.sex if patient.sex in {"M", "F", "O"} else "U",
    }


def _names(patient: Patient, profile: Profile) -> str:
    """PID-5: a repetition a group. A name that is in the alphabet alone does not say so."""
    groups = patient.name_groups
    if profile.name_groups == "first":
        groups = dict(list(groups.items())[:1])
    alone = list(groups) == [NameGroup.ALPHABETIC]
    names = (
        _xpn(text, "" if alone else _NAME_REPRESENTATIONS[group]) for group, text in groups.items()
    )
    # PID-5 is required; an unknown name is name type U, unspecified (table 0200).
    return "~".join(names) or "^^^^^^U"


def _xpn(name: str, representation: str) -> str:
    """DICOM has prefix before suffix (PS3.5 §6.2.1.1), XPN suffix before prefix (§2.A.88)."""
    parts = [part.strip() for part in name.split("^")] + [""] * 5
    family, given, middle, prefix, suffix = parts[:5]
    return components(family, given, middle, suffix, prefix, "", "", representation)


def _can_write(text: str, profile: Profile) -> bool:
    try:
        text.encode(CODECS[profile.charset])
    except UnicodeEncodeError:
        return False
    return True


def _placer(known: Mapping[str, str], order: Order | None) -> str:
    """An EI: the number, and who gave it where it is the order's."""
    number, ordered = known["placer_order_number"], order or Order()
    issuer = ordered.placer_issuer if number == ordered.placer_order_number else ()
    return components(number, *issuer)


def _filler(known: Mapping[str, str], order: Order | None) -> str:
    number, ordered = known["filler_order_number"], order or Order()
    issuer = ordered.filler_issuer if number == ordered.filler_order_number else ()
    return components(number, *issuer)


def _obr(
    study: Study, order: Order | None, profile: Profile, known: Mapping[str, str], status: str
) -> dict[int, str]:
    service = profile.universal_service
    procedure = ""
    code = order.procedure if order else None
    if code is not None and _can_write(code.meaning, profile):  # else what the profile says
        procedure = components(code.value, code.meaning, code.scheme)
    performed_at = timestamp(study.performed_at)
    held = {
        "accession": known["accession"],
        "requested-procedure-id": known["requested_procedure_id"],
        "none": "",
    }
    return {
        1: "1",
        2: _placer(known, order),
        3: _filler(known, order),
        4: procedure or components(service.code, service.text, service.scheme),
        7: performed_at,
        18: components(held[profile.placer_field_1]),
        19: components(held[profile.placer_field_2]),
        22: performed_at,
        24: profile.diagnostic_section,
        25: status,
        # A name reads as a physician's interpretation: that of who signed what is corrected goes.
        32: _DELETED if status == _CORRECTION else "",
        44: procedure,
    }


def _obx(
    number: int,
    observation: Observation,
    study: Study,
    profile: Profile,
    model: ModelIdentity,
    status: str,
) -> dict[int, str]:
    fields = {
        1: str(number),
        2: observation.value_type,
        3: observation.identifier,
        4: observation.sub_id,
        5: observation.value,
        6: observation.unit,
        7: observation.reference,
        8: observation.abnormal_flag,
        11: observation.status or status,
        14: timestamp(study.performed_at),
    }
    if observation.by_model:
        name = f"{model.bundle} {model.version}"
        fields[17] = components(model.bundle, name, PRIVATE_SCHEME)
        if profile.version != "2.3.1":
            fields[18] = components(name, profile.sending.application)
    return fields
