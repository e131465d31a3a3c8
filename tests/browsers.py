"""A headless browser, drawn without a GPU, and where its pictures go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


@contextmanager
def chromium() -> Iterator[Any]:
    """Playwright's `Browser`."""
    if not BROWSER.exists():
        absent("chromium is not installed")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=list(SOFTWARE_DRAWING))
        yield browser
        browser.close()


def package(name: str) -> Path:
    """Where .ci/install-peers puts what npm has: a folder a package."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get(VIEWERS_VARIABLE) or cache / "cardionode" / "viewers")
    if not (folder / name).is_dir():
        absent(f"no {name} in {folder}: run .ci/install-peers, or make peers")
    return folder / name


def screenshot_folder(otherwise: Path) -> Path:
    """$CARDIONODE_SCREENSHOTS, or another; made where it is not there."""
    named = os.environ.get(SCREENSHOTS_VARIABLE)
    folder = Path(named) if named else otherwise
    folder.mkdir(parents=True, exist_ok=True)
    return folder
