"""Judges finished results before they may leave: one that is wrong is held, and says why.

Beside the tables of the standard (node.dicom.iod), what holds of ours: every number and concept is
coded, what is referred to is sent too or is the ECG, patient and study are the ECG's, and its
attributes say that it is synthetic (the words in its pixels are judged with the templates).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Final

from pydicom import config
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.valuerep import validate_value

from node.dicom import iod
from node.dicom.attribute import items_of, text_of
from node.dicom.composite import OPTIONAL, REQUIRED
from node.dicom.encoded import Element, Item, read_elements
from node.dicom.filing import Filing
from node.dicom.part10 import BINARY_VRS, read_part10, split_part10
from node.dicom.reference import FiledInstance
from node.dicom.template import SYNTHETIC
from node.domain.delivery import ResultKind, ResultObject
from node.domain.errors import InvalidResult, MalformedInstance
from node.domain.study import Study

PROBLEMS_SHOWN: Final = 5
VALUE_OF: Final = {
    "CODE": "ConceptCodeSequence",
    "COMPOSITE": "ReferencedSOPSequence",
    "CONTAINER": "ContinuityOfContent",
    "IMAGE": "ReferencedSOPSequence",
    "NUM": "MeasuredValueSequence",
    "TEXT": "TextValue",
    "UIDREF": "UID",
    "WAVEFORM": "ReferencedSOPSequence",
}
"""Value type of a content item -> where its value stands. Source: DICOM PS3.3 Table C.17.3-2."""
CODE_VALUES: Final = ("CodeValue", "LongCodeValue", "URNCodeValue")
SAME_PATIENT: Final = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate")
UNNAMED: Final = ("COMPOSITE", "IMAGE", "WAVEFORM")
"""Value types whose items need no concept name."""
STATED: Final = frozenset(
    tag_for_keyword(keyword) or 0 for keyword in (*REQUIRED, *OPTIONAL, "ReferencedRequestSequence")
)
"""Repeated as the ECG states it: the archive filed it so, and it is not ours to judge. Of an order
only what fits was read (node/dicom/worklist.py)."""
SINGLE_VALUED: Final = ("LT", "ST", "UR", "UT")
"""VRs in which a backslash is a letter."""

_Instance = tuple[str, str, str, str]
"""UIDs of the study, the series, the SOP class, the instance."""


def check_results(
    results: Sequence[ResultObject],
    source: Dataset,
    study: Study,
    filing: Filing,
    *,
    sent_before: Sequence[FiledInstance] = (),
) -> None:
    """Pass when all DICOM results of one ECG for one destination may leave, together.

    source, study: the ECG and its study. filing: where the results are meant to be. sent_before:
    what they may refer to beside each other and the ECG.
    Raises InvalidResult, which names attributes, never their values.
    """
    given = _Given(
        source=source,
        study=study,
        study_uid=filing.study_uid(study),
        results=[(result.kind, read_part10(result.content)) for result in results],
        sent_before={astuple(each) for each in sent_before},
    )
    problems = [
        f"{result.kind.value}: {problem}"
        for result, (_, dataset) in zip(results, given.results, strict=True)
        for problem in _problems(result, dataset, given)
    ]
    if problems:
        more = len(problems) - PROBLEMS_SHOWN
        raise InvalidResult(
            "a result breaks the standard and is held: "
            + "; ".join(problems[:PROBLEMS_SHOWN])
            + (f"; and {more} more" if more > 0 else "")
            + ". Report this to those who maintain cardionode; retry the job after an update"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """What a result is held against."""

    source: Dataset
    study: Study
    study_uid: str
    """Where results are to be filed."""
    results: Sequence[tuple[ResultKind, Dataset]]
    """All for the destination."""
    sent_before: Collection[_Instance]

    @property
    def ecg(self) -> _Instance:
        study = self.study
        series = (study.study_instance_uid, study.series_instance_uid)
        return (*series, study.sop_class_uid, study.sop_instance_uid)


def _problems(result: ResultObject, dataset: Dataset, given: _Given) -> Iterator[str]:
    try:
        item = read_elements(split_part10(result.content)[2])
    except MalformedInstance as error:
        yield error.message
        return
    table = iod.required(result.sop_class_uid)
    if table is None:
        yield "there is no table of its SOP class"
    else:
        yield from iod.missing(item, table, but=STATED)
    own = Item({tag: element for tag, element in item.items() if tag not in STATED})
    yield from _Values(dataset, given).problems(own)
    yield from _misplaced(result, dataset, given)
    yield from _unlabelled(dataset)
    if "PixelData" in dataset:
        yield from _image_problems(dataset, given)
    if "ContentSequence" in dataset:
        yield from _report_problems(item, given)


class _Values:
    """Looks at each different value of one object once: most of a report's are repeated."""

    def __init__(self, dataset: Dataset, given: _Given) -> None:
        stated = dataset.get("SpecificCharacterSet")
        self._encodings = convert_encodings(stated)
        self._seen: set[tuple[str, bytes]] = {
            ("UI", uid.encode() + b"\0" * (len(uid) % 2)) for uid in given.ecg
        }
        """The ECG's own UIDs are filed as they are."""

    def problems(self, item: Item, path: str = "") -> Iterator[str]:
        """Values that their VR does not allow, and codes that say nothing."""
        for tag, element in item.items():
            if (element.vr, element.value) in self._seen:
                continue
            self._seen.add((element.vr, element.value))
            where = f"{path}{keyword_for_tag(tag)}"
            if element.vr != "SQ":
                if not self._is_valid(element):
                    yield f"{where} is not a valid {element.vr}"
                continue
            for number, below in enumerate(element.items, start=1):
                yield from self.problems(below, f"{where}[{number}].")
                if where.endswith("CodeSequence") and not _is_code(below):
                    yield f"{where}[{number}] is not a whole code"

    def _is_valid(self, element: Element) -> bool:
        """By length and form of its VR. Source: DICOM PS3.5 Table 6.2-1."""
        if element.vr in BINARY_VRS or element.is_empty:
            return True
        value = element.value.rstrip(b"\0 ")
        text = decode_bytes(value, self._encodings, set())
        parts = [text] if element.vr in SINGLE_VALUED else text.split("\\")
        try:
            for part in parts:
                validate_value(element.vr, part, config.RAISE)
        except ValueError:
            return False
        return True


def _is_code(item: Item) -> bool:
    """Source: DICOM PS3.3 Table 8.8-1."""
    return (
        any(item.has(keyword) for keyword in CODE_VALUES)
        and item.has("CodingSchemeDesignator")
        and item.has("CodeMeaning")
    )


def _misplaced(result: ResultObject, dataset: Dataset, given: _Given) -> Iterator[str]:
    """Not the instance that its delivery names, or not of the ECG's patient or the right study."""
    if text_of(dataset, "SOPInstanceUID") != result.identifier:
        yield "SOPInstanceUID is not that of its delivery"
    if text_of(dataset, "SOPClassUID") != result.sop_class_uid:
        yield "SOPClassUID is not that of its delivery"
    if text_of(dataset, "StudyInstanceUID") != given.study_uid:
        yield "StudyInstanceUID is not that of the study it is to be filed in"
    for keyword in SAME_PATIENT:
        if text_of(dataset, keyword) != text_of(given.source, keyword):
            yield f"{keyword} is not the ECG's"


def _unlabelled(dataset: Dataset) -> Iterator[str]:
    if text_of(dataset, "SyntheticData") != "YES":
        yield "SyntheticData is not YES"
    if SYNTHETIC not in text_of(dataset, "SeriesDescription"):
        yield f"SeriesDescription does not say {SYNTHETIC}"


def _image_problems(image: Dataset, given: _Given) -> Iterator[str]:
    """Conditions that the tables leave open, and where the image comes from."""
    if "DERIVED" not in text_of(image, "ImageType").split("\\"):
        yield "ImageType is not DERIVED"
    sources = [
        (text_of(item, "ReferencedSOPClassUID"), text_of(item, "ReferencedSOPInstanceUID"))
        for item in items_of(image, "SourceInstanceSequence")
    ]
    if sources != [given.ecg[2:]]:
        yield "SourceInstanceSequence does not name the ECG"
    counts = ("Rows", "Columns", "SamplesPerPixel", "NumberOfFrames")
    size_bytes = math.prod(int(image.get(keyword) or 1) for keyword in counts)
    if len(image.PixelData) != size_bytes + size_bytes % 2:
        yield "PixelData is not as long as rows, columns and frames make it"
    if int(image.get("SamplesPerPixel") or 1) > 1 and "PlanarConfiguration" not in image:
        yield "PlanarConfiguration is missing (type 1C)"
    pointer = image.get("FrameIncrementPointer")
    if pointer is not None and pointer not in image:
        yield "FrameIncrementPointer names an attribute that is missing"


def _report_problems(report: Item, given: _Given) -> Iterator[str]:
    """Content items by their value types, and what they refer to."""
    declared = {
        scheme.text("CodingSchemeDesignator")
        for scheme in report.below("CodingSchemeIdentificationSequence")
    }
    referred: set[tuple[str, ...]] = set()
    for path, item in _tree(report, ""):
        yield from _content_problems(item, path, declared)
        referred |= {_referenced(each) for each in item.below("ReferencedSOPSequence")}
    listed = set(_evidence(report))
    if not referred <= {instance[2:] for instance in listed}:
        yield "its content refers to an instance that is not listed as evidence"
    sent = {_instance(dataset): kind for kind, dataset in given.results}
    if not listed <= {given.ecg, *sent, *given.sent_before}:
        yield "it lists an instance that is neither the ECG nor sent to this destination"
    cines = {instance[2:] for instance, kind in sent.items() if kind is ResultKind.CINE}
    if not cines <= referred:
        yield "a cine is sent to this destination that it does not refer to"


def _content_problems(item: Item, path: str, declared: set[str]) -> Iterator[str]:
    """Source: DICOM PS3.3 C.17.3, C.18; PS3.16 §8.2 (private coding schemes)."""
    value_type = item.text("ValueType")
    keyword = VALUE_OF.get(value_type)
    if keyword is None:
        yield f"{path}ValueType is none that a report of ours has"
    elif not item.has(keyword):
        yield f"{path}{keyword} is missing or empty"
    if not item.has("ConceptNameCodeSequence") and value_type not in UNNAMED:
        yield f"{path}ConceptNameCodeSequence is missing"
    if path and not item.has("RelationshipType"):
        yield f"{path}RelationshipType is missing"
    for measured in item.below("MeasuredValueSequence"):
        if not (measured.has("NumericValue") and measured.has("MeasurementUnitsCodeSequence")):
            yield f"{path}MeasuredValueSequence lacks a number or its unit"
    for name in ("ConceptNameCodeSequence", "ConceptCodeSequence"):
        for code in item.below(name):
            scheme = code.text("CodingSchemeDesignator")
            if scheme.startswith("99") and scheme not in declared:
                yield f"{path}{name} is of a private scheme that is not declared"


def _tree(item: Item, path: str) -> Iterator[tuple[str, Item]]:
    """The content item and all below it, each with its path."""
    yield path, item
    for number, child in enumerate(item.below("ContentSequence"), start=1):
        yield from _tree(child, f"{path}ContentSequence[{number}].")


def _evidence(report: Item) -> Iterator[_Instance]:
    for study in report.below("CurrentRequestedProcedureEvidenceSequence"):
        for series in study.below("ReferencedSeriesSequence"):
            where = (study.text("StudyInstanceUID"), series.text("SeriesInstanceUID"))
            for item in series.below("ReferencedSOPSequence"):
                yield (*where, *_referenced(item))


def _referenced(item: Item) -> tuple[str, str]:
    """SOP class and instance."""
    return item.text("ReferencedSOPClassUID"), item.text("ReferencedSOPInstanceUID")


def _instance(dataset: Dataset) -> _Instance:
    study, series = text_of(dataset, "StudyInstanceUID"), text_of(dataset, "SeriesInstanceUID")
    return study, series, text_of(dataset, "SOPClassUID"), text_of(dataset, "SOPInstanceUID")
