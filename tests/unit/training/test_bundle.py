"""From a finished training to a bundle that a node serves: both samplers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from node.domain.ecg import STANDARD_LEADS, ECGRecord, Subject
from pipelines.bundle import Bundle
from pipelines.catalog import load_pipeline
from pipelines.cohort.electrocardiograph import SAMPLING_FREQUENCY_HZ
from pipelines.cohort.phenotypes import PHENOTYPES
from pipelines.cohort.population import simulate_population
from pipelines.cohort.torso import simulate_ecg
from pipelines.datasets.training_set import TrainingSet
from pipelines.runtime.onnx import OnnxRuntime
from pipelines.sampler_spec import SamplerSpec
from pipelines.training.bundle import (
    build_bundle,
    digest_of_configuration,
    not_offered,
    offered_of,
)
from pipelines.training.calibrate import FEWEST, calibrate
from pipelines.training.card import write_card
from pipelines.training.run import Training
from tests.unit.training.conftest import Beside

PLACE = {phenotype.field_id: place for place, phenotype in enumerate(PHENOTYPES)}
FIGURE = {"value": 0.9, "low": 0.88, "high": 0.92}
ASKED = ("ecg_and_subject", "ecg_only")
METRICS = {
    "ecg": {
        "subjects": 24,
        "r2_sum": dict.fromkeys((*ASKED, "ecg_features"), FIGURE),
        "share_of_oracle": {"ecg_only": FIGURE},
        "gain_over_demographics": FIGURE,
        "intervals": {
            name: {"mean": FIGURE, "lowest": 0.86, "lowest_field": "24104"} for name in ASKED
        },
        "phenotypes": [],
        "diseases": [
            {
                "name": "Old infarct",
                "screening": {
                    "ecg_and_subject": {
                        "subjects": 24, "positives": 3,
                        "auroc": {"value": None, "low": None, "high": None},
                    }
                },
            }
        ],
        "from_scratch": [],
    },
    "cine": {
        "subjects": 4, "samples": 2, "nuisance": "third-1", "scores": {}, "share_of_ideal": {},
        "sharpness": FIGURE, "diversity": None, "volumes": [],
    },
}  # fmt: skip
"""The parts that the card shows."""


@pytest.fixture(scope="module")
def bundle(training: Training, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return build_bundle(tmp_path_factory.mktemp("bundle") / "bundle", training, METRICS)


def _ecg() -> ECGRecord:
    return ECGRecord(
        samples=simulate_ecg(simulate_population(3, 5), 1, seed=5),
        leads=STANDARD_LEADS,
        sampling_frequency_hz=SAMPLING_FREQUENCY_HZ,
    )


def test_a_served_bundle_gives_all_it_was_trained_for(bundle: Bundle) -> None:
    pipeline = load_pipeline(bundle, OnnxRuntime(threads=1))
    prediction = pipeline.predict(_ecg(), Subject(age_years=60, sex="F"), source_digest="a")
    assert len(prediction.estimates) == 82
    # Of the other diseases there is no case among the few calibration or training subjects.
    assert [each.field_id for each in prediction.diseases] == ["lv-systolic-dysfunction"]
    assert prediction.cine is not None
    assert prediction.cine.frames.shape == (50, 96, 96)
    value = {each.field_id: each.value for each in prediction.estimates}
    # Identities hold to what rounding for print leaves: a stroke volume is printed in whole mL.
    assert value["24102"] == pytest.approx(value["24100"] - value["24101"], abs=1.01)
    assert value["24103"] == pytest.approx(100.0 * value["24102"] / value["24100"], abs=1.5)
    assert bundle.manifest.simulated
    assert "not for clinical use" in bundle.manifest.training_data


def test_the_same_ecg_gives_the_same_cine_and_another_source_another(bundle: Bundle) -> None:
    pipeline = load_pipeline(bundle, OnnxRuntime(threads=1))
    frames = [
        cine.frames.tobytes()
        for source in ("a", "a", "b")
        if (cine := pipeline.predict(_ecg(), Subject(), source_digest=source).cine)
    ]
    assert frames[0] == frames[1]
    assert frames[0] != frames[2]


def test_two_runs_with_one_seed_give_the_same_bundle(
    bundle: Bundle, beside: Beside, tmp_path: Path
) -> None:
    """All stages trained again; the data is the same by its own test."""
    again = beside()
    for stage in again.stages:
        again.train(stage, progress=False)
    assert build_bundle(tmp_path / "again", again, METRICS).digest == bundle.digest


def _half_of_them_ill(data: TrainingSet) -> NDArray[np.int8]:
    places = np.indices(data.diseases.shape).sum(axis=0)
    return (places % 2).astype(np.int8)


def test_what_too_few_subjects_have_is_left_out_with_all_that_is_made_of_it(
    bundle: Bundle, training: Training, tmp_path: Path
) -> None:
    """LVESV is known of eight calibration subjects, and nobody is ill."""
    data = training.data
    part, train = data.statement.calibration_part, data.statement.train_part
    phenotypes = np.array(data.phenotypes)
    phenotypes[part.start + FEWEST - 1 : part.stop, PLACE["24101"]] = np.nan
    phenotypes[train, PLACE["24181"]] = np.nan
    lacking = Training(training.folder, training.configuration)
    vars(lacking)["data"] = replace(
        data, phenotypes=phenotypes, diseases=np.zeros_like(data.diseases)
    )

    partial = build_bundle(tmp_path / "bundle", lacking, {})

    left_out = ("24101", "24102", "24103", "24104", "24181", *data.statement.diseases)
    assert not_offered(data.statement, partial.manifest) == left_out
    answer, whole = (
        load_pipeline(each, OnnxRuntime(threads=1)).predict(_ecg(), Subject(), source_digest="a")
        for each in (partial, bundle)
    )
    value = {each.field_id: each.value for each in answer.estimates}
    assert len(value) == 82 - 5
    assert answer.diseases == ()
    assert partial.manifest.capabilities_text == "77 phenotypes, cine"
    of_all = whole.estimates
    assert value == {each.field_id: each.value for each in of_all if each.field_id in value}


def test_a_disease_that_no_calibration_subject_has_is_not_offered(training: Training) -> None:
    data = training.data
    diseases = _half_of_them_ill(data)
    diseases[data.statement.calibration_part, 0] = 0
    lacking = replace(data, diseases=diseases)
    offered = offered_of(lacking, calibrate(training.ecg_network(), lacking))
    assert offered.diseases == tuple(range(1, len(data.statement.diseases)))


def test_the_provenance_is_of_what_makes_the_bundle(training: Training) -> None:
    configuration = training.configuration
    compared = configuration.comparison.model_copy(update={"labels": (0.5,)})
    told = digest_of_configuration(configuration)
    assert (
        digest_of_configuration(configuration.model_copy(update={"comparison": compared})) == told
    )
    assert digest_of_configuration(configuration.model_copy(update={"seed": 8})) != told


def test_no_subject_of_the_training_set_is_in_the_bundle(
    bundle: Bundle, training: Training
) -> None:
    with np.load(bundle.folder / bundle.manifest.golden.file) as golden:
        ecg = golden["ecg"][0].astype(np.float16)
    assert not any(np.array_equal(ecg, subject) for subject in training.data.ecg)


def test_the_card_warns_and_shows_what_was_measured(bundle: Bundle) -> None:
    card = bundle.content("MODEL_CARD.md").decode()
    assert "Not for clinical use" in card
    assert "| coverage of 90 % intervals, ECG only | 0.9 (0.88 to 0.92) |" in card
    assert "| AUROC of Old infarct (3 of 24), ECG + subject | – |" in card
    assert "| sharpness of samples over reconstructions | 0.9 (0.88 to 0.92) |" in card
    assert "Nothing." in write_card(bundle.manifest, {})


def test_a_generator_s_bundle_draws_token_by_token(beside: Beside, tmp_path: Path) -> None:
    """With a flow head; one of diffusion is in the published bundle's tests."""
    head = "flow"
    finished = beside(
        "pretrain-ecg", "pretrain-cmr", "align", "phenotypes", "diseases", "tokenizer"
    )
    sampling = finished.configuration.sampling.model_copy(
        update={"sampler": "generator", "ar_steps": 3}
    )
    stages = finished.configuration.stages
    assert stages.generator is not None
    stages = stages.model_copy(
        update={"generator": stages.generator.model_copy(update={"head": head})}
    )
    training = Training(
        finished.folder,
        finished.configuration.model_copy(update={"sampling": sampling, "stages": stages}),
    )
    training.train("generator", progress=False)
    bundle = build_bundle(tmp_path / "bundle", training, METRICS)
    prediction = load_pipeline(bundle, OnnxRuntime(threads=1)).predict(
        _ecg(), Subject(), source_digest="a"
    )
    assert prediction.cine is not None
    assert math.isfinite(float(prediction.cine.frames.mean()))
    assert set(bundle.manifest.graphs.offered) == {"ecg", "trunk", "head", "decoder"}
    assert isinstance(bundle.manifest.sampler, SamplerSpec)
    assert bundle.manifest.sampler.head.kind == head
