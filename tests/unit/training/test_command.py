"""The commands over a training: what they print, and that two processes train as one does."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from pipelines.bundle import read_bundle
from pipelines.command import app
from pipelines.training.engine import WEIGHTS
from pipelines.training.run import Training
from tests.conftest import SHRUNKEN
from tests.unit.training.conftest import Beside


def _cardionets(*words: str) -> str:
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_tokenizer_trained_beside_the_others_is_the_same(
    training: Training, beside: Beside
) -> None:
    folder = beside().folder
    _cardionets("run", "--beside", "--config", str(SHRUNKEN), "--out", str(folder))
    for stage in ("tokenizer", "layout"):
        found, wanted = (each / stage / WEIGHTS for each in (folder, training.folder))
        assert found.read_bytes() == wanted.read_bytes()


def test_a_finished_training_is_exported_with_its_figures(beside: Beside) -> None:
    finished = beside(
        "pretrain-ecg", "pretrain-cmr", "align", "phenotypes", "diseases", "tokenizer", "layout"
    )
    cine = {
        "subjects": 4, "samples": 2, "nuisance": "third-1", "scores": {}, "share_of_ideal": {},
        "sharpness": {"value": 0.9, "low": 0.8, "high": 1.0}, "diversity": None, "volumes": [],
    }  # fmt: skip
    (finished.folder / "metrics.json").write_text(json.dumps({"cine": cine}))
    shown = _cardionets("export", "--config", str(SHRUNKEN), "--out", str(finished.folder))
    bundle = read_bundle(finished.folder / Path(finished.configuration.name))
    assert bundle.digest in shown
    card = bundle.content("MODEL_CARD.md").decode()
    assert "| sharpness of samples over reconstructions | 0.9 (0.8 to 1) |" in card


def test_what_is_no_stage_is_refused_with_the_names_of_all(beside: Beside) -> None:
    words = ["train", "dream", "--config", str(SHRUNKEN), "--out", str(beside().folder)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    said = " ".join(result.output.replace("│", " ").split())
    assert "dream is no stage; stages are pretrain-ecg, pretrain-cmr, align" in said


def test_one_stage_is_trained_once(training: Training, beside: Beside) -> None:
    folder = beside().folder
    words = ("train", "pretrain-ecg", "--config", str(SHRUNKEN), "--out", str(folder))
    assert "pretrain-ecg: training" in _cardionets(*words)
    assert "pretrain-ecg: is finished" in _cardionets(*words)
    found, wanted = (each / "pretrain-ecg" / WEIGHTS for each in (folder, training.folder))
    assert found.read_bytes() == wanted.read_bytes()
