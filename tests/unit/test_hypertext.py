"""Markdown as HTML: nothing gets through that is HTML in it, links lead where they are led."""

from __future__ import annotations

from node.hypertext import html_of, slug


def test_what_is_html_stays_text() -> None:
    assert html_of("<script>alert(1)</script>") == (
        "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n"
    )
    assert "href" not in html_of("[a](javascript:alert(1))")


def test_a_heading_is_linked_by_the_name_that_github_gives_it() -> None:
    assert slug("Who may what, and `dicom.peers`?") == "who-may-what-and-dicompeers"
    assert '<h2 id="a-b">A b</h2>' in html_of("## A b")


def test_a_link_that_leads_nowhere_leaves_its_words() -> None:
    led = {"a.md": "/a", "b.md": None}
    html = html_of("[one *x*](a.md), [two *y*](b.md), [three](a.md)", led.__getitem__)
    assert html == (
        '<p><a href="/a">one <em>x</em></a>, two <em>y</em>, <a href="/a">three</a></p>\n'
    )


def test_a_picture_that_is_nowhere_leaves_its_words() -> None:
    led = {"a.png": "/a.png", "b.png": None}
    html = html_of("![one](a.png) ![two](b.png)", led.__getitem__)
    assert html == '<p><img src="/a.png" alt="one" /> two</p>\n'


def test_tables_are_tables() -> None:
    assert "<td>1</td>" in html_of("| a |\n|---|\n| 1 |\n")
