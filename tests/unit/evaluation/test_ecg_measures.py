"""A reader's measures, against dipoles with known answers and what devices wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from node.dicom.waveform import read_ecg
from node.domain.ecg import STANDARD_LEADS, ECGRecord
from node.ecg.conditioning import trim_calibration_pulse
from pipelines.evaluation.ecg_measures import ECGMeasures, measure_ecg
from pipelines.preprocessing import RECIPES, condition
from tests.unit.evaluation.vector_phantom import PQ_S, RATE_BPM, ecg, qt_s


def measured(record: ECGRecord) -> ECGMeasures:
    found = measure_ecg(record)
    assert found is not None
    return found


def conditioned(record: ECGRecord) -> ECGRecord:
    return ECGRecord(
        samples=condition(record, RECIPES["cardionode-1"]).T.copy(),
        leads=STANDARD_LEADS,
        sampling_frequency_hz=250.0,
    )


@pytest.mark.parametrize("noise_mv", [0.0, 0.01])
@pytest.mark.parametrize("width_ms", [70, 90, 110, 130, 150])
def test_the_duration_of_a_qrs_complex_is_known_to_10_ms(width_ms: int, noise_mv: float) -> None:
    record = ecg(qrs_s=width_ms / 1000.0, noise_mv=noise_mv)
    assert measured(record).qrs_duration_ms == pytest.approx(width_ms, abs=10)
    assert measured(conditioned(record)).qrs_duration_ms == pytest.approx(width_ms, abs=10)


@pytest.mark.parametrize("axis_deg", [-150.0, -60.0, 0.0, 45.0, 90.0, 120.0])
def test_a_rotated_dipole_has_its_axis(axis_deg: float) -> None:
    found = measured(conditioned(ecg(axis_deg=axis_deg)))
    assert found.qrs_axis_deg == pytest.approx(axis_deg, abs=4)
    # A high-pass filter leaves a slope after a complex of large area, so the T wave is looked at
    # after a small one.
    small = measured(ecg(axis_deg=40.0, t_axis_deg=axis_deg, size=0.6))
    assert small.heart_rate_bpm == pytest.approx(RATE_BPM, abs=0.5)
    assert small.t_axis_deg == pytest.approx(axis_deg, abs=8)


def test_rate_and_intervals_are_those_of_the_phantom() -> None:
    found = measured(conditioned(ecg(qrs_s=0.1)))
    assert found.heart_rate_bpm == pytest.approx(RATE_BPM, abs=0.5)
    assert found.pq_ms == pytest.approx(1000.0 * PQ_S, abs=12)
    # The tangent leaves out the T wave's foot.
    assert 1000.0 * qt_s(0.1) - 35.0 < found.qt_ms < 1000.0 * qt_s(0.1) + 5.0
    assert found.rr_spread < 0.01


def test_without_atrial_waves_there_is_no_pq_interval() -> None:
    found = measured(ecg(p_mv=0.0))
    assert np.isnan(found.pq_ms)
    assert found.p_wave_mv < 0.03


def test_voltage_is_s_in_v1_and_r_in_v5_or_v6() -> None:
    """Against the clean recording's own extremes."""
    record = ecg(noise_mv=0.0)
    v1, v5, v6 = (record.samples[:, k] for k in (6, 10, 11))
    expected = float(max(v5.max(), v6.max()) - v1.min())
    assert measured(record).sokolow_lyon_mv == pytest.approx(expected, rel=0.03)
    assert measured(ecg(size=2.0, noise_mv=0.0)).sokolow_lyon_mv > 1.8 * expected


def test_a_recording_with_few_beats_has_no_measures() -> None:
    record = ecg()
    short = ECGRecord(
        samples=record.samples[:1200].copy(), leads=STANDARD_LEADS, sampling_frequency_hz=500.0
    )
    silent = ECGRecord(
        samples=np.zeros((5000, 12), np.float32), leads=STANDARD_LEADS, sampling_frequency_hz=500.0
    )
    assert measure_ecg(short) is None
    assert measure_ecg(silent) is None


# What the devices wrote: rate, PQ, QRS, QT, QRS axis, T axis. The first two and GE's in annotations
# of the file, Philips' in the XML that the file was converted from. Not used: the objects whose
# annotations are of another recording or of none (ecg2dcm_synthetic_muse was drawn, not measured).
WRITTEN = {
    "ecgtoolkit_implicitvr": (71, 148, 120, 420, -61, 86),
    "mortara_eli250_1000hz": (61, 161, 75, 368, 52, 57),
    "derived/ge_muse_250hz": (69, 180, 56, 388, 64, 61),
    "derived/philips_pagewriter_zzdemo": (None, None, 84, 352, 78, 67),
    "derived/philips_pagewriter_f": (41, None, 102, 564, 85, 53),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_real_recordings_measure_as_their_devices_wrote(shared: Path, name: str) -> None:
    record = read_ecg(pydicom.dcmread(shared / "data" / "ecg_dicom" / f"{name}.dcm"))
    found = measured(trim_calibration_pulse(record))
    rate, pq_ms, qrs_ms, qt_ms, axis_deg, t_axis_deg = WRITTEN[name]
    assert found.qrs_duration_ms == pytest.approx(qrs_ms, abs=8)
    assert qt_ms - 40 < found.qt_ms < qt_ms + 10  # devices end T where its foot ends
    assert found.qrs_axis_deg == pytest.approx(axis_deg, abs=15)
    assert found.t_axis_deg == pytest.approx(t_axis_deg, abs=8)
    if rate is not None:
        assert found.heart_rate_bpm == pytest.approx(rate, abs=2)
    if pq_ms is not None:
        assert found.pq_ms == pytest.approx(pq_ms, abs=14)
