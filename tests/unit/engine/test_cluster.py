"""Who is alive, by rows that change, and what is done about the dead."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from node.domain.delivery import DestinationKind, JobState, Priority, ResultKind
from node.domain.errors import ConfigurationError, StorageError
from node.domain.host import ALL_ROLES, Host, HostRole
from node.domain.instance import Origin, ReceivedInstance
from node.engine import cluster
from node.engine.cluster import BEAT_S, DEAD_AFTER_S, Cluster, Watch, take_over
from node.engine.unit_of_work import EngineUnitOfWork
from node.store.database import Database
from node.store.tables import turn
from tests.fakes import Notes

AT = datetime(2026, 11, 27, 3, 0, tzinfo=UTC)


def host(name: str, beats: int = 0, *, store: str = "one", home: str = "/a") -> Host:
    return Host(
        executor_id=name,
        machine="m",
        home=home,
        store=store,
        roles=frozenset({HostRole.SEND}),
        configuration="",
        beats=beats,
        started_at=AT,
        beat_at=AT,
    )


class Time:
    """Seconds that a test has pass."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_who_beats_lives_and_who_does_not_is_dead_in_time() -> None:
    time = Time()
    watch = Watch("own", time)
    found: dict[str, float] = {}
    for beat in range(20):
        for dead in watch.dead([host("own"), host("well", beat), host("silent")]):
            found.setdefault(dead.executor_id, time.now - 100.0)
        time.now += BEAT_S
    assert found.keys() == {"silent"}
    assert DEAD_AFTER_S < found["silent"] <= DEAD_AFTER_S + BEAT_S


def test_who_slept_judges_nobody_by_what_it_missed() -> None:
    time = Time()
    watch = Watch("own", time)
    assert watch.dead([host("other")]) == []
    time.now += 3600.0
    assert watch.dead([host("other")]) == []
    for _ in range(int(DEAD_AFTER_S / BEAT_S)):
        time.now += BEAT_S
        assert watch.dead([host("other")]) == []
    time.now += BEAT_S
    assert [each.executor_id for each in watch.dead([host("other")])] == ["other"]


def test_one_that_was_taken_for_dead_and_is_back_is_given_its_time_again() -> None:
    time = Time()
    watch = Watch("own", time)
    while not watch.dead([host("other", 7)]):
        time.now += BEAT_S
    assert watch.dead([]) == []
    for _ in range(int(DEAD_AFTER_S / BEAT_S)):
        time.now += BEAT_S
        assert watch.dead([host("other", 7)]) == []


def test_a_database_that_was_away_makes_nobody_dead() -> None:
    time = Time()
    watch = Watch("own", time)
    for _ in range(20):
        assert watch.dead([host("other")]) == []
        watch.forget()
        time.now += BEAT_S


@pytest.fixture
def work(database: Database) -> Iterator[EngineUnitOfWork]:
    database.prepare()
    made = EngineUnitOfWork(database)
    made.prepare()
    yield made
    made.close()


def test_a_host_takes_the_place_of_the_one_before_it(work: EngineUnitOfWork) -> None:
    with work.begin() as transaction:
        transaction.hosts.join(host("first"))
        transaction.hosts.join(host("elsewhere", home="/b"))
        transaction.hosts.join(host("second"))
        assert {each.executor_id for each in transaction.hosts.all()} == {"elsewhere", "second"}
        assert transaction.hosts.beat("second", beats=1, at=AT)
        assert not transaction.hosts.beat("first", beats=1, at=AT)
        assert not transaction.hosts.remove("second", beats=0)
        assert transaction.hosts.remove("second", beats=1)
        assert transaction.hosts.all() == [host("elsewhere", home="/b")]


def instance(uid: str) -> ReceivedInstance:
    return ReceivedInstance(
        sop_class_uid="1.2", sop_instance_uid=uid, transfer_syntax_uid="1.2.840.10008.1.2.1",
        origin=Origin(calling_ae="CART", called_ae="NODE", peer="127.0.0.1"),
        content_digest=uid.rjust(64, "0"), size_bytes=9, received_at=AT, content=b"",
    )  # fmt: skip


def add_job(work: EngineUnitOfWork, uid: str) -> int:
    with work.begin() as transaction:
        job_id = transaction.jobs.add(instance(uid))
        transaction.enqueue_job(job_id, run=0, priority=Priority.ROUTINE)
    return job_id


def holders(work: EngineUnitOfWork) -> list[str | None]:
    with work.begin() as transaction:
        rows = transaction.hosts._connection.execute(turn.select().order_by(turn.c.row_id))
        return [row.holder for row in rows]


def test_what_a_dead_host_had_in_hand_is_done_anew_and_nothing_else(
    work: EngineUnitOfWork,
) -> None:
    for uid in ("1.1", "1.2", "1.3"):
        add_job(work, uid)
    with work.begin() as transaction:
        transaction.hosts.join(host("alive"))
        orphan, busy, _ = transaction.turns.first("jobs", size=3, now=AT)
        transaction.turns.take(orphan, "dead")
        transaction.turns.take(busy, "alive")
    assert take_over(work) == 1
    assert take_over(work) == 0
    assert holders(work) == [None, "alive", None]


def test_what_was_owed_before_there_were_turns_is_given_one(work: EngineUnitOfWork) -> None:
    job_ids = [add_job(work, uid) for uid in ("1.1", "1.2")]
    with work.begin() as transaction:
        delivery_id = transaction.outbox.add(
            job_id=job_ids[0], kind=ResultKind.ORU, identifier="m", sop_class_uid="",
            destination="RIS", destination_kind=DestinationKind.HL7, content_digest="0" * 64,
            revision=1, at=AT,
        )  # fmt: skip
        sent = transaction.outbox.get(delivery_id)
        assert sent is not None
        asked = transaction.commitments.add([sent], transaction_uid="1.2", at=AT)
        transaction.jobs.settle(job_ids[1], JobState.CANCELLED, at=AT)
        transaction.hosts._connection.execute(turn.delete())
    assert take_over(work) == 3
    assert take_over(work) == 0
    with work.begin() as transaction:
        assert transaction.turns.lanes() == ["commitment:RIS", "hl7:RIS", "jobs"]
        found = [
            each.row_id
            for lane in transaction.turns.lanes()
            for each in transaction.turns.first(lane, size=9, now=AT)
        ]
    assert found == [asked.commitment_id, delivery_id, job_ids[0]]


def member(work: EngineUnitOfWork, home: Path, store: str) -> Cluster:
    return Cluster(
        work, home=home, store=store, roles=ALL_ROLES, telemetry=Notes(), clock=lambda: AT
    )


def test_a_host_with_objects_of_its_own_does_not_join_one_that_lives(
    work: EngineUnitOfWork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "BEAT_S", 0.2)
    first, other = member(work, tmp_path / "a", "one"), member(work, tmp_path / "b", "two")
    first.start()
    with pytest.raises(ConfigurationError, match=r"storage\.objects is one folder or bucket"):
        other.start()
    first.stop()
    with work.begin() as transaction:
        assert transaction.hosts.all() == []
        transaction.hosts.join(host("dead"))
    other.start()
    with work.begin() as transaction:
        assert [each.store for each in transaction.hosts.all()] == ["one", "two"]
    other.stop()


def test_one_that_was_taken_for_dead_says_so_and_is_back(
    work: EngineUnitOfWork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "BEAT_S", 0.05)
    notes = Notes()
    own = Cluster(
        work, home=tmp_path, store="one", roles=ALL_ROLES, telemetry=notes, clock=lambda: AT
    )
    own.start()
    with work.begin() as transaction:
        assert transaction.hosts.remove(own.executor_id)
    for _ in range(200):
        if notes.said("this host was taken for dead"):
            break
        own._stopping.wait(0.05)
    with work.begin() as transaction:
        assert [each.executor_id for each in transaction.hosts.all()] == [own.executor_id]
    own.stop()


def test_a_host_whose_clock_differs_is_told_of_once(
    work: EngineUnitOfWork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "BEAT_S", 0.05)
    notes = Notes()
    own = Cluster(
        work, home=tmp_path, store="one", roles=ALL_ROLES, telemetry=notes, clock=lambda: AT
    )
    with work.begin() as transaction:
        for name in ("well", "late"):
            transaction.hosts.join(replace(host(name, home=f"/{name}"), machine=name))
    own.start()
    for beats in range(1, 20):
        with work.begin() as transaction:
            transaction.hosts.beat("well", beats=beats, at=AT - timedelta(seconds=5))
            transaction.hosts.beat("late", beats=beats, at=AT - timedelta(seconds=60))
        own._stopping.wait(0.05)
    own.stop()
    (told,) = notes.said("clocks of hosts differ")
    assert told == {"address": "late", "reason": "by about 60 s; have both set by NTP"}


def test_what_the_dead_left_is_taken_over_though_the_database_went_meanwhile(
    work: EngineUnitOfWork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "BEAT_S", 0.05)
    monkeypatch.setattr(cluster, "DEAD_AFTER_S", 0.2)
    own, tries = member(work, tmp_path, "one"), list[str]()
    own.start()

    def fail_first() -> None:
        tries.append("")
        if len(tries) == 1:
            raise StorageError("the database did not take it")

    monkeypatch.setattr(own, "take_over", fail_first)
    with work.begin() as transaction:
        transaction.hosts.join(host("dead"))
    for _ in range(200):
        if len(tries) > 1:
            break
        own._stopping.wait(0.05)
    own.stop()
    assert len(tries) == 2


def test_why_a_host_goes_on_as_it_is_stands_with_the_hosts(
    work: EngineUnitOfWork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = Notes()
    own = Cluster(
        work, home=tmp_path, store="one", roles=ALL_ROLES, telemetry=notes, clock=lambda: AT
    )
    own.start()
    own.explain("no bundle is called x")
    with work.begin() as transaction:
        assert [each.not_taken_up for each in transaction.hosts.all()] == ["no bundle is called x"]

    @contextmanager
    def away(**_: object) -> Iterator[None]:
        raise StorageError("the database is away")
        yield

    with monkeypatch.context() as patched:
        patched.setattr(work, "begin", away)
        own.explain("no bundle is called y")
    assert len(notes.said("reason not kept")) == 1
    own.stop()
