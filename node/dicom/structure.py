"""Whether a data set is whole, by its tags and lengths alone: much quicker than parsing it."""

from __future__ import annotations

import re
from functools import cache
from struct import Struct
from typing import Final

from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

_IMPLICIT: Final = Struct("<II").unpack_from
_EXPLICIT: Final = Struct("<I2sH").unpack_from
_LENGTH: Final = Struct("<I").unpack_from
# Group number first in memory: (FFFE,E000) reads as 0xE000FFFE.
_ITEM: Final = 0xE000FFFE
_ITEM_END: Final = 0xE00DFFFE
_SEQUENCE_END: Final = 0xE0DDFFFE
_ENDS: Final = (_ITEM_END, _SEQUENCE_END)
_UNDEFINED: Final = 0xFFFFFFFF
_LONG_VRS: Final = frozenset(str(vr).encode("ascii") for vr in EXPLICIT_VR_LENGTH_32)
_SHORT_VRS: Final = frozenset(str(vr).encode("ascii") for vr in EXPLICIT_VR_LENGTH_16)
_OF_ITEMS: Final = (b"", b"SQ", b"UN")
"""VRs of what may have an undefined length; no VR: implicit, or an item."""

_SHORTEST: Final = range(0, 66, 2)
"""Lengths of the values that most elements of an ECG have."""
_DEPTH: Final = 3
"""Of sequences within each other: an annotation's concept name with its equivalent codes."""


def is_whole(encoded: bytes, *, explicit: bool) -> bool:
    """Whether every element, sequence and item of a little endian data set ends inside it.

    explicit: whether the transfer syntax carries VRs. False may also mean an encoding that a
    lenient reader still makes sense of: ask it then. Source: DICOM PS3.5 §7.1 and §7.5.
    """
    position, size = 0, len(encoded)
    # What is open, outermost first: a sequence or an item of undefined length, each with what
    # holds it: whether that is a sequence, and its encoding. Those of defined length are values
    # like others: they are stepped over.
    opened: list[tuple[bool, bool]] = []
    in_sequence = False
    while position + 8 <= size:
        if not in_sequence and (run := _run(explicit).match(encoded, position)):
            position = run.end()
            continue
        vr = b""
        if explicit and not in_sequence:
            tag, vr, length = _EXPLICIT(encoded, position)
            position += 8
            if vr in _SHORT_VRS:
                position += length
                continue
            if vr in _LONG_VRS and position + 4 <= size:
                (length,) = _LENGTH(encoded, position)
                position += 4
            elif tag != _ITEM_END:
                return False
        else:
            tag, length = _IMPLICIT(encoded, position)
            position += 8
        if opened and tag == (_SEQUENCE_END if in_sequence else _ITEM_END):
            in_sequence, explicit = opened.pop()
        elif in_sequence != (tag == _ITEM) or tag in _ENDS:
            return False
        elif length != _UNDEFINED:
            position += length
        elif vr in _OF_ITEMS:
            opened.append((in_sequence, explicit))
            in_sequence = not in_sequence
            # PS3.5 §6.2.2 note 2: a sequence of unknown VR is implicit inside.
            explicit = explicit and vr != b"UN"
        else:
            return False
    return position == size and not opened


@cache
def _run(explicit: bool) -> re.Pattern[bytes]:
    """Short elements, and sequences of nothing else, one after the other.

    They are nearly all there is, a thousand in an ECG with annotations, and walked over in C: while
    Python walks, no other thread does anything. Each group is possessive, so that the time grows
    with the bytes alone whatever they are.
    """
    if explicit:
        head = rb".{4}(?:%s)" % b"|".join(sorted(_SHORT_VRS))
        sequence, zeros = rb".{4}SQ..\xff{4}", rb"\x00"
    else:
        head = rb"(?!\xfe\xff).{4}"
        sequence, zeros = head + rb"\xff{4}", rb"\x00{3}"
    values = (rb"\x%02x%s.{%d}" % (length, zeros, length) for length in _SHORTEST)
    short = element = rb"%s(?:%s)" % (head, b"|".join(values))
    for _ in range(_DEPTH):
        items = rb"(?:\xfe\xff\x00\xe0\xff{4}(?:%s)*+\xfe\xff\x0d\xe0.{4})*+" % element
        element = rb"%s|%s%s\xfe\xff\xdd\xe0.{4}" % (short, sequence, items)
    return re.compile(rb"(?:%s)++" % element, re.DOTALL)
