"""What a result is called: UIDs that follow from the ECG, the model and the form, and nothing else.

Two different objects never share one, and one object never gets two.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from functools import cached_property
from typing import Final

from pydicom import Dataset

from node.dicom.character_set import UNICODE, character_set
from node.dicom.cine import CINE_CLASSES
from node.dicom.filing import Filing
from node.dicom.reference import FiledInstance
from node.dicom.structured_report import CineReference
from node.dicom.template import Templates
from node.domain.delivery import ResultKind
from node.domain.form import DEFAULT_FORM, CineForm, ResultForm, StudyForm
from node.domain.identifiers import derived_uid, digest_of
from node.domain.order import Order
from node.domain.prediction import Cine, ModelIdentity
from node.domain.study import Study

FIRST_REVISION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The ECG a result is made from."""

    dataset: Dataset
    digest: str
    """Of the decoded data set: the same for a re-encoded resend."""
    study: Study
    order: Order | None
    revision: int = FIRST_REVISION
    """How often results were to be made of it that replace others."""
    replaces_sent: bool = False
    """Whether some of those may have been sent."""
    predecessor: FiledInstance | None = None
    """The report that the next one replaces."""


class Naming:
    """The identifiers of one ECG's results in one form."""

    def __init__(
        self, source: Source, model: ModelIdentity, templates: Templates, form: ResultForm
    ) -> None:
        self._source = source
        self._model = model
        self._templates = templates
        self._form = form

    @cached_property
    def filing(self) -> Filing:
        """A study of their own is one for all forms."""
        own = self._form.study is StudyForm.NEW
        return Filing(
            new_study_uid=derived_uid("study", *self.names("study")) if own else None,
            character_set=character_set(self._form.character_set, self._source.dataset),
            revision=self._source.revision if self._source.replaces_sent else FIRST_REVISION,
        )

    def uids(self, name: str, *choices: str) -> tuple[str, str]:
        """SOP Instance UID and Series Instance UID of a result that is alone in its series.

        choices: fields of the form that the object depends on, beside where and how it is filed.
        """
        names = self.names(name, *self._variant(*choices))
        return derived_uid("instance", *names), derived_uid("series", *names)

    def report_uids(self, cine: Cine | None) -> tuple[str, str]:
        """Of the report. cine: the prediction's, which the report names where it is sent too."""
        return self.uids(
            self._report(ResultKind.REPORT.value), "report", *(["cine"] if cine else [])
        )

    def no_result_uids(self) -> tuple[str, str]:
        """Of the report that gives no number."""
        return self.uids(self._report("no-result"), "report")

    def _report(self, name: str) -> str:
        """Two reports that replace different ones are two."""
        replaced = self._source.predecessor
        return name if replaced is None else f"{name} after {replaced.sop_instance_uid}"

    def cine(self, cine: Cine | None) -> CineReference | None:
        """Of the cine: one instance, or one a frame; None where there is none or none is sent."""
        if cine is None or self._form.cine is CineForm.NONE:
            return None
        uid, series_uid = self.uids(ResultKind.CINE.value, "cine")
        several = self._form.cine is CineForm.SINGLE_FRAMES
        frames = [derived_uid("frame", uid, str(index)) for index in range(len(cine.frames))]
        return CineReference(
            sop_class_uid=CINE_CLASSES[self._form.cine],
            sop_instance_uids=tuple(frames) if several else (uid,),
            series_instance_uid=series_uid,
        )

    def names(self, name: str, *variant: str) -> tuple[str, ...]:
        """All that a result's identity follows from. name: what it is, e.g. "cine"."""
        source, model = self._source, self._model
        order = () if source.order is None else astuple(source.order)
        # Further groups of the name are in the source's digest.
        patient = replace(source.study.patient, name=source.study.patient.leading_name)
        return (
            source.digest,
            model.digest,
            model.runtime,
            model.precision,
            model.preset,
            self._templates.version,
            digest_of(*map(str, astuple(patient)), *map(str, order)),
            name,
            str(source.revision),
            *variant,
        )

    def _variant(self, *choices: str) -> tuple[str, ...]:
        """What tells an object from that of the default form; nothing where it is that."""
        chosen = {name: getattr(self._form, name) for name in (*choices, "study")}
        told = [
            f"{name}={value.value}"
            for name, value in chosen.items()
            if value is not getattr(DEFAULT_FORM, name)
        ]
        # The terms, not the choice: "as the ECG" may be UTF-8 too.
        terms = self.filing.character_set
        return (*told, *(["character_set", *terms] if terms != UNICODE else []))
