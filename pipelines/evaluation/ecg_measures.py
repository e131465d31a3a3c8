"""What a reader measures on a 12-lead ECG: rate, durations, axes and voltage of its median beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from node.domain.ecg import ECGRecord, Lead
from node.ecg.beats import detect_beats
from node.ecg.conditioning import band_pass, fill_gaps, resample
from node.ecg.median_beat import INDEPENDENT, aligned_beats

Array = NDArray[np.float64]

FINE_HZ: Final = 1000.0
"""Time steps of the median beat: durations are told apart to the millisecond."""
BEFORE_S: Final = 0.32
AFTER_S: Final = 0.56
"""Of the beat, from the middle of its QRS complex; a fast heart leaves less of it free."""
BAND_HZ: Final = (0.5, 40.0)
FAST: Final = 0.18
"""Of the vector's fastest speed: it surely belongs to the QRS complex."""
PAUSE_S: Final = 0.04
"""Between two fast moments of one complex: a bundle branch block has a plateau."""
SLOPE_S: Final = 0.045
"""From the last fast moment to the end of the complex, at most."""
QUIET_RUN_S: Final = 0.008
"""So long it must be slow: the vector also stops for a moment where it turns round."""
SLOW: Final = 0.05
"""Of the vector's fastest speed: slower, and it is not the QRS complex."""
OVER_QUIET: Final = 1.8
"""Nor is what is slower than so many times the beat's quiet parts: noise moves the vector too."""
P_WINDOW_S: Final = (0.26, 0.03)
"""Before the onset of the QRS complex."""
P_SHORTEST_S: Final = 0.08
"""Of the window; with less before a very wide complex nothing is looked for."""
P_EDGE: Final = 0.2
"""Of its fastest speed: slower, and the P wave has not begun."""
P_MINIMUM_MV: Final = 0.05
"""What is lower in every lead is no P wave."""
ST_S: Final = 0.04
"""From the end of the QRS complex to where the T wave may begin."""
BASELINE: Final = 6
"""Samples before the onset whose mean is 0 mV."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MedianBeat:
    """(n, 12) millivolts every 1/FINE_HZ s, 0 at the onset of the QRS complex."""

    samples: Array
    rr_s: Array
    """(beats - 1,) of all beats, extrasystoles too."""
    onset: int
    end: int
    """Samples of the QRS complex: from onset up to, not including, end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ECGMeasures:
    """Of one recording."""

    heart_rate_bpm: float
    rr_spread: float
    """Mean change from one RR interval to the next, over the mean RR interval."""
    qrs_duration_ms: float
    pq_ms: float
    """NaN without a P wave."""
    qt_ms: float
    """NaN without a T wave."""
    qrs_axis_deg: float
    t_axis_deg: float
    """In the frontal plane: 0 to the left, 90 to the feet."""
    sokolow_lyon_mv: float
    """S in V1 + the larger R of V5 and V6."""
    p_wave_mv: float
    """Largest deflection in any lead where the P wave should be."""


def measure_ecg(record: ECGRecord) -> ECGMeasures | None:
    """All measures of a recording with twelve leads; None with fewer than three alike beats."""
    beat = median_beat(record)
    if beat is None:
        return None
    complex_ = beat.samples[beat.onset : beat.end]
    pq_samples, p_wave_mv = _p_wave(beat)
    t_end = _t_end(beat)
    t_wave = beat.samples[beat.end + round(ST_S * FINE_HZ) : t_end]
    lead = {lead: complex_[:, index] for index, lead in enumerate(Lead)}
    tall = max(lead[Lead.V5].max(), lead[Lead.V6].max(), 0.0)
    return ECGMeasures(
        heart_rate_bpm=float(60.0 / np.median(beat.rr_s)),
        rr_spread=float(np.abs(np.diff(beat.rr_s)).mean() / beat.rr_s.mean()),
        qrs_duration_ms=(beat.end - beat.onset) * 1000.0 / FINE_HZ,
        pq_ms=np.nan if pq_samples is None else pq_samples * 1000.0 / FINE_HZ,
        qt_ms=np.nan if t_end is None else (t_end - beat.onset) * 1000.0 / FINE_HZ,
        qrs_axis_deg=frontal_axis_deg(complex_),
        t_axis_deg=np.nan if t_end is None else frontal_axis_deg(t_wave),
        sokolow_lyon_mv=float(tall - min(lead[Lead.V1].min(), 0.0)),
        p_wave_mv=p_wave_mv,
    )


def frontal_axis_deg(wave: Array) -> float:
    """Direction of the area under leads I and aVF, (n, 12); aVF sees the height 2/√3 too small."""
    one, foot = wave[:, list(Lead).index(Lead.I)].sum(), wave[:, list(Lead).index(Lead.AVF)].sum()
    return float(np.degrees(np.arctan2(2.0 / np.sqrt(3.0) * foot, one)))


def median_beat(record: ECGRecord) -> MedianBeat | None:
    """The median of all beats of the usual shape; None with fewer than three of them."""
    beats = detect_beats(record)
    if len(beats) < 4:
        return None
    rr_s = np.diff(beats) / record.sampling_frequency_hz
    steady = band_pass(fill_gaps(record.samples), record.sampling_frequency_hz, *BAND_HZ)
    signal = resample(steady.astype(np.float32), record.sampling_frequency_hz, FINE_HZ)
    middles = np.rint(beats * (FINE_HZ / record.sampling_frequency_hz)).astype(np.int64)
    windows = aligned_beats(
        signal, middles, frequency_hz=FINE_HZ, before_s=BEFORE_S, after_s=AFTER_S
    )
    if len(windows) < 3:
        return None
    samples = np.median(windows, axis=0)
    onset, end = _qrs_bounds(_speed(samples))
    return MedianBeat(
        samples=samples - samples[onset - BASELINE : onset + 1].mean(axis=0),
        rr_s=rr_s,
        onset=onset,
        end=end,
    )


def _qrs_bounds(speed: Array) -> tuple[int, int]:
    """Onset and end of the QRS complex in the speed of a beat's vector, (n,) mV/s.

    From the fastest moment both ways over all that is fast, then until the vector stays slow.
    """
    middle, near = round(BEFORE_S * FINE_HZ), round(0.06 * FINE_HZ)
    fastest = middle - near + int(speed[middle - near : middle + near].argmax())
    slow = max(SLOW * speed[fastest], OVER_QUIET * float(np.quantile(speed, 0.25)))
    fast = max(FAST * speed[fastest], slow)
    before, after = speed[: fastest + 1][::-1], speed[fastest:]
    return fastest - _reach(before, fast, slow), fastest + _reach(after, fast, slow)


def _reach(speed: Array, fast: float, slow: float) -> int:
    """Samples to where the complex ends; its slopes are cut short where no slow part follows."""
    moments = np.flatnonzero(speed > fast)
    pauses = np.flatnonzero(np.diff(moments) > round(PAUSE_S * FINE_HZ))
    edge = int(moments[pauses[0]] if pauses.size else moments[-1])
    slope = speed[edge : edge + round(SLOPE_S * FINE_HZ)]
    run = round(QUIET_RUN_S * FINE_HZ)
    quiet = np.convolve(slope < slow, np.ones(run), "valid") == run
    return edge + (int(quiet.argmax()) if quiet.any() else int(slope.argmin()))


def _speed(samples: Array) -> Array:
    """(n,) mV/s at which the heart's vector moves, over the eight independent leads."""
    change = np.gradient(samples[:, INDEPENDENT], axis=0) * FINE_HZ
    speed: Array = uniform_filter1d(np.sqrt((change**2).sum(axis=1)), 5)
    return speed


def _t_end(beat: MedianBeat) -> int | None:
    """Where the steepest fall of the T wave meets the level after it (the tangent method)."""
    size = np.sqrt((beat.samples[:, INDEPENDENT] ** 2).mean(axis=1))
    size = uniform_filter1d(size, 15)
    first = beat.end + round(0.06 * FINE_HZ)
    next_p = round((BEFORE_S + float(np.median(beat.rr_s)) - 0.2) * FINE_HZ)
    last = min(len(size), max(next_p, first + round(0.12 * FINE_HZ)))
    if last - first < 0.1 * FINE_HZ:
        return None
    peak = first + int(size[first:last].argmax())
    fall = np.gradient(size)[peak:last]
    if not len(fall) or fall.min() >= 0.0:
        return None
    steepest = peak + int(fall.argmin())
    floor = float(size[steepest:last].min())
    reach = (float(size[steepest]) - floor) / -float(fall.min())
    return min(last, steepest + round(reach))


def _p_wave(beat: MedianBeat) -> tuple[int | None, float]:
    """Samples from its onset to the QRS complex, and its largest deflection in mV.

    The P wave stands on the line between the two ends of its window; it begins where the vector
    first moves, which the slow sway left by filters does not make it do.
    """
    first, last = (beat.onset - round(s * FINE_HZ) for s in P_WINDOW_S)
    first = max(first, 0)
    if last - first < P_SHORTEST_S * FINE_HZ:
        return None, 0.0
    window = uniform_filter1d(beat.samples[first:last], 15, axis=0)
    line = np.linspace(window[:10].mean(axis=0), window[-5:].mean(axis=0), len(window))
    height = float(np.abs(window - line).max())
    if height < P_MINIMUM_MV:
        return None, height
    speed = uniform_filter1d(_speed(window), 15)
    fastest = int(speed.argmax())
    moving = np.flatnonzero(speed[: fastest + 1] > P_EDGE * speed[fastest])[::-1]
    pauses = np.flatnonzero(-np.diff(moving) > round(PAUSE_S * FINE_HZ))
    begin = int(moving[pauses[0]] if pauses.size else moving[-1])
    return (beat.onset - first - begin if begin else None), height
