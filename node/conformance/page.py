"""The statement as a page for a browser."""

from __future__ import annotations

from html import escape
from importlib import resources

from node.hypertext import html_of


def page(markdown: str, title: str) -> str:
    """HTML that stands alone, with a link target at each heading. markdown: of a `Manuscript`."""
    style = (resources.files("dicom_templates") / "conformance.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"{html_of(markdown)}</body>\n</html>\n"
    )
