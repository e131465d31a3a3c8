"""Where a result is filed, in which letters, and how it refers to the ECG from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from node.dicom.character_set import UNICODE
from node.dicom.reference import instance_reference, put_uid
from node.dicom.template import Templates
from node.domain.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """Beside the ECG, or in a study of its own; as the first results, or as their correction."""

    new_study_uid: str | None = None
    """None: in the study of the ECG."""
    character_set: tuple[str, ...] = UNICODE
    """Values of Specific Character Set; none: the default repertoire."""
    revision: int = 1
    """1 for the first results; those that replace others count on."""

    def titled(self, title: str, templates: Templates) -> str:
        """A title that tells a correction from what it replaces."""
        if self.revision == 1:
            return title
        return title + templates.report.correction.format(number=self.revision - 1)

    def study_uid(self, study: Study) -> str:
        """The study the result is in. study: the ECG's."""
        return self.new_study_uid or study.study_instance_uid

    def put_study(self, result: Dataset, study: Study, templates: Templates) -> None:
        """Name the study; what described the ECG's own is not said of another.

        The accession number stays: it is the request that led to both.
        Source: DICOM PS3.3 C.7.2.1.
        """
        put_uid(result, "StudyInstanceUID", self.study_uid(study))
        if self.new_study_uid is None:
            return
        # Archives also tell studies by their ID: another study, another ID.
        result.StudyID = f"AI{self.new_study_uid[-12:]}"
        result.StudyDescription = templates.report.study_description
        if "ProcedureCodeSequence" in result:
            del result.ProcedureCodeSequence

    def put_source(self, image: Dataset, study: Study) -> None:
        """Where an image comes from: the ECG as source, and as an instance of its own series.

        Source: DICOM PS3.3 C.12.4 (General Reference), C.12.2 (Common Instance Reference).
        """
        ecg = (study.sop_class_uid, study.sop_instance_uid)
        image.SourceInstanceSequence = [instance_reference(*ecg)]
        series = Dataset()
        put_uid(series, "SeriesInstanceUID", study.series_instance_uid)
        series.ReferencedInstanceSequence = [instance_reference(*ecg)]
        if self.new_study_uid is None:
            image.ReferencedSeriesSequence = [series]
            return
        elsewhere = Dataset()
        put_uid(elsewhere, "StudyInstanceUID", study.study_instance_uid)
        elsewhere.ReferencedSeriesSequence = [series]
        image.StudiesContainingOtherReferencedInstancesSequence = [elsewhere]


BESIDE_ECG: Final = Filing()
"""In the ECG's study, in UTF-8."""
