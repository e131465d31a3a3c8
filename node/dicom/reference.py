"""How one object names another: UIDs as they were stated, references as items of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class FiledInstance:
    """One instance, a document or an image, by where it is filed."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


def put_uid(dataset: Dataset, keyword: str, uid: str) -> None:
    """Set a UID as the ECG states it, even where PS3.5 §9.1 forbids it: the archive filed it so."""
    element = DataElement(keyword, "UI", uid, validation_mode=config.IGNORE)
    dataset[keyword] = element


def instance_reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    """An item that names one SOP instance. Source: DICOM PS3.3 Table 10-11."""
    item = Dataset()
    put_uid(item, "ReferencedSOPClassUID", sop_class_uid)
    put_uid(item, "ReferencedSOPInstanceUID", sop_instance_uid)
    return item


def series_reference(
    series_instance_uid: str, sop_class_uid: str, sop_instance_uids: Sequence[str]
) -> Dataset:
    """An item that names instances of one series. Source: DICOM PS3.3 Table 10-4."""
    series = Dataset()
    put_uid(series, "SeriesInstanceUID", series_instance_uid)
    series.ReferencedSOPSequence = [
        instance_reference(sop_class_uid, uid) for uid in sop_instance_uids
    ]
    return series


def study_reference(study_instance_uid: str, series: Sequence[Dataset]) -> Dataset:
    """An item that names instances of one study. Source: DICOM PS3.3 Table C.17-3."""
    item = Dataset()
    put_uid(item, "StudyInstanceUID", study_instance_uid)
    item.ReferencedSeriesSequence = list(series)
    return item


def document_reference(document: FiledInstance) -> Dataset:
    """An item that names one document. Source: DICOM PS3.3 Table C.17-3."""
    series = series_reference(
        document.series_instance_uid, document.sop_class_uid, [document.sop_instance_uid]
    )
    return study_reference(document.study_instance_uid, [series])
