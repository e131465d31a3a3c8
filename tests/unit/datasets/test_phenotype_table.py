from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from node.domain.ecg import Subject
from node.domain.errors import UnusableData
from pipelines.cohort.phenotypes import PHENOTYPES
from pipelines.datasets.phenotype_table import FIELDS, read_phenotype_table


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    "header",
    [
        "eid,24100-2.0,24103-2.0",
        "f.eid\tf.24100.2.0\tf.24103.2.0",
        "eid,24100_2_0,24103_2_0",
        "eid,p24100_i2,p24103_i2",
        "participant.eid,participant.p24100_i2,participant.p24103_i2",
        "eid,p24100_i2_a0,p24103_i2_a0",
    ],
)
def test_every_way_to_name_a_column_is_read(tmp_path: Path, header: str) -> None:
    tab = "\t" in header
    rows = ["1000012,141.5,61", "1000025,,55.5", "1000038,NA,nan"]
    table = write(tmp_path / "t", header, *(row.replace(",", "\t") if tab else row for row in rows))
    read = read_phenotype_table(table)
    assert {eid: one.phenotypes for eid, one in read.participants.items()} == {
        "1000012": {"24100": 141.5, "24103": 61.0},
        "1000025": {"24103": 55.5},
        "1000038": {},
    }
    assert read.refused == ()


def test_all_fields_are_read_in_their_units(tmp_path: Path) -> None:
    middle = {one.field_id: (one.minimum + one.maximum) / 2 for one in PHENOTYPES}
    header = "eid," + ",".join(f"{field_id}-2.0" for field_id in middle)
    row = "1000012," + ",".join(str(value) for value in middle.values())
    read = read_phenotype_table(write(tmp_path / "t.csv", header, row))
    assert read.participants["1000012"].phenotypes == middle


def test_other_visits_arrays_and_fields_are_not_taken(tmp_path: Path) -> None:
    header = "eid,24100-3.0,24100-2.1,24100-2.0,124100-2.0,6025-0.0,comment"
    table = write(tmp_path / "t.csv", header, '1000012,111,112,113,114,115,"a, b"')
    assert read_phenotype_table(table).participants["1000012"].phenotypes == {"24100": 113.0}
    later = read_phenotype_table(table, instance=3)
    assert later.participants["1000012"].phenotypes == {"24100": 111.0}


def test_the_person_is_read_beside(tmp_path: Path) -> None:
    header = "eid,24100-2.0,31-0.0,21003-0.0,21003-2.0,50-2.0,21002-2.0"
    rows = ["1,150,0,50,58,164,70.5", "2,150,Male,50,,17.1,", "3,150,,,,,"]
    table = read_phenotype_table(write(tmp_path / "t.csv", header, *rows))
    assert [one.subject for one in table.participants.values()] == [
        Subject(age_years=58.0, sex="F", height_cm=164.0, weight_kg=70.5),
        Subject(sex="M"),
        Subject(),
    ]


def test_a_value_out_of_range_is_left_out_and_listed_by_its_line(tmp_path: Path) -> None:
    rows = ["1000012,150", "1000025,5000", *(f"{eid},150" for eid in range(100))]
    table = read_phenotype_table(write(tmp_path / "t.csv", "eid,24100-2.0", *rows))
    assert table.participants["1000025"].phenotypes == {}
    (refused,) = table.refused
    assert refused.reason == "line 3, field 24100: outside 50 to 400 mL; the value is left out"
    assert refused.code == "implausible-value"


@pytest.mark.parametrize(
    ("field_id", "factor"),
    [
        ("24100", 1e-3),  # litres
        ("24103", 1e-2),  # a share, not per cent
        ("24104", 1e3),  # mL/min
        ("24105", 1e-3),  # kilograms
        ("24140", 0.1),  # centimetres
        ("24157", 1e-2),
        ("24157", -1.0),  # shortening as a positive number
        ("24174", 1e-2),
        ("24181", -1.0),
    ],
)
def test_a_column_in_another_unit_is_refused_by_its_mean(
    tmp_path: Path, field_id: str, factor: float
) -> None:
    # UK Biobank's means as the project's reference lists them, one standard deviation apart.
    typical = {
        "24100": (144.2, 34.4), "24103": (59.5, 6.0), "24104": (5.2, 1.2), "24105": (89.7, 24.8),
        "24140": (5.7, 0.8), "24157": (-22.3, 3.3), "24174": (45.0, 8.0), "24181": (-18.5, 2.7),
    }  # fmt: skip
    mean, spread = typical[field_id]
    values = mean + spread * np.array([-1.0, 0.0, 1.0])
    lines = [f"{eid},{value}" for eid, value in enumerate(values)]
    path = tmp_path / "t.csv"
    good = read_phenotype_table(write(path, f"eid,{field_id}-2.0", *lines))
    assert not good.refused
    lines = [f"{eid},{value * factor}" for eid, value in enumerate(values)]
    with pytest.raises(UnusableData, match=f"field {field_id}: its mean"):
        read_phenotype_table(write(path, f"eid,{field_id}-2.0", *lines))


def test_the_units_of_a_data_dictionary_are_checked(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "eid,24100-2.0", "1,150")
    units = {field_id: one.unit for field_id, one in FIELDS.items()} | {"20205": "ECG"}
    assert read_phenotype_table(table, units=units).participants
    for unit in ("L", "ml", ""):
        with pytest.raises(UnusableData, match="field 24100 is in another unit than mL"):
            read_phenotype_table(table, units=units | {"24100": unit})


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["id,24100-2.0", "1,150"], "no column eid"),
        (["eid,24100-3.0", "1,150"], "no column of the fields"),
        (["eid,24100-2.0,24100_2_0", "1,150,150"], "two columns for 24100"),
        (["eid,24100-2.0,24100-2.0", "1,150,150"], "a column comes twice"),
        (["eid,24100-2.0", "1,150", "1,150"], "line 3: no participant, or one who was there"),
        (["eid,24100-2.0", ",150"], "line 2: no participant"),
        (["eid,24100-2.0", "1,150 mL"], "line 2, column 24100-2.0: not a number"),
        (["eid,24100-2.0", "1,inf"], "line 2, column 24100-2.0: not a number"),
        (["eid,24100-2.0", "1,150", "2"], "line 3 has 1 values, the header 2"),
        (["eid,24100-2.0,31-0.0", "1,150,2"], "line 2, field 31: neither"),
        (["eid,24100-2.0"], "no row"),
        ([""], "no row"),
        (["eid,24100-2.0", '1,"150'], "not a table"),
    ],
)
def test_a_table_that_does_not_add_up_is_refused(
    tmp_path: Path, lines: list[str], reason: str
) -> None:
    with pytest.raises(UnusableData, match=reason):
        read_phenotype_table(write(tmp_path / "t.csv", *lines))


def test_a_table_that_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"eid,24100-2.0\n\xff\xfe,1\n")
    for name in ("t.csv", "absent.csv"):
        with pytest.raises(UnusableData, match="table"):
            read_phenotype_table(tmp_path / name)
