"""One segment of a message that came in: its values as meant, by the numbers of the standard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from node.hl7.message import (
    ErrorCondition,
    Header,
    UnacceptableContent,
    read_segments,
    unescape,
)

_DELETED = '""'
"""What stood there before is to be empty. Source: HL7 v2.5.1 §2.5.3."""
MOST_TOLD: Final = 100
"""Orders or patients of one message: each is looked up while nothing else can be written. Values of
a field too: megabytes of identifiers in each of a hundred patients would be read for minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Fields are numbered as in the standard. No value is shown by repr."""

    name: str
    header: Header = field(repr=False)
    fields: list[str] = field(repr=False)
    """Still escaped, field n at index n."""
    _values: dict[int, list[str]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Repetitions of the fields asked for so far, each parted once."""

    def text(
        self,
        number: int,
        component: int = 1,
        *,
        subcomponent: int | None = None,
        repetition: int = 0,
    ) -> str:
        """A component, or one of its subcomponents; empty where there is none or it is deleted."""
        part = self.header.separators
        values = self._repeated(number)
        if repetition >= len(values):
            return ""
        value = _nth(_part(values[repetition], part.component), component)
        if subcomponent is not None:
            value = _nth(_part(value, part.subcomponent), subcomponent)
        meant = unescape(value.strip(), part, codec=self.header.codec)
        return "" if meant == _DELETED else meant

    def repetitions(self, number: int) -> range:
        """Numbers of the values of a field, from 0; none where it is empty.

        Raises UnacceptableContent (more than MOST_TOLD).
        """
        values = self._repeated(number)
        if len(values) > MOST_TOLD:
            raise UnacceptableContent(
                ErrorCondition.DATA_TYPE_ERROR,
                f"{self.name}-{number} has more than {MOST_TOLD} values; have the sender leave out "
                "those that nobody needs",
            )
        return range(len(values))

    def _repeated(self, number: int) -> list[str]:
        if number not in self._values:
            value = self._field(number)
            self._values[number] = _part(value, self.header.separators.repetition) if value else []
        return self._values[number]

    def _field(self, number: int) -> str:
        return self.fields[number] if number < len(self.fields) else ""


def segments_of(message: bytes, *, unmarked: str) -> Iterator[Segment]:
    """All segments in order.

    Raises like `read_segments`, and UnacceptableContent (another message in the same block: one
    acknowledgement cannot be for both).
    """
    header, segments = read_segments(message, unmarked=unmarked)
    for place, fields in enumerate(segments):
        name = fields[0].strip()
        if name == "MSH" and place > 0:
            raise UnacceptableContent(
                ErrorCondition.SEGMENT_SEQUENCE_ERROR,
                "there is more than one MSH; have the sender put each message in its own block",
            )
        yield Segment(name=name, header=header, fields=fields)


def missing(what: str) -> UnacceptableContent:
    """The error of a message that leaves out what it has to have."""
    return UnacceptableContent(
        ErrorCondition.REQUIRED_FIELD_MISSING,
        f"the message has no {what}; have the sender fill it in",
    )


def too_many(what: str) -> UnacceptableContent:
    """The error of a message that tells of more than MOST_TOLD."""
    return UnacceptableContent(
        ErrorCondition.SEGMENT_SEQUENCE_ERROR,
        f"the message has more than {MOST_TOLD} {what}; have the sender make several of it",
    )


def fitting(text: str, longest: int) -> str:
    """Empty where no result can repeat it: DICOM's SH and LO take no backslash, nothing unseen."""
    return text if len(text) <= longest and text.isprintable() and "\\" not in text else ""


def _part(value: str, separator: str) -> list[str]:
    return value.split(separator) if separator else [value]


def _nth(values: list[str], number: int) -> str:
    return values[number - 1] if number <= len(values) else ""
