"""What a hospital's network, peers and clocks do on a bad day: nothing acknowledged is lost."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from node.hl7.stand_in import RisStandIn
from tests.conftest import absent
from tests.ecg_instances import instances
from tests.end_to_end.hostile_pacs import HostilePacs
from tests.end_to_end.hostile_ris import HostileRis
from tests.end_to_end.hosts import Cart, check, hosts_in, peers_in_network
from tests.end_to_end.node_process import NodeProcess, destinations, settled

PATIENCE_S = 1.0
HOUR_S = 3600
COMMITS_WITHIN_S = 30.0
"""Over a cable that loses packets: TCP tries again after 0.2 s, then twice as long each time."""


def chance_of_this_run(what: str) -> random.Random:
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(10**6)))
    print(f"\nseed {seed}: {what} (SEED={seed} repeats its chance)")
    return random.Random(seed)


@pytest.mark.parametrize(
    ("ecgs", "loss"),
    [(12, 0.02), pytest.param(200, 0.1, marks=pytest.mark.soak)],
    ids=["small", "full"],
)
def test_hosts_whose_cables_lose_packets_lose_no_ecg(
    tmp_path: Path, ecgs: int, loss: float
) -> None:
    """Those to the database, the PACS and the RIS, and those of the carts."""
    chance = chance_of_this_run(f"{ecgs} ECGs, {loss:.0%} of the packets lost")
    with (
        peers_in_network(loss=loss) as (peers, cables),
        hosts_in(tmp_path, extra=peers.configuration, network=cables) as (hosts, _),
    ):
        cart = Cart(hosts.of("receive"), ecgs, chance, hosts.receivers)
        cart.start()
        cart.join()
        jobs = hosts.of("send")[0].wait_for_jobs(settled(ecgs), within_s=180 + 8 * ecgs)
        check(peers, jobs, cart.acknowledged, overtakes_by_s=COMMITS_WITHIN_S)
        for host in hosts.by_name.values():
            assert host.stop() == 0
        lost, carried = cables.frames()
    print(f"{lost} of {lost + carried} frames lost")
    assert lost > 0.5 * loss * carried


@pytest.mark.parametrize(
    "ecgs", [10, pytest.param(300, marks=pytest.mark.soak)], ids=["small", "full"]
)
def test_a_pacs_and_a_ris_that_are_slow_full_or_gone_get_each_result(
    tmp_path: Path, ecgs: int
) -> None:
    chance = chance_of_this_run(f"{ecgs} ECGs")
    pacs = HostilePacs(random.Random(chance.random()), ae_title="PACS", slow_s=1.5 * PATIENCE_S)
    ris = HostileRis(random.Random(chance.random()), patience_s=PATIENCE_S)
    extra = destinations(pacs.start(), ris.start())
    # The last lines of `extra` are of the RIS.
    extra = f"dicom.dimse_timeout_s = {PATIENCE_S}\n{extra}answer_timeout_s = {PATIENCE_S}\n"
    node = NodeProcess(tmp_path, extra=extra)
    try:
        node.start()
        cart = Cart([node], ecgs, chance)
        cart.start()
        cart.join()
        jobs = node.wait_for_jobs(settled(ecgs), within_s=60 + 10 * ecgs)
        assert node.stop() == 0
    finally:
        node.close()
        pacs.stop()
        ris.stop()
    print(f"{dict(pacs.misdeeds)}; {dict(ris.misdeeds)}")
    assert {job["state"] for job in jobs} == {"completed"}
    deliveries = [each for job in jobs for each in job["deliveries"]]
    assert {each["state"] for each in deliveries} == {"delivered"}
    stored = {each["identifier"] for each in deliveries if each["destination"] == "PACS"}
    assert set(pacs.received) == stored
    assert pacs.changed == set()
    told = {each["identifier"] for each in deliveries if each["destination"] == "RIS"}
    assert set(ris.acknowledged) == told
    assert {control_id for control_id, _ in ris.arrived} == told
    assert len({content for _, content in ris.arrived}) == ecgs
    assert len(pacs.misdeeds) >= 2
    assert not pacs.misdeeds["is slow"] or len(pacs.stores) > len(pacs.received)


class NodeWithItsOwnClock(NodeProcess):
    """A node whose clock a test can set, while what it measures time with goes on."""

    def __init__(self, folder: Path, *, extra: str) -> None:
        super().__init__(folder, extra=extra)
        self._library, self._ahead = folder / "own_clock.so", folder / "ahead"
        if shutil.which("gcc") is None:
            absent("gcc is not installed; `make peers` does it")
        source = Path(__file__).with_name("own_clock.c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", self._library, source], check=True)
        self.set_clock(0)

    def set_clock(self, hours: int) -> None:
        """So far from this machine's."""
        with self._ahead.open("r+b" if self._ahead.exists() else "wb") as file:
            file.write((hours * HOUR_S).to_bytes(8, sys.byteorder, signed=True))

    @property
    def command(self) -> list[str]:
        preloaded = [f"LD_PRELOAD={self._library}", f"OWN_CLOCK_AHEAD={self._ahead}"]
        return ["env", *preloaded, sys.executable, "-m", "node"]


def test_a_clock_that_is_set_on_and_back_holds_nothing_up(
    tmp_path: Path, outside: tuple[PacsStandIn, RisStandIn]
) -> None:
    """Results that back off for minutes when it is set are sent at once when their RIS is there."""
    pacs, ris = outside
    pacs_port, ris_port = pacs.start(), ris.start()
    ris.stop()
    extra = destinations(pacs_port, ris_port, retry_s=600)
    node = NodeWithItsOwnClock(tmp_path, extra=extra)
    hours = (-2, 30 * 24, 0)
    try:
        node.start()
        scu = StorageScu(
            calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
        )
        for number, (_, content) in enumerate(instances(len(hours)), start=1):
            scu.send(content)
            wait_for_attempts(node, number)
            ris.start()
            node.set_clock(hours[number - 1])
            assert ris.wait_for(number, timeout_s=30), node.text()[-3000:]
            ris.stop()
        jobs = node.wait_for_jobs(settled(3))
        assert node.stop() == 0
    finally:
        node.close()
    assert {each["state"] for job in jobs for each in job["deliveries"]} == {"delivered"}
    assert len(pacs.received) == 9
    assert len(node.events("clock set while the node ran")) >= 2
    assert min(event["duration_ms"] for event in node.events("delivery attempted")) >= 0
    received = [job["received_at"] for job in jobs]
    assert received[2] > received[0] > received[1]


def wait_for_attempts(node: NodeProcess, number: int) -> None:
    """Until of so many ECGs all results are at the PACS, and the RIS was tried and not there.

    An association that is open when the clock jumps is given up a minute later: pynetdicom measures
    its timeouts with the time of day.
    """
    until = time.monotonic() + 60
    while True:
        tried = Counter(
            (event["destination"], event["state"]) for event in node.events("delivery attempted")
        )
        if tried["PACS", "delivered"] >= 3 * number and tried["RIS", "pending"] >= number:
            return
        assert time.monotonic() < until, node.text()[-3000:]
        time.sleep(0.1)
