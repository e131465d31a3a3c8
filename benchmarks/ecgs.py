"""ECGs of nobody as files: simulated twelve leads in the clothes of a real recording."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import UID

from node.dicom.part10 import read_part10
from node.dicom.waveform import read_ecg
from node.domain.ecg import ECGRecord
from node.ecg.conditioning import trim_calibration_pulse
from node.workflow.answer import Answer
from pipelines.cohort.electrocardiograph import SAMPLING_FREQUENCY_HZ
from pipelines.cohort.population import Population, simulate_population
from pipelines.cohort.torso import simulate_ecg

SEED: Final = 20261126
ROOT: Final = f"1.2.826.0.1.3680043.8.498.77.{SEED}"


def simulated_ecgs(count: int, answered: Callable[[bytes], Answer]) -> list[bytes]:
    """So many PS3.10 files of different subjects, each of which has an answer.

    answered: tries one; an ECG that the quality gate refuses is no measure of an answer.
    """
    population = simulate_population(2 * count, SEED)
    found: list[bytes] = []
    for index in range(population.size):
        content = _file(population, index)
        if answered(content).prediction is not None:
            found.append(content)
        if len(found) == count:
            return found
    raise AssertionError("the quality gate refuses half of the simulated ECGs")


def record_of(content: bytes) -> ECGRecord:
    """The recording in a file, as the pipeline sees it."""
    return trim_calibration_pulse(read_ecg(read_part10(content)))


def _file(population: Population, index: int) -> bytes:
    path = get_testdata_file("waveform_ecg.dcm", download=False)
    assert path is not None  # it comes with pydicom
    dataset = dcmread(str(path))
    _replace_waveform(dataset, simulate_ecg(population, index, seed=SEED))
    dataset.SOPInstanceUID = UID(f"{ROOT}.{index + 1}.1")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.SeriesInstanceUID = UID(f"{ROOT}.{index + 1}.2")
    dataset.StudyInstanceUID = UID(f"{ROOT}.{index + 1}.3")
    dataset.PatientName, dataset.PatientID = "Doe^Jane", f"BENCH-{index + 1:05}"
    dataset.PatientAge = f"{round(population.age_years[index]):03}Y"
    dataset.PatientSex = "M" if population.male[index] else "F"
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def _replace_waveform(dataset: Dataset, millivolts: NDArray[np.float32]) -> None:
    """The rhythm becomes (n, 12) millivolts in standard order; the median beat goes."""
    rhythm = dataset.WaveformSequence[0]
    channels = rhythm.ChannelDefinitionSequence
    step_mv = float(channels[0].ChannelSensitivity) / 1000.0  # of all twelve, in microvolts
    stored = np.clip(np.round(millivolts / step_mv), -32767, 32767).astype("<i2")
    rhythm.SamplingFrequency = SAMPLING_FREQUENCY_HZ
    rhythm.NumberOfWaveformSamples = len(stored)
    rhythm.WaveformData = stored.tobytes()
    dataset.WaveformSequence = [rhythm]
