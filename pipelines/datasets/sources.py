"""Which cohorts can be read, and with what beside their folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset

from node.domain.errors import UnusableData
from pipelines.datasets.dicom_folder import patient_id, read_cine_folder, read_ecg_folder
from pipelines.datasets.mimic_iv_ecg import read_mimic_iv_ecg
from pipelines.datasets.phenotype_table import PhenotypeTable
from pipelines.datasets.ptb_xl import read_ptb_xl
from pipelines.datasets.recording import Recording, Refused
from pipelines.datasets.ukbiobank import read_ukbiobank
from pipelines.datasets.wfdb_records import read_wfdb_folder


class Kind(Enum):
    """A cohort, or a format that cohorts come in."""

    UKBIOBANK = "ukbiobank"
    MIMIC_IV_ECG = "mimic-iv-ecg"
    PTB_XL = "ptb-xl"
    WFDB = "wfdb"
    DICOM = "dicom"


TITLES: Final = {
    Kind.UKBIOBANK: "UK Biobank",
    Kind.MIMIC_IV_ECG: "MIMIC-IV-ECG",
    Kind.PTB_XL: "PTB-XL",
    Kind.WFDB: "a cohort of WFDB records",
    Kind.DICOM: "a cohort of DICOM files",
}
READ_BY: Final = {
    "patients": {Kind.MIMIC_IV_ECG},
    "subject": {Kind.WFDB, Kind.DICOM},
    "cines": {Kind.DICOM},
    "view": {Kind.DICOM},
}
"""What only some kinds read, by its name here and in the command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One cohort on disk. Raises UnusableData (what its kind does not read, or lacks)."""

    kind: Kind
    folder: Path
    phenotypes: PhenotypeTable | None = None
    """By subject id, which must then be the table's participant."""
    instance: int = 2
    """Visit of UK Biobank."""
    patients: Path | None = None
    """The table of MIMIC-IV with age and sex."""
    subject: re.Pattern[str] | None = None
    """Its first group, found in a file's path below the folder, is the subject."""
    cines: Path | None = None
    """Folder with the DICOM cines of the same subjects."""
    view: str | None = None
    """Series Description of the cines to take."""

    def __post_init__(self) -> None:
        for name, kinds in READ_BY.items():
            if getattr(self, name) is not None and self.kind not in kinds:
                raise UnusableData(f"{name} is not read for {self.kind.value}: leave it out")
        if self.kind is Kind.WFDB and self.subject is None:
            raise UnusableData(
                "a WFDB record does not say whose it is: give subject, a regular expression whose "
                r"first group is the subject in a record's path, e.g. ^([^/]+)/"
            )
        if self.subject is not None and not self.subject.groups:
            raise UnusableData("subject has no group: put the part that is the subject into ( )")
        if (self.cines is None) != (self.view is None):
            raise UnusableData("cines and view belong together: the folder, and which series of it")

    @property
    def roots(self) -> tuple[Path, ...]:
        """Folders that files are read below."""
        return (self.folder,) if self.cines is None else (self.folder, self.cines)

    def read(self) -> Iterator[Recording | Refused]:
        """Everything, in an order that two runs share; cines of their own files after the ECGs.

        Raises UnusableData (a table of the cohort cannot be read).
        """
        if self.phenotypes is not None:
            yield from self.phenotypes.refused
        for one in self._ecgs():
            yield self._with_phenotypes(one) if isinstance(one, Recording) else one
        if self.cines is not None:
            for one in read_cine_folder(self.cines, self._dicom_subject(self.cines)):
                yield self._of_view(one) if isinstance(one, Recording) else one

    def _ecgs(self) -> Iterator[Recording | Refused]:
        match self.kind:
            case Kind.UKBIOBANK:
                return read_ukbiobank(self.folder, self.phenotypes, instance=self.instance)
            case Kind.MIMIC_IV_ECG:
                return read_mimic_iv_ecg(self.folder, self.patients)
            case Kind.PTB_XL:
                return read_ptb_xl(self.folder)
            case Kind.WFDB:
                return read_wfdb_folder(self.folder, lambda path: self._named(path, self.folder))
            case Kind.DICOM:
                return read_ecg_folder(self.folder, self._dicom_subject(self.folder))

    def _dicom_subject(self, root: Path) -> Callable[[Path, Dataset], str]:
        if self.subject is None:
            return patient_id
        return lambda path, _dataset: self._named(path, root)

    def _named(self, path: Path, root: Path) -> str:
        """The subject that a path names, empty where it names none."""
        assert self.subject is not None  # of the callers
        found = self.subject.search(path.relative_to(root).as_posix())
        return "" if found is None else found[1] or ""

    def _with_phenotypes(self, recording: Recording) -> Recording:
        if self.phenotypes is None or recording.phenotypes is not None:
            return recording
        participant = self.phenotypes.participants.get(recording.subject_id)
        known = None if participant is None else participant.phenotypes
        return replace(recording, phenotypes=known)

    def _of_view(self, recording: Recording) -> Recording | Refused:
        assert recording.cine is not None  # of read_cine_folder
        if recording.cine.series_description == self.view:
            return recording
        return Refused(
            path=recording.source,
            reason="a series of another description than the view asked for",
            code=UnusableData.code,
        )
