"""A document as it is written: numbered headings, paragraphs, tables; given as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from node.hypertext import slug

DEEPEST: Final = 6
"""Levels of headings that Markdown has; PS3.2 needs as many."""
LISTED: Final = 3
"""Levels in the table of contents."""
_SPECIAL: Final = re.compile(r"([\\|*<>`])")


class Manuscript:
    """Grows from the cover to the last annex."""

    def __init__(self, title: str) -> None:
        self._blocks: list[str] = [f"# {title}"]
        self._numbers: list[int] = []
        self._headings: list[tuple[int, str]] = []
        self._contents_at: int | None = None

    def heading(self, level: int, title: str) -> None:
        """The next one of its level, with its number. level: 1 to `DEEPEST`."""
        self._numbers = self._numbers[:level] + [0] * (level - len(self._numbers))
        self._numbers[-1] += 1
        text = f"{'.'.join(map(str, self._numbers))} {title}"
        self._headings.append((level, text))
        self._blocks.append(f"{'#' * level} {text}")

    def contents(self) -> None:
        """The table of contents stands here."""
        self._contents_at = len(self._blocks)

    def paragraph(self, text: str) -> None:
        self._blocks.append(text.strip())

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Cells are shown letter by letter. Without a row there is no table."""
        lines = [_line(map(escape, row)) for row in rows]
        if lines:
            rule = _line(["---"] * len(columns))
            self._blocks.append("\n".join([_line(columns), rule, *lines]))

    def picture(self, drawing: str) -> None:
        """A drawing in letters."""
        self._blocks.append(f"```text\n{drawing.rstrip()}\n```")

    def text(self) -> str:
        """The whole as Markdown."""
        blocks = list(self._blocks)
        if self._contents_at is not None:
            blocks.insert(self._contents_at, self._contents())
        return "\n\n".join(blocks) + "\n"

    def _contents(self) -> str:
        return "\n".join(
            f"{'  ' * (level - 1)}- [{text}](#{slug(text)})"
            for level, text in self._headings
            if level <= LISTED
        )


def escape(text: str) -> str:
    """A text of which Markdown takes no letter for its own."""
    return _SPECIAL.sub(r"\\\1", text)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
