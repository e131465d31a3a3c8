"""dwv, a web viewer of another house: the same pixels, and a cine that plays."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from node.domain.delivery import ResultKind
from node.domain.form import CineForm, ResultForm
from node.workflow.process import Answer
from tests.wire.viewers.results import JPEG_2000, composed, compressed
from tests.wire.viewers.site import Site

RLE = "1.2.840.10008.1.2.5"
LOADED = "window.viewer.loaded || window.viewer.problem"
WITHIN_MS = 20_000


@pytest.fixture(scope="module")
def site(viewers: Path, found: Answer) -> Iterator[Site]:
    """dwv with every kind of image in every transfer syntax that it and a destination know."""
    grayscale = composed(found, ResultForm())
    color = composed(found, ResultForm(cine=CineForm.TRUE_COLOR))
    images = {
        "cine": grayscale[ResultKind.CINE],
        "cine-color": color[ResultKind.CINE],
        "summary": grayscale[ResultKind.SUMMARY],
    }
    files = {"/index.html": (Path(__file__).parent / "dwv.html").read_bytes()}
    for name, content in images.items():
        files[f"/{name}-raw.dcm"] = content
        files[f"/{name}-rle.dcm"] = compressed(content, RLE)
        files[f"/{name}-j2k.dcm"] = compressed(content, JPEG_2000)
    folders = {
        "/assets/": viewers / "dwv" / "dist" / "assets",
        "/dwv/": viewers / "dwv" / "dist",
        "/konva/": viewers / "konva",
        "/jszip/": viewers / "jszip" / "dist",
    }
    served = Site(folders, files)
    yield served
    served.close()


def load(page: Any, site: Site, name: str) -> None:
    page.goto(f"{site.url}/index.html?file=/{name}.dcm")
    page.wait_for_function(LOADED, timeout=WITHIN_MS)
    assert page.evaluate("window.viewer.problem") == ""


@pytest.mark.parametrize("syntax", ["raw", "rle", "j2k"])
@pytest.mark.parametrize("image", ["cine", "cine-color", "summary"])
def test_dwv_decodes_the_pixels_that_pydicom_does(
    page: Any, site: Site, image: str, syntax: str
) -> None:
    load(page, site, f"{image}-{syntax}")
    pixels = dcmread(io.BytesIO(site.files[f"/{image}-raw.dcm"])).pixel_array
    assert page.evaluate("window.viewer.digest()") == hashlib.sha256(pixels.tobytes()).hexdigest()


def test_the_cine_plays_in_a_loop(page: Any, site: Site, screenshots: Path) -> None:
    load(page, site, "cine-raw")
    page.screenshot(path=screenshots / "dwv-cine.png")
    page.evaluate("window.viewer.play()")
    page.wait_for_timeout(6000)
    frames = [int(frame) for _, frame in page.evaluate("window.viewer.positions")]
    count = int(dcmread(io.BytesIO(site.files["/cine-raw.dcm"])).NumberOfFrames)
    assert len(set(frames)) == count, "every frame was shown"
    steps = {(after - before) % count for before, after in pairwise(frames)}
    assert steps == {1}, "one after the other, and from the last to the first"


def test_the_summary_fills_a_window(page: Any, site: Site, screenshots: Path) -> None:
    load(page, site, "summary-raw")
    picture = page.screenshot(path=screenshots / "dwv-summary.png")
    assert len(picture) > 100_000, "an empty window has a few thousand bytes"
