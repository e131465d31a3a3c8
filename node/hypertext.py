"""Markdown as HTML: what is HTML in it stays text, and every heading can be linked to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

_NO_SLUG: Final = re.compile(r"[^\w\- ]")

Lead = Callable[[str], str | None]
"""Where a link or a picture of that address leads; None: nowhere, its words stand alone."""


def slug(heading: str) -> str:
    """What a heading is linked by, as GitHub makes it."""
    return _NO_SLUG.sub("", heading.lower()).replace(" ", "-")


def as_written(address: str) -> str | None:
    return address


def html_of(markdown: str, lead: Lead = as_written) -> str:
    """Its HTML, without a page around it. markdown: CommonMark, with tables."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", slug(inline.content))
    for token in tokens:
        if token.children is not None:
            token.children = list(_led(token.children, lead))
    html: str = parser.renderer.render(tokens, parser.options, {})
    return html


def _led(tokens: Iterable[Token], lead: Lead) -> Iterator[Token]:
    """With the links where they lead. tokens: of one block; links do not stand in links."""
    address: str | None = None
    for token in tokens:
        if token.type == "link_open":
            address = lead(str(token.attrGet("href")))
            if address is not None:
                token.attrSet("href", address)
        if token.type == "image" and (source := lead(str(token.attrGet("src")))) is not None:
            token.attrSet("src", source)
        elif token.type == "image":
            yield Token("text", "", 0, content=token.content)
            continue
        if address is not None or token.type not in ("link_open", "link_close"):
            yield token
