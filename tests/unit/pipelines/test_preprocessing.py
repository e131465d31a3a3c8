"""One ECG, however it was recorded, is one input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from node.dicom.part10 import read_part10
from node.dicom.waveform import read_ecg
from node.domain.ecg import STANDARD_LEADS, ECGRecord, Lead, Subject
from node.domain.errors import PredictionError
from pipelines.preprocessing import RECIPES, condition, subject_vector

RECIPE = RECIPES["cardionode-1"]
BEAT_FIRST = RECIPES["cardionode-2"]
PUBLISHED = RECIPES["published-1"]
MakeEcg = Callable[..., ECGRecord]


@pytest.mark.parametrize("frequency_hz", [250.0, 1000.0])
def test_the_sampling_frequency_hardly_matters(make_ecg: MakeEcg, frequency_hz: float) -> None:
    reference = condition(make_ecg(frequency_hz=500.0), RECIPE)
    other = condition(make_ecg(frequency_hz=frequency_hz), RECIPE)
    assert np.abs(other - reference)[:, 125:-125].max() < 0.02


def test_the_input_is_twelve_leads_of_ten_seconds(make_ecg: MakeEcg) -> None:
    conditioned = condition(make_ecg(seconds=12.0), RECIPE)
    assert conditioned.shape == (12, 2500) and conditioned.dtype == np.float32


def test_millivolts_stay_millivolts() -> None:
    """A 10 Hz wave of 1.5 mV lies in the band's flat part."""
    time = np.arange(5000) / 500.0
    wave = 1.5 * np.sin(2 * np.pi * 10.0 * time)
    samples = np.repeat(wave[:, np.newaxis], 12, axis=1).astype(np.float32)
    record = ECGRecord(samples=samples, leads=STANDARD_LEADS, sampling_frequency_hz=500.0)
    assert np.abs(condition(record, RECIPE)[:, 500:-500]).max() == pytest.approx(1.5, rel=0.01)


def test_an_electrodes_offset_is_taken_away(make_ecg: MakeEcg) -> None:
    record = make_ecg()
    shifted = replace(record, samples=record.samples + np.float32(3.0))
    assert np.allclose(condition(shifted, RECIPE), condition(record, RECIPE), atol=1e-4)


def test_a_gap_becomes_a_line_and_the_rest_stays(make_ecg: MakeEcg) -> None:
    record = make_ecg()
    samples = record.samples.copy()
    samples[2320:2350] = np.nan  # between two beats, 60 ms
    conditioned = condition(replace(record, samples=samples), RECIPE)
    assert np.isfinite(conditioned).all()
    assert np.abs(conditioned - condition(record, RECIPE)).max() < 0.05


def test_a_window_without_gaps_is_preferred(make_ecg: MakeEcg) -> None:
    record = make_ecg(seconds=15.0, rate_bpm=60.0)
    samples = record.samples.copy()
    samples[500:1000] = np.nan
    conditioned = condition(replace(record, samples=samples), RECIPE)
    whole = condition(make_ecg(seconds=13.0, rate_bpm=60.0), RECIPE)
    assert np.abs(conditioned - whole)[:, 750:1750].max() < 0.05


@pytest.mark.parametrize("rate_bpm", [45.0, 75.0, 130.0])
def test_the_beat_stands_in_front_its_qrs_complex_at_450_ms(
    make_ecg: MakeEcg, rate_bpm: float
) -> None:
    record = make_ecg(rate_bpm=rate_bpm)
    conditioned = condition(record, BEAT_FIRST)
    assert conditioned.shape == (12, 300 + 2500) and BEAT_FIRST.beat_samples == 300
    assert np.array_equal(conditioned[:, 300:], condition(record, RECIPE))
    around = conditioned[11, 75:150]  # 300 to 600 ms of V6, whose R is the tallest
    assert 75 + int(around.argmax()) == pytest.approx(0.45 * 250.0, abs=1.0)
    assert around.max() == pytest.approx(conditioned[11, 300:].max(), rel=0.07)


def test_the_beat_of_a_vendor_s_ecg_stands_there_too(shared: Path) -> None:
    found = 0
    for file in sorted((shared / "data" / "ecg_dicom").glob("*12lead*.dcm")) + sorted(
        (shared / "data" / "ecg_dicom" / "derived").glob("*.dcm")
    ):
        record = read_ecg(read_part10(file.read_bytes()))
        if record.leads == STANDARD_LEADS and record.duration_s >= 10.0:
            beat = condition(record, BEAT_FIRST)[:, 25:175]  # 100 to 700 ms
            speed = np.abs(np.diff(beat, axis=1)).sum(axis=0)
            assert 25 + int(speed.argmax()) == pytest.approx(0.45 * 250.0, abs=12.0), file.name
            found += 1
    assert found >= 5


def test_the_beat_has_less_noise_than_the_window(make_ecg: MakeEcg) -> None:
    clean = make_ecg()
    noise = 0.05 * np.random.default_rng(3).standard_normal(clean.samples.shape)
    noisy = replace(clean, samples=clean.samples + noise.astype(np.float32))
    error = condition(noisy, BEAT_FIRST) - condition(clean, BEAT_FIRST)
    assert error[:, 50:250].std() < 0.6 * error[:, 300:].std()


def test_an_extrasystole_stays_out_of_the_beat(make_ecg: MakeEcg) -> None:
    record = make_ecg()
    samples = record.samples.copy()
    early = np.arange(1900, 2000)  # where the fifth beat's T wave has ended
    bell = np.exp(-0.5 * ((early - 1950) / 22.0) ** 2)
    samples[early] -= (1.5 * bell[:, np.newaxis] * np.linspace(1.0, 0.4, 12)).astype(np.float32)
    beat = condition(replace(record, samples=samples), BEAT_FIRST)[:, :300]
    assert np.abs(beat - condition(record, BEAT_FIRST)[:, :300])[:, 50:250].max() < 0.05


def test_without_a_beat_there_is_silence_in_front(make_ecg: MakeEcg) -> None:
    record = make_ecg()
    flat = replace(record, samples=np.zeros_like(record.samples))
    assert not condition(flat, BEAT_FIRST).any()


def test_the_published_input_is_twelve_leads_of_nine_seconds(make_ecg: MakeEcg) -> None:
    conditioned = condition(make_ecg(seconds=10.0), PUBLISHED)
    assert conditioned.shape == (12, 2250) and conditioned.dtype == np.float32
    assert PUBLISHED.window_samples == 2250


def test_the_published_input_has_lost_its_millivolts(make_ecg: MakeEcg) -> None:
    """One mean and one spread for all leads: what is left is their ratio."""
    record = make_ecg()
    conditioned = condition(record, PUBLISHED)
    doubled = replace(record, samples=np.float32(2.0) * record.samples)
    assert conditioned.mean() == pytest.approx(0.0, abs=1e-6)
    assert conditioned.std() == pytest.approx(1.0, abs=1e-6)
    assert np.array_equal(condition(doubled, PUBLISHED), conditioned)


def test_the_published_input_bridges_gaps(make_ecg: MakeEcg) -> None:
    record = make_ecg()
    samples = record.samples.copy()
    samples[2320:2350, 3] = np.nan
    assert np.isfinite(condition(replace(record, samples=samples), PUBLISHED)).all()


@pytest.mark.parametrize("level_mv", [0.0, 3.0])
def test_the_published_input_refuses_a_flat_record(make_ecg: MakeEcg, level_mv: float) -> None:
    record = make_ecg()
    flat = replace(record, samples=np.full_like(record.samples, level_mv))
    with pytest.raises(PredictionError, match="flat"):
        condition(flat, PUBLISHED)


def test_the_published_input_needs_ten_seconds(make_ecg: MakeEcg) -> None:
    with pytest.raises(PredictionError, match="shorter than 10 s"):
        condition(make_ecg(seconds=9.5), PUBLISHED)


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_is_found_under_its_name(name: str) -> None:
    assert RECIPES[name].name == name


def test_a_missing_lead_is_refused(make_ecg: MakeEcg) -> None:
    record = make_ecg()
    leads = tuple(lead for lead in STANDARD_LEADS if lead is not Lead.V3)
    eleven = replace(record, samples=record.samples[:, :11].copy(), leads=leads)
    with pytest.raises(PredictionError, match="not all twelve leads"):
        condition(eleven, RECIPE)


def test_a_short_record_is_refused(make_ecg: MakeEcg) -> None:
    with pytest.raises(PredictionError, match="shorter than 9 s"):
        condition(make_ecg(seconds=8.0), RECIPE)


def test_a_record_is_not_changed(make_ecg: MakeEcg) -> None:
    record = make_ecg()
    before = record.samples.tobytes()
    condition(record, RECIPE)
    assert record.samples.tobytes() == before


def test_a_subject_is_flags_and_standardised_values() -> None:
    subject = Subject(age_years=72.0, sex="F", height_cm=179.0, weight_kg=62.0)
    assert subject_vector(subject).tolist() == [1, 1, 1, -1, 1, 1, 1, -1]


def test_what_is_unknown_of_a_subject_is_zero_and_its_flag_too() -> None:
    assert subject_vector(Subject()).tolist() == [0] * 8
    assert subject_vector(Subject(sex="M")).tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
