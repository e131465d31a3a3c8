from __future__ import annotations

import struct
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from node.dicom.part10 import IMPLICIT_LITTLE, read_part10
from node.dicom.waveform import (
    AMBULATORY_ECG,
    GENERAL_32BIT_ECG,
    GENERAL_ECG,
    read_ecg,
    read_subject,
)
from node.domain.ecg import ECGRecord, Lead
from node.domain.errors import MalformedInstance, UnsupportedInstance
from tests.unit.dicom.ecg_phantom import (
    MDC_CODES,
    SCPECG_CODES,
    channel,
    code,
    group,
    instance,
    lead_channel,
    part10,
    twelve_leads,
)

HEMODYNAMIC = "1.2.840.10008.5.1.4.1.1.9.2.1"
EIGHT = (Lead.I, Lead.II, Lead.V1, Lead.V2, Lead.V3, Lead.V4, Lead.V5, Lead.V6)


def record(*groups: Dataset, sop_class_uid: str = GENERAL_ECG, **attributes: Any) -> ECGRecord:
    """Through the bytes, as in service."""
    dataset = instance(*groups, sop_class_uid=sop_class_uid, **attributes)
    return read_ecg(read_part10(part10(dataset)))


def one_lead(stored: list[int], sample_type: str = "<i2", **options: Any) -> ECGRecord:
    """Lead V1 alone; options of the group have their own names."""
    of_group = {"interpretation", "padding", "frequency_hz", "originality", "label"}
    samples = np.array(stored, sample_type)[:, np.newaxis]
    channels = [lead_channel(Lead.V1, **{k: v for k, v in options.items() if k not in of_group})]
    return record(group(samples, channels, **{k: v for k, v in options.items() if k in of_group}))


def millivolts(stored: list[int], sample_type: str = "<i2", **options: Any) -> list[float]:
    return one_lead(stored, sample_type, **options).lead(Lead.V1).tolist()


# value = stored × sensitivity × correction factor + baseline


@pytest.mark.parametrize(
    ("options", "expected_mv"),
    [
        ({"sensitivity": "2.5", "unit": "uV"}, [-0.25, 0.0, 1.0]),
        ({"sensitivity": "0.00122", "unit": "mV"}, [-0.122, 0.0, 0.488]),
        ({"sensitivity": "0.000005", "unit": "V"}, [-0.5, 0.0, 2.0]),
        ({"sensitivity": "1", "correction": "4.88"}, [-0.488, 0.0, 1.952]),
        ({"sensitivity": "2", "correction": "2", "baseline": "10"}, [-0.39, 0.01, 1.61]),
        ({"sensitivity": "0.001", "unit": "mV", "baseline": "-0.5"}, [-0.6, -0.5, -0.1]),
        ({"sensitivity": "1", "correction": "", "baseline": ""}, [-0.1, 0.0, 0.4]),
    ],
)
def test_stored_numbers_become_millivolts(
    options: dict[str, str], expected_mv: list[float]
) -> None:
    assert millivolts([-100, 0, 400], **options) == pytest.approx(expected_mv, abs=1e-6)


@pytest.mark.parametrize(
    ("sample_type", "interpretation", "stored", "expected_uv"),
    [
        ("<i1", "SB", [-128, -1, 127], [-128, -1, 127]),
        ("<u1", "UB", [0, 1, 255], [0, 1, 255]),
        ("<i2", "SS", [-32767, -1, 32767], [-32767, -1, 32767]),
        ("<u2", "US", [0, 1, 65535], [0, 1, 65535]),
        ("<i4", "SL", [-(2**31), -70_000, 2**31 - 1], [-(2**31), -70_000, 2**31 - 1]),
        ("<u4", "UL", [0, 70_000, 2**32 - 1], [0, 70_000, 2**32 - 1]),
    ],
)
def test_every_linear_sample_format_is_read(
    sample_type: str, interpretation: str, stored: list[int], expected_uv: list[int]
) -> None:
    bits = int(sample_type[2]) * 8
    values = millivolts(stored, sample_type, interpretation=interpretation, bits_stored=bits)
    assert values == pytest.approx([value / 1000 for value in expected_uv], rel=1e-6)


def test_twelve_bits_stored_in_sixteen_are_sign_extended() -> None:
    # 0xFFF and 0x800 are -1 and -2048 in twelve bits; the same sign-extended must read the same.
    assert millivolts([0x0FFF, 0x0800, 0x07FF], bits_stored=12) == pytest.approx(
        [-0.001, -2.048, 2.047]
    )
    assert millivolts([-1, -2048, 2047], bits_stored=12) == pytest.approx([-0.001, -2.048, 2.047])


def test_samples_beyond_the_declared_bits_are_malformed() -> None:
    with pytest.raises(MalformedInstance, match="Waveform Bits Stored"):
        one_lead([5000, 0], bits_stored=12)
    with pytest.raises(MalformedInstance, match="Waveform Bits Stored"):
        one_lead([5, 0], bits_stored=17)


@pytest.mark.parametrize("interpretation", ["MB", "AB"])
def test_companded_samples_are_unsupported(interpretation: str) -> None:
    with pytest.raises(UnsupportedInstance):
        one_lead([1, 2], "<u1", interpretation=interpretation, bits_stored=8)


def test_an_interpretation_that_contradicts_its_size_is_malformed() -> None:
    with pytest.raises(MalformedInstance):
        one_lead([1, 2], "<i2", interpretation="SB")


# padding


def test_a_declared_padding_value_becomes_a_gap() -> None:
    values = millivolts([7, 100, 7], padding=b"\x07\x00")
    assert np.isnan(values).tolist() == [True, False, True]


def test_a_declared_padding_value_of_zero_leaves_zeros_alone() -> None:
    assert millivolts([0, 100, 0], padding=b"\x00\x00") == pytest.approx([0.0, 0.1, 0.0])


def test_the_lowest_sixteen_bit_number_is_a_gap_where_nothing_else_is_declared() -> None:
    assert np.isnan(millivolts([-32768, 100])).tolist() == [True, False]
    assert np.isnan(millivolts([-32768, 100], padding=b"\x00\x00")).tolist() == [True, False]
    assert np.isnan(millivolts([-32768, 100], bits_stored=12)).tolist() == [True, False]
    assert not np.isnan(millivolts([-32768, 100], padding=b"\x07\x00")).any()


# never guessed


@pytest.mark.parametrize("sensitivity", ["", None, "0"])
def test_a_channel_without_sensitivity_is_malformed(sensitivity: str | None) -> None:
    with pytest.raises(MalformedInstance, match="sensitivity"):
        one_lead([1, 2], sensitivity=sensitivity)


def test_a_channel_that_lacks_the_sensitivity_attribute_is_malformed() -> None:
    bare = lead_channel(Lead.V1)
    del bare.ChannelSensitivity
    with pytest.raises(MalformedInstance, match="sensitivity"):
        record(group(np.zeros((4, 1), "<i2"), [bare]))


@pytest.mark.parametrize("unit", [None, "", "mmHg", "MV", "uv", "1"])
def test_a_channel_without_a_known_unit_is_malformed(unit: str | None) -> None:
    with pytest.raises(MalformedInstance, match="unit"):
        one_lead([1, 2], unit=unit)


@pytest.mark.parametrize("frequency_hz", ["0", "-500", "", "5\\6"])
def test_a_sampling_frequency_that_is_none_is_malformed(frequency_hz: str) -> None:
    with pytest.raises(MalformedInstance):
        one_lead([1, 2], frequency_hz=frequency_hz)


@pytest.mark.parametrize("n_samples", [19, 21, 40])
def test_data_of_another_length_than_declared_is_malformed(n_samples: int) -> None:
    wrong = twelve_leads(n_samples=20)
    wrong.NumberOfWaveformSamples = n_samples
    with pytest.raises(MalformedInstance, match="as long as declared"):
        record(wrong)


def test_fewer_definitions_than_channels_are_malformed() -> None:
    wrong = twelve_leads()
    del wrong.ChannelDefinitionSequence[11]
    with pytest.raises(MalformedInstance, match="definitions"):
        record(wrong)


# which lead a channel is


def test_leads_come_in_standard_order_whatever_the_order_stored() -> None:
    values = {lead: 10 * (k + 1) for k, lead in enumerate(Lead)}
    shuffled = {lead: values[lead] for lead in sorted(values, key=lambda lead: MDC_CODES[lead])}
    assert list(shuffled) != list(values)
    read = record(twelve_leads(shuffled))
    assert read.leads == tuple(Lead)
    assert read.samples[0].tolist() == pytest.approx([value / 1000 for value in values.values()])


@pytest.mark.parametrize("lead", Lead)
def test_a_lead_is_known_by_its_code(lead: Lead) -> None:
    number = 2 * 65536 + int(MDC_CODES[lead].split(":")[1])
    sources = [
        code(MDC_CODES[lead], "MDC"),
        code(str(number), "MDC"),
        code(f"MDC_ECG_LEAD_{lead.value.upper()}", "MDC"),
        code(SCPECG_CODES[lead], "SCPECG"),
    ]
    for source in sources:
        read = record(group(np.ones((3, 1), "<i2"), [channel(source)]))
        assert read.leads == (lead,)


@pytest.mark.parametrize("lead", Lead)
def test_a_lead_without_a_code_is_known_by_its_text(lead: Lead) -> None:
    name = lead.value
    for text in (name, f"Lead {name}", f"LEAD_{name.upper()}", name.lower(), f"lead{name}"):
        read = record(group(np.ones((3, 1), "<i2"), [channel(None, label=text)]))
        assert read.leads == (lead,), text
    source = code("17", "99VENDOR", f"Lead {name} (Einthoven)")
    assert record(group(np.ones((3, 1), "<i2"), [channel(source)])).leads == (lead,)


@pytest.mark.parametrize(
    "text", ["V3R", "V7", "-aVR", "Interval", "IV", "II-III", "aVX", "ECG", ""]
)
def test_other_texts_are_no_standard_lead(text: str) -> None:
    with pytest.raises(UnsupportedInstance):
        record(group(np.ones((3, 1), "<i2"), [channel(None, label=text)]))


def test_a_known_code_of_another_lead_is_not_overruled_by_text() -> None:
    right_sided = channel(code("2:11", "MDC", "Lead V3"), label="V3")
    with pytest.raises(UnsupportedInstance):
        record(group(np.ones((3, 1), "<i2"), [right_sided]))


def test_other_channels_of_a_24_channel_object_are_left_out() -> None:
    names = [f"Pressure {n}" for n in range(12)]
    channels = [channel(None, label=name, unit="mmHg", sensitivity="") for name in names]
    values = np.arange(1, 25, dtype="<i2")
    leads = [lead_channel(lead) for lead in Lead]
    read = record(group(np.tile(values, (5, 1)), channels + leads))
    assert read.leads == tuple(Lead)
    assert read.samples[4].tolist() == pytest.approx([n / 1000 for n in range(13, 25)])


def test_one_lead_twice_is_malformed_unless_both_are_the_same() -> None:
    channels = [lead_channel(Lead.V1), lead_channel(Lead.V1)]
    with pytest.raises(MalformedInstance, match="same lead"):
        record(group(np.array([[1, 2]], "<i2"), channels))
    channels = [lead_channel(Lead.V1), lead_channel(Lead.V1)]
    assert record(group(np.array([[2, 2]], "<i2"), channels)).leads == (Lead.V1,)


def test_of_eight_stored_leads_the_other_four_are_derived() -> None:
    stored = dict(zip(EIGHT, (300, 1000, 1, 2, 3, 4, 5, 6), strict=True))
    read = record(twelve_leads(stored))
    assert read.leads == tuple(Lead)
    assert read.derived_leads == {Lead.III, Lead.AVR, Lead.AVL, Lead.AVF}
    # Einthoven and Goldberger on I = 0.3 mV and II = 1 mV.
    for lead, expected in ((Lead.III, 0.7), (Lead.AVR, -0.65), (Lead.AVL, -0.2), (Lead.AVF, 0.85)):
        assert read.lead(lead)[0] == pytest.approx(expected, abs=1e-6)


def test_recorded_leads_are_never_replaced_by_derived_ones() -> None:
    read = record(twelve_leads())
    assert read.derived_leads == frozenset()
    assert read.lead(Lead.III)[0] == pytest.approx(0.3)  # II - I would be 0.1


def test_leads_sampled_apart_are_unsupported() -> None:
    skewed = [lead_channel(Lead.I), lead_channel(Lead.II, ChannelSampleSkew="5")]
    with pytest.raises(UnsupportedInstance, match="simultaneously"):
        record(group(np.ones((3, 2), "<i2"), skewed))
    slightly = [lead_channel(Lead.I), lead_channel(Lead.II, ChannelSampleSkew="0.5")]
    assert Lead.II in record(group(np.ones((3, 2), "<i2"), slightly)).leads


# which group


def median_beat() -> Dataset:
    beat = twelve_leads(dict.fromkeys(Lead, 9), n_samples=600)
    beat.WaveformOriginality, beat.MultiplexGroupLabel = "DERIVED", "MEDIAN BEAT"
    return beat


def test_the_rhythm_group_is_found_wherever_it_stands() -> None:
    for groups in ((twelve_leads(), median_beat()), (median_beat(), twelve_leads())):
        assert record(*groups).lead(Lead.I)[0] == pytest.approx(0.1)


def test_of_two_rhythm_groups_the_one_with_more_leads_then_the_longer_is_read() -> None:
    three = twelve_leads({Lead.I: 1, Lead.II: 1, Lead.V1: 1}, n_samples=500)
    short, long = twelve_leads(n_samples=20), twelve_leads(n_samples=30)
    assert record(three, short, long).samples.shape == (30, 12)


def test_median_beats_alone_are_unsupported() -> None:
    with pytest.raises(UnsupportedInstance, match="median"):
        record(median_beat())
    labelled_original = median_beat()
    labelled_original.WaveformOriginality = "ORIGINAL"
    with pytest.raises(UnsupportedInstance, match="median"):
        record(labelled_original)


def test_an_instance_without_waveform_is_malformed() -> None:
    with pytest.raises(MalformedInstance):
        record()


def test_another_sop_class_is_unsupported() -> None:
    with pytest.raises(UnsupportedInstance):
        record(twelve_leads(), sop_class_uid=HEMODYNAMIC)


def test_a_general_32_bit_object_is_read() -> None:
    samples = np.full((8, 1), -1_000_000, "<i4")
    channels = [lead_channel(Lead.II, sensitivity="0.001", bits_stored=32)]
    read = record(group(samples, channels, interpretation="SL"), sop_class_uid=GENERAL_32BIT_ECG)
    assert read.lead(Lead.II)[0] == pytest.approx(-1.0)


def test_only_the_first_30_seconds_of_an_ambulatory_day_are_decoded() -> None:
    samples = np.arange(100 * 200, dtype="<i2")[:, np.newaxis] % 1000
    day = group(samples.astype("<i2"), [lead_channel(Lead.II)], frequency_hz="200")
    read = record(day, sop_class_uid=AMBULATORY_ECG)
    assert read.duration_s == 30.0
    assert read.lead(Lead.II)[999] == pytest.approx(0.999)


def test_the_sampling_frequency_is_read_as_stated() -> None:
    for stated, expected in (("240", 240.0), ("997", 997.0), ("499.98", 499.98)):
        assert one_lead([1, 2], frequency_hz=stated).sampling_frequency_hz == expected


def test_filters_are_reported_where_all_leads_agree() -> None:
    same = {"FilterLowFrequency": "0.05", "FilterHighFrequency": "150"}
    first = lead_channel(Lead.I, NotchFilterFrequency="50", **same)
    second = lead_channel(Lead.II, NotchFilterFrequency="60", **same)
    read = record(group(np.ones((3, 2), "<i2"), [first, second]))
    assert (read.high_pass_hz, read.low_pass_hz, read.notch_hz) == (0.05, 150.0, None)
    none = one_lead([1, 2], NotchFilterFrequency="0", FilterLowFrequency="0.5")
    assert (none.high_pass_hz, none.low_pass_hz, none.notch_hz) == (0.5, None, None)


def test_implicit_and_explicit_encodings_read_the_same() -> None:
    dataset = instance(twelve_leads())
    implicit = read_ecg(read_part10(part10(dataset, IMPLICIT_LITTLE)))
    explicit = read_ecg(read_part10(part10(dataset)))
    assert np.array_equal(implicit.samples, explicit.samples)


def test_the_shared_recordings_read_as_pydicom_reads_them(shared: Path) -> None:
    files = sorted((shared / "data" / "ecg_dicom").rglob("*.dcm"))
    assert len(files) > 10
    for file in files:
        dataset = pydicom.dcmread(file)
        if dataset.SOPClassUID == HEMODYNAMIC:
            continue
        read = read_ecg(read_part10(file.read_bytes()))
        theirs = dataset.waveform_array(0) / 1000  # all of these are in uV, standard order
        assert len(read.leads) == theirs.shape[1]
        np.testing.assert_allclose(read.samples, theirs, atol=1e-5)


# the subject


@pytest.mark.parametrize(
    ("attributes", "age_years"),
    [
        ({"PatientAge": "042Y"}, 42.0),
        ({"PatientAge": "006M"}, 0.5),
        ({"PatientAge": "042Y", "PatientBirthDate": "19000101"}, 42.0),
        ({"PatientBirthDate": "19840229"}, pytest.approx(40.0, abs=0.01)),
        ({"PatientAge": "", "PatientBirthDate": "1984.02.29"}, pytest.approx(40.0, abs=0.01)),
        ({"PatientAge": "999Y"}, None),
        ({"PatientBirthDate": "20990101"}, None),
        ({"PatientBirthDate": "18000101"}, None),
        ({"PatientBirthDate": "19840231"}, None),
        ({}, None),
    ],
)
def test_the_age_is_stated_or_follows_from_the_birth_date(
    attributes: dict[str, str], age_years: float | None
) -> None:
    dataset = instance(twelve_leads(), **attributes)
    assert dataset.AcquisitionDateTime.startswith(date(2024, 2, 29).strftime("%Y%m%d"))
    assert read_subject(read_part10(part10(dataset))).age_years == age_years


@pytest.mark.parametrize(
    ("keyword", "value", "field", "expected"),
    [
        ("PatientSize", "1.77", "height_cm", 177.0),
        ("PatientSize", "177", "height_cm", None),
        ("PatientSize", "0", "height_cm", None),
        ("PatientWeight", "90", "weight_kg", 90.0),
        ("PatientWeight", "0", "weight_kg", None),
        ("PatientWeight", "9000", "weight_kg", None),
        ("PatientSex", "F", "sex", "F"),
        ("PatientSex", "m", "sex", "M"),
        ("PatientSex", "O", "sex", None),
        ("PatientSex", "", "sex", None),
    ],
)
def test_implausible_values_count_as_absent(
    keyword: str, value: str, field: str, expected: object
) -> None:
    subject = read_subject(read_part10(part10(instance(twelve_leads(), **{keyword: value}))))
    assert getattr(subject, field) == expected


def test_a_number_of_a_wrong_length_is_malformed_and_its_value_is_not_told() -> None:
    """pydicom raises an exception of its own, whose text quotes the value."""
    dataset = instance(twelve_leads())
    content = part10(dataset)
    at = content.index(b"\x3a\x00\x05\x00US\x02\x00")  # Number of Waveform Channels
    broken = content[: at + 6] + b"\x03\x00" + b"\x0c" * 3 + content[at + 10 :]
    with pytest.raises(MalformedInstance, match="NumberOfWaveformChannels") as malformed:
        read_ecg(read_part10(broken))
    assert "0c" not in malformed.value.message


def test_an_item_that_ends_where_a_value_is_due_is_malformed() -> None:
    """pydicom raises struct.error, which is no ValueError."""
    content = bytearray(part10(instance(twelve_leads()), IMPLICIT_LITTLE))
    at = content.index(struct.pack("<HH", 0x003A, 0x0208))  # Channel Source Sequence
    (length,) = struct.unpack_from("<I", content, at + 4)
    filler = struct.pack("<HHI", 0x0009, 0x0010, length - 8 - 16)
    endless = struct.pack("<HHI", 0x0041, 0x0001, 0xFFFFFFFF)
    content[at + 16 : at + 16 + 8] = filler
    content[at + length : at + length + 8] = endless
    with pytest.raises(MalformedInstance, match="ChannelSourceSequence"):
        read_ecg(read_part10(bytes(content)))
