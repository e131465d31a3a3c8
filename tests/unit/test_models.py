"""Which bundle answers: the default, or that of the AE title an ECG was sent to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from node.cores import available_cores
from node.dicom.template import load_templates
from node.domain.errors import BundleError, ConfigurationError
from node.domain.identifiers import sha256
from node.models import load_models, wish_of
from node.settings import Settings, read_settings
from pipelines.ecg_to_cmr import EcgToCmr

BUNDLES = Path(__file__).parents[1] / "data" / "bundles"
TITLES = 'dicom.ae_titles=["CARDIONODE", "RESEARCH"]'


def _settings(*overrides: str) -> Settings:
    return read_settings(overrides=(f'model.folders=["{BUNDLES}"]', TITLES, *overrides))


def test_an_ae_title_may_have_a_bundle_of_its_own() -> None:
    settings = _settings("model.by_ae_title.RESEARCH=quick-test", "model.runtime=onnx").model
    models = load_models(settings, load_templates(), pytest.fail)
    assert set(models.served) == {"simulated-4ch", "quick-test"}
    assert models.pipeline_for("RESEARCH").identity.bundle == "quick-test"
    assert models.pipeline_for("CARDIONODE").identity.bundle == "simulated-4ch"
    assert models.pipeline_for("RESEARCH") is models.pipeline_for("RESEARCH")


def test_a_bundle_that_answers_for_two_titles_is_loaded_once() -> None:
    settings = _settings("model.bundle=quick-test", "model.by_ae_title.RESEARCH=quick-test").model
    assert settings.choices == ("quick-test",)


def test_a_bundle_that_is_not_there_is_named() -> None:
    settings = _settings("model.by_ae_title.RESEARCH=none", "model.runtime=onnx").model
    with pytest.raises(ConfigurationError, match=r"no bundle is called 'none'"):
        load_models(settings, load_templates(), pytest.fail)


def test_a_bundle_whose_field_is_in_another_unit_or_has_no_code_is_refused_at_the_start(
    tmp_path: Path,
) -> None:
    for key, value, message in (
        ("unit", "L", r"field 24100 is in L but its code is in mL"),
        ("field_id", "24999", r"24999"),
    ):
        folder = tmp_path / key / "quick"
        shutil.copytree(BUNDLES / "quick", folder)
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        before = manifest["phenotypes"][0][key]
        manifest["phenotypes"][0][key] = value
        text = json.dumps(manifest).replace(f'"of": ["{before}"', f'"of": ["{value}"')
        (folder / "manifest.json").write_text(text, encoding="utf-8")
        sums = folder / "SHA256SUMS"
        lines = [line for line in sums.read_text(encoding="utf-8").splitlines() if line]
        kept = [line for line in lines if not line.endswith("manifest.json")]
        sums.write_text(
            "\n".join([*kept, f"{sha256(text.encode())}  manifest.json", ""]), encoding="utf-8"
        )
        settings = read_settings(
            overrides=(
                f'model.folders=["{tmp_path / key}"]', "model.bundle=quick-test",
                "model.runtime=onnx",
            )
        ).model  # fmt: skip
        with pytest.raises(BundleError, match=message):
            load_models(settings, load_templates(), pytest.fail)


def test_a_broken_bundle_beside_it_does_not_keep_a_node_from_starting(tmp_path: Path) -> None:
    (tmp_path / "spoilt").mkdir()
    (tmp_path / "spoilt" / "manifest.json").write_text("{", encoding="utf-8")
    settings = read_settings(overrides=(f'model.folders=["{tmp_path}"]',)).model
    assert load_models(settings, load_templates(), pytest.fail).default == "simulated-4ch"
    asked = read_settings(overrides=(f'model.folders=["{tmp_path}"]', "model.bundle=spoilt")).model
    with pytest.raises(BundleError, match="bundle spoilt: SHA256SUMS is missing"):
        load_models(asked, load_templates(), pytest.fail)


def test_presets_of_a_bundle_draw_with_the_same_graphs() -> None:
    settings = _settings(
        "model.bundle=simulated-4ch/likely", "model.by_ae_title.RESEARCH=simulated-4ch/mean"
    ).model
    models = load_models(settings, load_templates(), pytest.fail)
    likely, mean = (models.pipeline_for(title) for title in ("CARDIONODE", "RESEARCH"))
    assert isinstance(likely, EcgToCmr) and isinstance(mean, EcgToCmr)
    assert (likely.identity.preset, mean.identity.preset) == ("likely", "mean")
    assert likely.ecg is mean.ecg
    assert likely.sampler != mean.sampler


def test_an_engine_being_built_is_told_by_quarters() -> None:
    told: list[tuple[str, float]] = []
    building = wish_of(_settings().model, lambda graph, share: told.append((graph, share))).building
    for share in (0.0, 0.1, 0.24, 0.3, 0.8, 0.9, 1.0):
        building("ecg.onnx", share)
    building("layout.onnx", 0.0)
    assert told == [
        ("ecg.onnx", 0.0), ("ecg.onnx", 0.3), ("ecg.onnx", 0.8), ("ecg.onnx", 1.0),
        ("layout.onnx", 0.0),
    ]  # fmt: skip


def test_a_title_that_is_not_ours_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="names 'OTHER', which is not among"):
        _settings("model.by_ae_title.OTHER=quick-test")


def test_the_wish_is_what_the_settings_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    wish = wish_of(_settings().model)
    assert (wish.runtime, wish.precision) == ("auto", "auto")
    assert wish.threads == available_cores()
    assert wish.engines == tmp_path / "cardionode" / "engines"
    asked = wish_of(
        _settings(
            "model.runtime=openvino",
            "model.precision=bf16",
            "model.threads=1",
            f"model.engines={tmp_path}",
        ).model
    )
    assert (asked.runtime, asked.precision, asked.threads) == ("openvino", "bf16", 1)
    assert asked.engines == tmp_path
