from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from node.domain.ecg import STANDARD_LEADS, Lead, Subject
from node.domain.errors import UnusableData
from pipelines.datasets.cardiosoft import read_resting_ecg
from pipelines.datasets.recording import Measurement
from tests.unit.datasets.cardiosoft_file import LEADS, cardiosoft_xml, counts_of


def test_counts_become_millivolts_by_the_stated_resolution() -> None:
    ecg = read_resting_ecg(cardiosoft_xml()).ecg
    assert (ecg.leads, ecg.sampling_frequency_hz) == (STANDARD_LEADS, 500)
    # 5 uV a count: (place + 1) x 100 counts are (place + 1) x 0.5 mV, 3 counts are 0.015 mV.
    expected = [[0.5 * place - 0.015 * sample for place in range(1, 13)] for sample in range(5000)]
    np.testing.assert_allclose(ecg.samples, expected, atol=1e-5)
    finer = '<Resolution units="uVperLsb">2.44</Resolution>'
    ecg = read_resting_ecg(cardiosoft_xml(resolution=finer, n_samples=3)).ecg
    np.testing.assert_allclose(ecg.samples[:, 0], [0.244, 0.23668, 0.22936], atol=1e-7)


def test_the_sampling_rate_is_the_files_own() -> None:
    rate = '<SampleRate units="Hz">1000</SampleRate>'
    assert read_resting_ecg(cardiosoft_xml(sample_rate=rate)).ecg.duration_s == 5.0


def test_leads_are_found_by_name_whatever_their_order_and_case() -> None:
    order = ("V6", "AVF", "aVL", "avr", "III", "V5", "V4", "V3", "V2", "V1", "ii", "I")
    ecg = read_resting_ecg(cardiosoft_xml(leads=order, n_samples=4)).ecg
    for lead in STANDARD_LEADS:
        place = [name.upper() for name in order].index(lead.value.upper())
        np.testing.assert_allclose(ecg.lead(lead), np.array(counts_of(place, 4)) * 5e-3, atol=1e-6)


def test_what_the_device_measured_keeps_the_unit_it_states() -> None:
    measurements = read_resting_ecg(cardiosoft_xml(n_samples=2)).measurements
    assert measurements == {
        "VentricularRate": Measurement(value=61.0, unit="BPM"),
        "PQInterval": Measurement(value=158.0, unit="ms"),
        "QRSDuration": Measurement(value=92.0, unit="ms"),
        "RAxis": Measurement(value=-12.0, unit="degrees"),
        "RRInterval": Measurement(value=984.0, unit=""),
    }


def test_stated_filters_are_read_and_a_missing_sample_is_a_gap() -> None:
    counts = {"V3": [1, -32768, 3]}
    ecg = read_resting_ecg(cardiosoft_xml(n_samples=3, counts=counts)).ecg
    assert (ecg.high_pass_hz, ecg.low_pass_hz, ecg.notch_hz) == (None, 100.0, 50.0)
    np.testing.assert_allclose(ecg.lead(Lead.V3), [0.005, np.nan, 0.015], atol=1e-7)
    assert np.isnan(ecg.samples).sum() == 1


@pytest.mark.parametrize(
    ("patient", "subject"),
    [
        ("", Subject()),
        (
            '<Age units="YEARS">63</Age><Gender>FEMALE</Gender>'
            '<Height units="cm">164</Height><Weight units="kg">71.5</Weight>',
            Subject(age_years=63.0, sex="F", height_cm=164.0, weight_kg=71.5),
        ),
        ('<Age>63</Age><Gender>Unknown</Gender><Height units="in">64</Height>', Subject()),
        ('<Age units="YEARS">663</Age><Weight units="kg">0</Weight>', Subject()),
    ],
)
def test_the_subject_is_what_the_file_says_with_a_unit(patient: str, subject: Subject) -> None:
    assert read_resting_ecg(cardiosoft_xml(patient=patient, n_samples=2)).subject == subject


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"resolution": '<Resolution units="mVperLsb">5</Resolution>'}, "Resolution is not in"),
        ({"resolution": "<Resolution>5</Resolution>"}, "Resolution is not in"),
        ({"resolution": ""}, "0 Resolution in StripData"),
        ({"resolution": '<Resolution units="uVperLsb">0</Resolution>'}, "not a number above 0"),
        ({"sample_rate": '<SampleRate units="ms">2</SampleRate>'}, "SampleRate is not in Hz"),
        ({"sample_rate": ""}, "0 SampleRate"),
        ({"leads": [name for name in LEADS if name not in ("V3", "V5")]}, "no lead V3, V5"),
        ({"leads": [*LEADS[:11], "V5"]}, "lead V5 comes twice"),
        ({"declared_leads": 15}, "NumberOfLeads"),
        ({"declared_samples": 6000}, "lead I has 9 samples, 6000 are declared"),
        ({"counts": {"V1": [1, 2, 3]}}, "lead V1 has 3 samples"),
        ({"counts": {"V2": [1, 2, "x", 4, 5, 6, 7, 8, 9]}}, "lead V2 holds a sample"),
        ({"counts": {"V2": [1, "", 3, 4, 5, 6, 7, 8, 9]}}, "lead V2 holds a sample"),
    ],
)
def test_a_file_that_does_not_add_up_is_refused_by_name(
    options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UnusableData, match=reason) as refused:
        read_resting_ecg(cardiosoft_xml(**{"n_samples": 9} | options))
    assert "secret" not in str(refused.value)


def test_limb_leads_that_were_not_stored_are_derived_and_say_so() -> None:
    stored = [name for name in LEADS if name not in ("III", "aVR", "aVL", "aVF")]
    ecg = read_resting_ecg(cardiosoft_xml(leads=stored, n_samples=2)).ecg
    assert ecg.derived_leads == {Lead.III, Lead.AVR, Lead.AVL, Lead.AVF}
    np.testing.assert_allclose(ecg.lead(Lead.III), ecg.lead(Lead.II) - ecg.lead(Lead.I))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not xml",
        cardiosoft_xml(n_samples=9)[:-300],
        b"<RestingECG><Waveform/></RestingECG>",
        b'<?xml version="1.0" encoding="EBCDIC-9"?><CardiologyXML/>',
    ],
)
def test_what_is_not_a_whole_cardiosoft_file_is_refused(content: bytes) -> None:
    with pytest.raises(UnusableData):
        read_resting_ecg(content)


def test_entities_are_refused_and_nothing_outside_the_file_is_read() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]>'
    outside = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    for doctype in (bomb, outside):
        with pytest.raises(UnusableData, match="entity"):
            read_resting_ecg(cardiosoft_xml(n_samples=2, doctype=doctype))
    harmless = '<!DOCTYPE CardiologyXML SYSTEM "no-such-file.dtd">'
    assert read_resting_ecg(cardiosoft_xml(n_samples=2, doctype=harmless)).ecg.leads


def test_other_vendors_xml_is_not_taken_for_cardiosoft(shared: Any) -> None:
    files = sorted((shared / "data" / "ecg_other").glob("*.xml"))
    assert len(files) > 5
    for file in files:
        with pytest.raises(UnusableData):
            read_resting_ecg(file.read_bytes())
