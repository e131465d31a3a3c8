from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from pydicom.dataset import Dataset

from node.domain.ecg import Subject
from node.domain.errors import UnusableData
from pipelines.datasets.phenotype_table import read_phenotype_table
from pipelines.datasets.recording import Recording, Refused
from pipelines.datasets.ukbiobank import (
    SHORT_AXIS,
    View,
    read_cine_archive,
    read_manifest,
    read_ukbiobank,
)
from tests.unit.datasets.cardiosoft_file import cardiosoft_xml
from tests.unit.datasets.mr_images import SERIES_UID, file_of, mr_image, pixels_of

HEADER = "filename,patientid,studyid,date,seriesid,series discription"
DATE = "Aug 11, 2014"
FOUR_CHAMBERS = "CINE_segmented_LAX_4Ch"


def series(uid: str, offset: int, description: str = FOUR_CHAMBERS) -> list[Dataset]:
    """50 images whose pixels are those of frames from `offset` on."""
    return [
        mr_image(
            frame,
            pixels=pixels_of(frame + offset),
            SeriesInstanceUID=uid,
            SeriesDescription=description,
        )
        for frame in range(50)
    ]


def archive(
    path: Path,
    images: Sequence[Dataset],
    *,
    left_out: Iterable[int] = (),
    manifest: str | None = "manifest.csv",
    header: str = HEADER,
) -> Path:
    """A zip of the images in a shuffled order, and a manifest whose date has a comma."""
    lines = [header]
    order = random.Random(3).sample(range(len(images)), len(images))
    with ZipFile(path, "w") as file:
        for number in order:
            image = images[number]
            name = f"1.3.12.{number}.dcm"
            lines.append(
                f"{name},1000012,1.3.12.9,{DATE},{image.SeriesInstanceUID},"
                f"{image.SeriesDescription}"
            )
            if number not in set(left_out):
                file.writestr(name, file_of(image))
        if manifest:
            file.writestr(manifest, "\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("manifest", ["manifest.csv", "manifest.cvs"])
def test_the_four_chamber_cine_is_found_and_ordered(tmp_path: Path, manifest: str) -> None:
    images = [
        *series("1.3.12.1", 500, "CINE_segmented_LAX_2Ch"),
        *series(SERIES_UID, 0),
        *series("1.3.12.3", 700, "CINE_segmented_LAX_4Ch_InlineVF"),
    ]
    path = archive(tmp_path / "1000012_20208_2_0.zip", images, manifest=manifest)
    cine = read_cine_archive(path)
    assert np.array_equal(cine.frames, np.stack([pixels_of(frame) for frame in range(50)]))
    assert cine.series_description == FOUR_CHAMBERS
    assert cine.pixel_spacing_mm == (1.8, 1.8)


def test_of_a_repeated_series_the_last_complete_one_counts(tmp_path: Path) -> None:
    first = series("1.3.12.2.99.0", 0)
    second = series("1.3.12.2.100.0", 100)  # later as a number, earlier as text
    path = archive(tmp_path / "a.zip", [*second, *first])
    assert read_cine_archive(path).frames[0, 0, 0] == pixels_of(100)[0, 0]
    broken_off = series("1.3.12.2.101.0", 10)[:12]
    path = archive(tmp_path / "b.zip", [*broken_off, *second, *first])
    assert read_cine_archive(path).frames[0, 0, 0] == pixels_of(100)[0, 0]


def test_a_short_axis_slice_is_read_the_same_way(tmp_path: Path) -> None:
    images = [
        *series("1.3.12.4", 0, "CINE_segmented_SAX_b1"),
        *series("1.3.12.5", 9, "CINE_segmented_SAX_b10"),
    ]
    view = View(field_id=SHORT_AXIS, series_description="CINE_segmented_SAX_b1")
    cine = read_cine_archive(archive(tmp_path / "1_20209_2_0.zip", images), view)
    assert np.array_equal(cine.frames[0], pixels_of(0))


@pytest.mark.parametrize(
    ("images", "options", "reason"),
    [
        (series(SERIES_UID, 0)[:49], {}, "has 49 images, not 50"),
        ([*series(SERIES_UID, 0), mr_image(50)], {}, "has 51 images, not 50"),
        (series(SERIES_UID, 0, "CINE_segmented_LAX"), {}, f"no series {FOUR_CHAMBERS}"),
        (series(SERIES_UID, 0), {"left_out": [7]}, "not in the archive"),
        (series(SERIES_UID, 0), {"manifest": None}, "no manifest"),
        (series(SERIES_UID, 0), {"header": HEADER.replace("date", "day")}, "no column date"),
        (series(SERIES_UID, 0), {"header": HEADER.replace("seriesid", "uid")}, "seriesid"),
    ],
)
def test_an_archive_that_does_not_add_up_is_refused_by_name(
    tmp_path: Path, images: list[Dataset], options: dict[str, Any], reason: str
) -> None:
    path = archive(tmp_path / "1000012_20208_2_0.zip", images, **options)
    with pytest.raises(UnusableData, match=reason):
        read_cine_archive(path)


def test_an_image_of_another_series_than_the_manifests_is_refused(tmp_path: Path) -> None:
    images = series(SERIES_UID, 0)
    path = archive(tmp_path / "a.zip", images)
    other = tmp_path / "b.zip"
    with ZipFile(path) as source, ZipFile(other, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "1.3.12.5.dcm":
                content = file_of(mr_image(5, SeriesDescription="CINE_segmented_LAX_2Ch"))
            target.writestr(name, content)
    with pytest.raises(UnusableData, match="not of the series that the manifest names"):
        read_cine_archive(other)


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", series(SERIES_UID, 0))
    content = bytearray(path.read_bytes())
    for broken in (b"", b"no zip", bytes(content[:-900])):
        path.write_bytes(broken)
        with pytest.raises(UnusableData, match="not a zip archive"):
            read_cine_archive(path)
    content[700] ^= 0xFF  # a pixel of the first member: its checksum is wrong
    path.write_bytes(content)
    with pytest.raises(UnusableData, match="not a zip archive"):
        read_cine_archive(path)


@pytest.mark.parametrize(
    ("date", "columns"), [("2014-08-11", 1), ("Aug 11, 2014", 2), ("May 1, 2015, 09:30", 3)]
)
def test_commas_in_the_date_do_not_shift_the_other_columns(date: str, columns: int) -> None:
    assert date.count(",") == columns - 1
    row = f"a.dcm,1,2,{date},1.3.12,{FOUR_CHAMBERS}"
    assert read_manifest(f"{HEADER}\n{row}\n\n".encode()) == [
        {
            "filename": "a.dcm",
            "patientid": "1",
            "studyid": "2",
            "date": date,
            "seriesid": "1.3.12",
            "series discription": FOUR_CHAMBERS,
        }
    ]


@pytest.mark.parametrize("row", ["a.dcm,1,2,2014-08-11,1.3.12,LAX, 4Ch", "a.dcm,1,2,2014-08-11"])
def test_a_comma_anywhere_else_is_refused(row: str) -> None:
    with pytest.raises(UnusableData, match="line 2 of the manifest"):
        read_manifest(f"{HEADER}\n{row}\n".encode())


# the folder


def test_files_of_a_participant_are_paired_and_nothing_is_dropped(tmp_path: Path) -> None:
    stated = '<Age units="YEARS">63</Age><Gender>MALE</Gender><Weight units="kg">80</Weight>'
    both, only_ecg = tmp_path / "a", tmp_path / "b"
    both.mkdir()
    only_ecg.mkdir()
    (both / "1000012_20205_2_0.xml").write_bytes(cardiosoft_xml(patient=stated))
    archive(both / "1000012_20208_2_0.zip", series(SERIES_UID, 0))
    archive(both / "1000012_20209_2_0.zip", series(SERIES_UID, 0))
    (only_ecg / "1000025_20205_2_0.xml").write_bytes(cardiosoft_xml())
    (only_ecg / "1000025_20205_3_0.xml").write_bytes(cardiosoft_xml())
    (only_ecg / "1000025_20205_2_1.xml").write_bytes(cardiosoft_xml())
    archive(only_ecg / "1000025_20208_2_0.zip", series(SERIES_UID, 0)[:3])
    (only_ecg / "1000038_20205_2_0.xml").write_bytes(b"no xml")
    (only_ecg / "1000041_20205_2_0.zip").write_bytes(b"")
    (only_ecg / "readme.txt").write_bytes(b"")
    table = tmp_path.with_suffix(".csv")
    table.write_text("eid,24100-2.0,24103-2.0,31-0.0,21003-2.0\n1000012,150,60,0,64\n")

    found = list(read_ukbiobank(tmp_path, read_phenotype_table(table)))

    recordings = [one for one in found if isinstance(one, Recording)]
    assert [one.subject_id for one in recordings] == ["1000012", "1000025"]
    first, second = recordings
    assert first.ecg is not None
    assert first.ecg.duration_s == 10
    assert first.cine is not None
    assert first.phenotypes == {"24100": 150.0, "24103": 60.0}
    assert first.subject == Subject(age_years=64.0, sex="F", weight_kg=80.0)
    assert first.measurements["PQInterval"].value == 158
    assert (second.cine, second.phenotypes) == (None, None)
    refused = {one.path.name: one.reason for one in found if isinstance(one, Refused)}
    assert refused == {
        "1000012_20209_2_0.zip": "field 20209 is not read for this view",
        "1000025_20205_3_0.xml": "visit 3, not 2",
        "1000025_20205_2_1.xml": "a second file of the same participant, field and visit",
        "1000025_20208_2_0.zip": f"{FOUR_CHAMBERS} has 3 images, not 50",
        "1000038_20205_2_0.xml": "the file is not well-formed XML, or it is cut short",
        "1000041_20205_2_0.zip": "field 20205 is not kept as zip",
        "readme.txt": "not named as a bulk file of field 20205, 20208 or 20209",
    }
    assert len(found) == 9  # 10 files: two of them are one recording


def test_nothing_of_the_person_is_in_a_recordings_repr(tmp_path: Path) -> None:
    stated = '<Age units="YEARS">63</Age>'
    (tmp_path / "1000012_20205_2_0.xml").write_bytes(cardiosoft_xml(patient=stated))
    (recording,) = read_ukbiobank(tmp_path)
    assert not {"1000012", "63", "158"} & set(repr(recording).replace("=", " ").split())
    assert "1000012" not in repr(recording)


def test_another_visit_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "1000012_20205_3_0.xml").write_bytes(cardiosoft_xml())
    (recording,) = read_ukbiobank(tmp_path, instance=3)
    assert isinstance(recording, Recording)
