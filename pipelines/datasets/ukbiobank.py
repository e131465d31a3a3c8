"""UK Biobank's bulk files: resting ECGs (field 20205) and heart MR archives (20208, 20209).

Source: UK Biobank's names `<eid>_<field>_<instance>_<array>`; the archive's layout as its users
describe it: DICOM files and one manifest, named .csv or .cvs, with an unquoted comma in the date.
"""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final
from zipfile import BadZipFile, ZipFile

from node.dicom.attribute import text_of
from node.domain.ecg import Subject
from node.domain.errors import InputError, UnusableData
from pipelines.datasets.cardiosoft import RestingECG, read_resting_ecg
from pipelines.datasets.cine_series import order_cine, read_image
from pipelines.datasets.phenotype_table import Participant, PhenotypeTable
from pipelines.datasets.recording import AcquiredCine, Recording, Refused, files_below

RESTING_ECG, LONG_AXIS, SHORT_AXIS = "20205", "20208", "20209"
N_FRAMES: Final = 50
_NAME: Final = re.compile(r"(\d+)_(20205|20208|20209)_(\d+)_(\d+)\.(xml|zip)", re.IGNORECASE)
_DATE: Final = re.compile(r"[A-Z][a-z]{2} \d{1,2}, ?\d{4}.*")
_MANIFESTS: Final = ("manifest.csv", "manifest.cvs")
_DESCRIPTIONS: Final = ("series discription", "series description")
"""The manifest's own spelling, and the one it may get."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A series of the archives."""

    field_id: str
    series_description: str


FOUR_CHAMBER: Final = View(field_id=LONG_AXIS, series_description="CINE_segmented_LAX_4Ch")


def read_ukbiobank(
    folder: Path,
    table: PhenotypeTable | None = None,
    *,
    instance: int = 2,
    view: View = FOUR_CHAMBER,
) -> Iterator[Recording | Refused]:
    """Every participant with a file of one visit below a folder, in the order of the eid's text.

    A recording holds what could be read; each file that could not is `Refused` beside it. What the
    table says of the person goes before what the ECG says.
    """
    files: dict[str, dict[str, Path]] = {}
    for path in files_below(folder):
        eid, field_id, reason = _placed(path, instance, view)
        if not reason and field_id in files.setdefault(eid, {}):
            reason = "a second file of the same participant, field and visit"
        if reason:
            yield Refused(path=path, reason=reason, code=UnusableData.code)
        else:
            files[eid][field_id] = path
    for eid in sorted(files):
        yield from _participant(eid, files[eid], view, table)


def read_cine_archive(path: Path, view: View = FOUR_CHAMBER) -> AcquiredCine:
    """One cine of 50 frames out of an archive.

    Where a series was repeated, the last complete one counts: the greatest Series Instance UID,
    its components compared as numbers, because the scanner writes the time into it.
    Raises UnusableData: no archive or manifest, no such series, none of 50 images, a file that is
    missing, broken, or not of the series that the manifest names; and all of `order_cine`.
    """
    try:
        with ZipFile(path) as archive:
            names = {PurePosixPath(name).name: name for name in archive.namelist()}
            manifest = next((names[name] for name in _MANIFESTS if name in names), None)
            if manifest is None:
                raise UnusableData("the archive holds no manifest")
            uid, members = _last_complete(archive.read(manifest), view)
            images = [read_image(archive.read(names[member])) for member in members]
    except KeyError as error:
        raise UnusableData("a file of the manifest is not in the archive") from error
    except (BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError, zlib.error) as error:
        raise UnusableData("not a zip archive, or it is cut short") from error
    for image in images:
        stated = text_of(image, "SeriesInstanceUID"), text_of(image, "SeriesDescription")
        if stated != (uid, view.series_description):
            raise UnusableData("an image is not of the series that the manifest names")
    return order_cine(images, n_frames=N_FRAMES)


def read_manifest(content: bytes) -> list[dict[str, str]]:
    """The rows by column. A row is longer than the header by the commas in its date: rejoined.

    Raises UnusableData.
    """
    try:
        rows = list(csv.reader(content.decode("utf-8-sig").splitlines(), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnusableData("the manifest is no table") from error
    header = [name.strip().lower() for name in rows[0]] if rows else []
    if "date" not in header:
        raise UnusableData("the manifest has no column date")
    place = header.index("date")
    return [
        dict(zip(header, _rejoined(row, place, len(header), line), strict=True))
        for line, row in enumerate(rows[1:], start=2)
        if row
    ]


def _rejoined(row: list[str], place: int, length: int, line: int) -> list[str]:
    extra = len(row) - length
    if extra == 0:
        return row
    date = ",".join(row[place : place + extra + 1])
    if extra < 0 or not _DATE.fullmatch(date):
        raise UnusableData(f"line {line} of the manifest has another number of columns")
    return [*row[:place], date, *row[place + extra + 1 :]]


def _last_complete(manifest: bytes, view: View) -> tuple[str, list[str]]:
    """The UID and the file names of the series to read."""
    rows = read_manifest(manifest)
    description = next((name for name in _DESCRIPTIONS if rows and name in rows[0]), None)
    if description is None or not {"filename", "seriesid"} <= rows[0].keys():
        raise UnusableData("the manifest has no filename, seriesid and series description")
    series: dict[str, list[str]] = {}
    for row in rows:
        if row[description].strip() == view.series_description:
            series.setdefault(row["seriesid"].strip(), []).append(row["filename"].strip())
    if not series:
        raise UnusableData(f"no series {view.series_description}")
    complete = [uid for uid, members in series.items() if len(members) == N_FRAMES]
    if not complete:
        counts = ", ".join(str(len(members)) for members in series.values())
        raise UnusableData(f"{view.series_description} has {counts} images, not {N_FRAMES}")
    last = max(complete, key=_components)
    return last, series[last]


def _components(uid: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in uid.split("."))


def _placed(path: Path, instance: int, view: View) -> tuple[str, str, str]:
    """Participant and field of a file, and why it is left out; empty when it is not."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return "", "", "not named as a bulk file of field 20205, 20208 or 20209"
    eid, field_id, visit, _array, kind = match.groups()
    if (field_id == RESTING_ECG) != (kind.lower() == "xml"):
        return eid, field_id, f"field {field_id} is not kept as {kind.lower()}"
    if int(visit) != instance:
        return eid, field_id, f"visit {int(visit)}, not {instance}"
    if field_id not in (RESTING_ECG, view.field_id):
        return eid, field_id, f"field {field_id} is not read for this view"
    return eid, field_id, ""


def _participant(
    eid: str, files: dict[str, Path], view: View, table: PhenotypeTable | None
) -> Iterator[Recording | Refused]:
    resting: RestingECG | None = None
    cine: AcquiredCine | None = None
    for field_id, path in sorted(files.items()):
        try:
            if field_id == RESTING_ECG:
                resting = read_resting_ecg(path.read_bytes())
            else:
                cine = read_cine_archive(path, view)
        except InputError as error:
            yield Refused.because(path, error)
    if resting is None and cine is None:
        return
    participant = None if table is None else table.participants.get(eid)
    recording = Recording(
        subject_id=eid,
        source=next(iter(files.values())).parent,
        subject=_merged(participant, Subject() if resting is None else resting.subject),
        cine=cine,
        phenotypes=None if participant is None else participant.phenotypes,
    )
    if resting is not None:
        recording = replace(recording, ecg=resting.ecg, measurements=resting.measurements)
    yield recording


def _merged(participant: Participant | None, stated: Subject) -> Subject:
    """The table's word where it has one, else the ECG's."""
    if participant is None:
        return stated
    known = participant.subject
    return Subject(
        age_years=stated.age_years if known.age_years is None else known.age_years,
        sex=known.sex or stated.sex,
        height_cm=stated.height_cm if known.height_cm is None else known.height_cm,
        weight_kg=stated.weight_kg if known.weight_kg is None else known.weight_kg,
    )
