"""What is tried against web pages: each is refused, and none makes the node fail."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser

import pytest
from markupsafe import escape
from pydicom import Dataset
from pydicom.datadict import DicomDictionary
from starlette.routing import Route

from node.domain.audit import Action
from node.domain.delivery import JobState
from node.domain.user import Role
from tests.ecg_instances import mortara
from tests.wire.web.console_server import NEEDS, PASSWORD, Browser, ConsoleServer, Page

PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "{{7*7}}{%print(1)%}",
    "</title><svg onload=alert(1)>",
    "javascript:alert(1)",
)
TEXT_VRS = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")
TEXTS = [
    keyword
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items()
    if vr in TEXT_VRS and tag >> 16 in (0x0008, 0x0010, 0x0018, 0x0020, 0x0032, 0x0038, 0x0040)
]
"""Every text of the groups that an ECG's attributes are of."""
OPERATORS = ("retry", "send-again", "release", "reject", "correct", "cancel")


class Markup(HTMLParser):
    """The elements of a page, and what in them runs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.runs: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        named = dict(attrs)
        if tag == "script":
            self.runs.append(f"script {named.get('src')}")
        self.runs += [name for name in named if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action"):
            if (named.get(name) or "/").split(":")[0].lower() in ("javascript", "data"):
                self.runs.append(str(named[name]))


def poisoned(payload: str) -> Dataset:
    """A real ECG with the payload in every text that may hold it."""
    ecg = mortara()
    assert len(TEXTS) > 200
    for keyword in TEXTS:
        setattr(ecg, keyword, payload)
    return ecg


def poisoned_message(payload: str, event: str, segments: Iterable[str]) -> bytes:
    """With the payload in every field that is not needed to know what message it is."""
    made = [
        f"MSH|^~\\&|{payload}|{payload}|{payload}|{payload}|20260102||{event}|{event[4:]}|P|2.5.1"
    ]
    for name in segments:
        fields = [payload] * 40
        if name == "PID":
            fields[2] = "4711"
        made.append("|".join([name, *fields]))
    return "\r".join([*made, ""]).encode()


def check_nothing_runs(page: Page, payload: str) -> None:
    assert page.status == 200
    ours = {"script /static/htmx.min.js", "script /static/console.js"}
    assert set(Markup(page.text).runs) == ours, payload


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_that_an_ecg_says_runs_in_a_page(
    console: ConsoleServer, browser: Browser, payload: str
) -> None:
    job_id = console.take(poisoned(payload))
    console.refuse(job_id, payload)
    with console.work.begin() as transaction:
        transaction.jobs.settle(
            job_id, JobState.HELD, at=console.clock(), error_code="x", error_message=payload
        )
    browser.sign_in("admin")
    found = browser.submit("/studies", {"sought": payload})
    here = f"/studies/{job_id}"
    for page in (found, *map(browser.get, ("/", "/studies", here, "/messages/sent", "/audit"))):
        check_nothing_runs(page, payload)
    assert "&lt;" in browser.get(here).text or "<" not in payload, "it is shown, as text"
    parts = Markup(browser.get(f"{here}/deliveries").text)
    assert parts.runs == []
    if payload.startswith("{{"):
        assert f'value="{payload}"' in found.text, "as it was typed, not as a template"


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_that_a_message_says_runs_in_a_page(
    console: ConsoleServer, browser: Browser, payload: str
) -> None:
    for event, segments in (("ADT^A08", ("EVN", "PID", "PV1")), ("ORM^O01", ("PID", "ORC", "OBR"))):
        console.inbox.answer(poisoned_message(payload, event, segments), "127.0.0.1")
    browser.sign_in("admin")
    for path in ("/messages", "/messages/1", "/messages/2", "/", "/audit"):
        check_nothing_runs(browser.get(path), payload)
    assert str(escape(payload)) in browser.get("/messages/1").text, "it is shown, as text"


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_that_a_configuration_says_runs_in_a_page(
    console: ConsoleServer, browser: Browser, payload: str
) -> None:
    name = json.dumps(payload)
    console.file.path.write_text(
        f"[destinations.{name}]\nkind = 'hl7'\nhost = 'a'\nport = 1\n"
        f"[[rules]]\nname = {name}\ncalling_ae = {name}\ndestinations = [{name}]\n",
        encoding="utf-8",
    )
    browser.sign_in("admin")
    for path in ("/connections", "/rules", "/configuration"):
        page = browser.get(path)
        check_nothing_runs(page, payload)
        assert str(escape(payload)) in page.text or str(escape(name)) in page.text


def test_a_page_loads_and_frames_nothing_of_elsewhere(
    console: ConsoleServer, browser: Browser
) -> None:
    browser.sign_in("viewer")
    console.take()
    for path in ("/", "/studies", "/studies/1", "/studies/1/results/1", "/sign-in", "/studies/9"):
        headers = browser.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "uvicorn" not in str(headers)


def test_a_form_of_another_site_does_nothing(console: ConsoleServer, browser: Browser) -> None:
    job_id = console.take()
    other = Browser(console.port)
    other.sign_in("operator")
    browser.sign_in("operator")
    theirs = other.get("/studies").form_token
    for fields in ({}, {"form_token": ""}, {"form_token": "0" * 64}, {"form_token": theirs}):
        for path in (f"/studies/{job_id}/correct", "/studies", "/sign-out"):
            assert browser.post(path, fields).status == 403
    assert browser.get("/").status == 200, "still signed in"
    with console.work.look() as transaction:
        job = transaction.jobs.get(job_id)
    assert job is not None
    assert (job.state, job.revision) == (JobState.COMPLETED, 1)


@pytest.mark.parametrize("role", [None, *Role])
def test_who_may_not_go_a_way_into_the_console_is_sent_back(
    console: ConsoleServer, browser: Browser, role: Role | None
) -> None:
    ways = {
        f"{method} {route.path}"
        for route in console.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert ways == {way for them in NEEDS.values() for way in them}, "each has its role"
    console.take()
    token = "0" * 64
    if role is not None:
        browser.sign_in(role.value)
        token = browser.get("/studies").form_token
    for needs, them in NEEDS.items():
        if needs is None or (role is not None and role.may(needs)):
            continue
        for way in them:
            method, _, path = way.partition(" ")
            path = re.sub(r"\{act\}", "retry", re.sub(r"\{(?!act)[a-z]+\}", "1", path))
            page = (
                browser.get(path)
                if method == "GET"
                else browser.post(path, {"form_token": token, "name": "PACS"})
            )
            if role is None:
                assert (page.status, page.headers["Location"][:8]) == (303, "/sign-in"), way
            else:
                assert page.status == 403, way
                assert f"this needs the role {needs.value}" in page.text


def test_another_site_cannot_sign_a_person_in(browser: Browser) -> None:
    assert browser.sign_in("viewer", Sec_Fetch_Site="cross-site").status == 403
    assert browser.cookies == {}


def test_what_a_form_does_a_link_does_not(console: ConsoleServer, browser: Browser) -> None:
    console.take()
    browser.sign_in("admin")
    for path in ("/studies/1/correct", "/sign-out"):
        assert browser.get(path).status in (404, 405)


def test_a_session_that_somebody_else_chose_is_none(
    console: ConsoleServer, browser: Browser
) -> None:
    browser.cookies["cardionode"] = "chosen-by-an-attacker"
    browser.sign_in("viewer")
    assert browser.cookies["cardionode"] != "chosen-by-an-attacker"
    attacker = Browser(console.port)
    attacker.cookies["cardionode"] = "chosen-by-an-attacker"
    assert attacker.get("/").status == 303
    first = browser.cookies["cardionode"]
    browser.sign_in("viewer")
    assert browser.cookies["cardionode"] != first


def test_the_database_alone_lets_nobody_in(console: ConsoleServer, browser: Browser) -> None:
    browser.sign_in("admin")
    with console.database.read() as connection:
        kept = connection.exec_driver_sql("SELECT token_digest FROM node_session").scalars().all()
    for digest in kept:
        thief = Browser(console.port)
        thief.cookies["cardionode"] = digest
        assert thief.get("/").status == 303


def test_a_cookie_is_kept_from_scripts_and_over_https_from_everything_else(
    browser: Browser,
) -> None:
    plain = browser.sign_in("viewer").headers["Set-Cookie"]
    assert plain.startswith("cardionode=")
    assert "HttpOnly" in plain
    assert "samesite=lax" in plain.lower()
    forwarded = browser.sign_in("viewer", X_Forwarded_Proto="https").headers["Set-Cookie"]
    assert forwarded.startswith("__Host-cardionode=")
    assert "Secure" in forwarded
    assert "Domain" not in forwarded


def test_a_password_does_not_cross_a_network_as_it_is(browser: Browser) -> None:
    refused = browser.sign_in("viewer", X_Forwarded_For="192.0.2.7")
    assert refused.status == 403
    assert "https" in refused.text
    assert browser.cookies == {}
    over_https = {"X_Forwarded_For": "192.0.2.7", "X_Forwarded_Proto": "https"}
    assert browser.sign_in("viewer", **over_https).status == 303


def test_a_proxy_that_does_not_say_for_whom_it_asks_is_found_out(browser: Browser) -> None:
    for origin in ("http://node.hospital.example", "null", "http://[", "http://[v1.x]"):
        assert browser.sign_in("viewer", Origin=origin).status == 403
    assert browser.cookies == {}
    assert browser.sign_in("viewer", Origin="http://localhost:8080").status == 303


@pytest.mark.parametrize("said", ["x" * 300, "unknown", "a%00b", "1.2.3.4.5"])
def test_an_address_that_is_none_is_kept_nowhere(
    console: ConsoleServer, browser: Browser, said: str
) -> None:
    over_https = {"X_Forwarded_For": said, "X_Forwarded_Proto": "https"}
    signed_in = browser.sign_in("viewer", **over_https)
    assert signed_in.status == 303, signed_in.text
    (entry,) = console.audited()
    assert entry.peer == ""


def test_whoever_guesses_passwords_is_slowed_and_the_right_one_does_not_help(
    console: ConsoleServer, browser: Browser
) -> None:
    for guess in range(8):
        page = browser.sign_in("admin", f"guess number {guess}")
        assert page.status == 403
    assert "too many wrong passwords" in page.text
    assert browser.sign_in("admin").status == 403
    console.clock.move(3600)
    assert browser.sign_in("admin").status == 303
    refused = [each for each in console.audited() if each.action is Action.REFUSED]
    assert len(refused) == 5, "who is told to wait costs nothing"
    assert {each.user_name for each in refused} == {"admin"}


def test_a_name_that_nobody_has_is_kept_nowhere(console: ConsoleServer, browser: Browser) -> None:
    page = browser.sign_in("hunter2 typed into the wrong field")
    assert page.status == 403
    assert "hunter2" not in str(console.notes.events)
    assert console.audited() == []


@pytest.mark.parametrize("act", OPERATORS)
def test_a_viewer_does_not_do_an_operators_work(
    console: ConsoleServer, browser: Browser, act: str
) -> None:
    job_id = console.take(answered=False)
    browser.sign_in("viewer")
    assert "<button>Retry" not in browser.get(f"/studies/{job_id}").text
    assert browser.submit(f"/studies/{job_id}/{act}").status == 403
    with console.work.look() as transaction:
        job = transaction.jobs.get(job_id)
    assert job is not None
    assert job.state is JobState.RECEIVED


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_who_is_no_administrator_does_not_read_the_audit(browser: Browser, role: str) -> None:
    browser.sign_in(role)
    assert browser.get("/audit").status == 403


def test_forms_that_are_none_are_refused(browser: Browser) -> None:
    browser.sign_in("viewer")
    for path in ("/sign-in", "/studies"):
        assert browser.post(path, b"x" * 100_000).status == 413
        assert browser.post(path, b"{}", Content_Type="application/json").status == 415
        assert browser.post(path, b"", Content_Type="multipart/form-data; boundary=x").status == 415
        many = "&".join(f"a{number}=1" for number in range(200)).encode()
        assert browser.post(path, many).status in (400, 403)
        assert browser.post(path, b"%ff%00=%zz&&==").status in (400, 403)
        chunked = browser.post(path, b"5\r\nname=\r\n0\r\n\r\n", Transfer_Encoding="chunked")
        assert chunked.status == 411
    assert browser.sign_in("a\0b").status == 403
    assert browser.submit("/studies", {"sought": "a\0b"}).status == 200


def test_a_form_that_does_not_come_is_not_waited_for_and_breaking_off_is_no_fault(
    console: ConsoleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.web.console.gate._BODY_WITHIN_S", 0.5)
    head = (
        b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: 60000\r\n\r\nname="
    )
    with socket.create_connection(("127.0.0.1", console.port), timeout=10) as slow:
        slow.sendall(head)
        assert slow.recv(100).startswith(b"HTTP/1.1 408")
    with socket.create_connection(("127.0.0.1", console.port), timeout=10) as brief:
        brief.sendall(head)
    assert Browser(console.port).get("/sign-in").status == 200
    assert console.notes.said("page failed") == []


def test_many_who_sign_in_at_once_do_not_stop_who_is_signed_in(
    console: ConsoleServer, browser: Browser
) -> None:
    browser.sign_in("viewer")
    with ThreadPoolExecutor(40) as crowd:
        tried = [
            crowd.submit(Browser(console.port).sign_in, f"nobody{number}") for number in range(40)
        ]
        assert browser.get("/").status == 200
        assert {each.result().status for each in tried} <= {403, 503}
    assert Browser(console.port).sign_in("viewer", PASSWORD).status == 303


def test_no_fault_of_a_page_shows_what_is_inside(
    console: ConsoleServer, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser.sign_in("viewer")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Doe^Jane")

    monkeypatch.setattr("node.store.received.Jobs.latest", fail)
    page = browser.get("/studies")
    assert page.status == 500
    assert "Doe" not in page.text
    assert "Traceback" not in page.text
    assert console.notes.said("page failed") == [{"path": "/studies"}]
