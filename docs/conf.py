"""How Sphinx builds the documents: `make docs`. Nothing is fetched from elsewhere."""

from __future__ import annotations

project = "CardioNode"
copyright = "the CardioNode authors, Apache-2.0"
extensions = ["myst_parser"]
root_doc = "index"
html_theme = "alabaster"
html_theme_options = {"page_width": "72rem", "sidebar_width": "15rem", "font_family": "sans-serif"}
html_copy_source = False
html_show_sphinx = False
myst_heading_anchors = 6
"""Levels of headings that can be linked to, by the names that GitHub gives them."""
