"""A prediction with known numbers and known pixels, and an ECG data set to file it under."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from node.domain.ecg import Finding, Severity
from node.domain.prediction import (
    Cine,
    DiseaseProbability,
    Estimate,
    ModelIdentity,
    Prediction,
)

FRAMES, EDGE = 30, 64


def model(*, simulated: bool = True) -> ModelIdentity:
    return ModelIdentity(
        bundle="phantom",
        version="1.2.3",
        digest="0123456789abcdef" * 4,
        runtime="onnxruntime 1.32.0 CPU",
        precision="fp32",
        intended_use="Research on ECG and heart shape.",
        training_data="Simulated cohort of 20,000 hearts.",
        simulated=simulated,
        interval_coverage=0.9,
    )


def estimate(
    field_id: str, value: float, lower: float, upper: float, unit: str, decimals: int = 1
) -> Estimate:
    return Estimate(
        field_id=field_id,
        name=field_id,
        value=value,
        lower=lower,
        upper=upper,
        unit=unit,
        decimals=decimals,
    )


ESTIMATES = (
    estimate("24100", 150.24, 118.0, 181.96, "mL"),
    estimate("24101", 64.5, 44.1, 90.0, "mL"),
    estimate("24103", 57.0, 49.9, 64.2, "%"),
    estimate("24105", 98.6, 70.3, 130.1, "g"),
    estimate("24106", 160.0, 121.7, 199.9, "mL"),
    estimate("24110", 70.1, 41.0, 101.5, "mL"),
    estimate("24117", 45.0, 30.2, 59.8, "%"),
    estimate("24120", 2.1, 0.4, 4.9, "10*-3/mm[Hg]", 2),
    estimate("24126", 7.0, 5.1, 9.4, "mm"),
    estimate("24181", -18.5, -23.1, -13.0, "%"),
)
DISEASES = (
    DiseaseProbability(field_id="lv-systolic-dysfunction", name="LVSD", probability=0.0314),
    DiseaseProbability(field_id="lv-hypertrophy", name="LVH", probability=0.25),
)
NOTE = Finding(
    code="age-outside-training", severity=Severity.NOTE, message="The age is outside training."
)
REFUSAL = Finding(
    code="lead-missing", severity=Severity.REFUSE, message="Lead V3 was not recorded."
)


def frames() -> NDArray[np.uint8]:
    """(30, 64, 64): four flat quarters whose grey tells the frame and the quarter."""
    pictures = np.empty((FRAMES, EDGE, EDGE), np.uint8)
    half = EDGE // 2
    for index, picture in enumerate(pictures):
        picture[:half, :half] = index
        picture[:half, half:] = 60 + index
        picture[half:, :half] = 120 + index
        picture[half:, half:] = 200 + index
    return pictures


def prediction(*, simulated: bool = True, with_cine: bool = True) -> Prediction:
    cine = Cine(frames=frames(), frame_time_ms=800 / FRAMES, view="long-axis four-chamber")
    return Prediction(
        model=model(simulated=simulated),
        estimates=ESTIMATES,
        diseases=DISEASES,
        cine=cine if with_cine else None,
        heart_rate_bpm=75.0,
        findings=(NOTE,),
    )


def ecg_head(character_set: str | None = "ISO_IR 192", name: str = "Doe^Jane") -> Dataset:
    """What a result copies of an ECG, without a waveform."""
    dataset = Dataset()
    if character_set is not None:
        dataset.SpecificCharacterSet = character_set
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.9.1.1"
    dataset.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    dataset.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.2"
    dataset.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.3"
    dataset.PatientName = name
    dataset.PatientID = "P-1"
    dataset.IssuerOfPatientID = "HOSPITAL"
    dataset.PatientBirthDate = "19600102"
    dataset.PatientSex = "F"
    dataset.StudyDate = "20240229"
    dataset.StudyTime = "235959"
    dataset.AcquisitionDateTime = "20240229235958.500"
    dataset.AccessionNumber = "A-1"
    dataset.ReferringPhysicianName = "Roe^Richard"
    dataset.StudyID = "S-1"
    return dataset
