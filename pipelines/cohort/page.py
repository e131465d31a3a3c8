"""One HTML page without anything beside it: headings, sentences, tables and pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO

from matplotlib.figure import Figure

from pipelines.cohort.targets import Row

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2733; background: #fff; margin: 2rem auto;
  max-width: 1180px; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-size: 0.9rem; }
th, td { text-align: left; padding: 0.2rem 0.9rem 0.2rem 0; border-bottom: 1px solid #e3e7ec; }
th { color: #5a6675; font-weight: 600; } td.no { color: #a33212; font-weight: 600; }
td:nth-child(3), td:nth-child(4) { white-space: nowrap; }
td.told, .quiet { color: #5a6675; } img { max-width: 100%; height: auto; }
.banner { background: #fff4e5; border: 1px solid #f0c98a; padding: 0.5rem 1rem; }
"""


def render_page(title: str, banner: str, parts: Iterable[str]) -> str:
    """The whole page; `parts` are HTML."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f"</title><style>{STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f'<p class="banner">{escape(banner)}</p>' + "\n".join(parts) + "</body></html>\n"
    )


def heading(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def bullets(sentences: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(each)}</li>" for each in sentences) + "</ul>"


def picture(image: bytes, alt: str, kind: str = "png") -> str:
    """kind: png, or webp for what moves."""
    encoded = base64.b64encode(image).decode("ascii")
    return f'<p><img alt="{escape(alt)}" src="data:image/{kind};base64,{encoded}"></p>'


def png(figure: Figure) -> bytes:
    encoded = BytesIO()
    figure.savefig(encoded, format="png", dpi=110)
    return encoded.getvalue()


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are text."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def target_table(rows: Iterable[Row]) -> str:
    """Target beside what is reached, and whether that is within."""
    head = ("", "of", "target", "reached", "within?", "source", "status")
    top = "".join(f"<th>{cell}</th>" for cell in head)
    return (
        f"<table><thead><tr>{top}</tr></thead><tbody>"
        + "".join(map(_target_row, rows))
        + "</tbody></table>"
    )


def _target_row(row: Row) -> str:
    style, verdict = {True: ("yes", "yes"), False: ("no", "NO"), None: ("told", "not judged")}[
        row.within
    ]
    cells = (row.name, row.group, row.target, row.reached)
    return (
        "<tr>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + f'<td class="{style}">{verdict}</td>'
        + f'<td class="quiet">{escape(row.source)}</td><td class="quiet">{row.status}</td></tr>'
    )
