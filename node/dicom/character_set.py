"""The character set a result is written in: which letters an old archive can read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from pydicom.charset import convert_encodings, decode_bytes, encode_string
from pydicom.dataset import Dataset

from node.dicom.attribute import text_of
from node.domain.errors import ConfigurationError
from node.domain.form import CharacterSet

UNICODE: Final = ("ISO_IR 192",)
_DEFAULT_REPERTOIRE: Final = ("", "ISO_IR 6", "ISO 2022 IR 6")
_PART: Final = re.compile(r"[\\^=]")
"""Between two of these a text is encoded by itself (PS3.5 §6.1.2.5.3)."""

_ALONE: Final = {each.value for each in CharacterSet if "2022" not in each.value} | {"", *UNICODE}
TEXT_VRS: Final = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
"""Those that Specific Character Set is for (PS3.5 §6.1.2.3)."""


def character_set(choice: CharacterSet, source: Dataset) -> tuple[str, ...]:
    """The values of Specific Character Set for a choice; none: the default repertoire.

    source: the ECG.
    """
    if choice is CharacterSet.UTF_8:
        return UNICODE
    if choice is CharacterSet.SOURCE:
        return _simplest([term.strip() for term in _stated(source)])
    return _simplest(["", choice.value])


def check_writable(dataset: Dataset) -> None:
    """Pass when every text, items included, can be written in the data set's own character set.

    Raises ConfigurationError, without the text.
    """
    terms = _stated(dataset)
    if terms != [*UNICODE]:
        _check_texts(dataset, terms)


def can_write(text: str, terms: Sequence[str]) -> bool:
    """Whether a character set has every letter of a text.

    terms: as `character_set` gives them.
    """
    return _writable(text, terms or [""])


def _check_texts(dataset: Dataset, terms: Sequence[str]) -> None:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                _check_texts(item, terms)
        elif element.VR in TEXT_VRS and not _writable(str(element.value), terms):
            raise ConfigurationError(
                f"{element.keyword} of the result holds a letter that the character set "
                f"{' '.join(filter(None, terms)) or 'ISO_IR 6'} does not have; set "
                f'character_set = "{CharacterSet.UTF_8.value}" for this destination'
            )


def _simplest(terms: Sequence[str]) -> tuple[str, ...]:
    """One set over the default repertoire alone stands by itself where it has a term for that."""
    *first, last = terms
    alone = last.replace("ISO 2022 IR", "ISO_IR")
    if not set(first) <= set(_DEFAULT_REPERTOIRE) or alone not in _ALONE:
        return tuple(terms)
    return () if alone in _DEFAULT_REPERTOIRE else (alone,)


def _stated(dataset: Dataset) -> list[str]:
    return text_of(dataset, "SpecificCharacterSet").split("\\")


def _writable(text: str, terms: Sequence[str]) -> bool:
    """Whether what pydicom writes is read back as the same text by someone strict.

    pydicom takes Latin-1 for the default repertoire, and "?" for what it cannot write.
    """
    if text.isascii():
        return True
    encodings = convert_encodings(list(terms))
    strict = ["ascii", *encodings[1:]] if terms[0] in _DEFAULT_REPERTOIRE else encodings
    return all(
        decode_bytes(encode_string(part, encodings), strict, set()) == part
        for part in _PART.split(text)
    )
