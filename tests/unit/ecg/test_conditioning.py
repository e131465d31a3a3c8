from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from node.dicom.part10 import read_part10
from node.dicom.waveform import read_ecg
from node.domain.ecg import ECGRecord, Lead
from node.ecg.conditioning import band_pass, fill_gaps, resample, trim_calibration_pulse
from tests.unit.ecg.beat_phantom import ecg

NAN = float("nan")


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, np.newaxis]


@pytest.mark.parametrize(
    ("gapped", "filled"),
    [
        (column(0, NAN, NAN, 3), column(0, 1, 2, 3)),
        (column(NAN, 2, 4, NAN, NAN), column(2, 2, 4, 4, 4)),
        (column(NAN, NAN), column(0, 0)),
        (column(1, 2), column(1, 2)),
    ],
)
def test_gaps_become_straight_lines_and_edges_are_held(
    gapped: np.ndarray, filled: np.ndarray
) -> None:
    assert np.array_equal(fill_gaps(gapped), filled)


@settings(max_examples=50)
@given(arrays(np.float32, (12, 3), elements=st.sampled_from([0.0, 1.0, -2.5, NAN])))
def test_filling_gaps_keeps_every_recorded_sample(samples: np.ndarray) -> None:
    kept = ~np.isnan(samples)
    filled = fill_gaps(samples)
    assert not np.isnan(filled).any()
    assert np.array_equal(filled[kept], samples[kept])


@pytest.mark.parametrize("from_hz", [240.0, 250.0, 360.0, 500.0, 997.0, 1000.0])
def test_a_sine_is_the_same_sine_at_500_hz(from_hz: float) -> None:
    def sine(frequency_hz: float) -> np.ndarray:
        seconds = np.arange(round(10 * frequency_hz)) / frequency_hz
        return np.sin(2 * np.pi * 7.0 * seconds).astype(np.float32)[:, np.newaxis]

    resampled = resample(sine(from_hz), from_hz, 500.0)
    assert resampled.dtype == np.float32
    assert resampled.shape == (5000, 1)
    np.testing.assert_allclose(resampled[250:-250], sine(500.0)[250:-250], atol=0.005)


def test_an_offset_makes_no_step_at_the_ends() -> None:
    resampled = resample(np.full((2500, 2), 5.0, np.float32), 250.0, 500.0)
    np.testing.assert_allclose(resampled, 5.0, atol=0.01)


def test_what_the_new_rate_cannot_hold_does_not_fold_back() -> None:
    seconds = np.arange(10_000) / 1000
    high = np.sin(2 * np.pi * 400 * seconds).astype(np.float32)[:, np.newaxis]
    assert np.abs(resample(high, 1000.0, 500.0)[100:-100]).max() < 0.02


def test_a_band_keeps_its_middle_and_shifts_nothing() -> None:
    seconds = np.arange(5000) / 500
    inside = np.sin(2 * np.pi * 10 * seconds)
    mixed = inside + np.sin(2 * np.pi * 0.1 * seconds) + np.sin(2 * np.pi * 120 * seconds)
    passed = band_pass(mixed.astype(np.float32)[:, np.newaxis], 500.0, 1.0, 40.0)
    np.testing.assert_allclose(passed[500:-500, 0], inside[500:-500], atol=0.06)


def test_a_corner_above_nyquist_is_left_open() -> None:
    samples = ecg(frequency_hz=200.0).samples
    assert np.allclose(band_pass(samples, 200.0, None, 100.0), samples)


# calibration pulse


def with_pulse(record: ECGRecord, height_mv: float = 1.0, width_s: float = 0.2) -> ECGRecord:
    pulse = np.zeros((round(0.5 * record.sampling_frequency_hz), len(record.leads)), np.float32)
    start = round(0.15 * record.sampling_frequency_hz)
    pulse[start : start + round(width_s * record.sampling_frequency_hz)] = height_mv
    return ECGRecord(
        samples=np.concatenate((record.samples, pulse)),
        leads=record.leads,
        sampling_frequency_hz=record.sampling_frequency_hz,
    )


@pytest.mark.parametrize("frequency_hz", [250.0, 500.0, 1000.0])
def test_a_calibration_pulse_at_the_end_is_cut_off(frequency_hz: float) -> None:
    record = ecg(frequency_hz=frequency_hz)
    trimmed = trim_calibration_pulse(with_pulse(record))
    assert np.array_equal(trimmed.samples, record.samples)


@pytest.mark.parametrize(
    "record",
    [
        ecg(),
        with_pulse(ecg(), height_mv=0.0),
        with_pulse(ecg(), height_mv=0.5),
        with_pulse(ecg(), width_s=0.02),
        with_pulse(ecg(leads=(Lead.I,))),
    ],
    ids=["none", "zeros", "half a millivolt", "a spike", "one lead"],
)
def test_anything_else_is_left_as_it_is(record: ECGRecord) -> None:
    assert trim_calibration_pulse(record) is record


@pytest.mark.parametrize(
    ("file", "end_s"),  # read off plots of the recordings
    [
        ("philips_mrx_129DYPRG.dcm", 10.53),
        ("philips_pagewriter_zzdemo.dcm", 10.6),
        ("philips_pagewriter_f.dcm", 10.6),
    ],
)
def test_the_pulse_of_philips_recordings_is_cut_off(shared: Path, file: str, end_s: float) -> None:
    content = (shared / "data" / "ecg_dicom" / "derived" / file).read_bytes()
    trimmed = trim_calibration_pulse(read_ecg(read_part10(content)))
    assert trimmed.duration_s == pytest.approx(end_s, abs=0.02)
