"""The command `cardionets import-checkpoint`: licences first."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cardionets.published_manifest import Checkpoints
from pipelines.command import app
from tests.unit.cardionets.published_files import write_all


@pytest.fixture(scope="module")
def files(vectors_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    return write_all(vectors_folder, tmp_path_factory.mktemp("files"))


def _words(files: Checkpoints, out: Path, *more: str) -> list[str]:
    return [
        "import-checkpoint",
        *("--ecg", str(files.ecg), "--generator", str(files.generator)),
        *("--autoencoder", str(files.autoencoder), "--out", str(out), "--name", "mine"),
        *more,
    ]


def test_without_consent_the_licences_are_shown_and_nothing_is_written(
    files: Checkpoints, tmp_path: Path
) -> None:
    disease = f"cardiomyopathy={files.diseases[0].file}"
    done = CliRunner().invoke(app, _words(files, tmp_path / "out", "--disease", disease))
    assert done.exit_code == 2
    said = " ".join(done.output.split())
    assert said.count("CC BY-NC 4.0. Trained on from") == 2
    assert said.count("none came with the file. ") == 2
    assert "--accept-licence" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["cardiomyopathy", "=a.pth", "cardiomyopathy="])
def test_a_disease_is_an_id_and_a_file(files: Checkpoints, tmp_path: Path, text: str) -> None:
    done = CliRunner().invoke(app, _words(files, tmp_path / "out", "--disease", text))
    assert done.exit_code == 2
    assert "cardiomyopathy=FILE" in done.output


def test_with_consent_the_files_are_read(files: Checkpoints, tmp_path: Path) -> None:
    """The tiny files have not the published geometry, and the command knows no other."""
    done = CliRunner().invoke(app, _words(files, tmp_path / "out", "--accept-licence"))
    assert type(done.exception).__name__ == "UnusableData"
    assert not (tmp_path / "out").exists()
