"""What `cardionode bundle` says, installs, and does not remove."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.cli.bundle import app, licence_lines
from node.domain.errors import BundleError, ConfigurationError
from pipelines.bundle import read_bundle
from pipelines.catalog import shipped_bundles
from pipelines.manifest import SourceSpec

QUICK = Path(__file__).parents[2] / "data" / "bundles" / "quick"


def _said(*words: str, folder: Path | None = None) -> str:
    chosen = ["--set", f'model.folders=["{folder}"]'] if folder else []
    result = CliRunner().invoke(app, [*words, *chosen], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_a_bundle_is_installed_served_by_name_and_removed(tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "quick"), "zip", QUICK)
    into = tmp_path / ("wider-than-any-terminal" * 5)
    said = _said("install", archive, folder=into)
    assert f"quick-test 1.0.0 is in {into / 'quick-test'}" in said
    assert "self-test are right" in _said("verify", "quick-test", folder=into)
    assert f"{into / 'quick-test'} is removed" in _said("remove", "quick-test", folder=into)
    with pytest.raises(BundleError, match="no bundle is called 'quick-test'"):
        _said("info", "quick-test", folder=into)


def test_a_broken_bundle_is_shown_and_is_replaced_or_removed(tmp_path: Path) -> None:
    for remedy in (("install", str(QUICK), "--replace"), ("remove", "quick-test")):
        _said("install", str(QUICK), "--replace", folder=tmp_path)
        (tmp_path / "quick-test" / "graphs" / "ecg.onnx").unlink()
        listed = _said("list", folder=tmp_path)
        assert "simulated-4ch" in listed
        assert "bundle quick-test: graphs/ecg.onnx is missing; copy the bundle again" in listed
        assert "simulated-4ch 1.0.0: checksums" in _said("verify", folder=tmp_path)
        _said(*remedy, folder=tmp_path)
        assert "is missing" not in _said("list", folder=tmp_path)
    assert not (tmp_path / "quick-test").exists()


def test_of_two_folders_the_broken_one_is_removed(tmp_path: Path) -> None:
    sound, spoilt = tmp_path / "a", tmp_path / "b"
    shutil.copytree(QUICK, sound / "quick-test")
    shutil.copytree(QUICK, spoilt / "quick-test")
    (spoilt / "quick-test" / "graphs" / "ecg.onnx").unlink()
    both = ["--set", f'model.folders=["{sound}", "{spoilt}"]']
    assert f"{spoilt / 'quick-test'} is removed" in _said("remove", "quick-test", *both)
    assert "quick-test 1.0.0: checksums" in _said("verify", "quick-test", *both)


def test_of_two_sound_bundles_of_a_name_none_is_removed(tmp_path: Path) -> None:
    for name in ("quick", "again"):
        shutil.copytree(QUICK, tmp_path / name)
    for name in ("quick-test", "quick", "again"):
        with pytest.raises(BundleError, match="two bundles are called quick-test"):
            _said("remove", name, folder=tmp_path)
    assert _said("list", folder=tmp_path).count("two bundles are called") == 1


def test_what_is_served_and_broken_does_not_verify(tmp_path: Path) -> None:
    _said("install", str(QUICK), folder=tmp_path)
    (tmp_path / "quick-test" / "graphs" / "ecg.onnx").unlink()
    words = ["verify", "--set", "model.bundle=quick-test"]
    found = CliRunner().invoke(app, [*words, "--set", f'model.folders=["{tmp_path}"]'])
    assert found.exit_code == 1
    assert "quick-test: bundle quick-test: graphs/ecg.onnx is missing" in " ".join(
        found.output.split()
    )


def test_a_name_that_another_folder_has_is_refused(tmp_path: Path) -> None:
    """Otherwise no command would find its bundle, and no node would start."""
    with pytest.raises(BundleError, match="simulated-4ch is called so too"):
        _said("install", str(shipped_bundles() / "simulated-4ch"), folder=tmp_path)
    _said("install", str(QUICK), folder=tmp_path)
    _said("install", str(QUICK), "--replace", folder=tmp_path)


def test_where_to_install_must_be_said() -> None:
    with pytest.raises(ConfigurationError, match=r"model\.folders is empty: name a folder"):
        _said("install", str(QUICK))


def test_what_is_served_or_shipped_is_not_removed(tmp_path: Path) -> None:
    _said("install", str(QUICK), folder=tmp_path)
    with pytest.raises(ConfigurationError, match=r"is what model\.bundle or model\.by_ae_title"):
        _said("remove", "quick-test", "--set", "model.bundle=quick-test", folder=tmp_path)
    with pytest.raises(ConfigurationError, match="simulated-4ch comes with cardionode"):
        _said("remove", "simulated-4ch")
    assert read_bundle(tmp_path / "quick-test")


def test_the_licence_of_the_bundle_comes_first_then_that_of_each_file_it_was_made_from() -> None:
    manifest = read_bundle(shipped_bundles() / "simulated-4ch").manifest
    assert list(licence_lines(manifest)) == [f"Licence: {manifest.licence}"]
    source = SourceSpec(
        file="a.pth", sha256="ab" * 32, licence="CC BY-NC 4.0", statement="Non-commercial use only."
    )
    lines = list(licence_lines(manifest.model_copy(update={"sources": (source,)})))
    assert lines[1:] == [
        f"Made from a.pth (SHA-256 {'ab' * 32})",
        "    CC BY-NC 4.0. Non-commercial use only.",
    ]
