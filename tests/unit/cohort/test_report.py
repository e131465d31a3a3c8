"""The cohort report: one page without anything beside it, also of a small cohort."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.domain.errors import UnusableData
from pipelines.cohort.cine import NUISANCE
from pipelines.cohort.page import target_table
from pipelines.cohort.report import report_cohort
from pipelines.cohort.targets import Row
from pipelines.command import app
from pipelines.datasets.training_set import STATEMENT

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def page(small_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "report.html"
    options = ["--out", str(out), "--measured", "20"]
    result = CliRunner().invoke(app, ["cohort-report", str(small_cohort), *options])
    assert result.exit_code == 0, result.output
    assert "LV myocardial mass, ecg only" in result.output
    return out


def test_the_page_holds_all_it_shows(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert links
    for link in links:
        head, _, content = link.partition(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(content).startswith(PNG)
    assert "<script" not in text
    assert "not for clinical use" in text
    assert NUISANCE in text  # what the image metrics depend on


def test_the_numbers_stand_beside_it(page: Path, small_cohort: Path) -> None:
    content = json.loads(page.with_name("cohort.json").read_text(encoding="utf-8"))
    statement = json.loads((small_cohort / STATEMENT).read_text(encoding="utf-8"))
    assert content["statement"]["test_digest"] == statement["test_digest"]
    assert set(content["rows"]) == {
        "Population", "ECG, measured on the signal", "Explained variance",
    }  # fmt: skip
    row = content["rows"]["Explained variance"][0]
    assert set(row) == {"name", "group", "target", "reached", "within", "source", "status"}
    assert content["measured_ecgs"] == 20
    assert content["cpu_seconds"]["ecg"] > 0.0


def test_a_set_of_another_simulator_is_refused(small_cohort: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_cohort, tmp_path / "cohort"))
    statement = json.loads((folder / STATEMENT).read_text(encoding="utf-8"))
    for change, match in (
        ({"test_digest": "0" * 64}, "another simulator"),
        ({"seed": None}, "not simulated"),
    ):
        (folder / STATEMENT).write_text(json.dumps(statement | change), encoding="utf-8")
        with pytest.raises(UnusableData, match=match):
            report_cohort(
                folder, tmp_path / "r.html", real=None, train=1, measured=1, tick=lambda _: None
            )


def test_real_cines_stand_beside_the_simulated_ones(
    shared: Path, small_cohort: Path, tmp_path: Path
) -> None:
    real = shared / "data" / "cmr" / "sunnybrook_SCD0000101_midslice"
    out = tmp_path / "report.html"
    report = report_cohort(small_cohort, out, real=real, train=30, measured=20, tick=lambda _: None)
    assert set(report.grey) == {"simulated", "real"}


def test_a_folder_without_cines_is_refused(small_cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match="no DICOM cine"):
        report_cohort(
            small_cohort, tmp_path / "r.html", real=tmp_path, train=1, measured=1,
            tick=lambda _: None,
        )  # fmt: skip


def test_a_figure_outside_is_marked_and_text_is_escaped() -> None:
    row = Row(
        name="<b>", group="all", target="1", reached="2", within=False, source="a&b", status="seen"
    )
    html = target_table([row])
    assert '<td class="no">NO</td>' in html
    assert "&lt;b&gt;" in html
    assert "a&amp;b" in html
