"""What is taken, in which order, and how much of it at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from node.domain.delivery import DestinationKind, Priority, ResultKind
from node.domain.errors import StorageError
from node.domain.host import ALL_ROLES, HostRole
from node.engine import dispatch
from node.engine.dispatch import Dispatch
from node.engine.unit_of_work import EngineUnitOfWork
from node.store.database import Database
from node.store.turns import Turn, Work
from tests.fakes import Clock, Notes
from tests.unit.engine.test_cluster import host, instance


class Site:
    """A database, and hosts that look into it when they are told to."""

    def __init__(self, database: Database) -> None:
        self.work = EngineUnitOfWork(database)
        self.clock, self.notes = Clock(), Notes()
        self.begun: list[tuple[str, int]] = []
        self._number = 0

    def host(
        self,
        name: str = "here",
        *,
        roles: frozenset[HostRole] = ALL_ROLES,
        jobs_at_once: int = 1,
        begin: Callable[[Turn], None] | None = None,
    ) -> Dispatch:
        return Dispatch(
            self.work,
            executor_id=name,
            roles=roles,
            jobs_at_once=jobs_at_once,
            begin=begin or (lambda turn: self.begun.append((turn.work.value, turn.row_id))),
            telemetry=self.notes,
            clock=self.clock,
        )

    def job(self, priority: Priority = Priority.ROUTINE) -> int:
        self._number += 1
        with self.work.begin() as transaction:
            job_id = transaction.jobs.add(instance(f"1.{self._number}"), priority=priority)
            transaction.enqueue_job(job_id, run=0, priority=priority)
        return job_id

    def delivery(
        self,
        destination: str = "RIS",
        kind: DestinationKind = DestinationKind.HL7,
        priority: Priority = Priority.ROUTINE,
    ) -> int:
        self._number += 1
        with self.work.begin() as transaction:
            job_id = transaction.jobs.add(instance(f"1.{self._number}"), priority=priority)
            delivery_id = transaction.outbox.add(
                job_id=job_id, kind=ResultKind.ORU, identifier=str(job_id), sop_class_uid="",
                destination=destination, destination_kind=kind, content_digest="0" * 64,
                revision=1, at=self.clock(),
            )  # fmt: skip
            transaction.enqueue_delivery(delivery_id, run=1, destination=destination, kind=kind)
        return delivery_id

    def look(self, *hosts: Dispatch) -> list[int]:
        """What these begin now, by row."""
        before = len(self.begun)
        for each in hosts:
            each._look()
        return [row_id for _, row_id in self.begun[before:]]


@pytest.fixture
def site(database: Database) -> Iterator[Site]:
    database.prepare()
    made = Site(database)
    yield made
    made.work.close()


def test_jobs_are_taken_by_priority_and_age_so_many_at_once(site: Site) -> None:
    host = site.host(jobs_at_once=2)
    routine, low, stat, later = (
        site.job(each) for each in (Priority.ROUTINE, Priority.LOW, Priority.STAT, Priority.ROUTINE)
    )
    assert site.look(host) == [stat, routine]
    assert site.look(host) == []
    host.end(Work.JOB, routine, None)
    assert site.look(host) == [later]
    host.end(Work.JOB, stat, None)
    host.end(Work.JOB, later, None)
    assert site.look(host) == [low]


def test_each_host_takes_as_many_jobs_as_it_can_and_none_twice(site: Site) -> None:
    one, other = site.host("one"), site.host("other", jobs_at_once=2)
    ids = [site.job() for _ in range(4)]
    assert site.look(one, other) == ids[:3]
    one.end(Work.JOB, ids[0], None)
    assert site.look(other, one) == [ids[3]]


def test_a_destination_gets_what_all_hosts_together_may_send_it(site: Site) -> None:
    one, other = site.host("one"), site.host("other")
    to_pacs = [site.delivery("PACS", DestinationKind.DICOM) for _ in range(6)]
    to_ris = [site.delivery() for _ in range(2)]
    assert site.look(one, other) == [*to_pacs[:4], to_ris[0]]
    one.end(Work.DELIVERY, to_pacs[2], None)
    assert site.look(other) == []
    assert site.look(one) == [to_pacs[4]]
    one.end(Work.DELIVERY, to_ris[0], None)
    assert site.look(one) == [to_ris[1]]


def test_what_backs_off_keeps_its_place(site: Site) -> None:
    host = site.host()
    first, second = site.delivery(), site.delivery()
    assert site.look(host) == [first]
    host.end(Work.DELIVERY, first, 60.0)
    assert site.look(host) == []
    site.clock.move(59.0)
    assert site.look(host) == []
    site.clock.move(2.0)
    assert site.look(host) == [first]
    host.end(Work.DELIVERY, first, None)
    assert site.look(host) == [second]


def test_what_is_more_urgent_passes_what_backs_off(site: Site) -> None:
    host = site.host()
    first = site.delivery()
    assert site.look(host) == [first]
    host.end(Work.DELIVERY, first, 60.0)
    stat = site.delivery(priority=Priority.STAT)
    assert site.look(host) == [stat]
    host.end(Work.DELIVERY, stat, None)
    assert site.look(host) == []


def test_one_that_backs_off_is_woken(site: Site) -> None:
    host = site.host()
    first = site.delivery()
    site.look(host)
    host.end(Work.DELIVERY, first, 3600.0)
    assert site.look(host) == []
    with site.work.begin() as transaction:
        transaction.wake_delivery(first)
    assert site.look(host) == [first]


def test_a_job_that_is_put_off_lets_others_pass(site: Site) -> None:
    host = site.host()
    first, second = site.job(), site.job()
    assert site.look(host) == [first]
    host.end(Work.JOB, first, 30.0)
    assert site.look(host) == [second]
    site.clock.move(31.0)
    host.end(Work.JOB, second, None)
    assert site.look(host) == [first]


def test_what_was_given_anew_while_it_was_in_hand_comes_again(site: Site) -> None:
    host = site.host()
    job_id = site.job()
    assert site.look(host) == [job_id]
    with site.work.begin() as transaction:
        run = transaction.jobs.take_up(job_id, run=0)
        assert run is not None
        transaction.enqueue_job(job_id, run=run, priority=Priority.STAT)
    assert site.look(host) == []
    host.end(Work.JOB, job_id, None)
    assert site.look(host) == [job_id]
    host.end(Work.JOB, job_id, None)
    assert site.look(host) == []


def test_a_host_takes_what_its_roles_are(site: Site) -> None:
    sends = site.host("sends", roles=frozenset({HostRole.SEND}))
    infers = site.host("infers", roles=frozenset({HostRole.INFER}))
    delivery_id, job_id = site.delivery(), site.job()
    assert site.look(sends, infers) == [delivery_id, job_id]
    assert site.begun == [("delivery", delivery_id), ("job", job_id)]


def test_what_could_not_be_begun_is_lost_for_a_moment(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(turn: Turn) -> None:
        raise StorageError("the database did not take it")

    failing = site.host(begin=fail)
    job_id = site.job()
    assert site.look(failing) == []
    assert site.look(failing) == []
    failing._begin = lambda turn: site.begun.append((turn.work.value, turn.row_id))
    monkeypatch.setattr(dispatch, "MEND_EVERY_S", 0.0)
    assert site.look(failing) == [job_id]
    (said,) = site.notes.said("lost work taken up")
    assert said["count"] == 1
    assert site.look(failing) == []


def test_who_was_taken_for_dead_ends_nothing_of_who_took_over(site: Site) -> None:
    frozen, other = site.host("frozen"), site.host("other")
    delivery_id, later = site.delivery(), site.delivery()
    assert site.look(frozen) == [delivery_id]
    with site.work.begin() as transaction:
        transaction.hosts.join(host("other"))
        assert transaction.turns.has_orphans()
        assert transaction.turns.let_go_of_orphans() == 1
        assert not transaction.turns.has_orphans()
    assert site.look(other) == [delivery_id]
    frozen.end(Work.DELIVERY, delivery_id, None)
    assert site.look(frozen) == []  # the other has it in hand still
    other.end(Work.DELIVERY, delivery_id, None)
    assert site.look(other) == [later]


def test_an_end_is_written_though_the_database_was_away(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = site.host()
    first, second = site.delivery(), site.delivery()
    site.look(host)
    host.end(Work.DELIVERY, first, None)

    @contextmanager
    def away() -> Iterator[None]:
        raise StorageError("the database did not take it")
        yield

    with monkeypatch.context() as patched:
        patched.setattr(site.work, "begin", away)
        with pytest.raises(StorageError):
            host._look()
    assert site.look(host) == [second]


def test_a_commit_wakes_who_looks_and_a_fault_is_told_and_outlived(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "LOOK_S", 60.0)
    monkeypatch.setattr(dispatch, "AFTER_FAULT_S", 0.01)
    begun = threading.Event()
    host = site.host(begin=lambda turn: begun.set())
    looks, is_first = host._look, [True]

    def fail_first() -> None:
        if is_first.pop() if is_first else False:
            raise StorageError("the database did not answer")
        looks()

    monkeypatch.setattr(host, "_look", fail_first)
    host.start()
    time.sleep(0.2)
    site.job()
    assert begun.wait(10)
    host.stop()
    (said,) = site.notes.said("work not taken up")
    assert "nothing is lost" in said["reason"]


def test_what_is_woken_while_it_fails_is_tried_again_at_once(site: Site) -> None:
    here = site.host()
    delivery_id = site.delivery()
    assert site.look(here) == [delivery_id]
    with site.work.begin() as transaction:
        transaction.wake_delivery(delivery_id)
    here.end(Work.DELIVERY, delivery_id, 900.0)
    assert site.look(here) == [delivery_id]
