"""`cardionode process` writes results in the form that is asked for, and says which."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from node.cli import app
from tests.ecg_instances import instances

BUNDLES = Path(__file__).parents[2] / "data" / "bundles"


def process(folder: Path, *words: str) -> tuple[str, dict[str, Path]]:
    """What is said, and the files by name."""
    ecg = folder / "ecg.dcm"
    ecg.write_bytes(next(instances(1))[1])
    bundle = ("--set", "model.bundle=quick-test", "--set", f'model.folders=["{BUNDLES}"]')
    command = ["process", str(ecg), "--out", str(folder / "out"), *bundle, *words]
    said = CliRunner().invoke(app, command, catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return said.output, {file.name: file for file in (folder / "out").rglob("*") if file.is_file()}


def test_single_frames_are_a_file_each_and_still_one_picture_that_moves(tmp_path: Path) -> None:
    said, files = process(tmp_path, "--cine", "single-frames", "--report", "none")
    assert "cine single-frames, report none, same study, utf-8" in said
    assert re.search(r"model: quick-test 1\.0\.0 on onnxruntime [\d.]+ CPU fp32", said)
    frames = sorted(name for name in files if name.startswith("cine-"))
    assert frames[0] == "cine-01.dcm"
    assert [dcmread(files[name]).InstanceNumber for name in frames] == list(
        range(1, len(frames) + 1)
    )
    assert {"cine.gif", "cine.png", "result.hl7"} <= files.keys()
    assert not files.keys() & {"cine.dcm", "report.dcm", "report.txt"}


@pytest.mark.parametrize("report", ["enhanced", "comprehensive"])
def test_the_report_is_of_the_class_that_is_asked_for(report: str, tmp_path: Path) -> None:
    words = ("--cine", "true-color", "--report", report, "--study", "new")
    _, files = process(tmp_path, *words, "--character-set", "source")
    document, cine = dcmread(files["report.dcm"]), dcmread(files["cine.dcm"])
    assert document.SOPClassUID.name == f"{report.title()} SR Storage"
    assert cine.PhotometricInterpretation == "RGB"
    assert document.StudyInstanceUID == cine.StudyInstanceUID
    assert document.StudyInstanceUID != dcmread(tmp_path / "ecg.dcm").StudyInstanceUID
