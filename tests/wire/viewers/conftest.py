"""Web viewers in a headless browser, and results for them to show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browsers import chromium, package, screenshot_folder

WINDOW = {"width": 1280, "height": 800}


@pytest.fixture(scope="session")
def viewers() -> Path:
    """Where they are: a folder a package."""
    return package("dwv").parent


@pytest.fixture(scope="module")
def page() -> Iterator[object]:
    """An empty page of 1280 x 800. No longer than that: a process has one browser at a time."""
    with chromium() as browser:
        yield browser.new_page(viewport=WINDOW)


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the viewers are kept: $CARDIONODE_SCREENSHOTS, else pytest's own folder."""
    return screenshot_folder(tmp_path_factory.mktemp("screenshots"))
