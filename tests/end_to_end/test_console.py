"""The console as people use it: a real node, Orthanc and a RIS around it, a real browser."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from node.cli.orthanc import DICOM_PORT, PROGRAM, Orthanc
from node.cli.own_network import INSIDE
from node.dicom.scu import StorageScu
from node.hl7.stand_in import RisStandIn
from tests.browsers import chromium, package, screenshot_folder
from tests.certificates import Authority
from tests.conftest import absent
from tests.ecg_instances import instances
from tests.end_to_end.node_process import NodeProcess, ProgramNode, destinations, free_port, settled

PASSWORD = "correct horse battery"
WINDOWS = {"wide": {"width": 1280, "height": 800}, "narrow": {"width": 390, "height": 844}}
LONG_S = 3600.0
PAGES = (
    "sign-in",
    "overview",
    "studies",
    "study",
    "connections",
    "rules",
    "messages",
    "messages/sent",
    "model",
    "handbook",
    "configuration",
    "users",
    "account",
    "audit",
)
SERIOUS = ("serious", "critical")


@pytest.fixture
def orthanc() -> Iterator[Orthanc]:
    if not PROGRAM.exists():
        absent("no Orthanc: apt-get install orthanc")
    if not os.environ.get(INSIDE):
        absent("Orthanc is only started in a network of its own; run the tests with `make test`")
    made = Orthanc()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


def add_user(node: NodeProcess, name: str, role: str) -> None:
    words = ["user", "add", name, "--role", role]
    added = node.run(*words, typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert added.returncode == 0, added.stderr


def sign_in(page: Any, node: NodeProcess, name: str) -> None:
    page.goto(f"http://127.0.0.1:{node.web_port}/")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")


def show(page: Any, node: NodeProcess, name: str, ecg: bytes) -> None:
    """Have the page be seen, with what a person does there."""
    if name == "sign-in":
        page.goto(f"http://127.0.0.1:{node.web_port}/")
    elif name == "overview":
        sign_in(page, node, "noether")
    else:
        path = "studies/1" if name == "study" else name
        page.goto(f"http://127.0.0.1:{node.web_port}/{path}")
    if name == "study":
        page.get_by_role("button", name="Pause").wait_for()
    elif name == "connections":
        page.get_by_role("button", name="Test PACS").click()
        page.locator(".steps .good", has_text="SOP class of the report").wait_for()
    elif name == "model":
        page.get_by_role("button", name="Prove").click()
        page.locator("#proof .badge", has_text="proved").wait_for()
    elif name == "rules":
        file = {"name": "ecg.dcm", "mimeType": "application/dicom", "buffer": ecg}
        page.get_by_label("ECG file").set_input_files(file)
        page.locator("#plan .steps .good").wait_for()


TRANSFER = """(bytes) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([new Uint8Array(bytes)], "ecg.dcm"));
    return transfer;
}"""
"""What a person drags: a file of those bytes."""


def picture_of(canvas: Any) -> str:
    return str(canvas.evaluate("(canvas) => canvas.toDataURL()"))


def test_a_study_goes_through_is_looked_at_and_set_going_again(
    tmp_path: Path, orthanc: Orthanc, browser: Any
) -> None:
    ris_port = free_port()  # where nobody listens yet
    extra = destinations(DICOM_PORT, ris_port, retry_s=LONG_S).replace('"PACS"', '"ORTHANC"')
    node = NodeProcess(tmp_path, extra=extra)
    ris = RisStandIn(port=ris_port)
    page = browser.new_page(viewport=WINDOWS["wide"])
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    try:
        node.start()
        add_user(node, "curie", "operator")
        add_user(node, "noether", "admin")
        sign_in(page, node, "curie")
        page.get_by_text("The node is ready.").wait_for()
        assert page.locator(".tile", has_text="completed").inner_text().startswith("0")

        # The page tells of it by itself.
        scu = StorageScu(
            calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
        )
        scu.send(next(instances(1))[1])
        page.locator(".tile.good", has_text="completed").get_by_text("1").wait_for()
        page.locator("tr", has_text="RIS").get_by_text("no connection to").wait_for()

        page.get_by_role("link", name="Studies").click()
        page.get_by_role("row", name="Doe, Jane").get_by_role("link").click()
        page.get_by_role("heading", name="Study 1").wait_for()
        ecg = page.locator("img.ecg")
        ecg.scroll_into_view_if_needed()
        assert ecg.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 1000

        # It plays by itself; it stops where it is told to.
        canvas = page.locator(".cine canvas")
        canvas.scroll_into_view_if_needed()
        page.get_by_role("button", name="Pause").wait_for()
        seen = set()
        until = time.monotonic() + 10
        while len(seen) < 3 and time.monotonic() < until:
            seen.add(picture_of(canvas))
            time.sleep(0.05)
        assert len(seen) >= 3, "frames change"
        page.get_by_role("button", name="Pause").click()
        still = picture_of(canvas)
        time.sleep(0.5)
        assert picture_of(canvas) == still
        page.get_by_label("Frame").fill("0")
        first = picture_of(canvas)
        page.get_by_label("Frame").fill("7")
        assert picture_of(canvas) != first

        ris.start()
        page.get_by_role("button", name="Retry").click()
        page.get_by_text("curie retried: ").first.wait_for()
        # The page tells of that by itself, too.
        page.locator("#deliveries .badge", has_text="delivered").nth(3).wait_for()
        assert node.wait_for_jobs(settled(1))
        assert len(ris.received) == 1
        assert len(orthanc.instances()) == 3

        page.get_by_role("button", name="Sign out").click()
        sign_in(page, node, "noether")
        page.get_by_role("link", name="Audit").click()
        row = page.get_by_role("row", name="retried")
        assert "curie" in row.inner_text()
        told = json.loads(node.run("audit", "--job", "1", "--user", "curie", "--json").stdout)
        assert {each["action"] for each in told} == {"looked at a study", "retried"}
        assert node.run("jobs", "correct", "1").returncode == 0
        (last,) = json.loads(node.run("audit", "--limit", "1", "--json").stdout)
        assert (last["action"], last["peer"]) == ("corrected", "command line")
        assert problems == []
        assert PASSWORD not in node.text()
        assert "Doe" not in node.text()
    finally:
        node.close()
        ris.stop()


def add(page: Any, name: str, title: str, port: int, *, tls: bool = False) -> str:
    """Have a PACS added, test it, and give what is said of each step."""
    page.get_by_label("Name here").fill(name)
    page.get_by_label("AE title (DICOM)").fill(title)
    page.get_by_role("textbox", name="Host", exact=True).fill("127.0.0.1")
    page.get_by_role("textbox", name="Port", exact=True).fill(str(port))
    if tls:
        page.get_by_role("checkbox", name="TLS", exact=True).check()
    page.get_by_role("button", name="Add").click()
    page.get_by_role("button", name=f"Test {name}", exact=True).click()
    steps = page.locator(f".connection:has(strong:text-is('{name}')) .steps li")
    steps.nth(1).wait_for()
    page.locator(".steps .bad, .steps .good:has-text('report taken')").first.wait_for()
    return str(steps.all_inner_texts())


def patient_of(content: bytes) -> str:
    return str(dcmread(io.BytesIO(content), stop_before_pixels=True).PatientID)


def test_an_administrator_connects_a_pacs_and_reads_what_is_wrong_with_others(
    tmp_path: Path, orthanc: Orthanc, browser: Any
) -> None:
    files = Authority(tmp_path).issue("node")
    pictures = screenshot_folder(tmp_path / "screenshots")
    extra = "# Of the hospital.\n" + files.toml()
    node = ProgramNode(tmp_path, bundle="simulated-4ch", extra=extra)
    page = browser.new_page(viewport=WINDOWS["wide"])
    page.on("dialog", lambda dialog: dialog.accept())
    try:
        node.start()
        add_user(node, "noether", "admin")
        sign_in(page, node, "noether")
        page.get_by_role("link", name="Connections").click()
        closed = free_port()
        assert "report taken" in add(page, "RIGHT", "ORTHANC", DICOM_PORT)
        assert "nobody listens on" in add(page, "PORT", "ORTHANC", closed)
        assert "rejected the association" in add(page, "TITLE", "OTHER", DICOM_PORT)
        assert "speaks no TLS" in add(page, "SECRET", "ORTHANC", DICOM_PORT, tls=True)
        tried = page.locator(".connection:has(.steps li)")
        tried.screenshot(path=pictures / "handbook-connection-wrong.png")
        page.get_by_label("Change SECRET", exact=True).click()
        change = page.locator(".connection:has(strong:text-is('SECRET')) details")
        change.get_by_role("checkbox", name="TLS").uncheck()
        change.get_by_role("button", name="Save").click()
        page.get_by_role("button", name="Test SECRET", exact=True).click()
        page.locator(".steps .good", has_text="report taken").wait_for()
        page.get_by_role("button", name="Send test results to RIGHT", exact=True).click()
        page.locator(".steps .good", has_text="test report").wait_for()
        tried.screenshot(path=pictures / "handbook-connection-right.png")
        assert {patient_of(each) for each in orthanc.instances().values()} == {"CARDIONODE-TEST"}
        for name in ("PORT", "TITLE", "SECRET"):
            page.get_by_role("button", name=f"Remove {name}", exact=True).click()
            page.get_by_role("button", name=f"Remove {name}", exact=True).wait_for(state="detached")
        assert "# Of the hospital." in node.configuration.read_text(encoding="utf-8")

        _, ecg = next(instances(1))
        page.get_by_role("link", name="Configuration").first.click()
        page.get_by_role("button", name="Take it up").click()
        page.get_by_text("The node starts anew").wait_for()
        page.get_by_label("node.toml").wait_for(timeout=60_000)  # the page comes back by itself
        assert page.get_by_role("button", name="Take it up").count() == 0
        page.get_by_role("link", name="Rules").click()
        page.locator(".drop .target").dispatch_event(
            "drop", {"dataTransfer": page.evaluate_handle(TRANSFER, list(ecg))}
        )
        page.locator("#plan .steps .good", has_text="decides").wait_for()
        assert page.locator("#plan tbody tr", has_text="RIGHT").count() == 3
        page.locator("#plan").screenshot(path=pictures / "handbook-rules.png")
        for name in ("carts", "night"):
            fields = page.locator("form.fields")
            fields.get_by_label("Name").fill(name)
            fields.get_by_label("RIGHT").check()
            fields.get_by_role("button", name="Add").click()
            page.get_by_role("button", name=f"Remove {name}").wait_for()
        page.get_by_role("button", name="Move night up").click()
        page.locator("tr:nth-child(2) th", has_text="night").wait_for()
        page.screenshot(path=pictures / "rules-ordered.png")
        for name in ("carts", "night", "everything"):
            page.get_by_role("button", name=f"Remove {name}").click()
            page.get_by_role("button", name=f"Remove {name}").wait_for(state="detached")
        scu = StorageScu(
            calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
        )
        scu.send(ecg)
        node.wait_for_jobs(settled(1))
        assert len(orthanc.instances()) == 6
        page.get_by_role("link", name="Studies").click()
        page.get_by_role("link", name="1", exact=True).click()
        page.get_by_role("button", name="Pause").wait_for()
        page.screenshot(path=pictures / "handbook-study.png")
        page.get_by_role("link", name="Audit").click()
        said = page.locator("tbody").inner_text()
        for words in (
            "RIGHT added", "RIGHT: all right", "PORT: nobody listens", "SECRET changed: tls",
            "SECRET removed", "rule night moved up",
        ):  # fmt: skip
            assert words in said
    finally:
        node.close()


def test_every_page_is_good_to_look_at_and_for_who_cannot_see_it(
    tmp_path: Path, browser: Any, outside: tuple[Any, RisStandIn]
) -> None:
    pacs, ris = outside
    node = NodeProcess(tmp_path, extra=destinations(pacs.start(), ris.start()))
    axe = (package("axe-core") / "axe.min.js").read_text(encoding="utf-8")
    pictures = screenshot_folder(tmp_path / "screenshots")
    try:
        node.start()
        add_user(node, "noether", "admin")
        scu = StorageScu(
            calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
        )
        for _, content in instances(2):
            scu.send(content)
        node.wait_for_jobs(settled(2))
        for size, window in WINDOWS.items():
            context = browser.new_context(viewport=window, bypass_csp=True)
            page = context.new_page()
            for name in PAGES:
                show(page, node, name, content)
                page.screenshot(
                    path=pictures / f"console-{name.replace('/', '-')}-{size}.png", full_page=True
                )
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert wide <= window["width"], f"{name} is {wide} wide"
                page.add_script_tag(content=axe)
                found = page.evaluate("axe.run()")["violations"]
                bad = [
                    (each["id"], [node_["html"] for node_ in each["nodes"]][:3])
                    for each in found
                    if each["impact"] in SERIOUS
                ]
                assert bad == [], (name, size)
            context.close()
    finally:
        node.close()
