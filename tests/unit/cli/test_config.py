"""`cardionode config`: what holds is shown, what changes is said, what is wrong is not written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.cli import app
from node.domain.errors import ConfigurationError
from node.settings import read_settings

TEXT = "# Of the hospital.\ndicom.port = 11112  # the PACS team\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def config(*words: object) -> str:
    done = CliRunner().invoke(app, ["config", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_what_holds_is_shown_whoever_said_it(file: Path) -> None:
    assert json.loads(config("show", "dicom.port", "--config", file)) == 11112
    assert json.loads(config("show", "dicom.port", "--set", "dicom.port=1")) == 1
    assert json.loads(config("show", "web"))["console"]["enabled"] is True
    with pytest.raises(ConfigurationError, match=r"no key dicom\.prot"):
        config("show", "dicom.prot")


def test_a_change_is_shown_and_made(file: Path) -> None:
    said = config("set", "dicom.port=11913", "--config", file)
    assert "-dicom.port = 11112  # the PACS team" in said
    assert "+dicom.port = 11913  # the PACS team" in said
    assert read_settings(file).dicom.port == 11913
    assert "nothing changes" in config("set", "dicom.port=11913", "--config", file)
    config("unset", "dicom.port", "--config", file)
    assert file.read_text(encoding="utf-8").startswith("# Of the hospital.")
    assert "11913" not in file.read_text(encoding="utf-8")


def test_a_dry_run_changes_nothing(file: Path) -> None:
    assert "+dicom.port = 11913" in config("set", "dicom.port=11913", "--config", file, "--dry-run")
    assert file.read_text(encoding="utf-8") == TEXT


def test_a_file_that_is_not_there_yet_is_made(tmp_path: Path) -> None:
    file = tmp_path / "new.toml"
    config("set", "log.level=warning", "--config", file)
    assert read_settings(file).log.level == "warning"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["set", "dicom.port=99999"], "dicom.port"),
        (["set", "dicom.port"], "write it as table.key=value"),
        (["unset", "dicom.port=1"], "name the key alone"),
        (["set", "dicom.port=1", "--set", "dicom.port=2"], "set where the node is started"),
    ],
)
def test_what_cannot_be_is_said_and_not_done(file: Path, words: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        config(*words, "--config", file)
    assert file.read_text(encoding="utf-8") == TEXT


def test_without_a_file_nothing_is_changed() -> None:
    with pytest.raises(ConfigurationError, match="which file"):
        config("set", "dicom.port=1")
