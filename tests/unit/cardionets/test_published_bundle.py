"""From the published files to a bundle that the catalog loads and that draws a cine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from node.domain.ecg import STANDARD_LEADS, ECGRecord, Subject
from node.domain.errors import BundleError, UnusableData
from node.domain.identifiers import sha256
from node.domain.prediction import Prediction
from pipelines.bundle import CHECKSUMS, MANIFEST, Bundle, read_bundle
from pipelines.cardionets.published_bundle import import_checkpoints
from pipelines.cardionets.published_manifest import Checkpoints
from pipelines.catalog import load_pipeline
from pipelines.ecg_to_cmr import EcgToCmr
from pipelines.runtime.onnx import OnnxRuntime
from pipelines.sampler import Chance
from tests.unit.cardionets.published_files import TINY, write_all, write_ecg
from tests.unit.cardionets.published_generator import per_place
from tests.unit.cardionets.recorded import recorded


@pytest.fixture(scope="module")
def files(vectors_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    return write_all(vectors_folder, tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def imported(files: Checkpoints, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the tests: golden answers differ in the last bit
    bundle = import_checkpoints(files, folder, name="published-tiny", drawing=TINY)
    torch.set_num_threads(threads)
    return bundle


@pytest.fixture(scope="module")
def pipeline(imported: Bundle) -> EcgToCmr:
    return load_pipeline(imported, OnnxRuntime(threads=1))


def _ecg() -> ECGRecord:
    """Ten seconds at 500 Hz, 75 beats a minute."""
    time = np.arange(5000) / 500.0
    beat = np.exp(-0.5 * ((np.mod(time, 0.8) - 0.3) / 0.011) ** 2)
    samples = np.outer(beat, np.linspace(-0.6, 1.0, 12)).astype(np.float32)
    return ECGRecord(samples=samples, leads=STANDARD_LEADS, sampling_frequency_hz=500.0)


def _ask(pipeline: EcgToCmr, digest: str = "0" * 64) -> Prediction:
    return pipeline.predict(_ecg(), Subject(), source_digest=digest)


def _frames(prediction: Prediction) -> bytes:
    assert prediction.cine is not None
    return prediction.cine.frames.tobytes()


def test_an_imported_bundle_answers_with_a_cine_and_a_disease_and_no_phenotype(
    imported: Bundle, pipeline: EcgToCmr
) -> None:
    prediction = _ask(pipeline)
    assert imported.manifest.capabilities_text == "1 disease, cine"
    assert prediction.estimates == ()
    assert [disease.field_id for disease in prediction.diseases] == ["cardiomyopathy"]
    assert prediction.cine is not None
    assert prediction.cine.frames.shape == (20, 48, 48)
    assert prediction.cine.frame_time_ms * 20 == pytest.approx(800.0, abs=3.0)
    assert prediction.findings == ()  # the networks take no age and no sex: nothing is missing
    assert not prediction.model.simulated


def test_the_same_ecg_gives_the_same_bytes_and_another_digest_another_cine(
    pipeline: EcgToCmr, imported: Bundle
) -> None:
    first = _frames(_ask(pipeline))
    assert _frames(_ask(pipeline)) == first
    assert _frames(_ask(load_pipeline(imported, OnnxRuntime(threads=2)))) == first
    assert _frames(_ask(pipeline, "1" * 64)) != first
    other = replace(pipeline, identity=replace(pipeline.identity, digest="1" * 64))
    assert _frames(_ask(other)) != first


def test_the_recorded_condition_noise_and_order_give_the_recorded_cine(
    pipeline: EcgToCmr, vectors_folder: Path, tolerances: dict[str, dict[str, Any]]
) -> None:
    given, noise, expected = (
        recorded(vectors_folder, "e2e.tiny.vectors", kind)
        for kind in ("input", "noise", "expected")
    )
    sampler = pipeline.sampler
    assert sampler is not None
    order = given["orders"].flip(1)
    rows = per_place(order, sampler.spec.schedule.drawn, noise["ar.init"], noise["ar.steps"])
    chance = Chance(order=order.numpy(), noise=rows.numpy())
    cine = 2.0 * sampler.cines(expected["condition"].numpy(), chance).samples - 1.0
    limit = tolerances["e2e|expected.cine"]["suggested_atol"]
    assert np.abs(cine - expected["cine"][:, 0].numpy()).max() <= limit


def test_a_mean_of_several_samples_can_be_shown(pipeline: EcgToCmr) -> None:
    sampler = pipeline.sampler
    assert sampler is not None
    spec = sampler.spec.model_copy(update={"samples": 3, "shown": "mean"})
    several = replace(sampler, spec=spec)
    condition = np.zeros((1, 24), np.float32)
    drawn = several.cines(condition, Chance.seeded(spec, "a"))
    assert drawn.samples.shape == (3, 20, 48, 48)
    alone = sampler.cines(condition, Chance.seeded(sampler.spec, "a"))
    np.testing.assert_allclose(alone.samples[0], drawn.samples[0], atol=2e-3)
    assert several.shown(condition, "a").mean.tobytes() == drawn.samples.mean(axis=0).tobytes()
    assert float(drawn.spread.max()) > 0.0


def test_every_file_is_recorded_with_its_digest_and_licence(
    imported: Bundle, files: Checkpoints
) -> None:
    manifest = imported.manifest
    found = {source.file: source for source in manifest.sources}
    assert set(found) == {
        "aligned_ECG_encoder.pth",
        "checkpoint-last.pth",
        "checkpoint-0004.pth",
        "trained_by_MIMIC_CM_best-auc.pth",
    }
    for file in (files.ecg, files.generator):
        assert found[file.name].sha256 == sha256(file.read_bytes())
    assert found["aligned_ECG_encoder.pth"].licence == "CC BY-NC 4.0"
    assert "non-commercial" in found["trained_by_MIMIC_CM_best-auc.pth"].statement
    assert found["checkpoint-last.pth"].licence == "none came with the file"
    assert "ask" in found["checkpoint-0004.pth"].statement
    card = (imported.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert all(source.sha256 in card for source in manifest.sources)
    assert "arXiv 2411.13602" in manifest.training_data and not manifest.simulated


def test_no_patch_of_the_golden_ecg_is_flat_so_that_rounding_is_not_magnified(
    imported: Bundle,
) -> None:
    with np.load(imported.folder / imported.manifest.golden.file) as golden:
        patches = golden["ecg"].reshape(12, 30, 75)
    assert patches.std(axis=2).min() > 0.1  # of a whole whose spread is 1


def test_without_a_disease_the_bundle_offers_the_cine_alone_by_the_same_graphs(
    imported: Bundle, files: Checkpoints, tmp_path: Path
) -> None:
    """Imported twice, all that does not know of the disease is the same to the byte."""
    alone = replace(files, diseases=())
    bundle = import_checkpoints(alone, tmp_path / "cine", name="cine-only", drawing=TINY)
    prediction = _ask(load_pipeline(bundle, OnnxRuntime(threads=1)))
    assert bundle.manifest.capabilities_text == "cine"
    assert (prediction.estimates, prediction.diseases) == ((), ())
    assert prediction.cine is not None
    graphs = [each for each in (bundle.folder / "graphs").iterdir() if "ecg" not in each.name]
    assert len(graphs) == 3
    for each in graphs:
        assert each.read_bytes() == (imported.folder / "graphs" / each.name).read_bytes()


def test_files_that_do_not_fit_each_other_are_refused_by_name(
    files: Checkpoints, vectors_folder: Path, tmp_path: Path
) -> None:
    disease, out = files.diseases[0].file, tmp_path / "out"
    with pytest.raises(UnusableData, match=r"best-auc\.pth gives 1 values, .* takes 24"):
        import_checkpoints(replace(files, ecg=disease), out, name="a", drawing=TINY)
    wrong = replace(files, diseases=(replace(files.diseases[0], file=files.ecg),))
    with pytest.raises(UnusableData, match="gives 24 values, a disease has one"):
        import_checkpoints(wrong, out, name="a", drawing=TINY)
    short = write_ecg(tmp_path / "s.pth", load_file(vectors_folder / "ecg.tiny.safetensors"), {})
    with pytest.raises(UnusableData, match=r"s\.pth takes 300 samples, recipe published-1 gives"):
        import_checkpoints(replace(files, ecg=short), out, name="a", drawing=TINY)
    with pytest.raises(UnusableData, match=r"checkpoint-0004\.pth has nothing under 'model_ema'"):
        import_checkpoints(replace(files, generator=files.autoencoder), out, name="a", drawing=TINY)


def test_what_would_be_refused_at_the_end_is_refused_at_the_start(
    files: Checkpoints, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    with pytest.raises(BundleError, match="full holds files already"):
        import_checkpoints(files, tmp_path / "full", name="a", drawing=TINY)
    with pytest.raises(BundleError, match="'My bundle' cannot be a bundle's name"):
        import_checkpoints(files, tmp_path / "new", name="My bundle", drawing=TINY)
    twice = replace(files, diseases=files.diseases * 2)
    with pytest.raises(BundleError, match="two files are given for cardiomyopathy"):
        import_checkpoints(twice, tmp_path / "new", name="a", drawing=TINY)


def _tensor(role: str, kind: str, place: int, **changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        manifest["graphs"][role][kind][place].update(changes)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _tensor("ecg", "outputs", 0, name="embedding"),
            "ecg.onnx: output condition is what a sampler needs",
        ),
        (
            _tensor("trunk", "inputs", 1, dtype="float32"),
            r"trunk\.onnx: input must be .*known \(samples, known\) int64",
        ),
        (
            _tensor("trunk", "outputs", 0, shape=["samples", "known", 32]),
            r"trunk\.onnx: output must be z \(samples, masked, 32\)",
        ),
        (
            _tensor("head", "inputs", 2, shape=["rows", 31]),
            r"head\.onnx: input must be .*z \(rows, 32\)",
        ),
        (
            _tensor("head", "outputs", 0, shape=["rows", 40]),
            r"head\.onnx: output must be estimate \(rows, 80\)",
        ),
        (
            _tensor("decoder", "inputs", 0, shape=[1, 2, 10, 6, 5]),
            r"decoder\.onnx: input must be latent \(1, 2, 10, 6, 6\)",
        ),
        (
            lambda manifest: manifest["cine"].update(rows=47),
            r"decoder\.onnx: output must be frames \(1, 20, 47, 48\)",
        ),
        (
            lambda manifest: manifest["sampler"].update(ar_steps=1),
            "the sampler draws another latent than",
        ),
        (
            lambda manifest: manifest["sampler"]["guidance"].update(scale=1.5),
            "the sampler draws another latent than",
        ),
    ],
)
def test_a_sampler_that_does_not_fit_its_graphs_is_not_served(
    imported: Bundle, tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    folder = Path(shutil.copytree(imported.folder, tmp_path / "copy"))
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    _reseal(folder)
    with pytest.raises(BundleError, match=message):
        load_pipeline(read_bundle(folder), OnnxRuntime(threads=1))


def _reseal(folder: Path) -> None:
    """Make the checksums again, as one who alters a bundle on purpose would."""
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != CHECKSUMS
    )
    lines = [f"{sha256((folder / name).read_bytes())}  {name}\n" for name in names]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
