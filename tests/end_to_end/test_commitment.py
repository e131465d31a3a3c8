"""Storage Commitment by a whole node: the message waits for it, kills do not lose it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pynetdicom.association import Association

from node.cli.orthanc import DICOM_PORT, PROGRAM, Orthanc
from node.cli.own_network import INSIDE
from node.dicom.scu import StorageScu
from node.domain.delivery import Delivery
from node.hl7.stand_in import RisStandIn
from node.store.commitments import Commitments
from node.store.database import Database, sqlite_url
from node.store.outbox import Outbox
from node.store.received import Jobs
from tests.committing_pacs import CommittingPacs, Instances, event_information
from tests.conftest import absent
from tests.ecg_instances import instances
from tests.end_to_end.node_process import NodeProcess, destinations
from tests.wire.dicom.listening import soon

WAIT_S = 1.0
REQUESTS = 2


def configuration(
    pacs_port: int, ris_port: int, *, pacs_ae: str = "PACS", requests: int = REQUESTS
) -> str:
    """A PACS whose commitment is wanted, and a RIS that waits for it."""
    named = destinations(pacs_port, ris_port).replace(
        'ae_title = "PACS"', f'ae_title = "{pacs_ae}"'
    )
    commitment = f"commitment = true\ncommitment_wait_s = {WAIT_S}\n"
    pacs, ris = named.split("[destinations.RIS]")
    return (
        f"{pacs}{commitment}commitment_requests = {requests}\n"
        f'[destinations.RIS]{ris}after_committed = "PACS"\n'
    )


class Site:
    """A node, the PACS it stores to, and a RIS."""

    def __init__(self, folder: Path, pacs: CommittingPacs) -> None:
        self.pacs, self.ris = pacs, RisStandIn()
        self.node = NodeProcess(folder, extra=configuration(pacs.start(), self.ris.start()))
        pacs.node_port = self.node.dicom_port
        self.ecgs = instances(20)
        self.node.start()

    def begin(self) -> None:
        """Forget what was seen; the PACS commits itself as usual."""
        self.pacs.requests.clear()
        self.pacs.stores.clear()
        self.pacs.answers.clear()
        self.ris.received.clear()
        self.pacs.on_request = lambda uid, asked, _: self.pacs.report(uid, asked)

    def close(self) -> None:
        self.node.close()
        self.pacs.stop()
        self.ris.stop()

    def send(self) -> None:
        """One more ECG."""
        send(self.node, next(self.ecgs)[1])

    def wait_for(self, done: Callable[[dict[str, str]], bool]) -> dict[str, Delivery]:
        return wait_for(self.node, done)


def send(node: NodeProcess, content: bytes) -> None:
    StorageScu(
        calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
    ).send(content)


@contextmanager
def looking(node: NodeProcess) -> Iterator[sa.Connection]:
    """Its database."""
    database = Database(sqlite_url(node.home / "node.db"))
    try:
        with database.read() as connection:
            yield connection
    finally:
        database.close()


def wait_for(
    node: NodeProcess, done: Callable[[dict[str, str]], bool], *, within_s: float = 40
) -> dict[str, Delivery]:
    """The deliveries of the latest job, by kind, once `done` holds of their states."""
    until = time.monotonic() + within_s
    while True:
        with looking(node) as connection:
            jobs = Jobs(connection).latest(limit=1)
            owed = Outbox(connection).of_job(jobs[0].job_id) if jobs else []
        found = {each.kind.value: each for each in owed}
        if done({kind: each.state.value for kind, each in found.items()}):
            return found
        if time.monotonic() > until:
            raise AssertionError(f"not in time: {found}\n{node.text()[-3000:]}")
        time.sleep(0.1)


AT_THE_PACS = ("cine", "summary", "report")
STORED = dict.fromkeys(AT_THE_PACS, "stored") | {"oru": "waiting"}
COMMITTED = dict.fromkeys(AT_THE_PACS, "committed") | {"oru": "delivered"}
SHOWN = dict.fromkeys(AT_THE_PACS, "exhausted") | {"oru": "waiting"}
REFUSED = dict.fromkeys(AT_THE_PACS, "refused") | {"oru": "waiting"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for all tests: each sends ECGs of its own."""
    made = Site(tmp_path_factory.mktemp("site"), CommittingPacs())
    yield made
    made.close()


@pytest.fixture
def site(running: Site) -> Site:
    running.begin()
    return running


def test_results_are_committed_whatever_way_the_report_takes(site: Site) -> None:
    def on_the_same(uid: str, asked: Instances, association: Association) -> None:
        site.pacs.report(uid, asked, on=association)

    def twice_and_for_nobody(uid: str, asked: Instances, _: Association) -> None:
        site.pacs.say(event_information("1.2.3.4.5", asked))
        site.pacs.report(uid, asked, roles=None)
        site.pacs.report(uid, asked)

    usual = site.pacs.on_request
    for on_request in (usual, on_the_same, twice_and_for_nobody):
        site.pacs.on_request = on_request
        site.send()
        site.wait_for(lambda found: found == COMMITTED)
    assert len(site.pacs.requests) == 3
    assert {len(asked) for _, asked in site.pacs.requests} == {3}
    assert soon(lambda: site.pacs.answers == [0, 0, 0x0115, 0, 0]), site.pacs.answers
    assert len(site.ris.received) == 3
    assert len(site.pacs.stores) == 9
    shown = site.node.run("jobs", "show", "3")
    assert "committed" in shown.stdout
    assert site.pacs.requests[-1][0] in shown.stdout


def test_a_lost_instance_is_sent_again_and_silence_is_shown_until_the_late_report(
    site: Site,
) -> None:
    def lose_the_cine_once(uid: str, asked: Instances, _: Association) -> None:
        lost = [instance for _, instance in asked][:1] if len(site.pacs.requests) == 1 else []
        for instance in lost:
            del site.pacs.held[instance]
        site.pacs.report(uid, asked)

    site.pacs.on_request = lose_the_cine_once
    site.send()
    site.wait_for(lambda found: found == COMMITTED)
    assert len(site.pacs.stores) == 4
    assert [len(asked) for _, asked in site.pacs.requests] == [3, 1]

    site.pacs.requests.clear()
    site.pacs.on_request = lambda *_: None
    site.send()
    deliveries = site.wait_for(lambda found: found == SHOWN)
    assert "no report" in str(deliveries["cine"].error_message)
    assert "no report" in str(deliveries["oru"].error_message)
    first, second = site.pacs.requests
    assert first[0] != second[0]
    assert len(site.ris.received) == 1
    site.pacs.report(*first)
    site.wait_for(lambda found: found == COMMITTED)
    assert len(site.ris.received) == 2


def test_a_kill_before_the_report_loses_neither_it_nor_the_request(site: Site) -> None:
    site.pacs.on_request = lambda *_: None
    site.send()
    until = time.monotonic() + 30
    while not site.pacs.requests and time.monotonic() < until:
        time.sleep(0.01)
    site.node.kill()
    site.node.start()
    first = site.pacs.requests[0]
    site.pacs.report(*first)
    site.wait_for(lambda found: found == COMMITTED)
    assert site.pacs.answers == [0]

    asked_before = len(site.pacs.requests)
    site.send()
    site.wait_for(lambda found: found == STORED)
    site.node.kill()
    time.sleep(WAIT_S)
    site.pacs.on_request = lambda uid, asked, _: site.pacs.report(uid, asked)
    site.node.start()
    site.wait_for(lambda found: found == COMMITTED)
    assert len(site.pacs.requests) > asked_before
    assert len(set(site.ris.received)) == 2


def test_a_pacs_that_offers_no_commitment_is_shown_and_found_by_check(site: Site) -> None:
    port = site.pacs.port
    site.pacs.stop()
    site.pacs.offers = False
    site.pacs.start(port)
    site.send()
    deliveries = site.wait_for(lambda found: found == REFUSED)
    for each in deliveries.values():
        assert "does not offer Storage Commitment" in str(each.error_message)
    checked = site.node.run("check")
    assert checked.returncode == 1
    assert "does not offer Storage Commitment" in checked.stdout
    assert site.node.stop() == 0


# ------------------------------------------------------------------------------- Orthanc


class CommittingOrthanc(Orthanc):
    """An Orthanc that commits itself for the node."""

    def report_to(self, port: int) -> None:
        """Where it has the node's listener from now on."""
        peer = {"AET": "CARDIONODE", "Host": "127.0.0.1", "Port": port}
        allowed = json.dumps(peer | {"AllowStorageCommitment": True}).encode()
        self._ask("PUT", "/modalities/node", allowed)

    def lose(self, sop_instance_uid: str) -> None:
        (found,) = json.loads(self._ask("POST", "/tools/lookup", sop_instance_uid.encode()))
        self._ask("DELETE", f"/instances/{found['ID']}")


@pytest.fixture
def orthanc() -> Iterator[CommittingOrthanc]:
    if not PROGRAM.exists():
        absent("no Orthanc: apt-get install orthanc")
    if not os.environ.get(INSIDE):
        absent("Orthanc is only started in a network of its own; run the tests with `make test`")
    made = CommittingOrthanc()
    made.start()
    yield made
    made.stop()


def test_orthanc_commits_loses_and_falls_silent(orthanc: CommittingOrthanc, tmp_path: Path) -> None:
    ris = RisStandIn()
    extra = configuration(DICOM_PORT, ris.start(), pacs_ae=orthanc.ae_title, requests=3)
    node = NodeProcess(tmp_path, extra=extra)
    ecgs = instances(3)
    try:
        node.start()
        orthanc.report_to(node.dicom_port)
        send(node, next(ecgs)[1])
        wait_for(node, lambda found: found == COMMITTED)
        assert requests(node, 1) == [("reported", 1)]

        # It loses the cine; its first report may go to a port where nobody listens.
        orthanc.report_to(9)
        send(node, next(ecgs)[1])
        stored = wait_for(node, lambda found: found == STORED)
        orthanc.lose(stored["cine"].identifier)
        orthanc.report_to(node.dicom_port)
        wait_for(node, lambda found: found == COMMITTED)
        assert requests(node, 2)[-1][0] == "reported"
        lost, *_ = [
            each for each in tries(node, stored["cine"]) if each["error_code"] == "not-committed"
        ]
        assert "0x0112" in lost["error_message"]
        assert len(orthanc.instances()) == 6

        # No report comes at all, until a person has put that right.
        orthanc.report_to(9)
        send(node, next(ecgs)[1])
        shown = wait_for(node, lambda found: found == SHOWN)
        assert "no report" in str(shown["report"].error_message)
        assert requests(node, 3) == [("silent", 1), ("silent", 2), ("silent", 3)]
        assert len(ris.received) == 2
        orthanc.report_to(node.dicom_port)
        assert node.run("jobs", "retry", "3").returncode == 0
        wait_for(node, lambda found: found == COMMITTED)
        assert len(ris.received) == 3
        assert node.stop() == 0
    finally:
        node.close()
        ris.stop()


def requests(node: NodeProcess, job_id: int) -> list[tuple[str, int]]:
    """State and number of each request for commitment."""
    with looking(node) as connection:
        asked = Commitments(connection).of_job(job_id)
    return [(each.state.value, each.number) for each in asked]


def tries(node: NodeProcess, delivery: Delivery) -> list[dict[str, Any]]:
    with looking(node) as connection:
        return Outbox(connection).attempts_of(delivery.delivery_id)
