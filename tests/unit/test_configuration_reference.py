"""The configuration reference against the settings that it is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from typer.testing import CliRunner

from node.cli import app
from node.configuration_reference import configuration_reference
from node.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "handbook" / "configuration.md"


@cache
def rows() -> list[list[str]]:
    """Cells of each key's row."""
    lines = configuration_reference().splitlines()
    found = [re.split(r" (?<!\\)\| ", line[2:-2]) for line in lines if line.startswith("| `")]
    assert {len(each) for each in found} == {4}
    return found


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from models(each)


def keys(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """Paths of those that are no tables; NAME where the site chooses."""
    for name, field in model.model_fields.items():
        inner = list(models(field.annotation))
        path = f"{above}{name}."
        if name == "destinations" and inner:
            path += "NAME."
        for each in inner:
            yield from keys(each, path)
        if not inner:
            yield f"{above}{name}"


def told(path: str) -> list[str]:
    (found,) = (row for row in rows() if row[0] == f"`{path}`")
    return found


def test_the_copy_in_the_handbook_is_what_the_command_prints(tmp_path: Path) -> None:
    """`cardionode config reference --out docs/handbook/configuration.md` renews it."""
    done = CliRunner().invoke(app, ["config", "reference", "--out", str(tmp_path / "page.md")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")
    assert CliRunner().invoke(app, ["config", "reference"]).output == configuration_reference()


def test_every_key_of_the_settings_has_a_row() -> None:
    expected = sorted(keys(Settings))
    assert len(expected) > 120
    assert sorted(row[0].strip("`") for row in rows()) == expected


def test_every_key_has_words() -> None:
    assert [row[0] for row in rows() if not row[3].strip()] == []


def test_what_a_key_takes_is_said_in_plain_words() -> None:
    assert told("dicom.port")[1:3] == ['a whole number, 0 to 65535, or `"off"`', "`11112`"]
    assert told("web.console.idle_minutes")[1] == "minutes: a whole number, 1 to 720"
    assert told("identity.missing")[1] == 'one of `"hold"`, `"process"`'
    assert told("storage.keys")[1] == "list: env:NAME or file:PATH"
    assert told("tls.certificate")[1:3] == ["a path", "needed"]
    assert told("destinations.NAME.time_zone")[1:3] == ["a time zone's name", "needed"]


def test_one_comment_is_told_of_all_keys_that_it_stands_above() -> None:
    assert told("hl7.maximum_connections")[3] == told("hl7.idle_timeout_s")[3] != ""


def test_a_comment_beside_a_value_goes_on_from_it() -> None:
    assert told("tls.minimum_version")[3] == '"1.2", or "1.3"'


def test_prose_between_tables_is_told_of_the_next_and_that_below_keys_is_not() -> None:
    text = configuration_reference()
    assert "[worklist]`\n\nWith a Modality Worklist" in text
    assert "as above.\n" not in text
