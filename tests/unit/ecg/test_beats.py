from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from node.dicom.part10 import read_part10
from node.dicom.waveform import read_ecg
from node.domain.ecg import ECGRecord, Lead
from node.ecg.beats import detect_beats, heart_rate_bpm
from node.ecg.conditioning import trim_calibration_pulse
from tests.unit.ecg.beat_phantom import beat_times_s, changed, ecg


@pytest.mark.parametrize("rate_bpm", [30.0, 45.0, 70.0, 110.0, 180.0, 220.0])
@pytest.mark.parametrize("frequency_hz", [200.0, 500.0, 1000.0])
def test_every_beat_is_found_where_it_was_put(rate_bpm: float, frequency_hz: float) -> None:
    record = ecg(rate_bpm=rate_bpm, frequency_hz=frequency_hz)
    found_s = detect_beats(record) / frequency_hz
    expected_s = beat_times_s(rate_bpm, 10.0)
    assert len(found_s) == len(expected_s)
    np.testing.assert_allclose(found_s, expected_s, atol=0.03)
    assert heart_rate_bpm(record) == pytest.approx(rate_bpm, rel=0.02)


def test_one_wild_lead_does_not_hide_the_beats() -> None:
    record = ecg()
    wild = np.random.Generator(np.random.Philox(3)).normal(0, 5.0, len(record.samples))
    beats_s = detect_beats(changed(record, V3=wild)) / 500
    np.testing.assert_allclose(beats_s, beat_times_s(70.0, 10.0), atol=0.03)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("n_leads", [1, 12])
def test_noise_has_no_beats(seed: int, n_leads: int) -> None:
    noise = np.random.Generator(np.random.Philox(seed)).normal(0, 0.1, (5000, n_leads))
    record = ECGRecord(
        samples=noise.astype(np.float32),
        leads=tuple(Lead)[:n_leads],
        sampling_frequency_hz=500.0,
    )
    assert len(detect_beats(record)) <= (0 if n_leads == 12 else 3)


def test_a_flat_or_tiny_record_has_no_rate() -> None:
    for n_samples in (0, 3, 5000):
        flat = np.zeros((n_samples, 2), np.float32)
        record = ECGRecord(samples=flat, leads=(Lead.I, Lead.II), sampling_frequency_hz=500.0)
        assert len(detect_beats(record)) == 0
        assert heart_rate_bpm(record) is None


@pytest.mark.parametrize(
    ("file", "n_beats"),  # counted by eye on plots of the recordings
    [
        ("mortara_eli250_1000hz.dcm", 10),
        ("ge_mv360_muse9_12lead.dcm", 12),
        ("ecgtoolkit_implicitvr.dcm", 12),
        ("derived/philips_mrx_129DYPRG.dcm", 7),
        ("derived/philips_pagewriter_f.dcm", 7),
        ("derived/philips_pagewriter_zzdemo.dcm", 14),
        ("derived/ge_muse_250hz.dcm", 12),
        ("derived/wfdb_georgia_E07514.dcm", 19),
    ],
)
def test_the_beats_of_real_recordings_are_counted_as_by_eye(
    shared: Path, file: str, n_beats: int
) -> None:
    record = read_ecg(read_part10((shared / "data" / "ecg_dicom" / file).read_bytes()))
    assert len(detect_beats(trim_calibration_pulse(record))) == n_beats
