"""The state of an earlier version, with work in flight, under this one."""

from __future__ import annotations

import random
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from node.hl7.stand_in import RisStandIn
from node.store.schema import HEAD
from tests.ecg_instances import instances
from tests.end_to_end.earlier_version import last_commit_with, unpack
from tests.end_to_end.hosts import Cart, Peers, check, hosts_in
from tests.end_to_end.node_process import NodeProcess, destinations, settled
from tests.postgresql import server

DATABASES = Path(__file__).parents[1] / "data" / "databases"
ECGS = 8


@pytest.fixture
def peers() -> Iterator[Peers]:
    made = Peers()
    yield made
    made.stop()


@pytest.mark.parametrize("schema", ["0000"])
def test_what_an_earlier_version_accepted_is_finished_by_this_one(
    tmp_path: Path, schema: str
) -> None:
    """One ECG answered, its results owed; one acknowledged a moment before the end."""
    with tarfile.open(DATABASES / f"schema-{schema}.tar.xz") as kept:
        kept.extractall(tmp_path, filter="data")
    pacs, ris = PacsStandIn(ae_title="PACS"), RisStandIn()
    node = NodeProcess(tmp_path, extra=destinations(pacs.start(), ris.start()))
    try:
        beside = node.run("jobs", "list")
        assert beside.returncode == 1
        assert f"has schema {schema}, this version of cardionode needs {HEAD}" in beside.stderr
        node.start()
        jobs = node.wait_for_jobs(settled(2))
        assert node.stop() == 0
    finally:
        node.close()
        pacs.stop()
        ris.stop()
    assert {job["state"] for job in jobs} == {"completed"}
    assert {each["state"] for job in jobs for each in job["deliveries"]} == {"delivered"}
    assert len(pacs.instances()) == 2 * 3
    assert len(ris.received) == 2
    assert len(node.events("ecg predicted")) == 1  # the first was predicted by the other version
    assert [each["schema"] for each in node.events("database upgraded")] == [schema]
    assert (node.home / f"node.db.schema-{schema}").is_file()


@pytest.mark.soak
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("schema", [f"{number:04}" for number in range(1, int(HEAD) + 1)])
def test_what_an_earlier_commit_has_in_hand_when_it_is_killed_is_finished_by_this_one(
    tmp_path: Path, peers: Peers, schema: str, database: str
) -> None:
    """The last commit of each schema that had scripts; of this version's, the one before this."""
    commit = "HEAD~1" if schema == HEAD else last_commit_with(schema)
    with _storage(tmp_path, database) as storage:
        node = NodeProcess(tmp_path, extra=f"{storage}\n{peers.configuration}")
        node.tree = unpack(commit, tmp_path / "earlier")
        try:
            node.start()
            scu = StorageScu(
                calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
            )
            acknowledged = []
            for uid, content in instances(ECGS):
                scu.send(content)
                acknowledged.append(uid)
            while not peers.pacs.stores:
                time.sleep(0.01)
            node.kill()
            delivered = len(peers.pacs.received)
            answered = len(node.events("ecg predicted"))
            print(f"\n{commit}: {answered} of {ECGS} answered, {delivered} of {3 * ECGS} delivered")
            assert answered < ECGS

            node.tree = None
            node.start()
            jobs = node.wait_for_jobs(settled(ECGS))
            assert node.stop() == 0
        finally:
            node.close()
    check(peers, jobs, acknowledged)
    upgrades = [each["schema"] for each in node.events("database upgraded")]
    assert upgrades == ([] if schema == HEAD else [schema])


@contextmanager
def _storage(folder: Path, database: str) -> Iterator[str]:
    """Configuration by which a node has that database."""
    if database == "sqlite":
        yield ""
        return
    with server() as running:
        with psycopg.connect(running.url.format(name="postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE node")
        yield f'storage.database_url = "{running.url.format(name="node")}"'


@pytest.mark.soak
def test_hosts_are_replaced_one_after_the_other_while_they_work(
    tmp_path: Path, peers: Peers
) -> None:
    """The earlier ones are of the schema before, which the first new one upgrades under them."""
    earlier = unpack(last_commit_with(f"{int(HEAD) - 1:04}"), tmp_path / "earlier")
    ecgs = 150
    with hosts_in(tmp_path, extra=peers.configuration, tree=earlier) as (hosts, _):
        cart = Cart(hosts.of("receive"), ecgs, random.Random(1))
        cart.start()
        for name, host in hosts.by_name.items():
            time.sleep(2.0)
            assert host.stop() == 0, name
            host.tree = None
            host.start()
        answered = len(hosts.events("ecg predicted"))
        print(f"\nall hosts replaced with {len(cart.acknowledged)} ECGs, {answered} answered")
        assert 0 < answered < ecgs
        cart.join()
        jobs = hosts.of("receive")[0].wait_for_jobs(settled(ecgs), within_s=60 + 2 * ecgs)
        check(peers, jobs, cart.acknowledged)
        assert [each["schema"] for each in hosts.events("database upgraded")] == [
            f"{int(HEAD) - 1:04}"
        ]
