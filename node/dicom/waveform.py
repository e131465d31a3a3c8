"""Waveform objects: one ECG instance decoded to millivolts in the order of the standard leads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from node.dicom.attribute import count_of, items_of, number_of, text_of, value_of
from node.dicom.study import acquisition_time, dicom_date
from node.domain.ecg import STANDARD_LEADS, ECGRecord, Lead, Subject, derive_limb_leads
from node.domain.errors import MalformedInstance, UnsupportedInstance

TWELVE_LEAD_ECG: Final = "1.2.840.10008.5.1.4.1.1.9.1.1"
GENERAL_ECG: Final = "1.2.840.10008.5.1.4.1.1.9.1.2"
AMBULATORY_ECG: Final = "1.2.840.10008.5.1.4.1.1.9.1.3"
GENERAL_32BIT_ECG: Final = "1.2.840.10008.5.1.4.1.1.9.1.4"
ECG_SOP_CLASSES: Final = (TWELVE_LEAD_ECG, GENERAL_ECG, AMBULATORY_ECG, GENERAL_32BIT_ECG)

WINDOW_S: Final = 30.0
"""Only the beginning of a longer recording is decoded, so that an ambulatory day stays small."""

MILLIVOLTS_PER_UNIT: Final = {"uV": 1e-3, "mV": 1.0, "V": 1e3}
"""UCUM, case-sensitive: "MV" would be megavolt."""

SAMPLE_TYPES: Final = {
    ("SB", 8): "<i1",
    ("UB", 8): "<u1",
    ("SS", 16): "<i2",
    ("US", 16): "<u2",
    ("SL", 32): "<i4",
    ("UL", 32): "<u4",
}
"""Waveform Sample Interpretation and Bits Allocated, PS3.3 C.10.9.1.5."""

MAX_SKEW_SAMPLES: Final = 1.0
"""Channels sampled up to one sample apart count as simultaneous: 2 ms at 500 Hz."""

_CODE_NUMBERS: Final = dict(
    zip((1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8), STANDARD_LEADS, strict=True)
)
"""CID 3001: MDC 2:n, and SCPECG 5.6.3-9-n with the same n; as one number MDC is 2 × 65536 + n."""
_CODE: Final = re.compile(r"(?:2:|5\.6\.3-9-)(\d{1,3})")
_LEAD_NAME: Final = re.compile(
    r"(?:MDC_ECG_)?(?:LEAD)?[ _]*(I{1,3}|AV[RLF]|V[1-6])(?![\w+/-])", re.IGNORECASE
)
_LEAD_OF_NAME: Final = {lead.value.upper(): lead for lead in Lead}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Channel:
    """One lead of a multiplex group: where it is, and how its samples become millivolts."""

    lead: Lead
    index: int
    gain_mv: float
    baseline_mv: float
    bits_stored: int
    skew_samples: float
    filters: tuple[float | None, float | None, float | None]


def read_ecg(dataset: Dataset) -> ECGRecord:
    """Decode the rhythm multiplex group of an ECG instance, its first 30 s when it is longer.

    samples: (n_samples, n_leads) millivolts: stored × sensitivity × correction factor + baseline in
    the channel's unit, converted. Leads are found by code (MDC, SCPECG), else by label; III, aVR,
    aVL and aVF are derived where only I and II were stored; other channels are left out.
    The group is the original one with the most standard leads, the longest of these.
    Raises UnsupportedInstance (not an ECG, median beats only, companded samples, leads sampled
    apart) and MalformedInstance (data and declaration differ, no sensitivity or no known unit:
    never guessed).
    Source: DICOM PS3.3 C.10.9, A.34.
    """
    if text_of(dataset, "SOPClassUID") not in ECG_SOP_CLASSES:
        raise UnsupportedInstance("not an ECG waveform; send 12-lead, general or ambulatory ECG")
    group = _rhythm_group(dataset)
    frequency_hz = _sampling_frequency_hz(group)
    channels = _channels(group)
    spread = [channel.skew_samples for channel in channels]
    if max(spread) - min(spread) > MAX_SKEW_SAMPLES:
        raise UnsupportedInstance("the leads were not recorded simultaneously")
    stored = _stored_samples(group, round(WINDOW_S * frequency_hz))
    padding = _padding(group, stored.dtype)
    columns: dict[Lead, NDArray[np.float32]] = {}
    for channel in channels:
        column = _millivolts(stored[:, channel.index], channel, padding)
        if channel.lead in columns and not np.array_equal(columns[channel.lead], column):
            raise MalformedInstance("two channels claim the same lead and differ; check the sender")
        columns[channel.lead] = column
    recorded = tuple(lead for lead in Lead if lead in columns)
    samples = np.stack([columns[lead] for lead in recorded], axis=1)
    samples, leads = derive_limb_leads(samples, recorded)
    high_pass_hz, low_pass_hz, notch_hz = _common_filters(channels)
    return ECGRecord(
        samples=samples,
        leads=leads,
        sampling_frequency_hz=frequency_hz,
        derived_leads=frozenset(leads) - frozenset(recorded),
        high_pass_hz=high_pass_hz,
        low_pass_hz=low_pass_hz,
        notch_hz=notch_hz,
    )


def read_subject(dataset: Dataset) -> Subject:
    """What the instance says of the person; implausible values count as absent.

    Age is Patient's Age, else acquisition date minus birth date. Size in metres becomes cm.
    """
    sex = text_of(dataset, "PatientSex").upper()
    size_m = _plausible(dataset, "PatientSize", 0.3, 2.5)
    return Subject(
        age_years=_age_years(dataset),
        sex=sex if sex in ("M", "F") else None,
        height_cm=None if size_m is None else round(size_m * 100, 1),
        weight_kg=_plausible(dataset, "PatientWeight", 1.0, 400.0),
    )


def _rhythm_group(dataset: Dataset) -> Dataset:
    """The original multiplex group with the most standard leads, then the longest."""
    groups = items_of(dataset, "WaveformSequence")
    if not groups:
        raise MalformedInstance("the instance holds no waveform; check the sender")
    rhythm = [group for group in groups if _is_rhythm(group)]
    if not rhythm:
        raise UnsupportedInstance("no rhythm recording, only median beats or derived groups")
    best = max(rhythm, key=lambda group: (len(set(_leads(group))), _duration_s(group)))
    if not _leads(best):
        raise UnsupportedInstance("no channel is one of the twelve standard leads")
    return best


def _is_rhythm(group: Dataset) -> bool:
    """Originality decides; a group without it is taken unless its label says median beat."""
    originality = text_of(group, "WaveformOriginality").upper()
    label = text_of(group, "MultiplexGroupLabel").upper()
    return originality in ("ORIGINAL", "") and "MEDIAN" not in label and "AVERAGE" not in label


def _duration_s(group: Dataset) -> float:
    return count_of(group, "NumberOfWaveformSamples") / _sampling_frequency_hz(group)


def _sampling_frequency_hz(group: Dataset) -> float:
    frequency_hz = number_of(group, "SamplingFrequency")
    if frequency_hz is None or frequency_hz <= 0:
        raise MalformedInstance("a multiplex group has no sampling frequency above 0")
    return frequency_hz


def _leads(group: Dataset) -> list[Lead]:
    definitions = items_of(group, "ChannelDefinitionSequence")
    return [lead for definition in definitions if (lead := _lead(definition)) is not None]


def _lead(definition: Dataset) -> Lead | None:
    """The standard lead a channel is. A known code decides; text only where there is none.

    Source: DICOM PS3.16 CID 3001.
    """
    sources = items_of(definition, "ChannelSourceSequence")
    source = sources[0] if sources else Dataset()
    code = text_of(source, "CodeValue")
    if text_of(source, "CodingSchemeDesignator").upper() in ("MDC", "SCPECG"):
        if match := _CODE.fullmatch(code):
            return _CODE_NUMBERS.get(int(match[1]))
        if code.isascii() and code.isdigit():
            return _CODE_NUMBERS.get(int(code) - 2 * 65536)
    names = (code, text_of(definition, "ChannelLabel"), text_of(source, "CodeMeaning"))
    for name in names:
        if match := _LEAD_NAME.match(name):
            return _LEAD_OF_NAME[match[1].upper()]
    return None


def _channels(group: Dataset) -> list[_Channel]:
    definitions = items_of(group, "ChannelDefinitionSequence")
    if len(definitions) != count_of(group, "NumberOfWaveformChannels"):
        raise MalformedInstance("number of channels and channel definitions differ")
    allocated = count_of(group, "WaveformBitsAllocated")
    return [
        _channel(definition, lead, index, allocated)
        for index, definition in enumerate(definitions)
        if (lead := _lead(definition)) is not None
    ]


def _channel(definition: Dataset, lead: Lead, index: int, allocated: int) -> _Channel:
    sensitivity = number_of(definition, "ChannelSensitivity")
    if not sensitivity:
        raise MalformedInstance(f"lead {lead.value} has no channel sensitivity; it is not guessed")
    units = items_of(definition, "ChannelSensitivityUnitsSequence")
    unit_mv = MILLIVOLTS_PER_UNIT.get(text_of(units[0], "CodeValue") if units else "")
    if unit_mv is None:
        raise MalformedInstance(
            f"lead {lead.value} has no unit out of uV, mV, V (UCUM); it is not guessed"
        )
    correction = number_of(definition, "ChannelSensitivityCorrectionFactor")
    stored = number_of(definition, "WaveformBitsStored")
    bits_stored = allocated if stored is None else int(stored)
    if not 1 <= bits_stored <= allocated:
        raise MalformedInstance("Waveform Bits Stored exceeds Waveform Bits Allocated")
    return _Channel(
        lead=lead,
        index=index,
        gain_mv=sensitivity * (1.0 if correction is None else correction) * unit_mv,
        baseline_mv=(number_of(definition, "ChannelBaseline") or 0.0) * unit_mv,
        bits_stored=bits_stored,
        skew_samples=number_of(definition, "ChannelSampleSkew") or 0.0,
        filters=(
            number_of(definition, "FilterLowFrequency") or None,
            number_of(definition, "FilterHighFrequency") or None,
            number_of(definition, "NotchFilterFrequency") or None,
        ),
    )


def _common_filters(
    channels: list[_Channel],
) -> tuple[float | None, float | None, float | None]:
    """High pass, low pass and notch in hertz, each only where all leads say the same; 0 is none.

    (003A,0220) is the low end of the pass band, so the high-pass corner.
    """

    def common(kind: int) -> float | None:
        values = {channel.filters[kind] for channel in channels}
        return values.pop() if len(values) == 1 else None

    return common(0), common(1), common(2)


def _stored_samples(group: Dataset, limit: int) -> NDArray[Any]:
    """(n_samples, n_channels) integers as stored, no more than `limit` samples."""
    interpretation = text_of(group, "WaveformSampleInterpretation").upper()
    allocated = count_of(group, "WaveformBitsAllocated")
    if interpretation in ("MB", "AB") or allocated not in (8, 16, 32):
        raise UnsupportedInstance("companded or unusual sample format; send linear 8, 16, 32 bits")
    sample_type = SAMPLE_TYPES.get((interpretation, allocated))
    if sample_type is None:
        raise MalformedInstance("sample interpretation and bits allocated contradict each other")
    n_channels = count_of(group, "NumberOfWaveformChannels")
    n_samples = count_of(group, "NumberOfWaveformSamples")
    data = value_of(group, "WaveformData")
    size = n_channels * n_samples * allocated // 8
    if not isinstance(data, bytes) or len(data) not in (size, size + size % 2):
        raise MalformedInstance("waveform data is not as long as declared; send it again")
    n_read = min(n_samples, limit)
    return np.frombuffer(data, sample_type, n_read * n_channels).reshape(n_read, n_channels)


def _padding(group: Dataset, sample_type: np.dtype[Any]) -> int | None:
    """The stored value that means "no sample", None for none.

    A declared 0 is not believed: a converter writes it, and it would take every true zero away.
    Without a believable value the lowest signed 16-bit number is padding: devices use it as
    "missing" (SCP-ECG, HL7 aECG), and as a sample it would be a rail.
    """
    data = value_of(group, "WaveformPaddingValue")
    if isinstance(data, bytes) and len(data) >= sample_type.itemsize:
        declared = int(np.frombuffer(data, sample_type, 1)[0])
        if declared != 0:
            return declared
    return -32768 if sample_type == np.dtype("<i2") else None


def _millivolts(
    stored: NDArray[Any], channel: _Channel, padding: int | None
) -> NDArray[np.float32]:
    """(n_samples,) millivolts of one channel, NaN where padded. Computed in float64."""
    missing = np.zeros(stored.shape, bool) if padding is None else stored == padding
    millivolts = _sign_extended(stored, channel.bits_stored, missing) * channel.gain_mv
    millivolts += channel.baseline_mv
    millivolts[missing] = np.nan
    return millivolts.astype(np.float32)


def _sign_extended(
    stored: NDArray[Any], bits_stored: int, missing: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Sample values of the low-order `bits_stored` bits, as float64.

    The sender shall have extended the sign (PS3.3 C.10.9.1.4.7); where the high bits are 0 it is
    done here. Raises MalformedInstance when they hold anything else.
    """
    wide = stored.astype(np.int64)
    low = wide & ((1 << bits_stored) - 1)
    value = low
    if np.issubdtype(stored.dtype, np.signedinteger):
        value = low - ((low >> (bits_stored - 1)) << bits_stored)
    if not np.all((wide == value) | (wide == low) | missing):
        raise MalformedInstance("samples need more bits than Waveform Bits Stored declares")
    return value.astype(np.float64)


def _age_years(dataset: Dataset) -> float | None:
    """Patient's Age (nnnD, nnnW, nnnM, nnnY), else from the birth date; 0 to 130, or None."""
    if match := re.fullmatch(r"(\d{1,3})([DWMY])", text_of(dataset, "PatientAge").upper()):
        years = int(match[1]) / {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}[match[2]]
    else:
        birth = dicom_date(text_of(dataset, "PatientBirthDate"))
        acquired_at = acquisition_time(dataset)
        if birth is None or acquired_at is None:
            return None
        years = (acquired_at.date() - birth).days / 365.25
    return years if 0 <= years <= 130 else None


def _plausible(dataset: Dataset, keyword: str, lowest: float, highest: float) -> float | None:
    try:
        number = number_of(dataset, keyword)
    except MalformedInstance:
        return None
    return number if number is not None and lowest <= number <= highest else None
