"""The quality gate: named findings about one ECG, and whether a model may see it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, minimum_filter1d, uniform_filter1d

from node.domain.ecg import (
    STANDARD_LEADS,
    ECGRecord,
    Finding,
    Lead,
    QualityReport,
    Severity,
    derive_limb_leads,
)
from node.ecg.beats import detect_beats
from node.ecg.conditioning import band_pass, fill_gaps, trim_calibration_pulse

STANDARD_RATE_HZ: Final = 200.0
"""PS3.3 A.34.3: 200 to 1000 Hz."""
LOWEST_RATE_HZ: Final = 100.0
"""Half of it reaches 50 Hz; the band of a monitor ends at 40 Hz (AHA/ACC/HRS 2007)."""
GAP_SHARE: Final = 0.05
"""Half a second out of ten: at most one beat is drawn as a straight line."""
FLAT_S: Final = 3.0
FLAT_MV: Final = 0.03
"""Less than a third of a millimetre of paper for 3 s, where even 20 beats a minute show one."""
RAIL_MV: Final = 1.5
RAIL_RUN_S: Final = 0.01
RAIL_SHARE: Final = 0.005
"""A wave of 1.5 mV, 160 ms wide, stays within 5 µV of its top for 7 ms: 10 ms is a rail. Half a
percent of 10 s is 50 ms: a clipped peak in most of ten beats."""
WANDER_BAND_HZ: Final = 0.5
WANDER_MV: Final = 1.5
POOR_CONTACT_MV: Final = 4.0
OFFSET_MV: Final = 5.0
"""Wander is the range of the band below 0.5 Hz (AHA/ACC/HRS 2007: where heart signal begins). 15 mm
of paper are noted; 40 mm, or a trace 50 mm off, leave the sheet: the electrode has no contact."""
HIGHEST_MV: Final = 10.0
"""Peak to peak; twice the tallest beat among our recordings (5.5 mV), above any hypertrophy."""
LOWEST_MV: Final = 0.15
"""Peak to peak of the tallest lead; low voltage begins at 0.5 mV: this is no ECG, or a wrong
unit."""
NOISE_BAND_HZ: Final = (40.0, 100.0)
NOISE_WINDOW_S: Final = 0.05
NOISE_MV: Final = 0.02
NOISE_REFUSED_MV: Final = 0.15
"""Median over the record of the RMS of 50 ms, three periods of mains: beats do not move it. Five
times it is the thickness of the trace: 1 mm hides small P waves, 7.5 mm all but the QRS."""
LIMB_MV: Final = 0.03
LIMB_SHARE: Final = 0.5
"""RMS of a limb lead minus what I and II give, both without wander. Rounding makes up to 4 µV in
devices that round each lead; half of the lead's own RMS means another lead, or another time."""
RATE_BPM: Final = (30.0, 220.0)
NARROW_BAND_HZ: Final = 40.0
REVERSED_MV: Final = 0.1
"""Net QRS (R + S) of one millimetre has a direction."""

_EINTHOVEN: Final = (Lead.III, Lead.AVR, Lead.AVL, Lead.AVF)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trace:
    """What the checks look at: the record without calibration pulse, and bands of it."""

    record: ECGRecord
    filled: NDArray[np.float32]
    beats: NDArray[np.int64]

    def band(self, low_hz: float | None, high_hz: float | None) -> NDArray[np.float64]:
        return band_pass(self.filled, self.record.sampling_frequency_hz, low_hz, high_hz)

    def leads(self, chosen: NDArray[np.bool_]) -> tuple[Lead, ...]:
        return tuple(lead for lead, hit in zip(self.record.leads, chosen, strict=True) if hit)


def assess(record: ECGRecord, *, minimum_duration_s: float) -> QualityReport:
    """The findings about one ECG, each with the leads it concerns.

    Looks at the record without its calibration pulse; one sample less than the minimum duration
    is still enough. Refused: what no model input can be made of. Noted: what a reader should know.
    """
    trimmed = trim_calibration_pulse(record)
    findings = list(_shape_findings(trimmed, minimum_duration_s))
    if trimmed is not record:
        findings.append(_note("calibration-pulse", "Calibration pulse at the end was cut off."))
    if record.low_pass_hz is not None and record.low_pass_hz <= NARROW_BAND_HZ:
        findings.append(
            _note(
                "filtered-narrow",
                f"The device filtered above {record.low_pass_hz:g} Hz, which changes the QRS.",
            )
        )
    if trimmed.duration_s >= 1 and trimmed.sampling_frequency_hz >= LOWEST_RATE_HZ:
        trace = _Trace(
            record=trimmed, filled=fill_gaps(trimmed.samples), beats=detect_beats(trimmed)
        )
        for check in (_contact, _amplitude, _noise, _limb_leads, _rhythm, _reversal):
            findings.extend(check(trace))
    return QualityReport(findings=tuple(findings))


def _refuse(code: str, message: str, leads: tuple[Lead, ...] = ()) -> Finding:
    return Finding(code=code, severity=Severity.REFUSE, message=message, leads=leads)


def _note(code: str, message: str, leads: tuple[Lead, ...] = ()) -> Finding:
    return Finding(code=code, severity=Severity.NOTE, message=message, leads=leads)


def _names(leads: tuple[Lead, ...]) -> str:
    return ", ".join(lead.value for lead in leads)


def _shape_findings(record: ECGRecord, minimum_duration_s: float) -> Iterator[Finding]:
    """Missing leads, duration, sampling rate, gaps: what needs no signal processing."""
    if missing := tuple(lead for lead in STANDARD_LEADS if lead not in record.leads):
        yield _refuse("lead-missing", f"Not recorded: {_names(missing)}.", missing)
    if (len(record.samples) + 1) / record.sampling_frequency_hz < minimum_duration_s:
        yield _refuse(
            "too-short", f"{record.duration_s:.1f} s recorded, {minimum_duration_s:g} s needed."
        )
    if record.sampling_frequency_hz < STANDARD_RATE_HZ:
        severity = _note if record.sampling_frequency_hz >= LOWEST_RATE_HZ else _refuse
        yield severity(
            "low-sampling-rate", f"Sampled at {record.sampling_frequency_hz:g} Hz, below 200 Hz."
        )
    absent = np.isnan(record.samples)
    if absent.any():
        share = absent.mean(axis=0)
        leads = tuple(lead for lead, part in zip(record.leads, share, strict=True) if part > 0)
        severity = _refuse if share.max() > GAP_SHARE else _note
        yield severity("gaps", f"Up to {share.max():.1%} of a lead is missing.", leads)


def _contact(trace: _Trace) -> Iterator[Finding]:
    """Flat leads, rails, wandering or far-off baselines."""
    frequency_hz = trace.record.sampling_frequency_hz
    width = min(round(FLAT_S * frequency_hz), len(trace.filled))
    swing = _least_swing(trace.band(1.0, 30.0), width)
    if flat := trace.leads(swing < FLAT_MV):
        yield _refuse("flat-lead", f"No signal for {FLAT_S:g} s or more: {_names(flat)}.", flat)
    if clipped := trace.leads(_rail_share(trace) >= RAIL_SHARE):
        yield _refuse("saturated", f"Clipped at the recorder's limit: {_names(clipped)}.", clipped)
    wander = np.ptp(trace.band(None, WANDER_BAND_HZ), axis=0)
    offset = np.abs(np.median(trace.filled, axis=0))
    bad = (wander > POOR_CONTACT_MV) | (offset > OFFSET_MV)
    if poor := trace.leads(bad):
        yield _refuse("poor-contact", f"The baseline leaves the sheet: {_names(poor)}.", poor)
    if wandering := trace.leads((wander > WANDER_MV) & ~bad):
        yield _note("baseline-wander", f"Wandering baseline: {_names(wandering)}.", wandering)


def _least_swing(samples: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """(n_leads,) smallest peak-to-peak of any stretch of `width` samples."""
    swing = maximum_filter1d(samples, width, axis=0) - minimum_filter1d(samples, width, axis=0)
    first, last = width // 2, len(samples) - (width - width // 2) + 1
    least: NDArray[np.float64] = swing[first:last].min(axis=0)
    return least


def _rail_share(trace: _Trace) -> NDArray[np.float64]:
    """(n_leads,) share of the time in which a lead rests at its own extreme value."""
    shortest = max(2, round(RAIL_RUN_S * trace.record.sampling_frequency_hz))
    share = np.zeros(len(trace.record.leads))
    for column, samples in enumerate(trace.record.samples.T):
        present = samples[~np.isnan(samples)]
        if not len(present):
            continue
        for extreme in (present.max(), present.min()):
            if abs(extreme) < RAIL_MV:
                continue
            edges = np.flatnonzero(np.diff(samples == extreme, prepend=False, append=False))
            lengths = edges[1::2] - edges[::2]
            share[column] += lengths[lengths >= shortest].sum() / len(samples)
    return share


def _amplitude(trace: _Trace) -> Iterator[Finding]:
    height = np.ptp(trace.band(WANDER_BAND_HZ, None), axis=0)
    if tall := trace.leads(height > HIGHEST_MV):
        yield _refuse(
            "implausible-amplitude", f"Taller than {HIGHEST_MV:g} mV: {_names(tall)}.", tall
        )
    if height.max() < LOWEST_MV:
        yield _refuse("implausible-amplitude", f"No lead is taller than {LOWEST_MV:g} mV.")


def _noise(trace: _Trace) -> Iterator[Finding]:
    width = max(1, round(NOISE_WINDOW_S * trace.record.sampling_frequency_hz))
    power = uniform_filter1d(trace.band(*NOISE_BAND_HZ) ** 2, width, axis=0)
    deviation = np.sqrt(np.median(np.maximum(power, 0), axis=0))
    if drowned := trace.leads(deviation > NOISE_REFUSED_MV):
        yield _refuse("high-frequency-noise", f"Buried in noise: {_names(drowned)}.", drowned)
    elif noisy := trace.leads(deviation > NOISE_MV):
        yield _note("high-frequency-noise", f"Muscle or mains noise: {_names(noisy)}.", noisy)


def _limb_leads(trace: _Trace) -> Iterator[Finding]:
    """Recorded III, aVR, aVL and aVF against Einthoven's and Goldberger's equations."""
    recorded = trace.record.leads
    if Lead.I not in recorded or Lead.II not in recorded:
        return
    pair = (recorded.index(Lead.I), recorded.index(Lead.II))
    steady = trace.band(WANDER_BAND_HZ, None).astype(np.float32)
    expected, derived = derive_limb_leads(steady[:, pair], (Lead.I, Lead.II))
    wrong, off = [], []
    for lead in _EINTHOVEN:
        if lead not in recorded:
            continue
        own = steady[:, recorded.index(lead)]
        residual = float(np.std(own - expected[:, derived.index(lead)]))
        if residual > max(LIMB_MV, LIMB_SHARE * float(np.std(own))):
            wrong.append(lead)
        elif residual > LIMB_MV:
            off.append(lead)
    code = "limb-leads-inconsistent"
    if wrong:
        yield _refuse(code, f"Does not follow from I and II: {_names(tuple(wrong))}.", tuple(wrong))
    if off:
        yield _note(code, f"Differs from what I and II give: {_names(tuple(off))}.", tuple(off))


def _rhythm(trace: _Trace) -> Iterator[Finding]:
    if len(trace.beats) < 2:
        yield _refuse("no-beats", "Fewer than two heart beats were found.")
        return
    rate = 60 * trace.record.sampling_frequency_hz / float(np.median(np.diff(trace.beats)))
    if not RATE_BPM[0] <= rate <= RATE_BPM[1]:
        yield _note("implausible-heart-rate", f"The heart rate measures {rate:.0f} per minute.")


def _reversal(trace: _Trace) -> Iterator[Finding]:
    """Right and left arm swapped: I turns over, aVR stands up, V6 stays as it was.

    The same picture is made by marked right axis deviation, hence a note.
    """
    wanted = (Lead.I, Lead.AVR, Lead.V6)
    if not len(trace.beats) or any(lead not in trace.record.leads for lead in wanted):
        return
    one, avr, v6 = (_net_qrs_mv(trace, lead) for lead in wanted)
    if one < -REVERSED_MV and avr > REVERSED_MV and v6 > REVERSED_MV:
        yield _note(
            "lead-reversal-suspected",
            "QRS is negative in I and positive in aVR: arm electrodes may be swapped.",
            (Lead.I, Lead.AVR),
        )


def _net_qrs_mv(trace: _Trace, lead: Lead) -> float:
    """R plus S of the median beat, from the level 100 to 60 ms before it."""
    samples = trace.filled[:, trace.record.leads.index(lead)]
    before, half = (round(s * trace.record.sampling_frequency_hz) for s in (0.1, 0.06))
    nets = []
    for beat in trace.beats:
        if beat < before or beat + half >= len(samples):
            continue
        level = np.median(samples[beat - before : beat - half])
        qrs = samples[beat - half : beat + half] - level
        nets.append(float(qrs.max() + qrs.min()))
    return float(np.median(nets)) if nets else 0.0
