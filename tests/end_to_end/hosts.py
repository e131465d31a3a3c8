"""Hosts of one node over PostgreSQL: two that receive, two that infer, two that send; and peers."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from node.domain.errors import CardioNodeError
from node.hl7.stand_in import RisStandIn
from tests.ecg_instances import instances
from tests.end_to_end.network import ADDRESS, NETWORK, Network, network
from tests.end_to_end.node_process import NodeProcess, destinations
from tests.postgresql import Server, server

ROLES = ("receive", "infer", "send")
_PEERS = (
    f'dicom.peers = [{{ ae_title = "*", networks = ["127.0.0.0/8", "{NETWORK}"], called_ae = "*", '
    'may = ["store"] }]'
)
OVERTAKES_BY_S = 2.0
"""Messages that are owed so soon one after the other, by hosts side by side, have no order."""


class Hosts:
    """Processes, a home each, with one database and one folder of objects."""

    def __init__(
        self,
        folder: Path,
        url: str,
        *,
        extra: str,
        network: Network | None = None,
        tree: Path | None = None,
    ) -> None:
        """network: in which each is alone in a namespace; without one they are all on loopback.

        tree: as `NodeProcess.tree`, at first.
        """
        shared = f'storage.database_url = "{url}"\nstorage.objects = "{folder}/objects"\n'
        self.by_name: dict[str, NodeProcess] = {}
        self.addresses: dict[str, str] = {}
        for role in ROLES:
            for number in (1, 2):
                own = folder / f"{role}-{number}"
                own.mkdir()
                address = network.join(own.name) if network is not None else "127.0.0.1"
                self.addresses[own.name] = address
                self.by_name[own.name] = NodeProcess(
                    own,
                    extra=f'{shared}dicom.host = "{address}"\n{_PEERS}\n{extra}',
                    role=role,
                    namespace=own.name if network is not None else None,
                )
                self.by_name[own.name].tree = tree

    def of(self, role: str) -> list[NodeProcess]:
        return [host for name, host in self.by_name.items() if name.startswith(role)]

    @property
    def receivers(self) -> list[str]:
        """Where carts find them."""
        return [self.addresses[name] for name in self.by_name if name.startswith("receive")]

    def start(self) -> None:
        for host in self.by_name.values():
            host.start()

    def close(self) -> None:
        for host in self.by_name.values():
            host.close()

    def events(self, message: str) -> list[dict[str, Any]]:
        """Every log line of any host with that message."""
        return [event for host in self.by_name.values() for event in host.events(message)]


@contextmanager
def hosts_in(
    folder: Path, *, extra: str, network: Network | None = None, tree: Path | None = None
) -> Iterator[tuple[Hosts, Server]]:
    """Hosts that run, and their database's server."""
    with server() as running:
        with psycopg.connect(running.url.format(name="postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE node")
        url = running.listen(ADDRESS, NETWORK) if network is not None else running.url
        group = Hosts(folder, url.format(name="node"), extra=extra, network=network, tree=tree)
        try:
            group.start()
            yield group, running
        finally:
            group.close()


class Cart(threading.Thread):
    """Sends each ECG until a receiver has acknowledged it, to one or the other."""

    def __init__(
        self,
        receivers: list[NodeProcess],
        ecgs: int,
        chance: random.Random,
        addresses: Sequence[str] = ("127.0.0.1", "127.0.0.1"),
    ) -> None:
        super().__init__(daemon=True)
        self.acknowledged: list[str] = []
        self._ecgs = ecgs
        self._chance = random.Random(chance.random())
        self._scus = [
            StorageScu(
                calling_ae="CART", called_ae="CARDIONODE", host=address, port=host.dicom_port,
                connect_timeout_s=2, answer_timeout_s=10,
            )
            for host, address in zip(receivers, addresses, strict=False)
        ]  # fmt: skip

    def run(self) -> None:
        for uid, content in instances(self._ecgs):
            while True:
                try:
                    self._chance.choice(self._scus).send(content)
                except CardioNodeError:
                    time.sleep(0.2)
                else:
                    self.acknowledged.append(uid)
                    break
            time.sleep(self._chance.uniform(0.0, 0.15))


class Peers:
    """A PACS and a RIS that run."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.pacs, self.ris = PacsStandIn(ae_title="PACS", host=host), RisStandIn(host)
        self.configuration = destinations(self.pacs.start(), self.ris.start(), host=host)

    def stop(self) -> None:
        self.pacs.stop()
        self.ris.stop()


@contextmanager
def peers_in_network(*, loss: float = 0.0) -> Iterator[tuple[Peers, Network]]:
    """Peers that run, and a network in which hosts reach them, as `network` makes it."""
    with network(loss=loss) as made:
        peers = Peers(ADDRESS)
        try:
            yield peers, made
        finally:
            peers.stop()


def check(
    peers: Peers,
    jobs: list[dict[str, Any]],
    acknowledged: list[str],
    *,
    overtakes_by_s: float = OVERTAKES_BY_S,
) -> None:
    """Exactly one set of results for each ECG, the messages in their order."""
    pacs, ris = peers.pacs, peers.ris
    assert sorted(job["sop_instance_uid"] for job in jobs) == sorted(acknowledged)
    assert {job["state"] for job in jobs} == {"completed"}
    deliveries = [each for job in jobs for each in job["deliveries"]]
    assert {each["state"] for each in deliveries} == {"delivered"}
    assert Counter(each["kind"] for each in deliveries) == dict.fromkeys(
        ("cine", "summary", "report", "oru"), len(jobs)
    )
    sent = {each["identifier"] for each in deliveries if each["kind"] != "oru"}
    assert set(pacs.received) == sent
    told = {each["identifier"]: each for each in deliveries if each["kind"] == "oru"}
    assert set(ris.received) == set(told)
    latest = max(owed(each) for each in told.values())
    for identifier in reversed(list(ris.received)):  # in the order of their first arrival
        latest = min(latest, owed(told[identifier]))
        assert owed(told[identifier]) - latest < overtakes_by_s


def owed(delivery: dict[str, Any]) -> float:
    return datetime.fromisoformat(delivery["owed_since"]).timestamp()
