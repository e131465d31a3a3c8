from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from node.domain.ecg import STANDARD_LEADS, Lead, Subject
from node.domain.errors import UnusableData
from pipelines.datasets.recording import Recording, Refused
from pipelines.datasets.wfdb_records import read_wfdb, read_wfdb_folder
from tests.unit.datasets.wfdb_files import MIMIC_LEADS, counts_of, write_record


@pytest.mark.parametrize("name", ["E07500", "E07503", "E07514"])
def test_a_real_georgia_record_is_its_stored_numbers_over_the_gain(shared: Path, name: str) -> None:
    header = shared / "data/ecg_other/wfdb" / f"{name}.hea"
    # Format 16+24: 24 bytes of MATLAB header, then 16-bit little endian; 1000 counts a millivolt.
    stored = np.frombuffer(header.with_suffix(".mat").read_bytes()[24:], "<i2").reshape(5000, 12)
    ecg, subject = read_wfdb(header)
    assert (ecg.leads, ecg.sampling_frequency_hz) == (STANDARD_LEADS, 500)
    np.testing.assert_allclose(ecg.samples, stored / 1000, atol=1e-6)
    comments = header.read_text()
    assert f"# Age: {subject.age_years:.0f}" in comments
    assert f"# Sex: {'Male' if subject.sex == 'M' else 'Female'}" in comments


def test_a_real_ptb_record_is_read_by_names_in_lower_case_and_cut_to_30_s(shared: Path) -> None:
    header = shared / "data/ecg_other/wfdb/s0010_re.hea"
    stored = np.fromfile(header.with_suffix(".dat"), "<i2").reshape(38400, 12)
    ecg, subject = read_wfdb(header.with_suffix(""))
    assert ecg.sampling_frequency_hz == 1000
    np.testing.assert_allclose(ecg.samples, stored[:30000] / 2000, atol=1e-6)
    assert subject == Subject(age_years=81.0, sex="F")


def test_real_records_of_monitors_are_refused_by_the_leads_they_lack(shared: Path) -> None:
    folder = shared / "data/ecg_other/wfdb"
    found = list(read_wfdb_folder(folder, lambda path: path.stem))
    refused = {one.path.stem: one.reason for one in found if isinstance(one, Refused)}
    assert refused == {
        "100": "no lead I, II, III, aVR, aVL, aVF, V1, V2, V3, V4, V6",
        "a103l": "no lead I, III, aVR, aVL, aVF, V1, V2, V3, V4, V5, V6",
    }
    good = [one.subject_id for one in found if isinstance(one, Recording)]
    assert good == ["E07500", "E07503", "E07514", "s0010_re"]


def test_leads_in_mimics_order_come_out_in_the_standard_order(tmp_path: Path) -> None:
    ecg, _nobody = read_wfdb(write_record(tmp_path / "40689238"))
    counts = counts_of(12, 20)
    for lead in Lead:
        expected = counts[:, MIMIC_LEADS.index(lead.value)] / 200
        np.testing.assert_allclose(ecg.lead(lead), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("gain", "millivolts_a_count"),
    [("200/mV", 1 / 200), ("0.2/uV", 5e-3), ("200000/V", 5e-3), ("1000.0(0)/mV", 1e-3),
     ("200", 1 / 200)],
)  # fmt: skip
def test_units_of_the_header_are_converted(
    tmp_path: Path, gain: str, millivolts_a_count: float
) -> None:
    ecg, _nobody = read_wfdb(write_record(tmp_path / "r", gain=gain))
    np.testing.assert_allclose(ecg.lead(Lead.I), counts_of(12, 20)[:, 0] * millivolts_a_count)


def test_a_baseline_is_taken_off(tmp_path: Path) -> None:
    ecg, _nobody = read_wfdb(write_record(tmp_path / "r", gain="100(50)/mV"))
    np.testing.assert_allclose(ecg.lead(Lead.I), (counts_of(12, 20)[:, 0] - 50.0) / 100)


def test_gaps_stay_gaps(tmp_path: Path) -> None:
    counts = counts_of(12, 20)
    counts[5:8, 2] = -32768
    ecg, _nobody = read_wfdb(write_record(tmp_path / "r", counts=counts))
    assert np.isnan(ecg.lead(Lead.III)[5:8]).all()
    assert np.isnan(ecg.samples).sum() == 3


def test_any_sampling_rate_is_read(tmp_path: Path) -> None:
    for frequency_hz in (100.0, 257.5, 1000.0):
        header = write_record(tmp_path / "r", frequency=f" {frequency_hz:g}")
        assert read_wfdb(header)[0].sampling_frequency_hz == frequency_hz


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"leads": [*MIMIC_LEADS[:8], "V4", "V5"]}, "no lead V3, V6"),
        ({"leads": ["MLII", "V", "PLETH"]}, "no channel is one of the twelve"),
        ({"leads": [*MIMIC_LEADS, "v6"]}, "lead V6 comes twice"),
        ({"gains": {"V2": "200/nV"}}, "lead V2 is not in uV, mV or V"),
        ({"gains": {"V2": "200/MV"}}, "lead V2 is not in uV, mV or V"),
        ({"gains": {"V2": "200/NU"}}, "lead V2 is not in uV, mV or V"),
        ({"gains": {"V2": "0/mV"}}, "signal 8 states no gain"),
        ({"frequency": " 0"}, "frequency"),
        ({"declared_samples": 5000}, "cut short"),
        ({"checksum_off": 1}, "lead I: the samples do not have the header's checksum"),
    ],
)
def test_a_record_that_does_not_add_up_is_refused_by_name(
    tmp_path: Path, options: dict[str, Any], reason: str
) -> None:
    header = write_record(tmp_path / "r", comments=["Age: 77"], **options)
    with pytest.raises(UnusableData, match=reason) as refused:
        read_wfdb(header)
    assert "77" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("r 1 500 20\nr.dat 16\n", "signal 1 states no gain"),
        ("r 1\nr.dat 16 200/mV 16 0 0 0 0 I\n", "no sampling frequency"),
    ],
)
def test_what_the_format_has_a_default_for_is_not_guessed(
    tmp_path: Path, text: str, reason: str
) -> None:
    header = write_record(tmp_path / "r", leads=["I"])
    header.write_text(text)
    with pytest.raises(UnusableData, match=reason):
        read_wfdb(header)


def test_a_header_without_a_number_of_samples_gives_them_all(tmp_path: Path) -> None:
    header = write_record(tmp_path / "r")
    header.write_text(header.read_text().replace("r 12 500 20\n", "r 12 500\n"))
    assert read_wfdb(header)[0].samples.shape == (20, 12)


def test_a_channel_at_another_rate_is_refused_only_if_it_is_a_lead(tmp_path: Path) -> None:
    header = write_record(tmp_path / "r", leads=[*MIMIC_LEADS, "resp"])
    text = header.read_text()
    header.write_text(text.replace("r.dat 16 ", "r.dat 16x2 ", 1))
    with pytest.raises(UnusableData, match="lead I is sampled at another rate"):
        read_wfdb(header)


def test_a_truncated_real_record_and_missing_files_are_refused(
    shared: Path, tmp_path: Path
) -> None:
    source = shared / "data/ecg_other/wfdb/E07500.hea"
    header = tmp_path / "E07500.hea"
    shutil.copyfile(source, header)
    content = source.with_suffix(".mat").read_bytes()
    for data in (content[:60_000], content[:-2], b"", None):
        if data is None:
            header.with_suffix(".mat").unlink()
        else:
            header.with_suffix(".mat").write_bytes(data)
        with pytest.raises(UnusableData, match="cut short"):
            read_wfdb(header)
    for text in ("", "garbage\n", "E07500 12 500 5000\n"):
        header.write_text(text)
        with pytest.raises(UnusableData):
            read_wfdb(header)


def test_a_record_of_several_segments_is_refused(tmp_path: Path) -> None:
    write_record(tmp_path / "s1")
    write_record(tmp_path / "s2")
    (tmp_path / "m.hea").write_text("m/2 12 500 40\ns1 20\ns2 20\n")
    with pytest.raises(UnusableData, match="several segments"):
        read_wfdb(tmp_path / "m.hea")


def test_an_age_that_is_none_counts_as_absent(tmp_path: Path) -> None:
    for age in ("NaN", "unknown", "300"):
        header = write_record(tmp_path / "r", comments=[f"Age: {age}", "Sex: Unknown"])
        assert read_wfdb(header)[1] == Subject()
