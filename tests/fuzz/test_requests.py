"""Mutated HTTP requests to all pages of the console and to STOW-RS, by who may and who may not.

None makes the server fail, and none shows or does what is not for whom it came from.
"""

from __future__ import annotations

import http.client
import os
import random
import re
import socket
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from node.domain.user import Role
from tests.ecg_instances import instances, mortara
from tests.fuzz.byte_mutation import mutated
from tests.fuzz.demands import betrays
from tests.fuzz.request_mutation import Request, Requests, targets
from tests.wire.web.console_server import NEEDS, Browser, ConsoleServer, Page
from tests.wire.web.stow_server import RELATED, TOKEN, StowServer, multipart

ANSWERS_WITHIN_S: Final = 20.0
NOBODY: Final = ("", "chosen")
"""Cookies of who is not signed in."""
OPEN: Final = re.compile(r"/sign-in|/healthz|/readyz|/metrics")
ROLES: Final = ("viewer", "operator", "admin")
_NEEDED: Final = {way: role for role, ways in NEEDS.items() for way in ways}


def chance_of_this_run(count: int) -> random.Random:
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"\nseed {seed}: {count} requests (SEED={seed} repeats it)")
    return random.Random(seed)


def ask(port: int, stream: bytes, *, is_whole: bool) -> Page | None:
    """What is answered; None where the server hung up. Raises TimeoutError, HTTPException.

    is_whole: all that the head promises is there; else the server learns that no more will come.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWERS_WITHIN_S) as connection:
        with suppress(OSError):  # it may have hung up by now, with an answer or without
            connection.sendall(stream)
            if not is_whole:
                connection.shutdown(socket.SHUT_WR)
        method = stream.partition(b" ")[0].decode("latin-1")
        answer = http.client.HTTPResponse(connection, method=method)
        try:
            answer.begin()
            return Page(answer)
        except (http.client.RemoteDisconnected, http.client.IncompleteRead, ConnectionResetError):
            return None  # it hung up while there was more to come


class Crowd:
    """Somebody of each role, signed in until they sign out."""

    def __init__(self, console: ConsoleServer) -> None:
        self._console = console
        self._browsers = {role: Browser(console.port) for role in ROLES}

    def credentials(self, role: str) -> tuple[str, str]:
        """Cookie and form token."""
        browser = self._browsers[role]
        page = browser.get("/studies", X_Unattended="1")
        if page.status != 200:
            self._console.clock.move(3600)  # whoever guessed at this name is forgotten
            assert browser.sign_in(role).status == 303
            page = browser.get("/studies")
        return browser.cookies["cardionode"], page.form_token


@pytest.mark.parametrize(
    "count", [400, pytest.param(40_000, marks=pytest.mark.soak)], ids=["some", "many"]
)
def test_mutated_requests_are_answered_and_do_no_more_than_who_sends_them_may(
    tmp_path: Path, count: int
) -> None:
    chance = chance_of_this_run(count)
    with ConsoleServer(tmp_path) as console:
        outcomes, faults = pester(console, chance, count)
        assert Crowd(console).credentials("admin")
    for outcome, times in outcomes.most_common():
        print(f"{times:7}  {outcome}")
    assert faults == [], "\n".join(faults[:5])
    assert outcomes["200"] + outcomes["303"] > count // 5, "most got nowhere"


def pester(
    console: ConsoleServer, chance: random.Random, count: int
) -> tuple[Counter[str], list[str]]:
    """How often each was answered, and what was wrong."""
    ecg = mortara()
    secrets = [str(ecg.PatientName), str(ecg.PatientID)]
    console.take(ecg)
    known, crowd = targets(console.routes), Crowd(console)
    assert len(known) > 30
    requests, outcomes, faults = Requests(chance, known), Counter[str](), list[str]()
    for number in range(count):
        role = chance.choice(("nobody", *ROLES))
        cookie, form_token = chance.choice(NOBODY), "0" * 64
        if role in ROLES:
            cookie, form_token = crowd.credentials(role)
        request = requests.make(cookie, chance.choice((form_token, form_token, form_token, "")))
        page = ask(console.port, request.stream, is_whole=request.is_whole)
        outcomes[f"{page.status}" if page is not None else "hung up"] += 1
        problem = "" if page is None else fault_of(request, role, page, secrets)
        if console.notes.said("page failed"):
            problem = "a page failed"
            console.notes.events.clear()
        if problem:
            faults.append(f"number {number}, {role}: {problem}: {request.stream[:600]!r}")
    return outcomes, faults


def fault_of(request: Request, role: str, page: Page, secrets: list[str]) -> str:
    """What is wrong with an answer; empty where all is well."""
    if page.status >= 500:
        return f"answered {page.status}"
    text = page.content.decode("latin-1") + str(page.headers)
    if "Traceback" in text:
        return "shows what is inside"
    if role == "nobody":
        if betrays(text, secrets):
            return "names a patient to nobody"
        if request.is_plain and page.status == 200 and not OPEN.fullmatch(request.target.path):
            return "lets nobody in"
    is_led_away = page.status == 307 or page.headers.get("Location", "").startswith("/sign-in")
    if request.is_plain and page.status < 400 and role in ROLES and not is_led_away:
        method = request.target.method.replace("HEAD", "GET")
        needs = _NEEDED[f"{method} {request.target.path}"]
        if needs is not None and not Role(role).may(needs):
            return f"lets a {role} do the work of an {needs}"
    return ""


@pytest.mark.parametrize(
    "count", [200, pytest.param(20_000, marks=pytest.mark.soak)], ids=["some", "many"]
)
def test_mutated_stow_requests_are_answered_and_what_is_answered_well_is_kept(
    tmp_path: Path, count: int
) -> None:
    chance = chance_of_this_run(count)
    ((_, content),) = instances(1)
    outcomes, faults = Counter[int](), list[str]()
    with StowServer(tmp_path, maximum_requests=50) as server:
        for number in range(count):
            body = multipart(*[content] * chance.choice((1, 1, 2, 6)))
            head = (
                f"POST /dicom-web/studies{chance.choice(('', '', '/1.2.3', '/%2e%2e', '/x'))} "
                f"HTTP/1.1\r\nHost: node\r\nConnection: close\r\n"
                f"Authorization: Bearer {TOKEN}\r\nContent-Type: {RELATED}\r\n"
            ).encode()
            if chance.randrange(3):
                body = mutated(chance, body)
            is_whole = bool(chance.randrange(3))
            if not is_whole:
                head = mutated(chance, head)
            stream = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
            server.accepted.clear()
            page = ask(server.port, stream, is_whole=is_whole)
            status = page.status if page is not None else 0
            outcomes[status] += 1
            if status >= 500:
                faults.append(f"number {number}: {status}: {stream[:400]!r}")
            if status == 200 and not server.accepted:
                faults.append(f"number {number}: answered 200, and not kept: {stream[:400]!r}")
    print(dict(outcomes))
    assert faults == [], "\n".join(faults[:5])
    assert outcomes[200] > count // 20
