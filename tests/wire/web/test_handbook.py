"""The handbook in the console: for everybody who is signed in, and no file beside it."""

from __future__ import annotations

import re

import pytest

from node.domain.user import Role
from node.web.console.handbook import PAGES
from tests.wire.web.console_server import Browser


@pytest.mark.parametrize("role", Role)
def test_every_role_is_led_to_every_page(browser: Browser, role: Role) -> None:
    browser.sign_in(role.value)
    assert 'href="/handbook"' in browser.get("/studies").text
    for name in PAGES:
        page = browser.get(f"/handbook/{name}")
        assert page.status == 200
        assert len(re.findall("<h1", page.text)) == 1
        assert f'href="/handbook/{name}" aria-current="page"' in page.text
    assert browser.get("/handbook").text == browser.get("/handbook/index").text


def test_links_lead_to_pages_and_places_of_the_console(browser: Browser) -> None:
    browser.sign_in("viewer")
    for name in PAGES:
        text = browser.get(f"/handbook/{name}").text.partition("<main")[2]
        for link in re.findall(r'href="([^"]+)"', text):
            path, _, place = link.partition("#")
            found = browser.get(path or f"/handbook/{name}")
            assert found.status == 200, link
            assert not place or f'id="{place}"' in found.text, link
        assert ".md" not in "".join(re.findall(r'href="([^"]+)"', text))


def test_its_pictures_are_there_for_who_is_signed_in(browser: Browser) -> None:
    browser.sign_in("viewer")
    text = "".join(browser.get(f"/handbook/{name}").text for name in PAGES)
    found = set(re.findall(r'<img src="([^"]+)" alt="[^"]+"', text))
    assert len(found) == text.count("<img") == 4
    for each in found:
        picture = browser.get(each)
        assert (picture.status, picture.headers["Content-Type"]) == (200, "image/png")
    for name in ("none.png", "..%2findex.md", "%2e%2e%2f__init__.py"):
        assert browser.get(f"/handbook/pictures/{name}").status == 404
    browser.cookies.clear()
    assert browser.get(found.pop()).status == 303


def test_words_of_a_link_that_leads_nowhere_here_stay(browser: Browser) -> None:
    browser.sign_in("viewer")
    assert "statements, DICOM and\nHL7;" in browser.get("/handbook/index").text


@pytest.mark.parametrize(
    "name", ["none", "index.md", "__init__.py", "..", "%2e%2e", "..%2fconf", "%2e%2e%2fcapacity"]
)
def test_there_is_no_other_page(browser: Browser, name: str) -> None:
    browser.sign_in("admin")
    assert browser.get(f"/handbook/{name}").status == 404


def test_nothing_of_a_page_is_styled_or_run_in_line(browser: Browser) -> None:
    """The Content-Security-Policy would not let it."""
    browser.sign_in("viewer")
    for name in PAGES:
        text = browser.get(f"/handbook/{name}").text
        assert "style=" not in text
        assert "<script>" not in text
