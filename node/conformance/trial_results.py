"""Results of a made-up patient, for trying a destination: the same bytes every time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from node.conformance.specimen import specimen_prediction, specimen_record
from node.dicom import dimse
from node.dicom.part10 import source_digest
from node.dicom.study import read_study
from node.dicom.template import Templates
from node.domain.delivery import DestinationKind, ResultKind, ResultObject
from node.domain.form import ResultForm
from node.domain.identifiers import derived_uid
from node.domain.prediction import Cine, Prediction
from node.workflow.compose import compose_message, compose_objects, compose_transaction
from node.workflow.naming import Source
from node.workflow.route import Destination

PATIENT_ID: Final = "CARDIONODE-TEST"
_NAME: Final = "CARDIONODE^CONNECTION TEST"
_RECORDED: Final = "20240229120000"
_EDGE: Final = 384
_FRAMES: Final = 12
_TRAINING: Final = "T"
"""HL7 table 0103: not for production."""


def trial_results(
    destination: Destination,
    kinds: Collection[ResultKind],
    form: ResultForm,
    templates: Templates,
) -> tuple[ResultObject, ...]:
    """What the destination would be sent of an ECG, of those kinds, but for the ECG itself.

    They name PATIENT_ID, and a model that is none: every number in them is made up.
    Raises InvalidResult, ConfigurationError (the destination's profile cannot write it).
    """
    source, prediction = _source(), _prediction(templates)
    if destination.kind is DestinationKind.HL7:
        profile = destination.profile
        assert profile is not None  # as every HL7 destination has one
        message = compose_message(
            prediction,
            specimen_record(),
            source,
            form,
            destination=destination.name,
            profile=profile.model_copy(update={"processing_id": _TRAINING}),
            templates=templates,
        )
        return (message,)
    if destination.kind is DestinationKind.FHIR:
        site = destination.site
        assert site is not None  # as every FHIR destination has one
        transaction = compose_transaction(
            prediction,
            specimen_record(),
            source,
            form,
            destination=destination.name,
            site=replace(site, is_tried=True),
            templates=templates,
        )
        return (transaction,)
    wanted = set(kinds) - {ResultKind.ECG}
    made = compose_objects(prediction, specimen_record(), source, templates, form, wanted)
    return tuple(each for each in made if each.kind in wanted)


def _source() -> Source:
    dataset = Dataset()
    dataset.SOPClassUID = dimse.TWELVE_LEAD_ECG
    dataset.SOPInstanceUID = derived_uid("instance", PATIENT_ID)
    dataset.SeriesInstanceUID = derived_uid("series", PATIENT_ID)
    dataset.StudyInstanceUID = derived_uid("study", PATIENT_ID)
    dataset.AcquisitionDateTime = _RECORDED
    dataset.StudyDate, dataset.StudyTime = _RECORDED[:8], _RECORDED[8:]
    dataset.StudyDescription = "CONNECTION TEST, NO PATIENT"
    dataset.PatientID, dataset.PatientName = PATIENT_ID, _NAME
    return Source(
        dataset=dataset, digest=source_digest(dataset), study=read_study(dataset), order=None
    )


def _prediction(templates: Templates) -> Prediction:
    whole = specimen_prediction(templates)
    model = replace(
        whole.model,
        bundle="connection-test",
        intended_use="Trying a connection. Every number is made up.",
        runtime="none",
    )
    cine = Cine(frames=_beating(), frame_time_ms=80.0, view="CONNECTION TEST")
    return replace(whole, model=model, cine=cine, findings=())


def _beating() -> NDArray[np.uint8]:
    """A disc that grows and shrinks, so that a viewer shows whether it plays: (T, H, W) bytes."""
    across = np.arange(_EDGE) - _EDGE / 2
    distance = np.hypot(across[:, None], across[None, :])
    radius = _EDGE * (0.2 + 0.05 * np.cos(2 * np.pi * np.arange(_FRAMES) / _FRAMES))
    inside = np.clip(radius[:, None, None] - distance, 0.0, 1.0)
    return np.asarray(inside * 160, np.uint8)
