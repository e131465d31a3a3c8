"""The statement as a page for a browser."""

from __future__ import annotations

from html import escape
from importlib import resources
from itertools import pairwise

from markdown_it import MarkdownIt

from node.conformance.manuscript import slug


def page(markdown: str, title: str) -> str:
    """HTML that stands alone, with a link target at each heading. markdown: of a `Manuscript`."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", slug(inline.content))
    style = (resources.files("dicom_templates") / "conformance.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"{parser.renderer.render(tokens, parser.options, {})}</body>\n</html>\n"
    )
