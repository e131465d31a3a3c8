"""The numbers of a prediction beside their reference, as a table shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from node.dicom.template import SummaryTemplate
from node.domain.reference_range import ReferenceRange, Standing

_LOW, _SPAN = 25.0, 50.0
"""The reference takes the middle half of a track that is 100 wide."""
_FURTHEST: Final = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """Where a value and its interval lie, 0 to 100, the reference from 25 to 75."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownNumber:
    name: str
    value: str
    unit: str
    lower: str
    upper: str
    reference: str
    """Empty where none is known."""
    verdict: str
    """Empty within the reference."""
    track: Track | None


def shown_numbers(
    prediction: Mapping[str, Any] | None, sex: str, summary: SummaryTemplate
) -> Sequence[ShownNumber]:
    """The estimates: those of the summary first, in its order, then the others.

    prediction: as `answer.describe` writes it. sex: as `SummaryTemplate.ranges` has it.
    """
    if prediction is None:
        return ()
    labels = {row.field_id: row.label for row in summary.rows}
    places = {field_id: place for place, field_id in enumerate(labels)}
    ranges = summary.ranges(sex).by_field
    estimates = sorted(
        prediction["estimates"],
        key=lambda each: (places.get(each["field_id"], len(places)), each["name"]),
    )
    return [
        _shown(each, labels.get(each["field_id"]), ranges.get(each["field_id"]), summary)
        for each in estimates
    ]


def _shown(
    estimate: Mapping[str, str],
    label: str | None,
    reference: ReferenceRange | None,
    summary: SummaryTemplate,
) -> ShownNumber:
    value = float(estimate["value"])
    standing = Standing.WITHIN if reference is None else reference.standing(value)
    verdicts = {Standing.BELOW: summary.text.below, Standing.ABOVE: summary.text.above}
    return ShownNumber(
        name=label or estimate["name"],
        value=estimate["value"],
        unit="" if estimate["unit"] == "1" else estimate["unit"],
        lower=estimate["lower"],
        upper=estimate["upper"],
        reference="" if reference is None else f"{reference.lower:g} to {reference.upper:g}",
        verdict=verdicts.get(standing, ""),
        track=None
        if reference is None
        else Track(
            value=_place(value, reference),
            lower=_place(float(estimate["lower"]), reference),
            upper=_place(float(estimate["upper"]), reference),
        ),
    )


def _place(value: float, reference: ReferenceRange) -> float:
    share = (value - reference.lower) / (reference.upper - reference.lower)
    return round(min(_FURTHEST, max(0.0, _LOW + _SPAN * share)), 1)
