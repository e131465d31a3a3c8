"""Web viewers in a headless browser, and results for them to show."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import absent

SCREENSHOTS_VARIABLE = "CARDIONODE_SCREENSHOTS"
VIEWERS_VARIABLE = "CARDIONODE_VIEWERS"
BROWSER = Path("/usr/bin/chromium")
SOFTWARE_DRAWING = (
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--no-sandbox",
)
WINDOW = {"width": 1280, "height": 800}


@pytest.fixture(scope="session")
def viewers() -> Path:
    """Where .ci/install-peers puts viewers: a folder a package."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get(VIEWERS_VARIABLE) or cache / "cardionode" / "viewers")
    if not (folder / "dwv").is_dir():
        absent(f"no web viewers in {folder}: run .ci/install-peers, or make peers")
    return folder


@pytest.fixture(scope="session")
def page() -> Iterator[object]:
    """An empty page of 1280 x 800, drawn without a GPU."""
    if not BROWSER.exists():
        absent("chromium is not installed")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=list(SOFTWARE_DRAWING))
        yield browser.new_page(viewport=WINDOW)
        browser.close()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the viewers are kept: $CARDIONODE_SCREENSHOTS, else pytest's own folder."""
    named = os.environ.get(SCREENSHOTS_VARIABLE)
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
