from __future__ import annotations

from pathlib import Path

import pytest

from node.domain.ecg import Lead, Subject
from node.domain.errors import UnusableData
from pipelines.datasets.ptb_xl import read_ptb_xl
from pipelines.datasets.recording import Recording, Refused
from tests.unit.datasets.wfdb_files import write_record

HEADER = "ecg_id,patient_id,age,sex,height,weight,report,strat_fold,filename_lr,filename_hr"
UPPER = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")


def database(folder: Path, *rows: str) -> Path:
    for number in range(1, len(rows) + 1):
        for name, frequency in (("hr", 500), ("lr", 100)):
            write_record(
                folder / f"records{frequency}/00000/{number:05}_{name}",
                leads=UPPER,
                gain="1000.0(0)/mV",
                frequency=f" {frequency}",
            )
    lines = [
        f"{number},{row},records100/00000/{number:05}_lr,records500/00000/{number:05}_hr"
        for number, row in enumerate(rows, start=1)
    ]
    (folder / "ptbxl_database.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    return folder


def test_rows_become_recordings_with_subject_and_fold(tmp_path: Path) -> None:
    folder = database(
        tmp_path,
        '15709.0,56.0,1,,63.0,"sinusrhythmus, normales ekg",3',
        "13243.0,300.0,0,170.0,,,10",
        "20372.0,,,6.0,500.0,,1",
    )
    first, second, third = read_ptb_xl(folder)
    assert isinstance(first, Recording)
    assert isinstance(second, Recording)
    assert isinstance(third, Recording)
    assert (first.subject_id, first.fold) == ("15709", 3)
    assert first.subject == Subject(age_years=56.0, sex="F", weight_kg=63.0)
    assert second.subject == Subject(age_years=90.0, sex="M", height_cm=170.0)
    assert (third.subject, third.fold) == (Subject(), 1)
    assert first.ecg is not None
    assert first.ecg.sampling_frequency_hz == 500
    assert first.ecg.lead(Lead.AVR)[0] == pytest.approx(0.8)


def test_the_slow_copies_can_be_read_instead(tmp_path: Path) -> None:
    (recording,) = read_ptb_xl(database(tmp_path, "15709.0,56.0,1,,,,3"), 100)
    assert isinstance(recording, Recording)
    assert recording.ecg is not None
    assert recording.ecg.sampling_frequency_hz == 100


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("15709.0,56.0,2,,,,3", "line 2: sex is neither 0"),
        ("15709.0,56.0,0,,,,11", "line 2: strat_fold is not 1 to 10"),
        ("15709.0,56.0,0,,,,", "line 2, column strat_fold: not a whole number"),
        ("15709.5,56.0,0,,,,3", "line 2, column patient_id: not a whole number"),
        (",56.0,0,,,,3", "line 2, column patient_id: not a whole number"),
        ("15709.0,old,0,,,,3", "line 2, column age: not a number"),
    ],
)
def test_a_row_that_does_not_add_up_is_refused_and_the_next_is_read(
    tmp_path: Path, row: str, reason: str
) -> None:
    refused, good = read_ptb_xl(database(tmp_path, row, "7,50,0,,,,4"))
    assert isinstance(refused, Refused)
    assert refused.reason.startswith(reason)
    assert "15709" not in refused.reason
    assert isinstance(good, Recording)


def test_a_record_at_another_rate_than_its_folder_is_refused(tmp_path: Path) -> None:
    folder = database(tmp_path, "15709.0,56.0,1,,,,3")
    write_record(folder / "records500/00000/00001_hr", leads=UPPER, frequency=" 100")
    (refused,) = read_ptb_xl(folder)
    assert isinstance(refused, Refused)
    assert refused.reason == "sampled at 100 Hz, not at 500"


def test_a_folder_without_the_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match="cannot be opened"):
        list(read_ptb_xl(tmp_path))
