"""What a stage learns, and what it must leave alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from node.domain.errors import UnusableData
from pipelines.cardionets.cmr_encoder import CmrEncoder
from pipelines.cardionets.ecg_encoder import EcgEncoder
from pipelines.datasets.training_set import UNKNOWN, TrainingSet
from pipelines.training.align import Align
from pipelines.training.diseases import Diseases
from pipelines.training.engine import WEIGHTS, train_stage
from pipelines.training.layout import LayoutStage
from pipelines.training.phenotypes import Phenotypes, fit_scaler, hide, likelihood_loss, targets_of
from pipelines.training.run import Training
from pipelines.training.stage import Stage, StageSettings
from tests.unit.training.conftest import Beside

UNSEEN = range(10_000, 10_004)
"""Batches that no training comes to."""


def _with_generator(training: Training, head: str = "flow") -> Training:
    configuration = training.configuration
    assert configuration.stages.generator is not None
    generator = configuration.stages.generator.model_copy(update={"head": head})
    changes = {
        "sampling": configuration.sampling.model_copy(update={"sampler": "generator"}),
        "stages": configuration.stages.model_copy(update={"generator": generator}),
    }
    return Training(training.folder, configuration.model_copy(update=changes))


@torch.no_grad()
def _loss(stage: Stage) -> float:
    return float(np.mean([stage.loss(stage.batch(index)).item() for index in UNSEEN]))


@pytest.mark.parametrize(
    ("name", "steps", "batch", "share"),
    [
        ("pretrain-ecg", 40, 4, 0.9),
        ("pretrain-cmr", 20, 4, 0.95),
        ("align", 40, 8, 0.95),
        ("phenotypes", 60, 8, 0.95),
        ("diseases", 40, 4, 0.8),
        ("tokenizer", 8, 2, 0.85),
        ("generator", 40, 4, 0.8),
    ],
)
def test_a_stage_lowers_its_loss_on_other_batches(
    training: Training, beside: Beside, name: str, steps: int, batch: int, share: float
) -> None:
    folder = beside().folder / name
    stage = (_with_generator(training) if name == "generator" else training).stages[name]()
    stage.settings = stage.settings.model_copy(
        update={"steps": steps, "batch": batch, "warm_up": 2, "average": 0.0, "learning_rate": 3e-3,
                "checkpoint_every": steps}
    )  # fmt: skip
    before = _loss(stage)
    train_stage(stage, folder, training.configuration.hardware, progress=False)
    assert _loss(stage) < share * before


def test_the_published_head_lowers_its_loss_too(training: Training, beside: Beside) -> None:
    stage = _with_generator(training, "diffusion").stages["generator"]()
    assert stage.batch(0)["t"].dtype == torch.int64
    stage.settings = stage.settings.model_copy(
        update={"steps": 60, "warm_up": 2, "learning_rate": 3e-3, "checkpoint_every": 60}
    )
    before = _loss(stage)
    train_stage(
        stage, beside().folder / "generator", training.configuration.hardware, progress=False
    )
    assert _loss(stage) < 0.8 * before


def test_the_layout_follows_from_the_ecg_before_any_step(training: Training) -> None:
    """Its flow starts as the closed form, which is the best there is on so few cines."""
    stage = training.stages["layout"]()
    assert isinstance(stage, LayoutStage)
    conditions = stage.conditions.flatten(0, 1)
    layouts = stage.layouts.repeat(len(stage.conditions), 1)
    with torch.no_grad():
        missed = (layouts - stage.layout.expected(conditions)).square().sum()
        spread = (layouts - layouts.mean(dim=0)).square().sum()
    assert missed < 0.9 * spread


def test_the_generator_is_trained_where_the_sampler_needs_it(
    training: Training, beside: Beside
) -> None:
    tokens = _with_generator(beside("tokenizer", "diseases"))
    assert "layout" not in tokens.stages
    tokens.train("generator", progress=False)
    assert tokens.generator().size.latent == tokens.latent_shape


def test_a_batch_depends_on_seed_and_number_alone(training: Training) -> None:
    stage = training.stages["phenotypes"]()
    first, again, other = stage.batch(3), stage.batch(3), stage.batch(4)
    assert all(torch.equal(first[name], again[name]) for name in ("ecg", "subject"))
    assert not torch.equal(first["ecg"], other["ecg"])


def test_the_disease_head_leaves_the_rest_as_it_was(training: Training) -> None:
    before = load_file(training.folder / "phenotypes" / WEIGHTS)
    after = load_file(training.folder / "diseases" / WEIGHTS)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"diseases.weight", "diseases.bias"}


def test_alignment_reads_cines_with_the_pretrained_encoder(training: Training) -> None:
    pair = training.aligned()
    rows = training.data.cines_of(training.data.statement.train_part)
    cine = torch.from_numpy(training.data.cine[rows[:2]].astype(np.float32)) / 127.5 - 1.0
    kept = load_file(training.folder / "align" / WEIGHTS)
    pretrained = load_file(training.folder / "pretrain-cmr" / WEIGHTS)
    assert torch.equal(pair.cmr.cls_token, pretrained["cls_token"])
    with torch.no_grad():
        wanted = functional.linear(
            pair.cmr.feature(pair.cmr.latent(cine)),
            kept["cmr_projection.weight"],
            kept["cmr_projection.bias"],
        )
        assert torch.equal(pair.cmr(cine), wanted)


def test_alignment_needs_as_many_cines_as_a_batch_compares(training: Training) -> None:
    networks = training.configuration.networks
    settings = training.configuration.stages.align.model_copy(update={"batch": 25})
    ecg, cmr = EcgEncoder(networks.ecg_encoder), CmrEncoder(networks.cmr_encoder)
    with pytest.raises(UnusableData, match="there are 24 training cines: make the batch smaller"):
        Align(settings, 1, ecg, cmr, training.data)


def test_phenotypes_start_from_the_aligned_encoder_or_from_a_new_one(training: Training) -> None:
    settings = training.configuration.stages.phenotypes
    aligned = training.fine_tuning(settings, aligned=True).ecg_network
    scratch = training.fine_tuning(settings, aligned=False).ecg_network
    kept = load_file(training.folder / "align" / WEIGHTS)
    assert torch.equal(aligned.encoder.pos_embedding, kept["ecg.pos_embedding"])
    assert not torch.equal(scratch.encoder.pos_embedding, kept["ecg.pos_embedding"])
    for one, other in zip(aligned.trunk.parameters(), scratch.trunk.parameters(), strict=True):
        assert torch.equal(one, other)


def test_only_the_share_of_labelled_subjects_is_used(training: Training) -> None:
    settings = training.configuration.stages.phenotypes.model_copy(update={"labels": 0.1})
    stage = training.fine_tuning(settings, aligned=False)
    first = training.data.statement.train_part.start
    allowed = stage.wanted[first : first + 4]  # a tenth of 40
    wanted = torch.cat([stage.batch(index)["wanted"] for index in range(20)])
    assert all(any(torch.equal(row, each) for each in allowed) for row in wanted)


def test_targets_are_standardised_by_the_training_subjects(training: Training) -> None:
    scaler, part = fit_scaler(training.data), training.data.statement.train_part
    standard = scaler.standardise(targets_of(training.data))[part].astype(np.float64)
    assert standard.shape[1] == 83
    assert np.allclose(standard.mean(axis=0), 0.0, atol=1e-4)
    assert np.allclose(standard.std(axis=0), 1.0, atol=1e-4)


def test_the_likelihood_is_gaussian_and_unknown_targets_count_nothing() -> None:
    chance = np.random.Generator(np.random.Philox(3))
    mean, spread, wanted = (chance.standard_normal((5, 4)) for _ in range(3))
    unknown = chance.random((5, 4)) < 0.4
    kept = (mean - wanted)[~unknown]
    variance = np.exp(spread[~unknown])
    by_hand = np.mean(0.5 * (kept**2 / variance + np.log(variance)) + kept**2)
    leaf = torch.tensor(mean, requires_grad=True)
    loss = likelihood_loss(
        leaf, torch.from_numpy(spread), torch.from_numpy(np.where(unknown, np.nan, wanted))
    )
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(by_hand)
    assert leaf.grad is not None
    assert torch.equal(leaf.grad == 0.0, torch.from_numpy(unknown))


def test_a_batch_without_any_known_target_trains_nothing() -> None:
    mean = torch.zeros(2, 3, requires_grad=True)
    loss = likelihood_loss(mean, torch.zeros(2, 3), torch.full((2, 3), torch.nan))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert mean.grad is not None and not mean.grad.any()


def test_unknown_disease_labels_count_nothing(training: Training) -> None:
    stage = training.stages["diseases"]()
    assert isinstance(stage, Diseases)
    batch = stage.batch(0)
    labels = batch["labels"].clone()
    labels[0, 1] = labels[2] = UNKNOWN
    with torch.no_grad():
        logits = stage.ecg_network(batch["ecg"], batch["subject"]).logits
        known = labels != UNKNOWN
        wanted = functional.binary_cross_entropy_with_logits(logits[known], labels[known].float())
        found = stage.loss(batch | {"labels": labels})
    assert known.sum() == labels.numel() - 1 - labels.shape[1]
    assert found.item() == pytest.approx(wanted.item(), rel=1e-6)


def test_labels_and_targets_reach_the_batch_as_they_stand_in_the_data(training: Training) -> None:
    data, part = training.data, training.data.statement.train_part
    holed = _with_holes(data)
    settings: StageSettings = training.configuration.stages.phenotypes
    stage = Phenotypes(settings, 7, training.ecg_network(), holed)  # type: ignore[arg-type]
    rows = slice(part.start, part.stop)
    assert torch.equal(stage.wanted[rows, 4].isnan(), torch.ones(part.stop - part.start).bool())
    assert not stage.wanted[rows, 5].isnan().any()
    assert torch.isfinite(stage.loss(stage.batch(0)))


def _with_holes(data: TrainingSet) -> TrainingSet:
    phenotypes = np.array(data.phenotypes)
    phenotypes[:, 4] = np.nan
    return replace(data, phenotypes=phenotypes)


def test_fields_of_the_subject_are_hidden_alone_and_all_at_once() -> None:
    chance = np.random.Generator(np.random.Philox(11))
    subject = np.tile(np.array([1.0, 0.5], dtype=np.float32), (20_000, 4))
    seen: Tensor = hide(subject, 0.3, chance)
    flags, values = seen[:, 0::2], seen[:, 1::2]
    assert torch.equal(values, 0.5 * flags)  # a hidden field's value is 0, as serving says it
    assert set(flags.unique().tolist()) == {0.0, 1.0}
    # each stays unless hidden alone (.3) or with all (.15)
    assert flags.mean(dim=0).tolist() == pytest.approx([0.7 * 0.85] * 4, abs=0.015)
    nothing = (flags.sum(dim=1) == 0).float().mean().item()
    assert nothing == pytest.approx(0.15 + 0.85 * 0.3**4, abs=0.012)
    assert torch.equal(hide(subject, 0.0, chance), torch.from_numpy(subject))


def test_every_stage_trains_in_mixed_precision(beside: Beside) -> None:
    training = beside()
    configuration = training.configuration
    mixed = configuration.hardware.model_copy(update={"precision": "bf16-mixed"})
    short = configuration.stages.model_copy(
        update={
            name: stage.model_copy(update={"steps": 1, "checkpoint_every": 1})
            for name, stage in configuration.stages
            if stage is not None
        }
    )
    training = Training(
        training.folder, configuration.model_copy(update={"hardware": mixed, "stages": short})
    )
    for name in training.stages:
        training.train(name, progress=False)
    assert all(training.finished(name) for name in training.stages)
