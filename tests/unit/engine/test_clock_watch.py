"""What backs off is tried when the clock is set, back or on; a slow correction changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from node.engine.clock_watch import ClockWatch
from node.engine.unit_of_work import EngineUnitOfWork
from node.store.database import Database
from node.store.turns import Turns, Work
from tests.fakes import Clock, Notes

LONGEST_S = 900.0
SET = "clock set while the node ran"


class Watched:
    """Turns that wait, and a clock that can be set."""

    def __init__(self, database: Database) -> None:
        self.work, self.notes = EngineUnitOfWork(database), Notes()
        self.clock, self.passed_s = Clock(), 1000.0
        self.watch = ClockWatch(
            work=self.work,
            longest_s=LONGEST_S,
            telemetry=self.notes,
            clock=self.clock,
            steady_s=lambda: self.passed_s,
        )

    def wait(self, seconds: float) -> None:
        self.clock.move(seconds)
        self.passed_s += seconds

    def back_off(self, row_id: int, seconds: float, *, work: Work = Work.DELIVERY) -> None:
        """A delivery that was tried, or what stands back until then."""
        due_at = self.clock() + timedelta(seconds=seconds)
        with self.work.begin() as transaction:
            turns = transaction.turns
            if work is not Work.DELIVERY:
                turns.put(work, row_id, run=1, lane=work.value, place=row_id, due_at=due_at)
                return
            turns.put(work, row_id, run=1, lane=work.value, place=row_id)
            (turn,) = turns.first(work.value, size=1, now=self.clock())
            turns.take(turn, "here")
            turns.end(turn, "here", again_at=due_at)

    def due(self) -> set[str]:
        """The lanes in which something may be taken now."""
        with self.work.database.read() as connection:
            turns = Turns(connection)
            return {lane for lane in turns.lanes() if turns.first(lane, size=4, now=self.clock())}


@pytest.fixture
def watched(database: Database) -> Iterator[Watched]:
    database.prepare()
    made = Watched(database)
    yield made
    made.work.close()


@pytest.mark.parametrize("jump_s", [-7200.0, -6.0, 6.0])
def test_what_waits_is_due_when_the_clock_is_set(watched: Watched, jump_s: float) -> None:
    watched.back_off(1, 600.0)
    watched.back_off(2, 10.0, work=Work.JOB)
    watched.work.announced.clear()
    watched.wait(2.0)
    watched.watch.look()
    assert watched.due() == set()
    watched.clock.move(jump_s)
    watched.watch.look()
    assert watched.due() == {"delivery", "job"}
    assert watched.work.announced.is_set()
    assert watched.notes.said(SET)[0]["reason"].startswith(f"by {jump_s:+.0f} s")
    watched.watch.look()
    assert len(watched.notes.said(SET)) == 1


def test_a_report_that_is_awaited_keeps_its_time(watched: Watched) -> None:
    watched.back_off(1, 3600.0, work=Work.COMMITMENT)
    watched.clock.move(-7200.0)
    watched.watch.look()
    assert watched.due() == set()


def test_a_clock_that_is_corrected_slowly_is_not_set(watched: Watched) -> None:
    watched.back_off(1, 600.0)
    for _ in range(100):
        watched.wait(2.0)
        watched.clock.move(-0.2)
        watched.watch.look()
    assert watched.due() == set()
    assert watched.notes.said(SET) == []


def test_what_no_policy_waits_for_is_due_at_the_start(watched: Watched) -> None:
    """The clock was ahead when a node before this one wrote it."""
    watched.back_off(1, LONGEST_S + 3600.0)
    watched.back_off(2, LONGEST_S + 3600.0, work=Work.JOB)
    watched.watch.start()
    watched.watch.stop()
    assert watched.due() == {"delivery", "job"}


def test_what_a_policy_waits_for_keeps_waiting_over_a_start(watched: Watched) -> None:
    watched.back_off(1, LONGEST_S - 1.0)
    watched.watch.start()
    watched.watch.stop()
    assert watched.due() == set()


@pytest.mark.parametrize(("jump_s", "is_trusted"), [(1800.0, True), (7200.0, False)])
def test_a_clock_that_was_set_far_is_not_trusted_until_it_is_back(
    watched: Watched, jump_s: float, is_trusted: bool
) -> None:
    watched.clock.move(jump_s)
    watched.watch.look()
    assert watched.watch.is_trusted is is_trusted
    watched.clock.move(-jump_s)
    watched.watch.look()
    assert watched.watch.is_trusted
