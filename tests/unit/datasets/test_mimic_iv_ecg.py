from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from node.domain.ecg import Lead, Subject
from node.domain.errors import UnusableData
from pipelines.datasets.mimic_iv_ecg import read_mimic_iv_ecg
from pipelines.datasets.recording import Measurement, Recording, Refused
from tests.unit.datasets.wfdb_files import MIMIC_LEADS, counts_of, write_record

RECORDS = "subject_id,study_id,file_name,ecg_time,path"
MEASURED = (
    "subject_id,study_id,cart_id,ecg_time,report_0,bandwidth,filtering,"
    "rr_interval,p_onset,p_end,qrs_onset,qrs_end,t_end,p_axis,qrs_axis,t_axis"
)
FIRST = "files/p1000/p10000032/s40689238/40689238"
SECOND = "files/p1000/p10000032/s44458630/44458630"
THIRD = "files/p1000/p10000117/s48446569/48446569"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_record(tmp_path / FIRST)
    write_record(tmp_path / SECOND, leads=MIMIC_LEADS[:11])
    write_record(tmp_path / THIRD)
    rows = [
        f"10000032,40689238,40689238,2180-07-23 08:44:00,{FIRST}",
        f"10000032,44458630,44458630,2180-07-23 09:54:00,{SECOND}",
        f"10000117,48446569,48446569,2181-03-04 17:14:00,{THIRD}",
        "10000117,49999999,49999999,2181-03-04 17:20:00,files/absent",
    ]
    (tmp_path / "record_list.csv").write_text("\n".join([RECORDS, *rows]) + "\n")
    measured = [
        '10000032,40689238,6848296,2180-07-23 08:44:00,"Sinus rhythm, normal",0.005-150 Hz,'
        "60 Hz notch Baseline filter,659,40,128,170,258,518,81,77,65",
        "10000117,48446569,6848296,2181-03-04 17:14:00,Atrial fibrillation,0.005-150 Hz,"
        "<not specified>,722,29999,29999,180,270,,29999,-12,29999",
    ]
    (tmp_path / "machine_measurements.csv").write_text("\n".join([MEASURED, *measured]) + "\n")
    return tmp_path


def test_records_are_read_with_avf_and_avl_in_their_places(folder: Path) -> None:
    found = list(read_mimic_iv_ecg(folder))
    first, refused, third, absent = found
    assert isinstance(first, Recording)
    assert isinstance(third, Recording)
    assert (first.subject_id, third.subject_id) == ("10000032", "10000117")
    assert first.ecg is not None
    counts = counts_of(12, 20)
    np.testing.assert_allclose(first.ecg.lead(Lead.AVF), counts[:, 4] / 200, atol=1e-6)
    np.testing.assert_allclose(first.ecg.lead(Lead.AVL), counts[:, 5] / 200, atol=1e-6)
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.path.stem) == ("no lead V6", "44458630")
    assert isinstance(absent, Refused)


def test_29999_is_not_measured(folder: Path) -> None:
    first, _refused, third, _absent = read_mimic_iv_ecg(folder)
    assert isinstance(first, Recording)
    assert isinstance(third, Recording)
    assert {name: one.value for name, one in first.measurements.items()} == {
        "rr_interval": 659, "p_onset": 40, "p_end": 128, "qrs_onset": 170, "qrs_end": 258,
        "t_end": 518, "p_axis": 81, "qrs_axis": 77, "t_axis": 65,
    }  # fmt: skip
    assert third.measurements == {
        "rr_interval": Measurement(value=722.0, unit="ms"),
        "qrs_onset": Measurement(value=180.0, unit="ms"),
        "qrs_end": Measurement(value=270.0, unit="ms"),
        "qrs_axis": Measurement(value=-12.0, unit="deg"),
    }


def test_a_study_without_measurements_has_none(folder: Path) -> None:
    (folder / "machine_measurements.csv").write_text(MEASURED + "\n")
    first = next(read_mimic_iv_ecg(folder))
    assert isinstance(first, Recording)
    assert first.measurements == {}


@pytest.mark.parametrize("name", ["patients.csv", "patients.csv.gz"])
def test_the_age_is_that_of_the_subjects_own_shifted_years(folder: Path, name: str) -> None:
    header = "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod"
    rows = ["10000032,F,52,2178,2014 - 2016,2180-09-09", "10000117,M,91,2174,2008 - 2010,"]
    content = "\n".join([header, *rows]).encode()
    patients = folder / name
    patients.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    first, _refused, third, _absent = read_mimic_iv_ecg(folder, patients)
    assert isinstance(first, Recording)
    assert isinstance(third, Recording)
    assert first.subject == Subject(age_years=54.0, sex="F")
    assert third.subject == Subject(age_years=90.0, sex="M")


def test_a_compressed_table_that_is_cut_short_is_refused(folder: Path) -> None:
    patients = folder / "patients.csv.gz"
    whole = b"subject_id,gender,anchor_age,anchor_year\n10000032,F,52,2178\n"
    for content in (gzip.compress(whole)[:-9], whole):
        patients.write_bytes(content)
        with pytest.raises(UnusableData, match="not a table"):
            list(read_mimic_iv_ecg(folder, patients))


@pytest.mark.parametrize("column", ["subject_id", "study_id", "path"])
def test_a_list_without_a_column_is_refused_by_its_name(folder: Path, column: str) -> None:
    table = folder / "record_list.csv"
    table.write_text(table.read_text().replace(column, "other", 1))
    with pytest.raises(UnusableData, match=f"no column {column}"):
        list(read_mimic_iv_ecg(folder))
