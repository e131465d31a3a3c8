"""Where in a data set an attribute stands, and its values as text that a pattern can be held to."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from pydicom import datadict
from pydicom.charset import decode_bytes
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag
from pydicom.valuerep import TEXT_VR_DELIMS

from node.dicom.part10 import ITEM_TAG, UNREADABLE, encodings_of, unknown_items
from node.domain.errors import ConfigurationError, MalformedInstance

_TAG: Final = re.compile(r"\(([0-9A-Fa-f]{4}),([0-9A-Fa-f]{4})\)")
_WITHOUT_TEXT: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "OB or OW"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributePath:
    """Keywords or tags, from the data set down through the items of sequences."""

    text: str
    """As it was written, e.g. "RequestAttributesSequence.ScheduledProcedureStepID"."""
    tags: tuple[int, ...]

    def values(self, dataset: Dataset) -> tuple[str, ...]:
        """Every value that is not empty, of every item on the way, without padding.

        Numbers as decimal text as they are written, or as short as they stay the same; a tag (AT)
        as "(gggg,eeee)"; a name (PN) with all its parts; what has an unknown VR as text in the
        character set of the data set. Raises MalformedInstance where one cannot be decoded.
        """
        places = [dataset]
        try:
            for tag in self.tags[:-1]:
                places = [item for place in places for item in _items(place, tag)]
            return tuple(text for place in places for text in _texts(place, self.tags[-1]))
        except UNREADABLE as error:
            raise MalformedInstance(f"{self.text} cannot be decoded; check the sender") from error


def parse_attribute_path(text: str) -> AttributePath:
    """The path that a person wrote: a keyword or (gggg,eeee), behind those of its sequences.

    Raises ConfigurationError (no such keyword, and which is nearest; a sequence without what is
    looked for in it; an attribute that is none and has more behind it; one that holds no text).
    """
    steps = text.split(".")
    tags = tuple(_tag(step) for step in steps)
    for step, tag in zip(steps[:-1], tags[:-1], strict=True):
        if _vr(tag) not in ("SQ", ""):
            raise ConfigurationError(f"{step} is no sequence: nothing can be looked for in it")
    if _vr(tags[-1]) == "SQ":
        raise ConfigurationError(
            f"{steps[-1]} is a sequence: name what is looked for in it, "
            f"as RequestAttributesSequence.ScheduledProcedureStepID does"
        )
    if _vr(tags[-1]) in _WITHOUT_TEXT:
        raise ConfigurationError(f"{steps[-1]} holds bytes that no pattern describes")
    return AttributePath(text=text, tags=tags)


def _tag(step: str) -> int:
    if match := _TAG.fullmatch(step):
        return int(match[1] + match[2], 16)
    tag = datadict.tag_for_keyword(step)
    if step and tag is not None:  # some retired ones have an empty keyword
        return tag
    keywords = list(datadict.keyword_dict)
    lower = {keyword.lower(): keyword for keyword in keywords}
    nearest = difflib.get_close_matches(step.lower(), lower, n=1)
    suggestion = f"; the nearest is {lower[nearest[0]]}" if nearest else ""
    raise ConfigurationError(
        f"there is no attribute {step!r}: write its keyword or (gggg,eeee){suggestion}"
    )


def _vr(tag: int) -> str:
    """The dictionary's; empty for a private tag and one that it does not know."""
    known = datadict.dictionary_has_tag(tag) or datadict.repeater_has_tag(tag)
    return datadict.dictionary_VR(tag) if known else ""


def _items(place: Dataset, tag: int) -> Sequence[Dataset]:
    element: DataElement | None = place.get(Tag(tag))
    if element is None:
        return []
    if isinstance(element.value, Items):
        return list(element.value)
    return unknown_items(element.value) or []  # private, and sent without its VR


def _texts(place: Dataset, tag: int) -> Iterator[str]:
    element: DataElement | None = place.get(Tag(tag))
    if element is None or element.value is None or isinstance(element.value, Items):
        return
    value = element.value
    if isinstance(value, bytes):
        if value.startswith(ITEM_TAG):
            return
        value = decode_bytes(value, encodings_of(place), TEXT_VR_DELIMS).split("\\")
    for part in value if element.VM > 1 or isinstance(value, list) else [value]:
        text = _text(part, element.VR).strip("\0 ")
        if text:
            yield text


def _text(part: object, vr: str) -> str:
    if vr == "FL":  # of four bytes: as short as they stay the same, not as the eight they became
        return str(np.float32(part))  # type: ignore[arg-type]
    if vr == "AT":
        return str(Tag(part))  # type: ignore[arg-type]
    return str(part)
