"""dwv, a web viewer of another house: the same pixels, and a cine that plays."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from node.domain.delivery import ResultKind
from node.domain.form import CineForm, Compression, ResultForm
from node.workflow.answer import Answer
from tests.decoders import in_compression
from tests.end_to_end.node_process import BUNDLES
from tests.wire.viewers.results import answered, composed
from tests.wire.viewers.site import Site

ECG = "mortara_eli250_1000hz.dcm"
LOADED = "window.viewer.loaded || window.viewer.problem"
LOOPED = "window.viewer.positions.filter((each) => each[1] === 1).length > 1"
WITHIN_MS = 30_000
QUICK = ("model.bundle=quick-test", f'model.folders=["{BUNDLES}"]')
SYNTAXES = [
    pytest.param(Compression.NONE, id="raw"),
    pytest.param(Compression.RLE, id="rle"),
    pytest.param(Compression.JPEG_2000, id="jpeg-2000"),
]


@pytest.fixture(scope="module")
def found(shared: Path) -> Answer:
    """What the small bundle of the tests answers."""
    return answered(shared / "data" / "ecg_dicom" / ECG, QUICK)


@pytest.fixture(scope="module")
def images(found: Answer) -> dict[str, bytes]:
    """What a destination gets by default."""
    made = composed(found, ResultForm())
    return {"cine": made[ResultKind.CINE], "summary": made[ResultKind.SUMMARY]}


@pytest.fixture(scope="module")
def site(viewers: Path) -> Iterator[Site]:
    """dwv alone; tests add what it opens."""
    folders = {
        "/assets/": viewers / "dwv" / "dist" / "assets",
        "/dwv/": viewers / "dwv" / "dist",
        "/konva/": viewers / "konva",
        "/jszip/": viewers / "jszip" / "dist",
    }
    page = (Path(__file__).parent / "dwv.html").read_bytes()
    served = Site(folders, {"/index.html": page})
    yield served
    served.close()


def load(page: Any, site: Site, image: bytes) -> None:
    site.files["/image.dcm"] = image
    page.goto(f"{site.url}/index.html?file=/image.dcm")
    page.wait_for_function(LOADED, timeout=WITHIN_MS)
    assert page.evaluate("window.viewer.problem") == ""


def decodes_alike(page: Any, site: Site, image: bytes, syntax: Compression) -> None:
    load(page, site, in_compression(image, syntax))
    pixels = dcmread(io.BytesIO(image)).pixel_array
    expected = hashlib.sha256(pixels.tobytes()).hexdigest()
    # The last frames of a cine may still be decoded when it is shown.
    until = time.monotonic() + WITHIN_MS / 1000
    while (found := page.evaluate("window.viewer.digest()")) != expected:
        assert time.monotonic() < until, found
        page.wait_for_timeout(200)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("name", ["cine", "summary"])
def test_dwv_decodes_the_pixels_that_pydicom_does(
    page: Any, site: Site, images: dict[str, bytes], name: str, syntax: Compression
) -> None:
    decodes_alike(page, site, images[name], syntax)


@pytest.mark.soak
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_dwv_decodes_a_cine_in_true_colour_too(
    page: Any, site: Site, found: Answer, syntax: Compression
) -> None:
    made = composed(found, ResultForm(cine=CineForm.TRUE_COLOR))
    decodes_alike(page, site, made[ResultKind.CINE], syntax)


def test_the_cine_plays_in_a_loop(
    page: Any, site: Site, images: dict[str, bytes], screenshots: Path
) -> None:
    load(page, site, images["cine"])
    page.screenshot(path=screenshots / "dwv-cine.png")
    page.evaluate("window.viewer.play()")
    page.wait_for_function(LOOPED, timeout=WITHIN_MS)
    frames = [int(frame) for _, frame in page.evaluate("window.viewer.positions")]
    count = int(dcmread(io.BytesIO(images["cine"])).NumberOfFrames)
    assert set(frames) == set(range(count)), "every frame was shown"
    steps = {(after - before) % count for before, after in pairwise(frames)}
    assert steps == {1}, "one after the other, and from the last to the first"


def test_the_summary_fills_a_window(
    page: Any, site: Site, images: dict[str, bytes], screenshots: Path
) -> None:
    load(page, site, images["summary"])
    picture = page.screenshot(path=screenshots / "dwv-summary.png")
    assert len(picture) > 100_000, "an empty window has a few thousand bytes"
