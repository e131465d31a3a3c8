from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from node.dicom.part10 import read_part10
from node.dicom.waveform import read_ecg
from node.domain.ecg import ECGRecord, Finding, Lead, Severity
from node.ecg.quality import assess
from tests.unit.ecg.beat_phantom import changed, ecg

REFUSE, NOTE = Severity.REFUSE, Severity.NOTE
RATES_HZ = (200.0, 240.0, 500.0, 997.0, 1000.0)


def findings(record: ECGRecord, minimum_duration_s: float = 9.0) -> dict[str, Finding]:
    return {
        finding.code: finding
        for finding in assess(record, minimum_duration_s=minimum_duration_s).findings
    }


def seconds(record: ECGRecord) -> np.ndarray:
    return np.arange(len(record.samples)) / record.sampling_frequency_hz


@pytest.mark.parametrize("frequency_hz", RATES_HZ)
@pytest.mark.parametrize("rate_bpm", [45.0, 70.0, 150.0])
def test_a_clean_ecg_has_no_findings(frequency_hz: float, rate_bpm: float) -> None:
    assert findings(ecg(frequency_hz=frequency_hz, rate_bpm=rate_bpm)) == {}


def test_a_missing_lead_is_refused_and_named() -> None:
    without = ecg(leads=tuple(lead for lead in Lead if lead not in (Lead.AVL, Lead.V3)))
    found = findings(without)["lead-missing"]
    assert (found.severity, found.leads) == (REFUSE, (Lead.AVL, Lead.V3))
    assert found.message == "Not recorded: aVL, V3."


@pytest.mark.parametrize(
    ("duration_s", "refused"), [(8.9, True), (8.996, True), (8.998, False), (9.998, False)]
)
def test_one_sample_less_than_the_minimum_duration_is_enough(
    duration_s: float, refused: bool
) -> None:
    assert ("too-short" in findings(ecg(duration_s=duration_s))) is refused


@pytest.mark.parametrize("frequency_hz", RATES_HZ)
@pytest.mark.parametrize("start_s", [0.0, 4.0, 6.5])
def test_a_lead_that_is_flat_for_a_while_is_refused(frequency_hz: float, start_s: float) -> None:
    record = ecg(frequency_hz=frequency_hz)
    off = (seconds(record) >= start_s) & (seconds(record) < start_s + 4.5)
    flat = np.where(off, 0.2, record.lead(Lead.V2))
    found = findings(changed(record, V2=flat))["flat-lead"]
    assert (found.severity, found.leads) == (REFUSE, (Lead.V2,))


def test_a_lead_of_low_voltage_is_not_flat() -> None:
    record = ecg(noise_mv=0.0)
    assert "flat-lead" not in findings(changed(record, V1=record.lead(Lead.V1) * 0.08))


@pytest.mark.parametrize("frequency_hz", RATES_HZ)
def test_a_clipped_lead_is_refused(frequency_hz: float) -> None:
    record = ecg(frequency_hz=frequency_hz)
    clipped = np.clip(record.lead(Lead.V4) * 3, -2.0, 2.0)
    found = findings(changed(record, V4=clipped))["saturated"]
    assert (found.severity, found.leads) == (REFUSE, (Lead.V4,))


def test_a_tall_lead_that_is_not_clipped_is_accepted() -> None:
    record = ecg()
    assert findings(changed(record, V4=record.lead(Lead.V4) * 3)) == {}


@pytest.mark.parametrize(("gap_s", "severity"), [(0.1, NOTE), (0.4, NOTE), (0.6, REFUSE)])
def test_gaps_are_noted_and_refused_above_a_twentieth(gap_s: float, severity: Severity) -> None:
    record = ecg()
    inside = (seconds(record) >= 5.0) & (seconds(record) < 5.0 + gap_s)
    found = findings(changed(record, V6=np.where(inside, np.nan, record.lead(Lead.V6))))["gaps"]
    assert (found.severity, found.leads) == (severity, (Lead.V6,))


def test_a_lead_without_a_single_sample_is_refused() -> None:
    found = findings(changed(ecg(), V6=np.full(5000, np.nan)))
    assert (found["gaps"].severity, found["flat-lead"].leads) == (REFUSE, (Lead.V6,))


@pytest.mark.parametrize("frequency_hz", RATES_HZ)
@pytest.mark.parametrize(
    ("height_mv", "code"), [(0.5, None), (2.5, "baseline-wander"), (6.0, "poor-contact")]
)
def test_a_wandering_baseline_is_noted_and_refused_when_it_leaves_the_sheet(
    frequency_hz: float, height_mv: float, code: str | None
) -> None:
    record = ecg(frequency_hz=frequency_hz)
    wander = height_mv / 2 * np.sin(2 * np.pi * 0.2 * seconds(record))
    found = findings(changed(record, V3=record.lead(Lead.V3) + wander))
    assert set(found) == ({code} if code else set())
    if code:
        assert found[code].leads == (Lead.V3,)


def test_a_baseline_far_off_the_sheet_is_refused() -> None:
    record = ecg()
    assert findings(changed(record, V1=record.lead(Lead.V1) - 8))["poor-contact"].leads == (
        Lead.V1,
    )


@pytest.mark.parametrize("scale", [1000.0, 20.0, 0.001, 0.05])
def test_the_heights_of_a_wrong_unit_are_refused(scale: float) -> None:
    record = ecg()
    wrong = replace(record, samples=record.samples * np.float32(scale))
    assert findings(wrong)["implausible-amplitude"].severity is REFUSE


@pytest.mark.parametrize("frequency_hz", RATES_HZ)
@pytest.mark.parametrize(("amplitude_mv", "severity"), [(0.05, NOTE), (0.5, REFUSE)])
def test_mains_hum_is_noted_and_refused_when_it_buries_the_ecg(
    frequency_hz: float, amplitude_mv: float, severity: Severity
) -> None:
    record = ecg(frequency_hz=frequency_hz)
    hum = amplitude_mv * np.sin(2 * np.pi * 60 * seconds(record))
    found = findings(changed(record, V5=record.lead(Lead.V5) + hum))["high-frequency-noise"]
    assert (found.severity, found.leads) == (severity, (Lead.V5,))


def test_steep_beats_are_not_taken_for_noise() -> None:
    record = ecg(rate_bpm=150)
    assert "high-frequency-noise" not in findings(
        replace(record, samples=record.samples * np.float32(2))
    )


@pytest.mark.parametrize("frequency_hz", RATES_HZ)
def test_noise_without_beats_is_refused(frequency_hz: float) -> None:
    record = ecg(frequency_hz=frequency_hz)
    generator = np.random.Generator(np.random.Philox(9))
    only_noise = generator.normal(0, 0.1, record.samples.shape).astype(np.float32)
    assert findings(replace(record, samples=only_noise))["no-beats"].severity is REFUSE


@pytest.mark.parametrize(("rate_bpm", "noted"), [(25.0, True), (40.0, False), (230.0, True)])
def test_an_implausible_rate_is_noted(rate_bpm: float, noted: bool) -> None:
    found = findings(ecg(rate_bpm=rate_bpm, duration_s=12.0))
    assert ("implausible-heart-rate" in found) is noted
    assert all(finding.severity is NOTE for finding in found.values())


def with_limb_leads(record: ECGRecord, one: np.ndarray, two: np.ndarray) -> ECGRecord:
    return changed(
        record,
        I=one,
        II=two,
        III=two - one,
        AVR=-(one + two) / 2,
        AVL=one - two / 2,
        AVF=two - one / 2,
    )


def test_swapped_arm_electrodes_are_suspected() -> None:
    # RA and LA swapped: I turns over, II becomes III (II - I). The heart lies horizontally, as
    # aVL, which becomes aVR, has to be upright to show it.
    record = ecg()
    one, two = 1.5 * record.lead(Lead.I), record.lead(Lead.II)
    assert findings(with_limb_leads(record, one, two)) == {}
    found = findings(with_limb_leads(record, -one, two - one))
    assert set(found) == {"lead-reversal-suspected"}
    assert found["lead-reversal-suspected"].severity is NOTE


def test_a_limb_lead_under_another_name_is_refused() -> None:
    record = ecg()
    exchanged = changed(record, III=record.lead(Lead.AVR), AVR=record.lead(Lead.III))
    found = findings(exchanged)["limb-leads-inconsistent"]
    assert (found.severity, found.leads) == (REFUSE, (Lead.III, Lead.AVR))


def test_a_limb_lead_that_differs_a_little_is_noted() -> None:
    record = ecg()
    found = findings(changed(record, AVF=1.4 * record.lead(Lead.AVF)))["limb-leads-inconsistent"]
    assert (found.severity, found.leads) == (NOTE, (Lead.AVF,))


def test_a_limb_lead_that_only_wanders_by_itself_is_consistent() -> None:
    record = ecg()
    wander = 0.2 * np.sin(2 * np.pi * 0.1 * seconds(record))
    assert findings(changed(record, AVF=record.lead(Lead.AVF) + wander)) == {}


@pytest.mark.parametrize(
    ("frequency_hz", "severity"), [(125.0, NOTE), (80.0, REFUSE), (10.0, REFUSE)]
)
def test_a_low_sampling_rate_is_noted_and_refused_below_100_hz(
    frequency_hz: float, severity: Severity
) -> None:
    assert findings(ecg(frequency_hz=frequency_hz))["low-sampling-rate"].severity is severity


@pytest.mark.parametrize(
    ("low_pass_hz", "noted"), [(25.0, True), (40.0, True), (100.0, False), (None, False)]
)
def test_a_narrow_filter_is_noted(low_pass_hz: float | None, noted: bool) -> None:
    found = findings(replace(ecg(), low_pass_hz=low_pass_hz))
    assert set(found) == ({"filtered-narrow"} if noted else set())


@pytest.mark.parametrize("n_samples", [0, 1, 2, 10, 499])
def test_hardly_any_samples_are_refused_without_trouble(n_samples: int) -> None:
    record = ecg()
    assert "too-short" in findings(replace(record, samples=record.samples[:n_samples].copy()))


ACCEPTED = {
    "mortara_eli250_1000hz.dcm": set(),
    "ge_mv360_muse9_12lead.dcm": set(),
    "ecgtoolkit_implicitvr.dcm": set(),
    "cabolabs_explicit_4999.dcm": set(),
    "ecg2dcm_synthetic_muse.dcm": set(),
    "derived/philips_mrx_129DYPRG.dcm": {"calibration-pulse"},
    "derived/philips_pagewriter_zzdemo.dcm": {"calibration-pulse"},
    "derived/mortara_aecg_clark.dcm": set(),
    "derived/ge_muse_250hz.dcm": set(),
    "derived/wfdb_georgia_E07514.dcm": {"lead-reversal-suspected", "high-frequency-noise"},
}
REFUSED = {
    "cabolabs_1lead_200hz.dcm": {"lead-missing", "too-short"},
    "derived/philips_pagewriter_f.dcm": {"poor-contact"},
}


def shared_findings(shared: Path, file: str) -> dict[str, Finding]:
    content = (shared / "data" / "ecg_dicom" / file).read_bytes()
    return findings(read_ecg(read_part10(content)))


@pytest.mark.parametrize(("file", "codes"), ACCEPTED.items())
def test_good_recordings_are_accepted_with_their_notes(
    shared: Path, file: str, codes: set[str]
) -> None:
    found = shared_findings(shared, file)
    assert set(found) == codes
    assert all(finding.severity is NOTE for finding in found.values())


@pytest.mark.parametrize(("file", "codes"), REFUSED.items())
def test_bad_recordings_are_refused_for_what_is_wrong_with_them(
    shared: Path, file: str, codes: set[str]
) -> None:
    found = shared_findings(shared, file)
    refused = {code for code, finding in found.items() if finding.severity is REFUSE}
    assert codes <= refused <= codes | {"no-beats"}  # 1.25 s hold one beat


def test_the_lead_with_poor_contact_is_named(shared: Path) -> None:
    found = shared_findings(shared, "derived/philips_pagewriter_f.dcm")
    assert found["poor-contact"].leads == (Lead.V3,)
