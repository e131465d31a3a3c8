"""A killed run goes on and ends in the same weights, and two runs with one seed are the same."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.domain.errors import UnusableData
from pipelines.training.configuration import TrainingConfiguration
from pipelines.training.engine import CHECKPOINT, STOPPED, WEIGHTS
from pipelines.training.phenotypes import Phenotypes
from pipelines.training.pretrain_ecg import PretrainEcg
from pipelines.training.run import DATA, Training
from pipelines.training.stage import Batch
from tests.conftest import SHRUNKEN
from tests.unit.training.conftest import Beside

ORDER = (
    "pretrain-ecg", "pretrain-cmr", "align", "phenotypes", "diseases", "meter", "tokenizer",
    "layout",
)  # fmt: skip
KILLED_AT = 5
"""Batch, of six: behind the checkpoint after the third."""
KILLS_ITSELF = """
import os, signal, sys
from pathlib import Path
from pipelines.training.configuration import read_configuration
from pipelines.training.phenotypes import Phenotypes
from pipelines.training.run import Training

whole = Phenotypes.batch
def batch(self, index):
    if index == int(sys.argv[3]):
        os.kill(os.getpid(), int(sys.argv[4]))
    return whole(self, index)
Phenotypes.batch = batch
Training(Path(sys.argv[2]), read_configuration(Path(sys.argv[1]))).train(
    "phenotypes", progress=False
)
"""


def _weights(training: Training, stage: str) -> bytes:
    return (training.folder / stage / WEIGHTS).read_bytes()


def test_the_stages_come_in_order(training: Training) -> None:
    assert tuple(training.stages) == ORDER


@pytest.mark.parametrize(
    ("stage", "before"), [(PretrainEcg, ()), (Phenotypes, ("align",))], ids=["plain", "averaged"]
)
def test_a_stage_broken_off_and_resumed_equals_an_uninterrupted_one(
    training: Training,
    beside: Beside,
    monkeypatch: pytest.MonkeyPatch,
    stage: type[PretrainEcg | Phenotypes],
    before: tuple[str, ...],
) -> None:
    resumed = beside(*before)
    whole = stage.batch
    asked: list[int] = []

    def breaking(self: PretrainEcg | Phenotypes, index: int) -> Batch:
        asked.append(index)
        if index == KILLED_AT:
            raise RuntimeError("power cut")
        return whole(self, index)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(stage, "batch", breaking)
        with pytest.raises(RuntimeError, match="power cut"):
            resumed.train(stage.name, progress=False)
    assert asked == [0, 1, 2, 3, 4, 5]
    assert not resumed.finished(stage.name)
    with monkeypatch.context() as patched:
        patched.setattr(
            stage, "batch", lambda self, index: asked.append(index) or whole(self, index)
        )
        resumed.train(stage.name, progress=False)
    assert asked[6:] == [3, 4, 5]
    assert _weights(resumed, stage.name) == _weights(training, stage.name)


def test_the_average_is_not_the_last_weights(training: Training, beside: Beside) -> None:
    """Otherwise the test above would say nothing of it."""
    settings = training.configuration.stages.phenotypes
    assert settings.average > 0.0
    plain = beside("align")
    stages = plain.configuration.stages.model_copy(
        update={"phenotypes": settings.model_copy(update={"average": 0.0})}
    )
    changed = plain.configuration.model_copy(update={"stages": stages})
    plain = Training(plain.folder, changed)
    plain.train("phenotypes", progress=False)
    assert _weights(plain, "phenotypes") != _weights(training, "phenotypes")


@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, STOPPED)]
)
def test_a_stage_survives_its_killing_and_no_status_hides_it(
    training: Training, beside: Beside, sent: signal.Signals, status: int
) -> None:
    """Otherwise the next command of a makefile would begin."""
    resumed = beside("align")
    words = [str(SHRUNKEN), str(resumed.folder), str(KILLED_AT), str(int(sent))]
    killed = subprocess.run(
        [sys.executable, "-c", KILLS_ITSELF, *words],
        cwd=Path(__file__).resolve().parents[3], capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert killed.returncode == status, killed.stderr.decode()
    assert (resumed.folder / "phenotypes" / f"{CHECKPOINT}.ckpt").exists()
    assert not resumed.finished("phenotypes")
    resumed.train("phenotypes", progress=False)
    assert _weights(resumed, "phenotypes") == _weights(training, "phenotypes")


def test_killed_between_the_last_step_and_the_weights_nothing_is_lost(
    training: Training, beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumed = beside("align")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", _no_power)
        with pytest.raises(RuntimeError, match="power cut"):
            resumed.train("phenotypes", progress=False)
    assert not resumed.finished("phenotypes")
    resumed.train("phenotypes", progress=False)
    assert _weights(resumed, "phenotypes") == _weights(training, "phenotypes")


def test_one_seed_gives_the_same_weights_of_every_stage(training: Training, beside: Beside) -> None:
    again = beside()
    for stage in ORDER:
        again.train(stage, progress=False)
        assert _weights(again, stage) == _weights(training, stage), stage


def test_another_seed_gives_other_weights(training: Training, beside: Beside) -> None:
    folder = beside("pretrain-cmr", "tokenizer", "diseases").folder
    other = Training(folder, training.configuration.model_copy(update={"seed": 8}))
    for stage in ("pretrain-ecg", "align", "phenotypes", "layout"):
        other.train(stage, progress=False)
        assert _weights(other, stage) != _weights(training, stage), stage


def test_a_finished_stage_is_not_trained_again(training: Training, beside: Beside) -> None:
    again = beside(*ORDER)
    before = (training.folder / "align" / WEIGHTS).stat().st_mtime_ns
    again.train("align", progress=False)
    assert (training.folder / "align" / WEIGHTS).stat().st_mtime_ns == before


def test_a_stage_asks_for_those_before_it(beside: Beside) -> None:
    with pytest.raises(UnusableData, match="cardionets train pretrain-ecg first"):
        beside().train("align", progress=False)


def test_the_folder_of_another_cohort_is_refused(
    training: Training, configuration: TrainingConfiguration
) -> None:
    assert configuration.cohort is not None
    for change in ({"seed": 8}, {"train": 41}, {"test_digest": "0" * 64}):
        cohort = configuration.cohort.model_copy(update=change)
        other = Training(training.folder, configuration.model_copy(update={"cohort": cohort}))
        with pytest.raises(UnusableData, match=f"remove its {DATA}/"):
            other.prepare(lambda _: pytest.fail("nothing may be simulated"))


def test_without_a_cohort_the_data_must_be_there(
    configuration: TrainingConfiguration, tmp_path: Path
) -> None:
    real = configuration.model_copy(update={"cohort": None})
    with pytest.raises(UnusableData, match="no whole training set"):
        Training(tmp_path, real).prepare(lambda _: None)


def _no_power(*_: object) -> None:
    raise RuntimeError("power cut")
