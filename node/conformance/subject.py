"""What a statement is about: a version of the program and a configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.uid import UID

from node.conformance.prose import Prose
from node.dicom.template import Templates
from node.domain.delivery import USUAL_RESULTS, ResultKind
from node.domain.form import CineForm, ReportForm
from node.settings import DicomDestinationSettings, DicomWebDestinationSettings, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    settings: Settings
    default: Settings
    """The annotated default configuration."""
    configuration: str
    """What the settings are called."""
    version: str
    templates: Templates
    prose: Prose

    @property
    def dicom_destinations(self) -> dict[str, DicomDestinationSettings]:
        return {
            name: each
            for name, each in self.settings.destinations.items()
            if isinstance(each, DicomDestinationSettings)
        }

    @property
    def ae_title(self) -> str:
        """The first, under which the node calls."""
        return self.settings.dicom.ae_titles[0]

    @property
    def has_web_destination(self) -> bool:
        """Whether anything is stored by STOW-RS."""
        return any(
            isinstance(each, DicomWebDestinationSettings)
            for each in self.settings.destinations.values()
        )

    def sends(self, kind: ResultKind, form: CineForm | ReportForm | None = None) -> bool:
        """Whether the configuration stores such a result, in this form, by association."""
        return any(
            kind in kinds and form in (None, each.cine, each.report)
            for each, kinds in self._archives()
        )

    def _archives(self) -> Iterator[tuple[DicomDestinationSettings, frozenset[ResultKind]]]:
        """Each DICOM destination, with the results that rules may send there."""
        for name, each in self.dicom_destinations.items():
            kinds = (
                USUAL_RESULTS
                if not self.settings.rules
                else frozenset(
                    ResultKind(result)
                    for rule in self.settings.rules
                    if name in rule.destinations
                    for result in rule.results
                )
            )
            if each.report is ReportForm.NONE:
                kinds -= {ResultKind.REPORT}
            if each.cine is CineForm.NONE:
                kinds -= {ResultKind.CINE}
            yield each, kinds


def name_of(uid: str) -> str:
    """As PS3.6 has it, without what is no part of the name."""
    return UID(uid).name.removesuffix(" SOP Class")


def hexadecimal(status: int) -> str:
    """As the standard writes a status."""
    return f"{status:04X}"
