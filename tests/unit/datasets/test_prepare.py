"""A cohort's files become a training set: split by subject, nothing lost in silence."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from node.domain.ecg import Subject
from node.domain.errors import CardioNodeError, UnusableData
from node.ecg.beats import heart_rate_bpm
from node.ecg.conditioning import trim_calibration_pulse
from pipelines.cohort.phenotypes import PHENOTYPES
from pipelines.cohort.population import simulate_population
from pipelines.cohort.torso import simulate_ecg
from pipelines.command import app
from pipelines.datasets.coverage import GROUPS
from pipelines.datasets.defined_diseases import defined_labels
from pipelines.datasets.disease_table import FIELD_IDS, read_disease_table
from pipelines.datasets.heart_beat import beat_phases, resample_beat, stored_cine
from pipelines.datasets.phenotype_table import read_phenotype_table
from pipelines.datasets.prepare import Plan, Prepared, Split, digest_subjects, prepare_training_set
from pipelines.datasets.recording import AcquiredCine
from pipelines.datasets.refused_list import REFUSED
from pipelines.datasets.row_file import CHUNK, RowFile
from pipelines.datasets.sources import Kind, Source
from pipelines.datasets.split import Part, Shares, part_of
from pipelines.datasets.training_set import STATEMENT, UNKNOWN, TrainingSet, open_training_set
from pipelines.datasets.wfdb_records import read_wfdb
from pipelines.preprocessing import RECIPES, condition
from pipelines.training.engine import WEIGHTS
from tests.conftest import SHRUNKEN
from tests.ecg_instances import mortara
from tests.unit.datasets.cardiosoft_file import LEADS, cardiosoft_xml
from tests.unit.datasets.mr_images import SERIES_UID, file_of, mr_image
from tests.unit.datasets.test_ptb_xl import HEADER as PTB_XL_HEADER
from tests.unit.datasets.test_ukbiobank import archive, series
from tests.unit.datasets.wfdb_files import write_record

RECIPE = RECIPES["cardionode-2"]
SHARES = Shares(train=0.5, validation=0.25)
SUBJECTS = [f"subject-{number}" for number in range(10)]
FIRST_AGE = 40
BY_FOLDER = "^([^/]+)/"


def plan(**changes: object) -> Plan:
    values: dict[str, object] = {
        "recipe": RECIPE,
        "split": Split(salt="test", shares=SHARES),
        "description": "subjects of a test",
    }
    return Plan(**(values | changes))  # type: ignore[arg-type]


def prepared(folder: Path, source: Source, *, processes: int = 1, **changes: object) -> Prepared:
    return prepare_training_set(
        folder,
        source.read(),
        source.roots,
        plan(**changes),
        lambda _done, _total: None,
        processes=processes,
    )


@lru_cache
def counts(index: int) -> NDArray[np.int16]:
    """(5000, 12) in steps of 5 µV: a simulated ECG at 500 Hz."""
    population = simulate_population(4, seed=3)
    return np.rint(simulate_ecg(population, index, seed=3) * 200).astype(np.int16)


def wfdb_cohort(folder: Path, ecgs: int = 2) -> Path:
    """Each of SUBJECTS in a folder of its own; its age, FIRST_AGE and up, tells it apart."""
    for number, subject_id in enumerate(SUBJECTS):
        for place in range(ecgs):
            write_record(
                folder / subject_id / f"ecg{place}",
                leads=LEADS,
                counts=counts((number + place) % 4),
                comments=[f"age: {FIRST_AGE + number}", "sex: female"],
            )
    return folder


def wfdb(folder: Path) -> Source:
    return Source(kind=Kind.WFDB, folder=folder, subject=re.compile(BY_FOLDER))


def salt_for(subject_ids: Sequence[str]) -> str:
    """The first number by which a few subjects leave no part empty."""
    return next(
        salt
        for salt in map(str, range(100))
        if {part_of(each, salt, SHARES) for each in subject_ids} == set(Part)
    )


def body(sex: str | None) -> Subject:
    return Subject(sex=sex, height_cm=180.0, weight_kg=80.0)


def ages(made: TrainingSet) -> list[int]:
    """Of the rows, out of the subject vector."""
    return [round(value) for value in (made.subject[:, 1] * 14.0 + 58.0).tolist()]


def refused_in(folder: Path) -> dict[str, str]:
    with (folder / REFUSED).open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["path", "reason"]
    return dict(rows[1:])  # type: ignore[arg-type]


# the split


def test_every_ecg_of_a_subject_is_in_the_part_of_its_hash(tmp_path: Path) -> None:
    got = prepared(tmp_path / "set", wfdb(wfdb_cohort(tmp_path / "cohort")))
    statement, found = got.made.statement, ages(got.made)
    wanted = {
        part: [
            FIRST_AGE + number
            for number, subject_id in enumerate(SUBJECTS)
            if part_of(subject_id, "test", SHARES) is part
            for _ in range(2)
        ]
        for part in Part
    }
    assert all(wanted.values())
    assert found[statement.test_part] == wanted[Part.TEST]
    assert found[statement.calibration_part] == wanted[Part.VALIDATION]
    assert found[statement.train_part] == wanted[Part.TRAIN]
    assert got.subjects == {part: len(set(people)) for part, people in wanted.items()}
    assert not statement.simulated and statement.seed is None and statement.nuisance is None


def test_another_salt_is_another_split(tmp_path: Path) -> None:
    source = wfdb(wfdb_cohort(tmp_path / "cohort", ecgs=1))
    digests = {
        prepared(
            tmp_path / salt, source, split=Split(salt=salt, shares=SHARES)
        ).made.statement.test_digest
        for salt in ("test", "other")
    }
    assert len(digests) == 2


def test_ptb_xl_can_be_split_by_its_publishers_folds(tmp_path: Path) -> None:
    folder = tmp_path / "cohort"
    lines = [PTB_XL_HEADER]
    for fold in range(1, 11):
        name = f"records500/00000/{fold:05}_hr"
        write_record(folder / name, leads=LEADS, counts=counts(0))
        lines.append(f"{fold},{fold},{FIRST_AGE + fold},1,,,,{fold},none,{name}")
    (folder / "ptbxl_database.csv").write_text("\n".join(lines) + "\n")
    split = Split(salt="test", shares=SHARES, publishers_folds=True)
    got = prepared(tmp_path / "set", Source(kind=Kind.PTB_XL, folder=folder), split=split)
    assert ages(got.made) == [FIRST_AGE + fold for fold in (10, 9, 1, 2, 3, 4, 5, 6, 7, 8)]


def test_a_subject_whose_folds_disagree_ends_it(tmp_path: Path) -> None:
    folder = tmp_path / "cohort"
    lines = [PTB_XL_HEADER]
    for number, (patient, fold) in enumerate([(1, 1), (1, 10), (2, 9)], start=1):
        name = f"records500/00000/{number:05}_hr"
        write_record(folder / name, leads=LEADS, counts=counts(0))
        lines.append(f"{number},{patient},60,1,,,,{fold},none,{name}")
    (folder / "ptbxl_database.csv").write_text("\n".join(lines) + "\n")
    split = Split(salt="test", shares=SHARES, publishers_folds=True)
    with pytest.raises(UnusableData, match="1 subjects are in two parts"):
        prepared(tmp_path / "set", Source(kind=Kind.PTB_XL, folder=folder), split=split)


def test_a_part_without_anybody_ends_it(tmp_path: Path) -> None:
    source = wfdb(wfdb_cohort(tmp_path / "cohort", ecgs=1))
    split = Split(salt="test", shares=Shares(train=1.0, validation=0.0))
    with pytest.raises(UnusableData, match="no subject to test on"):
        prepared(tmp_path / "set", source, split=split)
    assert [each.name for each in (tmp_path / "set").iterdir()] == [REFUSED]


# what is in a row


def test_an_ecg_is_conditioned_as_serving_does(tmp_path: Path) -> None:
    folder = wfdb_cohort(tmp_path / "cohort", ecgs=1)
    made = prepared(tmp_path / "set", wfdb(folder)).made
    for row, age in enumerate(ages(made)):
        record, _ = read_wfdb(folder / SUBJECTS[age - FIRST_AGE] / "ecg0.hea")
        assert np.array_equal(made.ecg[row], condition(record, RECIPE).astype(np.float16))
        assert made.heart_rate[row] == pytest.approx(heart_rate_bpm(record))
    assert np.abs(made.ecg).max() > 0.5


def test_a_calibration_pulse_is_cut_off_as_in_serving(tmp_path: Path) -> None:
    folder = wfdb_cohort(tmp_path / "cohort", ecgs=1)
    pulsed = counts(0).copy()
    pulsed[4850:] = 0
    pulsed[4875:4975] = 200  # 1 mV for 0.2 s on all leads
    comments = [f"age: {FIRST_AGE}"]
    header = write_record(
        folder / SUBJECTS[0] / "ecg0", leads=LEADS, counts=pulsed, comments=comments
    )
    made = prepared(tmp_path / "set", wfdb(folder)).made
    record, _ = read_wfdb(header)
    trimmed = condition(trim_calibration_pulse(record), RECIPE).astype(np.float16)
    assert not np.array_equal(trimmed, condition(record, RECIPE).astype(np.float16))
    assert np.array_equal(made.ecg[ages(made).index(FIRST_AGE)], trimmed)


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_recipe_can_be_asked_for(tmp_path: Path, name: str) -> None:
    source = wfdb(wfdb_cohort(tmp_path / "cohort", ecgs=1))
    made = prepared(tmp_path / "set", source, recipe=RECIPES[name]).made
    assert made.statement.recipe == name
    assert made.ecg.shape == (len(SUBJECTS), 12, RECIPES[name].window_samples)


@pytest.mark.parametrize(
    ("phenotypes", "subject", "labels"),
    [
        ({"24103": 49.9}, Subject(), {"lv-systolic-dysfunction": 1}),
        ({"24103": 50.0}, Subject(), {"lv-systolic-dysfunction": 0}),
        # Mosteller: 180 cm and 80 kg are 2 m2; the thresholds are 71 and 56 g/m2.
        ({"24105": 143.0}, body("M"), {"lv-hypertrophy": 1}),
        ({"24105": 141.0}, body("M"), {"lv-hypertrophy": 0}),
        ({"24105": 113.0}, body("F"), {"lv-hypertrophy": 1}),
        ({"24105": 111.0}, body("F"), {"lv-hypertrophy": 0}),
        ({"24105": 143.0}, body(None), {}),
        ({"24105": 143.0}, Subject(sex="M", height_cm=180.0), {}),
        ({"24100": 300.0}, body("M"), {}),
    ],
)
def test_what_phenotypes_define_is_labelled_by_them(
    phenotypes: Mapping[str, float], subject: Subject, labels: Mapping[str, int]
) -> None:
    assert defined_labels(phenotypes, subject) == labels
    assert labels.keys() <= set(FIELD_IDS)


def test_a_tables_word_goes_before_the_definition(tmp_path: Path) -> None:
    phenotypes = tmp_path / "phenotypes.csv"
    phenotypes.write_text("eid,24103-2.0\nsubject-0,45\nsubject-1,45\n")
    diseases = tmp_path / "diseases.csv"
    diseases.write_text("subject_id,lv-systolic-dysfunction\nsubject-0,0\nsubject-1,\n")
    source = replace(
        wfdb(wfdb_cohort(tmp_path / "cohort", ecgs=1)), phenotypes=read_phenotype_table(phenotypes)
    )
    made = prepared(tmp_path / "set", source, diseases=read_disease_table(diseases)).made
    column = made.diseases[:, FIELD_IDS.index("lv-systolic-dysfunction")].tolist()
    found = dict(zip(ages(made), column, strict=True))
    assert [found[FIRST_AGE + number] for number in range(3)] == [0, 1, UNKNOWN]


def test_what_nobody_knows_is_nan_and_unknown(tmp_path: Path) -> None:
    phenotypes = tmp_path / "phenotypes.csv"
    phenotypes.write_text(
        "eid,24100-2.0,24103-2.0\nsubject-0,150,61.5\nsubject-1,,55\nsubject-2,450,55\n"
    )
    diseases = tmp_path / "diseases.csv"
    diseases.write_text(
        "subject_id,myocardial-infarction,cardiomyopathy\nsubject-0,1,\nsubject-1,0,1\n"
    )
    source = replace(
        wfdb(wfdb_cohort(tmp_path / "cohort", ecgs=1)), phenotypes=read_phenotype_table(phenotypes)
    )
    made = prepared(tmp_path / "set", source, diseases=read_disease_table(diseases)).made
    row = {age - FIRST_AGE: row for row, age in enumerate(ages(made))}
    known = {
        number: {
            field_id: float(value)
            for field_id, value in zip(
                made.statement.field_ids, made.phenotypes[row[number]], strict=True
            )
            if not np.isnan(value)
        }
        for number in range(4)
    }
    assert known == {0: {"24100": 150.0, "24103": 61.5}, 1: {"24103": 55.0}, 2: {"24103": 55.0},
                     3: {}}  # fmt: skip
    labels = {
        number: dict(zip(FIELD_IDS, made.diseases[row[number]].tolist(), strict=True))
        for number in range(4)
    }
    unknown = dict.fromkeys(FIELD_IDS, UNKNOWN)
    defined = unknown | {"lv-systolic-dysfunction": 0}  # LVEF of 55 and more
    assert labels[0] == defined | {"myocardial-infarction": 1}
    assert labels[1] == defined | {"myocardial-infarction": 0, "cardiomyopathy": 1}
    assert labels[2] == defined
    assert labels[3] == unknown
    reason = "line 4, field 24100: outside 50 to 400 mL; the value is left out"
    assert refused_in(tmp_path / "set") == {"phenotypes.csv": reason}
    assert made.cine.shape == (0, 50, 96, 96)


# what is refused


def test_each_that_cannot_be_used_is_listed_with_its_reason(tmp_path: Path) -> None:
    folder = wfdb_cohort(tmp_path / "cohort", ecgs=1)
    one = folder / SUBJECTS[0]
    write_record(one / "cut", leads=LEADS, counts=counts(0)).with_suffix(".dat").unlink()
    write_record(one / "short", leads=LEADS, counts=counts(0)[:2000])
    write_record(one / "flat", leads=LEADS, counts=np.zeros((5000, 12), np.int16))
    write_record(folder / "nobody", leads=LEADS, counts=counts(0))
    got = prepared(tmp_path / "set", wfdb(folder))
    reasons = refused_in(tmp_path / "set")
    assert set(reasons) == {
        *(f"{SUBJECTS[0]}/{name}.hea" for name in ("cut", "flat", "short")),
        "nobody.hea",
    }
    assert "signal file is missing" in reasons[f"{SUBJECTS[0]}/cut.hea"]
    assert reasons[f"{SUBJECTS[0]}/short.hea"] == "4.0 s recorded, 9 s needed."
    assert reasons["nobody.hea"].startswith("nobody knows whose this is")
    assert (got.refused, got.made.statement.subjects) == (4, len(SUBJECTS))


def test_nothing_usable_is_an_error_that_names_the_list(tmp_path: Path) -> None:
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort" / "a.hea").write_text("no header\n")
    with pytest.raises(UnusableData, match=rf"no usable ECG was found; 1 refused.*{REFUSED}"):
        prepared(tmp_path / "set", wfdb(tmp_path / "cohort"))
    assert list(refused_in(tmp_path / "set")) == ["a.hea"]


def test_a_whole_set_is_not_overwritten(tmp_path: Path) -> None:
    source = wfdb(wfdb_cohort(tmp_path / "cohort", ecgs=1))
    prepared(tmp_path / "set", source)
    before = (tmp_path / "set" / REFUSED).stat().st_mtime_ns
    with pytest.raises(UnusableData, match="holds a training set already"):
        prepared(tmp_path / "set", source)
    assert (tmp_path / "set" / REFUSED).stat().st_mtime_ns == before


# repeats and secrets


def test_the_same_files_give_the_same_bytes_in_any_number_of_processes(tmp_path: Path) -> None:
    source = wfdb(wfdb_cohort(tmp_path / "cohort"))
    first, second = (tmp_path / name for name in ("first", "second"))
    prepared(first, source)
    prepared(second, source, processes=2)
    names = sorted(each.name for each in first.iterdir())
    assert names == sorted(
        [REFUSED, STATEMENT, *(f"{name}.npy" for name in (
            "ecg", "subject", "phenotypes", "heart_rate", "diseases", "cine", "cine_subject"
        ))]
    )  # fmt: skip
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_no_subjects_id_is_in_the_set(tmp_path: Path) -> None:
    made = prepared(tmp_path / "set", wfdb(wfdb_cohort(tmp_path / "cohort", ecgs=1))).made
    for file in (tmp_path / "set").iterdir():
        assert b"subject-" not in file.read_bytes()
    tested = [each for each in SUBJECTS if part_of(each, "test", SHARES) is Part.TEST]
    assert made.statement.test_digest == digest_subjects(reversed(tested))
    assert made.statement.test_digest != digest_subjects(tested[1:])


# cines


def test_cines_stand_beside_their_participants(tmp_path: Path) -> None:
    folder = tmp_path / "cohort"
    folder.mkdir()
    eids = [str(1000010 + number) for number in range(10)]
    for number, eid in enumerate(eids):
        stated = f'<Age units="YEARS">{FIRST_AGE + number}</Age>'
        values = {lead: counts(0)[:, place].tolist() for place, lead in enumerate(LEADS)}
        if number != 9:
            xml = cardiosoft_xml(counts=values, patient=stated)
            (folder / f"{eid}_20205_2_0.xml").write_bytes(xml)
        if number % 3 == 0:
            archive(folder / f"{eid}_20208_2_0.zip", series(SERIES_UID, number))
    split = Split(salt=salt_for(eids[:9]), shares=SHARES)
    got = prepared(tmp_path / "set", Source(kind=Kind.UKBIOBANK, folder=folder), split=split)
    found = ages(got.made)
    assert [found[row] for row in got.made.cine_subject] == [
        age for age in found if (age - FIRST_AGE) % 3 == 0
    ]
    assert got.made.statement.cines == 3
    assert refused_in(tmp_path / "set") == {".": "a cine whose subject has no usable ECG"}


def dicom_cohort(ecgs: Path, cines: Path, owners: Sequence[str]) -> Source:
    """An ECG of each of SUBJECTS; a cine of each owner, in that order of paths."""
    ecgs.mkdir()
    cines.mkdir()
    dataset = mortara()
    for number, subject_id in enumerate(SUBJECTS):
        dataset.PatientID = subject_id
        dataset.PatientAge = f"{FIRST_AGE + number:03}Y"
        dataset.save_as(ecgs / f"{subject_id}.dcm")
    for place, subject_id in enumerate(owners):
        shade = SUBJECTS.index(subject_id)
        for frame in range(20):
            pixels = np.zeros((96, 96), np.uint16)
            pixels[:, :48] = 1000  # white
            pixels[:, 60:] = 100 * shade  # tells the owner apart
            image = mr_image(
                frame, pixels, PatientID=subject_id, SeriesInstanceUID=f"2.25.{place + 1}",
                SeriesDescription="4ch", CardiacNumberOfImages=20,
            )  # fmt: skip
            (cines / f"{place}-{frame:02}.dcm").write_bytes(file_of(image))
    return Source(kind=Kind.DICOM, folder=ecgs, cines=cines, view="4ch")


def test_cines_of_their_own_folder_find_their_ecgs(tmp_path: Path) -> None:
    owners = [SUBJECTS[7], SUBJECTS[2], SUBJECTS[9], SUBJECTS[4], SUBJECTS[2]]
    source = dicom_cohort(tmp_path / "ecgs", tmp_path / "cines", owners)
    made = prepared(tmp_path / "set", source).made
    assert np.all(np.diff(made.cine_subject) > 0)
    shades = {ages(made)[row]: made.cine[place, 25, 48, 80].item()
              for place, row in enumerate(made.cine_subject)}  # fmt: skip
    assert shades == {
        FIRST_AGE + number: pytest.approx(25.5 * number, abs=1) for number in (2, 4, 7, 9)
    }
    reason = "a second cine of the same subject: the first one is used"
    assert refused_in(tmp_path / "set") == {"4-00.dcm": reason}


def test_other_views_are_refused(tmp_path: Path) -> None:
    source = dicom_cohort(tmp_path / "ecgs", tmp_path / "cines", [SUBJECTS[3]])
    assert prepared(tmp_path / "set", replace(source, view="sax")).made.statement.cines == 0
    assert list(refused_in(tmp_path / "set").values()) == [
        "a series of another description than the view asked for"
    ]


def test_a_beat_of_25_frames_becomes_one_of_50() -> None:
    frames = np.repeat((10 * np.arange(25)).astype(np.uint8), 4).reshape(25, 2, 2)
    made = resample_beat(frames, np.arange(25) / 25)
    assert np.array_equal(made[::2], frames)
    assert made[1::2, 0, 0].tolist() == [*range(5, 240, 10), 120]  # the last leads into the first


def test_frames_keep_their_time_in_the_beat() -> None:
    frames = np.zeros((16, 4, 4), np.float32)
    times = (*range(100, 1500, 100), 1550, 1600)
    cine = AcquiredCine(
        frames=frames, pixel_spacing_mm=(1.8, 1.8), trigger_times_ms=tuple(map(float, times))
    )
    phases = beat_phases(cine)
    assert phases[:3] == pytest.approx([0, 1 / 16, 2 / 16])  # a beat of 1600 ms
    assert phases[14] == pytest.approx(1450 / 1600)
    even = AcquiredCine(frames=frames, pixel_spacing_mm=(1.8, 1.8))
    assert beat_phases(even) == pytest.approx(np.arange(16) / 16)


def test_a_cine_of_50_frames_stays_and_one_of_few_is_refused() -> None:
    frames = np.random.default_rng(1).random((50, 96, 96), np.float32)
    cine = AcquiredCine(frames=frames, pixel_spacing_mm=(1.8, 1.8))
    made = stored_cine(cine)
    assert made.shape == (50, 96, 96)
    assert np.corrcoef(made[31].ravel(), frames[31].ravel())[0, 1] > 0.999
    few = AcquiredCine(frames=frames[:14].copy(), pixel_spacing_mm=(1.8, 1.8))
    with pytest.raises(UnusableData, match="14 frames through the heart beat"):
        stored_cine(few)


# tables and sources


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["eid,cardiomyopathy", "1,1"], "no column subject_id"),
        (["subject_id,gout", "1,1"], "not gout"),
        (["subject_id", "1"], "not subject_id alone"),
        (["subject_id,cardiomyopathy", "1,2"], "line 2, column cardiomyopathy"),
        (["subject_id,cardiomyopathy", "1,1", "1,1"], "line 3: no subject"),
        (["subject_id,cardiomyopathy", ",1"], "line 2: no subject"),
        (["subject_id,cardiomyopathy"], "has no row"),
    ],
)
def test_a_table_of_diseases_that_does_not_add_up_is_refused(
    tmp_path: Path, lines: list[str], reason: str
) -> None:
    table = tmp_path / "diseases.csv"
    table.write_text("\n".join(lines) + "\n")
    with pytest.raises(UnusableData, match=reason):
        read_disease_table(table)


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("wfdb", {}, "does not say whose it is: give subject"),
        ("wfdb", {"subject": "^[^/]+"}, "subject has no group"),
        ("ukbiobank", {"subject": BY_FOLDER}, "subject is not read for ukbiobank"),
        ("ptb-xl", {"patients": "p.csv"}, "patients is not read for ptb-xl"),
        ("wfdb", {"subject": BY_FOLDER, "cines": "."}, "cines is not read for wfdb"),
        ("dicom", {"cines": "."}, "cines and view belong together"),
        ("dicom", {"view": "4ch"}, "cines and view belong together"),
    ],
)
def test_what_a_kind_does_not_read_or_lacks_is_said(
    tmp_path: Path, kind: str, options: Mapping[str, str], reason: str
) -> None:
    words = ["prepare", kind, str(tmp_path), "--out", str(tmp_path / "out")]
    for name, value in options.items():
        words += [f"--{name}", value]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, CardioNodeError)
    assert reason in result.exception.message


def test_mimic_iv_ecg_is_read_with_its_patients(tmp_path: Path) -> None:
    folder = tmp_path / "cohort"
    records, patients = ["subject_id,study_id,file_name,ecg_time,path"], [
        "subject_id,gender,anchor_age,anchor_year"
    ]  # fmt: skip
    for number in range(10):
        write_record(folder / f"files/{number}", leads=LEADS, counts=counts(0))
        records.append(f"{number},{number},{number},2180-07-23 08:44:00,files/{number}")
        patients.append(f"{number},F,{FIRST_AGE + number},2180")
    (folder / "record_list.csv").write_text("\n".join(records) + "\n")
    (folder / "machine_measurements.csv").write_text(
        "study_id,rr_interval,p_onset,p_end,qrs_onset,qrs_end,t_end,p_axis,qrs_axis,t_axis\n"
    )
    table = tmp_path / "patients.csv"
    table.write_text("\n".join(patients) + "\n")
    source = Source(kind=Kind.MIMIC_IV_ECG, folder=folder, patients=table)
    made = prepared(tmp_path / "set", source).made
    assert sorted(ages(made)) == [FIRST_AGE + number for number in range(10)]


def test_rows_of_a_file_come_back_in_any_order(tmp_path: Path) -> None:
    with closing(RowFile(tmp_path / "rows", np.int16, (2,))) as rows:
        assert list(rows.chunks()) == []
        for number in range(CHUNK + 3):
            rows.append([number, -number])
        order = np.arange(CHUNK + 3)[::-1]
        backwards = np.concatenate(list(rows.chunks(order)))
        with pytest.raises(ValueError, match="a row of shape"):
            rows.append([1, 2, 3])
    assert backwards[:, 0].tolist() == list(range(CHUNK + 2, -1, -1))


def test_the_groups_hold_every_phenotype_once() -> None:
    ids = [field_id for members in GROUPS.values() for field_id in members]
    assert ids == [int(phenotype.field_id) for phenotype in PHENOTYPES]


# the command


def cardionets(*words: str) -> str:
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_shrunken_training_runs_on_what_the_command_made(tmp_path: Path) -> None:
    out = tmp_path / "out"
    phenotypes, diseases = tmp_path / "phenotypes.csv", tmp_path / "diseases.csv"
    phenotypes.write_text("eid,24103-2.0\n" + "".join(f"{each},60\n" for each in SUBJECTS[:5]))
    diseases.write_text("subject_id,cardiomyopathy\nsubject-1,0\n")
    shown = cardionets(
        "prepare", "wfdb", str(wfdb_cohort(tmp_path / "cohort")), "--out", str(out),
        "--processes", "1",
        "--subject", BY_FOLDER, "--salt", "test", "--train", "0.5", "--calibration", "0.25",
        "--phenotypes", str(phenotypes), "--diseases", str(diseases),
    )  # fmt: skip
    data = open_training_set(out / "data")
    assert data.statement.description == "real subjects of a cohort of WFDB records"
    for line in (
        "20 ECGs of 10 subjects", "cines: 0", "refused: 0", "left ventricle: known for 50.0%",
        "right ventricle: known for 0.0%", "cardiomyopathy: known for 10.0%",
        f"test subjects {data.statement.test_digest}",
    ):  # fmt: skip
        assert line in shown
    text = SHRUNKEN.read_text(encoding="utf-8")
    before, _, after = text.partition("[cohort]")
    config = tmp_path / "real.toml"
    config.write_text(before + "[population]" + after.partition("[population]")[2])
    words = ("--config", str(config), "--out", str(out))
    assert "pretrain-ecg: training" in cardionets("train", "pretrain-ecg", *words)
    assert (out / "pretrain-ecg" / WEIGHTS).exists()
    result = CliRunner().invoke(app, ["run", *words])
    assert isinstance(result.exception, UnusableData)
    assert "stage pretrain-cmr cannot train: no training subject has a cine" in str(
        result.exception
    )


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["edf"], "edf is no kind; kinds are ukbiobank, mimic-iv-ecg"),
        (["wfdb", "--recipe", "raw"], "raw is no recipe; recipes are cardionode-1"),
        (["wfdb", "--folds"], "--folds is of ptb-xl alone"),
        (["wfdb", "--train", "0.8", "--calibration", "0.3"], "together above 1"),
        (["wfdb", "--subject", "("], "--subject is no regular expression"),
    ],
)
def test_what_the_command_cannot_do_is_said(tmp_path: Path, words: list[str], reason: str) -> None:
    kind, *options = words
    result = CliRunner().invoke(
        app, ["prepare", kind, str(tmp_path), "--out", str(tmp_path / "out"), *options]
    )
    assert result.exit_code == 2
    assert reason in " ".join(result.output.replace("│", " ").split())
