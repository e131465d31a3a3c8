"""A conformance statement read as its readers read it: headings, and the tables below each."""

from __future__ import annotations

import re
from functools import cache

from node.conformance.statement import conformance_statement
from node.settings import read_settings

Table = list[dict[str, str]]
_HEADING = re.compile(r"#{1,6} (?:(?P<number>[\d.]+) )?(?P<title>.+)")
_CELL_END = re.compile(r"(?<!\\) \| ")


@cache
def default_statement() -> str:
    return conformance_statement(read_settings(), "the annotated default")


def headings(text: str) -> list[tuple[str, str]]:
    """Number and title, in order."""
    found = (_HEADING.fullmatch(line) for line in text.splitlines())
    return [(match["number"] or "", match["title"]) for match in found if match]


def section(text: str, number: str) -> str:
    """What stands below a heading, up to the next."""
    lines = text.splitlines()
    start = next(at for at, line in enumerate(lines) if re.match(rf"#+ {re.escape(number)} ", line))
    below = lines[start + 1 :]
    end = next((at for at, line in enumerate(below) if _HEADING.fullmatch(line)), len(below))
    return "\n".join(below[:end])


def tables(text: str, number: str) -> list[Table]:
    """Those of a section, a row by column."""
    found: list[Table] = []
    for block in section(text, number).strip().split("\n\n"):
        lines = block.splitlines()
        if len(lines) > 2 and lines[1].startswith("| ---"):
            columns = _cells(lines[0])
            found.append([dict(zip(columns, _cells(line), strict=True)) for line in lines[2:]])
    return found


def _cells(line: str) -> list[str]:
    cells = _CELL_END.split(line.removeprefix("| ").removesuffix(" |") + " | ")[:-1]
    return [re.sub(r"\\(.)", r"\1", cell) for cell in cells]
