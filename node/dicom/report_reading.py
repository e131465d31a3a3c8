"""Our structured report read back: its numbers, and the whole as plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pydicom.dataset import Dataset

from node.dicom.attribute import items_of, text_of
from node.dicom.report_content import LOWER_RANGE, QUALITATIVE_EVALUATIONS, UPPER_RANGE

IMAGING_MEASUREMENTS = "126010"
FINDING, FINDING_SITE, TRACKING_IDENTIFIER = "121071", "363698007", "112039"
"""Code values of the concept names that carry the structure (DICOM PS3.16)."""
COLUMNS = 78


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedNumber:
    """One number of a report, as text, digit for digit as it stands there."""

    group: str
    """Title of its measurement group."""
    code: str
    """Code value of the field; of the disease for a probability."""
    site: str
    """Code value of the finding site, empty when there is none."""
    name: str
    place: str
    """Meaning of the finding site where it is narrower than its group's, else empty."""
    value: str
    unit: str
    """UCUM."""
    lower: str
    upper: str
    """Bounds of the prediction interval, empty when there is none."""


def read_measurements(dataset: Dataset) -> tuple[ReportedNumber, ...]:
    """Every number of one of our reports, in its order; none for a report without result."""
    return tuple(
        number
        for measurements in _named(dataset).get(IMAGING_MEASUREMENTS, ())
        for group in items_of(measurements, "ContentSequence")
        for number in _numbers(group)
    )


def report_text(dataset: Dataset) -> str:
    """One of our reports as plain text, what it is before its numbers; no patient's identity."""
    lines = [_meaning(dataset, "ConceptNameCodeSequence").upper()]
    flags = ("CompletionFlag", "VerificationFlag", "PreliminaryFlag")
    lines.append(", ".join(text_of(dataset, flag).lower() for flag in flags))
    if text_of(dataset, "SyntheticData") == "YES":
        lines[-1] += ", synthetic data"
    for evaluations in _named(dataset).get(QUALITATIVE_EVALUATIONS.value, ()):
        for item in items_of(evaluations, "ContentSequence"):
            said = text_of(item, "TextValue") or _meaning(item, "ConceptCodeSequence")
            lines += ["", _meaning(item, "ConceptNameCodeSequence")]
            lines.append(textwrap.fill(said, COLUMNS, initial_indent="  ", subsequent_indent="  "))
    group, numbers = "", read_measurements(dataset)
    wide = max((len(_name(number)) for number in numbers), default=0)
    for number in numbers:
        if number.group != group:
            group = number.group
            lines += ["", group]
        lines.append(_line(number, wide))
    return "\n".join(lines) + "\n"


def _name(number: ReportedNumber) -> str:
    return f"{number.name}, {number.place}" if number.place else number.name


def _line(number: ReportedNumber, wide: int) -> str:
    """`wide`: columns of the longest name."""
    unit = "" if number.unit == "1" else f" {number.unit}"
    interval = f"  ({number.lower} to {number.upper})" if number.lower else ""
    return f"  {_name(number):<{wide}} {number.value:>8}{unit}{interval}"


def _numbers(group: Dataset) -> Iterator[ReportedNumber]:
    """The numbers of one measurement group."""
    shared = _named(group)
    for item in items_of(group, "ContentSequence"):
        if text_of(item, "ValueType") == "NUM":
            yield _reported(item, shared)


def _reported(number: Dataset, group: Mapping[str, Sequence[Dataset]]) -> ReportedNumber:
    """`group`: the content items of the number's group by name."""
    own = _named(number)
    narrower = own.get(FINDING_SITE, ())
    sites = narrower or group.get(FINDING_SITE, ())
    findings, titles = group.get(FINDING, ()), group.get(TRACKING_IDENTIFIER, ())
    named = (
        (findings[0], "ConceptCodeSequence") if findings else (number, "ConceptNameCodeSequence")
    )
    measured = items_of(number, "MeasuredValueSequence")[0]
    value = text_of(measured, "NumericValue")
    return ReportedNumber(
        group=text_of(titles[0], "TextValue") if titles else "",
        code=_code_value(*named),
        site=_code_value(sites[0], "ConceptCodeSequence") if sites else "",
        name=_meaning(*named),
        place=_meaning(narrower[0], "ConceptCodeSequence") if narrower else "",
        value=value,
        unit=_code_value(measured, "MeasurementUnitsCodeSequence"),
        lower=_bound(own.get(LOWER_RANGE.value, ()), value, -1),
        upper=_bound(own.get(UPPER_RANGE.value, ()), value, 1),
    )


def _bound(ranges: Sequence[Dataset], value: str, sign: int) -> str:
    """Value and range added in decimal arithmetic, which gives the bound's own digits."""
    for item in ranges:
        distance = text_of(items_of(item, "MeasuredValueSequence")[0], "NumericValue")
        return f"{Decimal(value) + sign * Decimal(distance):f}"
    return ""


def _named(item: Dataset) -> Mapping[str, Sequence[Dataset]]:
    """The content items directly below, by the code value of their concept name."""
    found: dict[str, list[Dataset]] = {}
    for child in items_of(item, "ContentSequence"):
        found.setdefault(_code_value(child, "ConceptNameCodeSequence"), []).append(child)
    return found


def _code_value(item: Dataset, keyword: str) -> str:
    codes = items_of(item, keyword)
    return text_of(codes[0], "CodeValue") if codes else ""


def _meaning(item: Dataset, keyword: str) -> str:
    codes = items_of(item, keyword)
    return text_of(codes[0], "CodeMeaning") if codes else ""
