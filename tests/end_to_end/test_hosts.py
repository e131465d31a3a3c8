"""One node of several hosts over PostgreSQL: any of them may die, freeze or come back."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.hosts import ROLES, Cart, Peers, check, hosts_in, peers_in_network
from tests.end_to_end.node_process import NodeProcess, settled

DEAD = "host is dead: its work is taken over"
BACK = "this host was taken for dead"


@pytest.fixture
def peers() -> Iterator[Peers]:
    made = Peers()
    yield made
    made.stop()


@pytest.mark.parametrize(
    ("ecgs", "kills"),
    [(20, 4), pytest.param(1000, 50, marks=pytest.mark.soak)],
    ids=["small", "full"],
)
def test_any_host_may_be_killed_and_the_database_restarted(
    tmp_path: Path, ecgs: int, kills: int
) -> None:
    """Each host in a namespace of its own; the test's has the database, the PACS and the RIS."""
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(10**6)))
    print(f"\nseed {seed}: {ecgs} ECGs, {kills} kills (SEED={seed} repeats it)")
    chance = random.Random(seed)
    with peers_in_network() as (peers, cables):
        with hosts_in(tmp_path, extra=peers.configuration, network=cables) as (hosts, server):
            cart = Cart(hosts.of("receive"), ecgs, chance, hosts.receivers)
            cart.start()
            killed = Counter[str]()
            for number in range(kills):
                time.sleep(chance.uniform(0.05, 2.5))
                name, host = chance.choice(list(hosts.by_name.items()))
                host.kill()
                killed[name] += 1
                if number % 25 == kills // 4:
                    server.stop()
                    time.sleep(chance.uniform(0.5, 3.0))
                    server.start()
                host.start()
            cart.join()
            jobs = hosts.of("receive")[0].wait_for_jobs(settled(ecgs), within_s=180 + 2 * ecgs)
            predictions = len(hosts.events("ecg predicted"))
            for host in hosts.by_name.values():
                assert host.stop() == 0
        check(peers, jobs, cart.acknowledged)
        pacs, ris = peers.pacs, peers.ris
    resent = len(pacs.stores) - len(pacs.received) + len(ris.messages) - len(ris.received)
    print(f"{dict(killed)}: 0 lost, {resent} results sent again under the same identifiers")
    print(f"predictions logged beyond one an ECG: {predictions - ecgs}")


def test_work_of_the_dead_is_taken_over_and_the_frozen_do_no_harm(
    tmp_path: Path, peers: Peers
) -> None:
    with hosts_in(tmp_path, extra=peers.configuration) as (hosts, _):
        receiving, inferring, sending = (hosts.of(role) for role in ROLES)
        cart = Cart(receiving, 24, random.Random(1))
        cart.start()
        wait(lambda: len(hosts.events("ecg predicted")) >= 4, within_s=60)
        begun = time.monotonic()
        for host in (receiving[0], inferring[0]):
            host.kill()
        freeze(sending[0])
        wait(lambda: len(hosts.events(DEAD)) >= 3, within_s=30)
        print(f"\nnoticed after {time.monotonic() - begun:.1f} s")
        cart.join()
        jobs = sending[1].wait_for_jobs(settled(24), within_s=180)
        print(f"all done after {time.monotonic() - begun:.1f} s")
        check(peers, jobs, cart.acknowledged)

        inferring[0].start()
        freeze(inferring[1])
        wake(sending[0])
        again = Cart([receiving[1]], 28, random.Random(2))  # the first 24 are known
        again.start()
        again.join()
        wait(lambda: len(hosts.events(DEAD)) >= 4, within_s=60)
        jobs = sending[1].wait_for_jobs(settled(28), within_s=180)
        wake(inferring[1])
        wait(lambda: len(hosts.events(BACK)) >= 2, within_s=60)
        check(peers, jobs, again.acknowledged)
        shown = json.loads(sending[0].run("hosts", "--json").stdout)
        assert sorted(host["roles"] for host in shown) == [
            "infer", "infer", "receive", "send", "send",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("ecgs", "seconds"),
    [(16, 20), pytest.param(200, 300, marks=pytest.mark.soak)],
    ids=["small", "full"],
)
def test_hosts_that_are_cut_off_lose_nothing_and_come_back(
    tmp_path: Path, ecgs: int, seconds: int
) -> None:
    """First the database from one of each role, the network of a receiver from its carts too; then
    those that were left, one after the other.
    """
    with (
        peers_in_network() as (peers, cables),
        hosts_in(tmp_path, extra=peers.configuration, network=cables) as (hosts, _),
    ):
        cart = Cart(hosts.of("receive"), ecgs, random.Random(4), hosts.receivers)
        cart.start()
        for name in ("receive-1", "infer-1", "send-1"):
            cables.cut(name)
        wait(lambda: len(hosts.events(DEAD)) >= 3, within_s=60)
        time.sleep(seconds)
        for name in ("receive-1", "infer-1", "send-1"):
            cables.mend(name)
        wait(lambda: len(hosts.events(BACK)) >= 3, within_s=90)
        for name in ("send-2", "infer-2"):
            cables.cut(name)
        wait(lambda: len(hosts.events(DEAD)) >= 5, within_s=60)
        cart.join()
        jobs = hosts.of("send")[0].wait_for_jobs(settled(ecgs), within_s=180 + 2 * ecgs)
        for name in ("send-2", "infer-2"):
            cables.mend(name)
        wait(lambda: len(hosts.events(BACK)) >= 5, within_s=90)
        check(peers, jobs, cart.acknowledged)


def test_roles_share_one_home_and_none_is_there_twice(tmp_path: Path, peers: Peers) -> None:
    """On SQLite, so that receiving does not wait for the processor that infers."""
    made = {}
    for name, role in (
        ("receiving", "receive"),
        ("working", "infer send"),
        ("second", "receive"),
        ("whole", "all"),
    ):
        (tmp_path / name).mkdir()
        made[name] = NodeProcess(tmp_path / name, extra=peers.configuration, role=role)
        made[name].home = tmp_path / "home"
    receiving, working = made["receiving"], made["working"]
    try:
        receiving.start()
        cart = Cart([receiving], 2, random.Random(3))
        cart.start()
        cart.join()
        working.start()
        jobs = receiving.wait_for_jobs(settled(2))
        check(peers, jobs, cart.acknowledged)
        for name in ("second", "whole"):
            with pytest.raises(AssertionError, match="another node runs in"):
                made[name].start()
        assert (receiving.stop(), working.stop()) == (0, 0)
    finally:
        for process in made.values():
            process.close()


def freeze(host: NodeProcess) -> None:
    os.kill(host.pid, signal.SIGSTOP)


def wake(host: NodeProcess) -> None:
    os.kill(host.pid, signal.SIGCONT)


def wait(done: Callable[[], bool], *, within_s: float) -> None:
    until = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < until
        time.sleep(0.05)
