"""OHIF over Orthanc's DICOMweb, as a hospital has it: the cine plays at the ECG's speed."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from node.cli.orthanc import DICOMWEB_PLUGIN, DICOMWEB_URL, PROGRAM, Orthanc
from node.cli.own_network import INSIDE
from node.dicom.scu import StorageScu
from node.domain.delivery import ResultKind
from node.domain.form import ResultForm
from tests.conftest import absent
from tests.wire.viewers.results import answered, composed
from tests.wire.viewers.site import Site

WITHIN_MS = 60_000
ECG = "mortara_eli250_1000hz.dcm"
WATCHED_MS = 5_000
SKIP_TOUR = "Skip all"

SHOWN = """(series) => {
  const sets = window.services.displaySetService.getActiveDisplaySets();
  const wanted = sets.find((each) => each.SeriesInstanceUID === series);
  if (!wanted) return false;
  const viewportId = window.services.viewportGridService.getState().activeViewportId;
  window.services.viewportGridService.setDisplaySetsForViewport({
    viewportId, displaySetInstanceUIDs: [wanted.displaySetInstanceUID],
  });
  return true;
}"""
RENDERED = """(frames) => window.cornerstone && window.cornerstone.getRenderingEngines()
  .flatMap((engine) => engine.getViewports())
  .some((viewport) => viewport.getImageIds && viewport.getImageIds().length === frames
    && viewport.getImageData && viewport.getImageData())"""
WATCH = """() => {
  window.shown = [];
  const element = document.querySelector(".cornerstone-viewport-element");
  element.addEventListener("CORNERSTONE_STACK_NEW_IMAGE", (event) => {
    window.shown.push([performance.now(), event.detail.imageIdIndex]);
  });
  const id = window.services.viewportGridService.getState().activeViewportId;
  const rate = window.services.cineService.getState().cines[id]?.frameRate;
  window.services.cineService.setCine({ id, isPlaying: true, frameRate: rate });
}"""
LOOPED = "window.shown.some((each, at) => at > 0 && each[1] < window.shown[at - 1][1])"
RATE = """() => {
  const id = window.services.viewportGridService.getState().activeViewportId;
  return window.services.cineService.getState().cines[id]?.frameRate;
}"""

pytestmark = pytest.mark.soak


@dataclass(frozen=True)
class Ward:
    """A PACS with the results of one ECG, and OHIF before it."""

    site: Site
    cine: Dataset
    summary: Dataset
    rr_ms: float


@pytest.fixture(scope="module")
def ward(viewers: Path, shared: Path) -> Iterator[Ward]:
    for needed in (PROGRAM, DICOMWEB_PLUGIN, viewers / "ohif"):
        if not needed.exists():
            absent(f"{needed} is missing: run .ci/install-peers, or make peers")
    if not os.environ.get(INSIDE):
        absent("Orthanc binds every address: run the tests by .ci/own-network, or make test")
    found = answered(shared / "data" / "ecg_dicom" / ECG)
    assert found.prediction is not None
    made = composed(found, ResultForm())
    orthanc = Orthanc()
    port = orthanc.start()
    files = {"/app-config.js": (Path(__file__).parent / "app-config.js").read_bytes()}
    site = Site(
        {"/": viewers / "ohif" / "dist"}, files, upstream=DICOMWEB_URL[: -len("/dicom-web")]
    )
    try:
        scu = StorageScu(
            calling_ae="CARDIONODE", called_ae=Orthanc.ae_title, host="127.0.0.1", port=port
        )
        for kind in (ResultKind.CINE, ResultKind.SUMMARY, ResultKind.REPORT, ResultKind.PDF):
            scu.send(made[kind])
        yield Ward(
            site=site,
            cine=dcmread(io.BytesIO(made[ResultKind.CINE])),
            summary=dcmread(io.BytesIO(made[ResultKind.SUMMARY])),
            rr_ms=60_000 / found.prediction.heart_rate_bpm,
        )
    finally:
        site.close()
        orthanc.stop()


def show(page: Any, ward: Ward, image: Dataset) -> None:
    """Open the study and put the image's series into the window."""
    page.goto(f"{ward.site.url}/viewer?StudyInstanceUIDs={image.StudyInstanceUID}")
    page.wait_for_function("window.services?.displaySetService", timeout=WITHIN_MS)
    page.wait_for_selector(".cornerstone-viewport-element", timeout=WITHIN_MS)
    if page.get_by_text(SKIP_TOUR).count():
        page.get_by_text(SKIP_TOUR).click()
    page.wait_for_function(SHOWN, arg=str(image.SeriesInstanceUID), timeout=WITHIN_MS)
    frames = int(image.get("NumberOfFrames", 1))
    page.wait_for_function(RENDERED, arg=frames, timeout=WITHIN_MS)


def test_the_cine_plays_at_the_speed_of_the_ecg(page: Any, ward: Ward, screenshots: Path) -> None:
    show(page, ward, ward.cine)
    page.wait_for_timeout(3_000)
    page.screenshot(path=screenshots / "ohif-cine.png")
    page.evaluate(WATCH)
    page.wait_for_timeout(WATCHED_MS)
    page.screenshot(path=screenshots / "ohif-cine-playing.png")
    rate, shown = page.evaluate(RATE), page.evaluate("window.shown")
    frames = [int(frame) for _, frame in shown]
    print(
        f"OHIF: {rate} frames/s by its cine service, {len(frames)} drawn, {len(set(frames))} kinds"
    )
    assert rate == pytest.approx(1000 / float(ward.cine.FrameTime), rel=0.05)
    assert len(set(frames)) >= 10
    # A machine without a GPU may need longer than that for one turn.
    page.wait_for_function(LOOPED, timeout=WITHIN_MS)


def test_the_loop_lasts_as_long_as_the_heart_beat(ward: Ward) -> None:
    loop_ms = float(ward.cine.FrameTime) * int(ward.cine.NumberOfFrames)
    assert loop_ms == pytest.approx(ward.rr_ms, rel=0.05)
    for rate in (ward.cine.CineRate, ward.cine.RecommendedDisplayFrameRate):
        assert rate == pytest.approx(1000 / float(ward.cine.FrameTime), rel=0.05)
    assert ward.cine.PreferredPlaybackSequencing == 0


def test_the_summary_is_shown(page: Any, ward: Ward, screenshots: Path) -> None:
    failed: list[str] = []
    page.on("requestfailed", lambda request: failed.append(request.url))
    show(page, ward, ward.summary)
    page.wait_for_timeout(2_000)
    picture = page.screenshot(path=screenshots / "ohif-summary.png")
    assert len(picture) > 150_000, "the viewer around an empty window has less"
    assert failed == []
