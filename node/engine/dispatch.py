"""Takes what is due of the lanes of this host's roles, and gives it to the engine.

Woken by each commit of this process that gave something a turn, and by each end of what is in hand;
what another process committed is found by looking.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from node.domain.delivery import DestinationKind
from node.domain.host import HostRole
from node.engine.unit_of_work import COMMITMENT_LANE, JOBS_LANE, EngineUnitOfWork
from node.store.turns import Turn, Turns, Work
from node.workflow.ports import Clock, Level, Telemetry

DICOM_DELIVERIES_AT_ONCE: Final = 4
"""Instances need no order among themselves, so associations (and requests of
DICOMweb) run side by side."""
MESSAGES_AT_ONCE: Final = 1
"""One in flight keeps their order; no FHIR transaction overtakes what it corrects."""
COMMITMENTS_AT_ONCE: Final = 2
"""Associations that ask for commitment. A report that is awaited holds none."""
AT_ONCE: Final = {
    DestinationKind.DICOM.value: DICOM_DELIVERIES_AT_ONCE,
    DestinationKind.DICOMWEB.value: DICOM_DELIVERIES_AT_ONCE,
    DestinationKind.HL7.value: MESSAGES_AT_ONCE,
    DestinationKind.FHIR.value: MESSAGES_AT_ONCE,
    COMMITMENT_LANE: COMMITMENTS_AT_ONCE,
}
"""How much of a lane is in hand, by all hosts together."""
LOOK_S: Final = 0.2
"""How soon is found what another process gave a turn, and what backed off."""
REST_S: Final = 0.005
"""Between two looks: commits of one moment are one."""
MEND_EVERY_S: Final = 5.0
AFTER_FAULT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class _Ended:
    turn: Turn
    again_s: float | None


class Dispatch:
    """Thread safety: `start` and `stop` belong to the thread that made it, `end` to any."""

    def __init__(
        self,
        work: EngineUnitOfWork,
        *,
        executor_id: str,
        roles: frozenset[HostRole],
        jobs_at_once: int,
        begin: Callable[[Turn], None],
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        """begin: has the engine do a turn's work, in another thread, whose last word is `end`."""
        self._work = work
        self._own = executor_id
        self._roles = roles
        self._jobs_at_once = jobs_at_once
        self._begin = begin
        self._telemetry = telemetry
        self._clock = clock
        self._in_hand: dict[tuple[Work, int], Turn] = {}
        self._ended: list[_Ended] = []
        self._lock = threading.Lock()
        self._mended_at = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dispatch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take nothing more; what is in hand goes on."""
        self._stopping.set()
        self._work.announced.set()
        self._thread.join(_STOP_S)  # a database that is away holds it up

    def end(self, work: Work, row_id: int, again_s: float | None) -> None:
        """What was begun is done with: None, for good; else it is to be done again, so much later.

        A job lets others pass meanwhile; what goes to a destination keeps its place.
        """
        with self._lock:
            turn = self._in_hand.get((work, row_id))
            if turn is not None:  # else it was said that it could not be begun
                self._ended.append(_Ended(turn, again_s))
        self._work.announced.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._work.announced.clear()
            try:
                self._look()
            except Exception as error:  # the thread's boundary
                if not self._stopping.is_set():
                    self._telemetry.event(
                        "work not taken up", level=Level.ERROR, error=error, reason=_LATER
                    )
                self._stopping.wait(AFTER_FAULT_S)
                continue
            self._stopping.wait(REST_S)
            self._work.announced.wait(LOOK_S)

    def _look(self) -> None:
        with self._lock:
            ended = list(self._ended)
            for each in ended:
                self._in_hand.pop(each.turn.key, None)
        with self._work.database.read() as connection:
            turns = Turns(connection)
            lost = self._lost(turns, {each.turn.key for each in ended})
            is_idle = not (ended or lost) and not any(
                self._due(turns, lane) for lane in self._lanes(turns)
            )
        if is_idle:
            return
        with self._work.begin() as transaction:
            turns = transaction.turns
            for each in sorted(ended, key=lambda each: each.turn.key):  # as others lock several
                self._write_end(turns, each)
            turns.let_go(lost, self._own)
            taken = list(self._take(turns))
        with self._lock:
            del self._ended[: len(ended)]
            self._in_hand |= {turn.key: turn for turn in taken}
        if lost:
            self._telemetry.event("lost work taken up", level=Level.WARNING, count=len(lost))
        for turn in taken:
            self._begin_one(turn)

    def _lost(self, turns: Turns, ended: set[tuple[Work, int]]) -> list[Turn]:
        """What this host took, by its rows, and does not do: the database went in that moment."""
        if time.monotonic() - self._mended_at < MEND_EVERY_S:
            return []
        self._mended_at = time.monotonic()
        known = self._in_hand.keys() | ended
        return [turn for turn in turns.held_by(self._own) if turn.key not in known]

    def _lanes(self, turns: Turns) -> Iterator[str]:
        for lane in turns.lanes():
            role = HostRole.INFER if lane == JOBS_LANE else HostRole.SEND
            if role in self._roles:
                yield lane

    def _due(self, turns: Turns, lane: str) -> list[Turn]:
        """What this host may take of a lane."""
        in_hand = turns.in_hand(lane)
        count = sum(in_hand.values())
        if lane == JOBS_LANE:  # so many of each host
            at_once = self._jobs_at_once + count - in_hand.get(self._own, 0)
        else:
            at_once = AT_ONCE[lane.partition(":")[0]]
        if count >= at_once:
            return []
        first = turns.first(lane, size=at_once, now=self._clock())
        return [turn for turn in first if turn.key not in self._in_hand][: at_once - count]

    def _take(self, turns: Turns) -> Iterator[Turn]:
        for lane in self._lanes(turns):
            turns.lock(lane)
            for turn in self._due(turns, lane):
                turns.take(turn, self._own)
                yield turn

    def _begin_one(self, turn: Turn) -> None:
        try:
            self._begin(turn)
        except Exception as error:
            self._telemetry.event("work not begun", level=Level.ERROR, error=error, reason=_LATER)
            with self._lock:
                self._in_hand.pop(turn.key, None)  # and is found to be lost, soon

    def _write_end(self, turns: Turns, ended: _Ended) -> None:
        turn, again_s = ended.turn, ended.again_s
        at = None if again_s is None else self._clock() + timedelta(seconds=again_s)
        if turn.work is Work.JOB:
            turns.end(turn, self._own, due_at=at)
        else:
            turns.end(turn, self._own, again_at=at)


_STOP_S: Final = 10.0
_LATER: Final = "nothing is lost; it is tried again in a moment"
