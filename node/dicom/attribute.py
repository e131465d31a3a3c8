"""Attribute values of a data set as text, numbers and items, with pydicom's errors translated."""

from __future__ import annotations

import math

from pydicom import datadict
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from node.dicom.part10 import UNREADABLE
from node.domain.errors import MalformedInstance


def value_of(dataset: Dataset, keyword: str) -> object:
    """The decoded value, None when the attribute is absent. Raises MalformedInstance."""
    try:
        return dataset.get(keyword)
    except UNREADABLE as error:
        raise undecodable(keyword) from error


def text_of(dataset: Dataset, keyword: str) -> str:
    """The value as text without padding, several values joined by a backslash; else empty.

    Raises MalformedInstance, also for a sequence: its text would be all that is in it.
    """
    value = value_of(dataset, keyword)
    if value is None:
        return ""
    if isinstance(value, Sequence):
        raise undecodable(keyword)
    parts = value if isinstance(value, (MultiValue, list)) else [value]
    try:
        return "\\".join(str(part) for part in parts).strip("\0 ")
    except UNREADABLE as error:
        raise undecodable(keyword) from error


def number_of(dataset: Dataset, keyword: str) -> float | None:
    """The value as a finite number, None when absent or empty.

    Raises MalformedInstance when it is not a number, or several.
    """
    text = text_of(dataset, keyword)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError as error:
        raise undecodable(keyword) from error
    if not math.isfinite(number):
        raise undecodable(keyword)
    return number


def count_of(dataset: Dataset, keyword: str) -> int:
    """The value as a whole number above 0. Raises MalformedInstance, also when it is absent."""
    number = number_of(dataset, keyword)
    if number is None or number < 1 or number != int(number):
        raise undecodable(keyword)
    return int(number)


def items_of(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence, empty when there are none. Raises MalformedInstance."""
    value = value_of(dataset, keyword)
    if value is None:
        return []
    if not isinstance(value, Sequence):
        raise undecodable(keyword)
    return list(value)


def undecodable(keyword: str) -> MalformedInstance:
    """The error of an attribute whose value is not what it has to be."""
    tag = datadict.tag_for_keyword(keyword) or 0
    return MalformedInstance(
        f"{keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X}) cannot be used as it is; check the sender"
    )
