"""From a finished training to metrics.json and report.html, by command, on the shrunken one."""

from __future__ import annotations

import base64
import json
import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from node.domain.errors import UnusableData
from pipelines.command import app
from pipelines.datasets.training_set import UNKNOWN
from pipelines.ecg_to_cmr import EcgToCmr
from pipelines.evaluation import report
from pipelines.evaluation.cine import MEASURES, MODES, REGIONS
from pipelines.evaluation.ecg import evaluate_ecg
from pipelines.evaluation.ecg_section import ecg_parts
from pipelines.evaluation.from_scratch import FOLDER, RESULT, Trial, best_trial, read_trials
from pipelines.evaluation.readers import MODEL
from pipelines.evaluation.report import METRICS, REPORT, evaluate
from pipelines.training.bundle import served_pipeline
from pipelines.training.configuration import read_configuration
from pipelines.training.engine import WEIGHTS
from pipelines.training.run import DATA, Training
from tests.conftest import SHRUNKEN

READERS = {
    "ecg_and_subject", "ecg_only", "mean", "demographics", "ecg_features",
    "ecg_features_and_demographics", "oracle_ecg", "oracle_ecg_and_subject",
}  # fmt: skip
STAGES = (
    "pretrain-ecg", "pretrain-cmr", "align", "phenotypes", "diseases", "meter", "tokenizer",
    "layout",
)  # fmt: skip
SCREENED = ["lv-systolic-dysfunction", "cardiomyopathy"]
"""Diseases of which a calibration subject has one: without, a probability cannot be true."""
BANK = 3000
"""Hearts of the ideal sampler."""


def _cardionets(command: str, folder: Path, *more: str) -> str:
    words = [command, *more, "--config", str(SHRUNKEN), "--out", str(folder)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def served() -> Iterator[list[EcgToCmr]]:
    """What is measured, each time the same: to export its graphs takes long."""
    kept: list[EcgToCmr] = []

    def serve(training: Training) -> EcgToCmr:
        if not kept:
            kept.append(served_pipeline(training))
        return kept[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "served_pipeline", serve)
        yield kept


@pytest.fixture(scope="module")
def folder(trained: Path, served: list[EcgToCmr], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training, compared with scratch and measured."""
    made = tmp_path_factory.mktemp("measured")
    for name in (DATA, *STAGES):
        (made / name).symlink_to(trained / name, target_is_directory=True)
    said = _cardionets("compare", made)
    assert "1 of 8: aligned-0.1-3-4" in said
    assert "scratch-1-3-4-frozen: sum of R2" in said
    assert str(made / REPORT) in _cardionets("evaluate", made, "--bank", str(BANK))
    assert len(served) == 1
    return made


@pytest.fixture(scope="module")
def training(folder: Path) -> Training:
    return Training(folder, read_configuration(SHRUNKEN))


@pytest.fixture(scope="module")
def metrics(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    return found


def test_the_metrics_say_what_they_are_of(metrics: dict[str, Any], training: Training) -> None:
    told = metrics["training"]
    assert told["test_digest"] == training.data.statement.test_digest
    assert told["nuisance"] == training.data.statement.nuisance
    assert told["simulated"] is True
    assert metrics["ecg"]["subjects"] == 24
    assert metrics["ecg"]["fitted"] == 40


def test_every_reader_is_measured_on_every_phenotype(metrics: dict[str, Any]) -> None:
    ecg = metrics["ecg"]
    assert set(ecg["r2_sum"]) == READERS
    assert len(ecg["phenotypes"]) == 82
    for phenotype in ecg["phenotypes"]:
        assert set(phenotype["scores"]) == READERS
        assert phenotype["subjects"] == 24
        for name in MODEL:
            assert 0.0 <= phenotype["coverage"][name] <= 1.0
    for reader in READERS:
        total = math.fsum(each["scores"][reader]["r2"]["value"] for each in ecg["phenotypes"])
        assert ecg["r2_sum"][reader]["value"] == pytest.approx(total, rel=1e-3, abs=1e-3)


def test_differences_and_shares_follow_from_the_sums(metrics: dict[str, Any]) -> None:
    total = {name: each["value"] for name, each in metrics["ecg"]["r2_sum"].items()}
    gain = metrics["ecg"]["gain_over_demographics"]["value"]
    assert gain == pytest.approx(total["ecg_and_subject"] - total["demographics"], abs=1e-3)
    for name, best in (("ecg_only", "oracle_ecg"), ("ecg_and_subject", "oracle_ecg_and_subject")):
        share = metrics["ecg"]["share_of_oracle"][name]["value"]
        assert share == pytest.approx(total[name] / total[best], rel=1e-3)


def test_no_one_beats_the_mean_with_the_mean(metrics: dict[str, Any]) -> None:
    for phenotype in metrics["ecg"]["phenotypes"]:
        assert phenotype["scores"]["mean"]["r2"]["value"] <= 1e-6
        assert phenotype["scores"]["mean"]["correlation"]["value"] is None  # it does not vary


def test_the_numbers_are_finite_and_lie_in_their_intervals(metrics: dict[str, Any]) -> None:
    figures = list(_figures(metrics, ()))
    assert len(figures) > 2000
    for path, figure in figures:
        if figure["value"] is None:  # one class alone, or a reader that says the same of all
            assert path[-1] in {"auroc", "average_precision", "correlation"} or "fusion" in path
        elif path[-1] != "observed" and figure["low"] is not None:
            assert figure["low"] <= figure["high"]
            assert math.isfinite(figure["value"])


def test_the_subgroups_cover_everyone_once_by_each_trait(metrics: dict[str, Any]) -> None:
    sizes = {each["name"]: each["subjects"] for each in metrics["ecg"]["subgroups"]}
    assert sizes["men"] + sizes["women"] == 24
    for trait in ("age", "heart rate"):
        assert sum(count for name, count in sizes.items() if name.startswith(f"{trait}:")) == 24
    assert sizes["no atrial fibrillation"] + sizes.get("atrial fibrillation", 0) == 24


def test_diseases_and_alignment_are_measured(metrics: dict[str, Any]) -> None:
    screened = metrics["ecg"]["diseases"]
    assert [each["field_id"] for each in screened] == SCREENED
    for disease in screened:
        assert set(disease["screening"]) == set(MODEL)
        for each in disease["screening"].values():
            assert each["subjects"] == 24
            assert sum(part["count"] for part in each["bins"]) == 24
            assert 0.0 <= each["brier"] <= 1.0
    assert [each["depth"] for each in metrics["ecg"]["recall"]] == [1, 5, 10]
    assert [each["chance"] for each in metrics["ecg"]["recall"]] == [0.25, 1.0, 1.0]  # 4 cines
    assert metrics["ecg"]["recall"][1]["ecg_to_cmr"]["value"] == 1.0


def test_cines_are_compared_with_what_is_possible_and_cheap(metrics: dict[str, Any]) -> None:
    cine = metrics["cine"]
    assert (cine["subjects"], cine["samples"], cine["nuisance"]) == (4, 3, "third-1")
    rows = {f"{who}_{mode}{end}" for who in ("model", "ideal") for mode in MODES
            for end in ("", "_shuffled")}  # fmt: skip
    assert set(cine["scores"]) == rows | {
        "mean_image", "mean_image_redrawn", "neighbours", "reconstruction",
    }  # fmt: skip
    for mode in MODES:
        for region in REGIONS:
            for of in MEASURES:
                value = {name: cine["scores"][name][region][of]["value"] for name in rows}
                gained = value[f"model_{mode}"] - value[f"model_{mode}_shuffled"]
                assert cine["gained"][mode][region][of]["value"] == pytest.approx(gained, abs=1e-4)
                possible = value[f"ideal_{mode}"] - value[f"ideal_{mode}_shuffled"]
                share = cine["share_of_ideal"][mode][region][of]["value"]
                assert share == pytest.approx(gained / possible, rel=0.05, abs=0.01)
    assert cine["frechet"]["ideal_sample"] < cine["frechet"]["model_sample"]
    assert [each["field_id"] for each in cine["volumes"]] == ["24100", "24101", "24103"]


def test_the_fusion_is_measured_beside_its_control(metrics: dict[str, Any]) -> None:
    rows = metrics["fusion"]
    assert len(rows) == 5
    measured = [row for row in rows if 0 < row["positives"] < row["subjects"] == 24]
    assert len(measured) == 4  # nobody of the 24 has had an infarct
    for row in measured:
        both, alone, gain = (row[name]["value"] for name in ("ecg_and_cine", "ecg_alone", "gain"))
        assert 0.0 <= both <= 1.0
        assert gain == pytest.approx(both - alone, abs=1e-5)
    assert any(row["gain"]["value"] != 0.0 for row in measured)  # the control is another network


def test_scratch_is_compared_with_the_same_labels(metrics: dict[str, Any]) -> None:
    rows = metrics["ecg"]["from_scratch"]
    assert [(row["labels"], row["subjects"]) for row in rows] == [(0.1, 4), (1.0, 40)]
    for row in rows:
        for name in MODEL:
            for start, trial in row["chosen"][name].items():
                assert re.fullmatch(rf"{start}-{row['labels']:g}-3-4(-frozen)?", trial)
            gain = row["aligned"][name]["value"] - row["scratch"][name]["value"]
            assert row["gain"][name]["value"] == pytest.approx(gain, abs=1e-3)


def test_the_report_holds_all_it_shows(folder: Path) -> None:
    text = (folder / REPORT).read_text(encoding="utf-8")
    links = re.findall(r'(?:src|href)="([^"]*)"', text)
    kinds = {"data:image/png;base64": b"\x89PNG", "data:image/webp;base64": b"RIFF"}
    assert [link.partition(",")[0] for link in links] == [
        list(kinds)[k] for k in (1, 0, 0, 0, 0, 0)
    ]
    for link in links:
        head, _, content = link.partition(",")
        assert base64.b64decode(content).startswith(kinds[head])
    assert "<script" not in text
    assert "not for clinical use" in text
    for name in (
        "LV end diastolic volume",
        "Old myocardial infarction",
        "recall at 5",
        "ideal sampler",
    ):
        assert name in text


def test_the_same_training_is_measured_the_same_twice_and_progress_ends_at_the_end(
    folder: Path, training: Training
) -> None:
    before, shares = (folder / METRICS).read_bytes(), list[float]()
    evaluate(training, fit=20_000, cines=400, bank=BANK, tick=shares.append)
    assert (folder / METRICS).read_bytes() == before
    assert math.fsum(shares) == pytest.approx(1.0)


def test_a_comparison_goes_on_where_it_stopped(folder: Path) -> None:
    files = sorted((folder / FOLDER).glob(f"*/{WEIGHTS}"))
    before = [file.stat().st_mtime_ns for file in files]
    said = (folder / FOLDER / RESULT).read_bytes()
    _cardionets("compare", folder)
    assert [file.stat().st_mtime_ns for file in files] == before
    assert (folder / FOLDER / RESULT).read_bytes() == said
    assert len(files) == 8 + 2


def test_what_is_trained_and_scored_is_not_scored_again(folder: Path) -> None:
    file = folder / FOLDER / RESULT
    said = json.loads(file.read_text(encoding="utf-8"))
    marked = [{**said[0], "scores": {"ecg_only": 7.0}}, *said[2:]]
    file.write_text(json.dumps(marked), encoding="utf-8")
    _cardionets("compare", folder)
    assert json.loads(file.read_text(encoding="utf-8")) == [marked[0], *said[1:]]
    file.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def test_a_frozen_encoder_stays_as_it_starts_and_a_trained_one_does_not(
    folder: Path, trained: Path
) -> None:
    aligned = {
        name.removeprefix("ecg."): value
        for name, value in load_file(trained / "align" / WEIGHTS).items()
        if name.startswith("ecg.") and not name.startswith("ecg.head.")
    }
    assert aligned
    for end, alike in (("", False), ("-frozen", True)):
        weights = load_file(folder / FOLDER / f"aligned-1-3-4{end}" / WEIGHTS)
        same = all(torch.equal(weights[f"encoder.{name}"], of) for name, of in aligned.items())
        assert same == alike


def test_each_start_takes_what_is_best_for_it_as_it_is_asked() -> None:
    trials = tuple(
        Trial(
            aligned=aligned, labels=0.1, rate=rate, steps=9,
            scores={"ecg_only": alone, "ecg_and_subject": told},
        )
        for aligned, rate, alone, told in (
            (True, 1.0, 3.0, 5.0), (True, 3.0, 2.0, 6.0), (False, 1.0, 1.0, 7.0),
            (False, 3.0, 4.0, 6.0),
        )
    )  # fmt: skip
    chosen = {
        (aligned, asked): best_trial(trials, aligned=aligned, labels=0.1, asked=asked).rate
        for aligned in (True, False)
        for asked in MODEL
    }
    assert chosen == {
        (True, "ecg_only"): 1.0, (True, "ecg_and_subject"): 3.0,
        (False, "ecg_only"): 3.0, (False, "ecg_and_subject"): 1.0,
    }  # fmt: skip


def test_without_a_comparison_the_report_says_so(trained: Path, tmp_path: Path) -> None:
    for name in (DATA, *STAGES):
        (tmp_path / name).symlink_to(trained / name, target_is_directory=True)
    bare = Training(tmp_path, read_configuration(SHRUNKEN))
    assert read_trials(bare) == ()
    found = evaluate_ecg(bare, fit=20_000, tick=lambda share: None)
    assert found.from_scratch == ()
    assert "cardionets compare has not run" in "".join(ecg_parts(found))


def test_a_file_that_compare_did_not_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / RESULT).write_text('[{"aligned": 3}]', encoding="utf-8")
    with pytest.raises(UnusableData, match="not what cardionets compare writes"):
        read_trials(Training(tmp_path, read_configuration(SHRUNKEN)))


def test_what_nobody_has_measured_is_left_out_and_does_not_stop_the_rest(
    trained: Path, tmp_path: Path
) -> None:
    """Tables of real subjects lack phenotypes and diagnoses, some or all."""
    shutil.copytree(trained / DATA, tmp_path / DATA)
    phenotypes = np.load(tmp_path / DATA / "phenotypes.npy", mmap_mode="r+")
    phenotypes[:, 5] = np.nan
    phenotypes[::3, 6] = np.nan
    diseases = np.load(tmp_path / DATA / "diseases.npy", mmap_mode="r+")
    subject, disease = np.indices(diseases.shape)
    diseases[:] = (subject // 2 + disease) % 2
    diseases[:, 2], diseases[::2, 3] = UNKNOWN, UNKNOWN
    phenotypes.flush()
    diseases.flush()
    for name in STAGES:
        (tmp_path / name).symlink_to(trained / name, target_is_directory=True)
    found = evaluate_ecg(
        Training(tmp_path, read_configuration(SHRUNKEN)), fit=40, tick=lambda share: None
    )
    assert [found.phenotypes[place].subjects for place in (4, 5, 6)] == [24, 0, 16]
    assert math.isnan(found.phenotypes[5].scores["ecg_only"].r2.value)
    assert all(math.isfinite(found.r2_sum[name].value) for name in READERS)
    assert math.isfinite(found.intervals["ecg_only"].mean.value)
    assert [each.field_id for each in found.diseases] == [
        "lv-systolic-dysfunction", "lv-hypertrophy", "myocardial-infarction",
        "pulmonary-hypertension",
    ]  # fmt: skip
    assert found.diseases[2].screening["ecg_only"].subjects == 12
    assert "sum of R2 over 81" in "".join(ecg_parts(found))


def test_an_unfinished_training_is_not_measured(trained: Path, tmp_path: Path) -> None:
    (tmp_path / DATA).symlink_to(trained / DATA, target_is_directory=True)
    with pytest.raises(UnusableData, match="cardionets train diseases first"):
        evaluate(
            Training(tmp_path, read_configuration(SHRUNKEN)),
            fit=40, cines=400, bank=BANK, tick=lambda share: None,
        )  # fmt: skip


def _figures(
    node: object, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every figure with an interval, and the path to it."""
    if isinstance(node, list):
        for each in node:
            yield from _figures(each, path)
    elif isinstance(node, dict) and set(node) == {"value", "low", "high"}:
        yield path, node
    elif isinstance(node, dict):
        for name, each in node.items():
            yield from _figures(each, (*path, name))
