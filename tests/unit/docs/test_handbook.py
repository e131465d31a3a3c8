"""README and handbook: links lead somewhere, commands exist, configurations can be read."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from typer.main import get_command

from node.cli import app as cardionode
from node.hypertext import slug
from node.settings import parse_settings
from node.web.console.handbook import PAGES
from pipelines.command import app as cardionets

ROOT = Path(__file__).parents[3]
HANDBOOK = ROOT / "docs" / "handbook"
FILES = [ROOT / "README.md", ROOT / "docs" / "index.md", *sorted(HANDBOOK.glob("*.md"))]
PROGRAMS = {"cardionode": get_command(cardionode), "cardionets": get_command(cardionets)}
EVERYWHERE = {"--help"}


@cache
def tokens(file: Path) -> list[Token]:
    parser = MarkdownIt("commonmark").enable("table")
    found = []
    for token in parser.parse(file.read_text(encoding="utf-8")):
        found += [token, *(token.children or ())]
    return found


@cache
def anchors(file: Path) -> frozenset[str]:
    found = tokens(file)
    headings = [
        slug(after.content) for each, after in pairwise(found) if each.type == "heading_open"
    ]
    assert len(set(headings)) == len(headings), f"two headings of {file.name} have one name"
    return frozenset(headings)


def blocks(file: Path, language: str) -> Iterator[str]:
    for token in tokens(file):
        if token.type == "fence" and token.info == language:
            yield token.content


def commands(file: Path) -> Iterator[list[str]]:
    """Each with its words; "a|b" of a table as two."""
    lines = [token.content for token in tokens(file) if token.type == "code_inline"]
    for block in blocks(file, "sh"):
        lines += block.replace("\\\n", " ").splitlines()
    for line in lines:
        for part in re.split(r"&&|;", line):
            program = Path(part.strip().partition(" ")[0]).name
            if program in PROGRAMS:
                yield from one_of_each(shlex.split(part.replace("…", ""), comments=True))


def one_of_each(words: list[str]) -> Iterator[list[str]]:
    place = next((number for number, word in enumerate(words) if "|" in word), None)
    if place is None:
        yield words
        return
    for word in words[place].split("|"):
        yield from one_of_each([*words[:place], word, *words[place + 1 :]])


def objection(words: list[str]) -> str:
    """What is wrong with a command; empty where it can be given."""
    command: Any = PROGRAMS[Path(words[0]).name]
    rest = words[1:]
    while hasattr(command, "get_command") and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        found = command.get_command(None, name)
        if found is None:
            return f"no command {name}"
        command = found
    known = {option for each in command.params for option in each.opts} | EVERYWHERE
    unknown = [each for each in rest if re.fullmatch(r"--?[a-z][a-z-]*", each)]
    unknown = [each for each in unknown if each not in known]
    return f"no option {' '.join(unknown)}" if unknown else ""


def test_the_console_knows_every_page() -> None:
    assert {f"{name}.md" for name in PAGES} == {each.name for each in HANDBOOK.glob("*.md")}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_link_leads_somewhere(file: Path) -> None:
    links = [str(each.attrGet("href")) for each in tokens(file) if each.type == "link_open"]
    for link in links:
        if link.startswith("https://"):
            continue
        path, _, place = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        assert target.exists(), f"{link} of {file.name}"
        assert not place or place in anchors(target), f"{link} of {file.name}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_command_exists_with_its_options(file: Path) -> None:
    wrong = [(words, problem) for words in commands(file) if (problem := objection(words))]
    assert wrong == []


def test_a_command_that_does_not_exist_is_found() -> None:
    assert objection(["cardionode", "jobs", "retry", "42"]) == ""
    assert objection(["cardionode", "jobs", "revive", "42"]) == "no command revive"
    assert objection(["cardionode", "jobs", "retry", "42", "--now"]) == "no option --now"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_configuration_can_be_read(file: Path) -> None:
    for number, block in enumerate(blocks(file, "toml")):
        parse_settings(block, f"block {number} of {file.name}")


@cache
def said() -> str:
    """Every text of the program, a line each."""
    texts = []
    for file in (*(ROOT / "node").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")):
        for found in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(found, ast.Constant) and isinstance(found.value, str):
                texts.append(found.value)
    return "\n".join(texts)


def test_every_message_of_troubleshooting_is_one_of_the_program() -> None:
    spans = [each.content for each in tokens(HANDBOOK / "troubleshooting.md")
             if each.type == "code_inline"]  # fmt: skip
    messages = [each for each in spans if " " in each and not each.startswith("cardionode ")]
    assert len(messages) > 60
    parts = [(each, part) for each in messages for part in each.split("…") if len(part) > 3]
    assert [each for each, part in parts if part.strip() not in said()] == []


def test_every_event_of_operations_is_one_of_the_program() -> None:
    spans = re.findall(r"\(`([a-z ]+)`\)", (HANDBOOK / "operations.md").read_text("utf-8"))
    assert len(spans) > 5
    assert [each for each in spans if each not in said()] == []
