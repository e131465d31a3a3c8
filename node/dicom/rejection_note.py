"""A rejection note: the Key Object Selection of instances that must not be used any more."""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.sr import (
    CompositeContentItem,
    ContentItem,
    ImageContentItem,
    LanguageOfContentItemAndDescendants,
    TextContentItem,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from node.dicom import dimse
from node.dicom.composite import derived_object, encode
from node.dicom.filing import Filing
from node.dicom.reference import FiledInstance, series_reference, study_reference
from node.dicom.report_content import CONTAINS, SOURCE, concept_of, container
from node.dicom.structured_report import LANGUAGE
from node.dicom.study import read_study
from node.dicom.template import Templates

_IMAGES = (
    dimse.SECONDARY_CAPTURE,
    dimse.MULTI_FRAME_GRAYSCALE_BYTE_SC,
    dimse.MULTI_FRAME_TRUE_COLOR_SC,
)


def build_rejection_note(
    rejected: Sequence[FiledInstance],
    source: Dataset,
    *,
    sop_instance_uid: str,
    series_instance_uid: str,
    templates: Templates,
    filing: Filing,
) -> bytes:
    """The note as a PS3.10 file, filed in the study of what it rejects.

    rejected: instances of that one study. source: the ECG they were made of.
    Raises MalformedInstance like `read_study`.
    Source: DICOM PS3.3 A.35.4, C.17.6; PS3.16 TID 2010, CID 7010; IHE RAD TF-3 4.66.4.1.3.1 (IOCM).
    """
    template = templates.withdrawal
    note = derived_object(
        source,
        sop_class_uid=dimse.KEY_OBJECT_SELECTION,
        sop_instance_uid=sop_instance_uid,
        series_instance_uid=series_instance_uid,
        modality="KO",
        series_description=template.series_description,
        series_number=template.series_number,
        instance_number=template.instance_number,
        model=None,
        templates=templates,
        filing=filing,
    )
    note.ReferencedPerformedProcedureStepSequence = []
    series = [
        series_reference(each.series_instance_uid, each.sop_class_uid, [each.sop_instance_uid])
        for each in rejected
    ]
    study_uid = filing.study_uid(read_study(source))
    note.CurrentRequestedProcedureEvidenceSequence = [study_reference(study_uid, _joined(series))]
    description = TextContentItem(
        codes.DCM.KeyObjectDescription, template.description, relationship_type=CONTAINS
    )
    items = [
        *LanguageOfContentItemAndDescendants(LANGUAGE),
        description,
        *(_item(each) for each in rejected),
    ]
    root = container(concept_of(template.title), items, relationship=None, template_id="2010")
    for item in root.ContentSequence:  # highdicom asks for a purpose, TID 2010 forbids it
        if "ReferencedSOPSequence" in item:
            del item.ConceptNameCodeSequence
    note.update(root)
    return encode(note)


def _item(rejected: FiledInstance) -> ContentItem:
    kind = ImageContentItem if rejected.sop_class_uid in _IMAGES else CompositeContentItem
    return kind(
        name=SOURCE,
        referenced_sop_class_uid=rejected.sop_class_uid,
        referenced_sop_instance_uid=rejected.sop_instance_uid,
        relationship_type=CONTAINS,
    )


def _joined(references: Sequence[Dataset]) -> list[Dataset]:
    """One item a series."""
    found: dict[str, Dataset] = {}
    for each in references:
        known = found.setdefault(each.SeriesInstanceUID, each)
        if known is not each:
            known.ReferencedSOPSequence.extend(each.ReferencedSOPSequence)
    return list(found.values())
