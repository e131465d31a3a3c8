"""Which bundle answers: the default, or that of the AE title an ECG was sent to."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.dicom.template import load_templates
from node.domain.errors import ConfigurationError
from node.models import available_cores, load_models, wish_of
from node.settings import Settings, read_settings

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
