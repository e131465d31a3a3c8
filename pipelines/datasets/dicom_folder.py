"""A folder tree of DICOM objects: ECGs, or cines as single-frame or multi-frame images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from pydicom.dataset import Dataset

from node.dicom.attribute import text_of
from node.dicom.part10 import read_part10
from node.dicom.waveform import read_ecg, read_subject
from node.domain.errors import InputError, UnusableData
from pipelines.datasets.cine_series import order_cine, read_image
from pipelines.datasets.leads import require_twelve
from pipelines.datasets.recording import Recording, Refused, files_below

SubjectOf = Callable[[Path, Dataset], str]
"""Who a file is of: an opaque id, empty when nobody knows."""


def patient_id(_path: Path, dataset: Dataset) -> str:
    """The file's Patient ID."""
    return text_of(dataset, "PatientID")


def read_ecg_folder(
    folder: Path, subject_of: SubjectOf = patient_id
) -> Iterator[Recording | Refused]:
    """Every ECG below a folder, in the order of the paths; other files are `Refused`.

    Decoded as the node decodes them. An ECG without a subject is refused: it cannot be split.
    """
    for path in files_below(folder):
        try:
            dataset = read_part10(path.read_bytes())
            ecg = read_ecg(dataset)
            require_twelve(ecg)
            yield Recording(
                subject_id=_subject(subject_of, path, dataset),
                source=path,
                subject=read_subject(dataset),
                ecg=ecg,
            )
        except InputError as error:
            yield Refused.because(path, error)


def read_cine_folder(
    folder: Path, subject_of: SubjectOf = patient_id
) -> Iterator[Recording | Refused]:
    """One recording for each slice of each series below a folder; `Refused` names a slice's first.

    A first pass reads headers only; pixels are held for one slice at a time.
    """
    slices: dict[tuple[str, str, str], list[Path]] = {}
    for path in files_below(folder):
        try:
            header = read_image(path.read_bytes(), header_only=True)
            slices.setdefault(_slice_of(header, _subject(subject_of, path, header)), []).append(
                path
            )
        except InputError as error:
            yield Refused.because(path, error)
    for (subject_id, _series, _position), paths in slices.items():
        try:
            images = [read_image(path.read_bytes()) for path in paths]
            yield Recording(
                subject_id=subject_id,
                source=paths[0],
                subject=read_subject(images[0]),
                cine=order_cine(images),
            )
        except InputError as error:
            yield Refused.because(paths[0], error)


def _subject(subject_of: SubjectOf, path: Path, dataset: Dataset) -> str:
    subject_id = subject_of(path, dataset)
    if not subject_id:
        raise UnusableData("nobody knows whose this is: it cannot be split by subject")
    return subject_id


def _slice_of(header: Dataset, subject_id: str) -> tuple[str, str, str]:
    """Subject, series and place in the body: what all frames of one cine share."""
    series = text_of(header, "SeriesInstanceUID")
    if not series or not text_of(header, "Rows"):
        raise UnusableData("not an image of a series")
    position = text_of(header, "ImagePositionPatient") or text_of(header, "SliceLocation")
    return subject_id, series, position
