"""In which form a destination wants its results: what the objects are, and how they travel."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class CineForm(Enum):
    """As what the cine is stored."""

    GRAYSCALE = "grayscale"
    """Multi-frame Grayscale Byte Secondary Capture."""
    TRUE_COLOR = "true-color"
    """Multi-frame True Color Secondary Capture, for viewers without the former."""
    SINGLE_FRAMES = "single-frames"
    """A series of single-frame Secondary Captures, for viewers that know no multi-frame."""
    NONE = "none"


class ReportForm(Enum):
    """As what the structured report is stored; its content is the same."""

    COMPREHENSIVE_3D = "comprehensive-3d"
    ENHANCED = "enhanced"
    COMPREHENSIVE = "comprehensive"
    NONE = "none"


class StudyForm(Enum):
    """Where results are filed."""

    SAME = "same"
    """In the study of the ECG."""
    NEW = "new"
    """In a study of their own, which refers to the ECG's."""


class CharacterSet(Enum):
    """What text is written in. Source: DICOM PS3.3 C.12.1.1.2, whose defined terms these are."""

    UTF_8 = "utf-8"
    SOURCE = "source"
    """As the ECG."""
    DEFAULT = "ISO_IR 6"
    LATIN_1 = "ISO_IR 100"
    LATIN_2 = "ISO_IR 101"
    LATIN_3 = "ISO_IR 109"
    LATIN_4 = "ISO_IR 110"
    LATIN_5 = "ISO_IR 148"
    LATIN_9 = "ISO_IR 203"
    CYRILLIC = "ISO_IR 144"
    ARABIC = "ISO_IR 127"
    GREEK = "ISO_IR 126"
    HEBREW = "ISO_IR 138"
    THAI = "ISO_IR 166"
    KATAKANA = "ISO_IR 13"
    GB18030 = "GB18030"
    GBK = "GBK"
    KANJI = "ISO 2022 IR 87"
    SUPPLEMENTARY_KANJI = "ISO 2022 IR 159"
    HANGUL = "ISO 2022 IR 149"
    SIMPLIFIED_CHINESE = "ISO 2022 IR 58"


class Compression(Enum):
    """Lossless transfer syntax that images are sent in where the peer takes it.

    No part of `ResultForm`: the object stays the same one, whatever it travels in.
    """

    NONE = "none"
    RLE = "rle"
    JPEG_LS = "jpeg-ls"
    JPEG_2000 = "jpeg-2000"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultForm:
    """What makes the DICOM results for one destination other objects than for the next."""

    cine: CineForm = CineForm.GRAYSCALE
    report: ReportForm = ReportForm.COMPREHENSIVE_3D
    study: StudyForm = StudyForm.SAME
    character_set: CharacterSet = CharacterSet.UTF_8

    def __str__(self) -> str:
        """For people, e.g. "cine grayscale, report enhanced, same study, utf-8"."""
        return (
            f"cine {self.cine.value}, report {self.report.value}, {self.study.value} study, "
            f"{self.character_set.value}"
        )


DEFAULT_FORM: Final = ResultForm()
"""What a destination gets that chooses nothing."""
