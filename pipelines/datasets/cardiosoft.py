"""Resting ECGs of GE CardioSoft as XML, which is UK Biobank's field 20205."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from node.domain.ecg import ECGRecord, Lead, Subject
from node.domain.errors import UnusableData
from pipelines.datasets.leads import lead_named, twelve_leads
from pipelines.datasets.recording import Measurement

MICROVOLTS_PER_COUNT: Final = "uVperLsb"
MISSING_COUNT: Final = -32768
"""The lowest 16-bit number: "no sample" in SCP-ECG and HL7 aECG, and a rail otherwise."""
AGE_YEARS: Final = {"YEARS": 1.0, "MONTHS": 1 / 12, "DAYS": 1 / 365.25}
SEXES: Final = {"MALE": "M", "M": "M", "FEMALE": "F", "F": "F"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RestingECG:
    """One file: its rhythm strip, its subject, and what the device measured."""

    ecg: ECGRecord
    subject: Subject
    measurements: Mapping[str, Measurement] = field(repr=False)
    """Rates, intervals and axes, by element name, with the unit that the element states."""


def read_resting_ecg(content: bytes) -> RestingECG:
    """Decode one CardioSoft file.

    Raises UnusableData (no such file, no or several strips, another unit, a missing or doubled
    lead, another number of leads or samples than declared, a count that is no whole number).
    """
    root = parse_xml(content)
    if root.tag != "CardiologyXML":
        raise UnusableData("the root is not CardiologyXML; export as CardioSoft XML")
    return RestingECG(
        ecg=_rhythm(_child(root, "StripData"), root.find(".//FilterSetting")),
        subject=_subject(root.find(".//PatientInfo")),
        measurements=_measurements(root.find("RestingECGMeasurements")),
    )


def parse_xml(content: bytes) -> Element:
    """The root element. Raises UnusableData: not well-formed, or it declares an entity.

    A DOCTYPE alone is allowed, nothing outside the file is ever read; refused entities cannot
    expand ("billion laughs").
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = _refuse_entity
    parser.buffer_text = True
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise UnusableData("the file is not well-formed XML, or it is cut short") from error
    root: Element = builder.close()
    return root


def _refuse_entity(*_declaration: object) -> None:
    raise UnusableData("the XML declares an entity; an ECG needs none")


def _rhythm(strip: Element, filters: Element | None) -> ECGRecord:
    """Counts × Resolution in µV per count, as millivolts; nothing is assumed."""
    frequency_hz = _quantity(strip, "SampleRate", "Hz")
    gain_mv = _quantity(strip, "Resolution", MICROVOLTS_PER_COUNT) / 1000
    n_samples = _count(strip, "ChannelSampleCountTotal")
    waveforms = strip.findall("WaveformData")
    if len(waveforms) != _count(strip, "NumberOfLeads"):
        raise UnusableData("NumberOfLeads is not the number of WaveformData")
    columns: dict[Lead, NDArray[np.float64]] = {}
    for waveform in waveforms:
        lead = lead_named(waveform.get("lead"))
        if lead is None:
            continue
        if lead in columns:
            raise UnusableData(f"lead {lead.value} comes twice")
        columns[lead] = _millivolts(waveform, lead, n_samples, gain_mv)
    return twelve_leads(
        columns,
        frequency_hz,
        high_pass_hz=_stated_hz(filters, "HighPass"),
        low_pass_hz=_stated_hz(filters, "LowPass"),
        notch_hz=_notch_hz(filters),
    )


def _subject(patient: Element | None) -> Subject:
    """A value without a known unit, or an implausible one, counts as absent."""
    if patient is None:
        return Subject()
    return Subject(
        age_years=_plausible(patient, "Age", AGE_YEARS, (0.0, 130.0)),
        sex=SEXES.get(_text(patient, "Gender").upper()),
        height_cm=_plausible(patient, "Height", {"CM": 1.0, "M": 100.0}, (30.0, 250.0)),
        weight_kg=_plausible(patient, "Weight", {"KG": 1.0, "G": 1e-3}, (1.0, 400.0)),
    )


def _measurements(table: Element | None) -> dict[str, Measurement]:
    """The numbers of the table; its text, and what it nests (the median beats), stay out."""
    found: dict[str, Measurement] = {}
    for element in [] if table is None else list(table):
        value = _number(element.text)
        if value is not None and not len(element):
            found[element.tag] = Measurement(value=value, unit=element.get("units") or "")
    return found


def _child(parent: Element, tag: str) -> Element:
    found = parent.findall(tag)
    if len(found) != 1:
        raise UnusableData(f"{len(found)} {tag} in {parent.tag} where one is expected")
    return found[0]


def _text(parent: Element, tag: str) -> str:
    return (parent.findtext(tag) or "").strip()


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _quantity(parent: Element, tag: str, unit: str) -> float:
    """A number above 0 in the unit that the element must state."""
    element = _child(parent, tag)
    if (element.get("units") or "").strip() != unit:
        raise UnusableData(f"{tag} is not in {unit}; it is not guessed")
    number = _number(element.text)
    if number is None or number <= 0:
        raise UnusableData(f"{tag} is not a number above 0")
    return number


def _count(parent: Element, tag: str) -> int:
    text = (_child(parent, tag).text or "").strip()
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise UnusableData(f"{tag} is not a whole number")
    return int(text)


def _millivolts(
    waveform: Element, lead: Lead, n_samples: int, gain_mv: float
) -> NDArray[np.float64]:
    """(n_samples,) of one lead, NaN where the count says "no sample"."""
    tokens = (waveform.text or "").strip().removesuffix(",").split(",")
    try:
        counts = np.array([int(token) for token in tokens], np.float64)
    except (OverflowError, ValueError) as error:
        raise UnusableData(f"lead {lead.value} holds a sample that is no whole number") from error
    if len(counts) != n_samples:
        raise UnusableData(f"lead {lead.value} has {len(counts)} samples, {n_samples} are declared")
    counts[counts == MISSING_COUNT] = np.nan
    return counts * gain_mv


def _stated_hz(filters: Element | None, tag: str) -> float | None:
    """A corner frequency, None unless it states hertz."""
    element = None if filters is None else filters.find(tag)
    if element is None or (element.get("units") or "").strip() != "Hz":
        return None
    return _number(element.text) or None


def _notch_hz(filters: Element | None) -> float | None:
    for mains_hz in (50, 60):
        if filters is not None and _text(filters, f"Filter{mains_hz}Hz").upper() == "YES":
            return float(mains_hz)
    return None


def _plausible(
    patient: Element, tag: str, units: Mapping[str, float], limits: tuple[float, float]
) -> float | None:
    element = patient.find(tag)
    factor = None if element is None else units.get((element.get("units") or "").upper())
    number = None if element is None else _number(element.text)
    if factor is None or number is None:
        return None
    converted = number * factor
    return converted if limits[0] <= converted <= limits[1] else None
