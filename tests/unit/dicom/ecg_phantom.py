"""ECG instances whose every stored number is chosen by the test, written by pydicom."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from node.dicom.part10 import (
    DEFLATED_LITTLE,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    encode_part10,
)
from node.dicom.waveform import TWELVE_LEAD_ECG
from node.domain.ecg import Lead

SOP_INSTANCE_UID = "2.25.11"
MDC_CODES = dict(
    zip(
        Lead,
        ("2:1", "2:2", "2:61", "2:62", "2:63", "2:64", *(f"2:{n}" for n in range(3, 9))),
        strict=True,
    )
)
SCPECG_CODES = {lead: "5.6.3-9-" + code.split(":")[1] for lead, code in MDC_CODES.items()}


def code(value: str, scheme: str, meaning: str = "") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def channel(
    source: Dataset | None,
    *,
    sensitivity: Any = "1",
    unit: str | None = "uV",
    correction: Any = "1",
    baseline: Any = "0",
    bits_stored: int = 16,
    label: str | None = None,
    **attributes: Any,
) -> Dataset:
    item = Dataset()
    if source is not None:
        item.ChannelSourceSequence = Sequence([source])
    if label is not None:
        item.ChannelLabel = label
    item.ChannelSensitivity = sensitivity
    if unit is not None:
        item.ChannelSensitivityUnitsSequence = Sequence([code(unit, "UCUM", "unit")])
    item.ChannelSensitivityCorrectionFactor = correction
    item.ChannelBaseline = baseline
    item.WaveformBitsStored = bits_stored
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def lead_channel(lead: Lead, **options: Any) -> Dataset:
    return channel(code(MDC_CODES[lead], "MDC", f"Lead {lead.value}"), **options)


def group(
    samples: np.ndarray[Any, Any],
    channels: list[Dataset],
    *,
    frequency_hz: Any = "500",
    originality: str | None = "ORIGINAL",
    label: str = "RHYTHM",
    interpretation: str = "SS",
    padding: bytes | None = None,
    **attributes: Any,
) -> Dataset:
    """A multiplex group around (n_samples, n_channels) integers of the type to be stored."""
    item = Dataset()
    if originality is not None:
        item.WaveformOriginality = originality
    item.NumberOfWaveformSamples, item.NumberOfWaveformChannels = samples.shape
    item.SamplingFrequency = frequency_hz
    item.MultiplexGroupLabel = label
    item.ChannelDefinitionSequence = Sequence(channels)
    item.WaveformBitsAllocated = samples.dtype.itemsize * 8
    item.WaveformSampleInterpretation = interpretation
    vr = "OB" if samples.dtype.itemsize == 1 else "OW"
    if padding is not None:
        item.add_new("WaveformPaddingValue", vr, padding)
    data = samples.tobytes()
    item.add_new("WaveformData", vr, data + b"\0" * (len(data) % 2))
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def twelve_leads(values: dict[Lead, int] | None = None, n_samples: int = 20) -> Dataset:
    """A group in which lead number k holds the constant value 100 × (k + 1), 1 µV a step."""
    values = values or {lead: 100 * (k + 1) for k, lead in enumerate(Lead)}
    samples = np.tile(np.array(list(values.values()), "<i2"), (n_samples, 1))
    return group(samples, [lead_channel(lead) for lead in values])


def instance(*groups: Dataset, sop_class_uid: str = TWELVE_LEAD_ECG, **attributes: Any) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = SOP_INSTANCE_UID
    dataset.AcquisitionDateTime = "20240229101112"
    dataset.StudyInstanceUID = "2.25.12"
    dataset.SeriesInstanceUID = "2.25.13"
    dataset.WaveformSequence = Sequence(groups)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def dataset_bytes(dataset: Dataset, transfer_syntax_uid: str = EXPLICIT_LITTLE) -> bytes:
    """The data set's bytes as pydicom writes them."""
    buffer = DicomBytesIO()
    buffer.is_little_endian = True
    buffer.is_implicit_VR = transfer_syntax_uid == IMPLICIT_LITTLE
    write_dataset(buffer, dataset)
    encoded: bytes = buffer.getvalue()
    if transfer_syntax_uid == DEFLATED_LITTLE:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        encoded = deflater.compress(encoded) + deflater.flush()
    return encoded


def part10(dataset: Dataset, transfer_syntax_uid: str = EXPLICIT_LITTLE) -> bytes:
    return encode_part10(
        dataset_bytes(dataset, transfer_syntax_uid),
        sop_class_uid=dataset.SOPClassUID,
        sop_instance_uid=dataset.SOPInstanceUID,
        transfer_syntax_uid=transfer_syntax_uid,
    )
