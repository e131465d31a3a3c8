"""Rows and the work they cause, in one transaction of one database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TypeVar

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer

from node.domain.delivery import DestinationKind, Priority
from node.domain.errors import Overtaken
from node.store.audit import AuditTrail
from node.store.commitments import Commitments
from node.store.database import Database
from node.store.group_commit import GroupCommit
from node.store.hosts import Hosts
from node.store.messages import Messages
from node.store.orders import OrderBook
from node.store.outbox import Outbox
from node.store.patients import PatientIndex
from node.store.received import Jobs
from node.store.refused import RefusedCallers
from node.store.relay import Relay
from node.store.sessions import SessionBook
from node.store.turns import Turns, Work
from node.store.users import Users

APPLICATION_VERSION = "flow-1"
"""Pinned: DBOS would take what another version began for foreign."""

JOBS_LANE = "jobs"
COMMITMENT_LANE = "commitment"
"""Before the name of a destination; its deliveries have their kind there."""

_EACH_PRIORITY = 2**29
"""Places in a lane for the ids of each priority; all three stay below 2**31, PostgreSQL's integers.
At 10,000 deliveries a day they last for 147 years."""

Made = TypeVar("Made")

SERIALIZER = DBOSPortableJSONSerializer()
"""JSON, not pickle: arguments are row ids, and nobody runs code through the database."""


def place(priority: Priority, row_id: int) -> int:
    """Where in its lane: smaller is sooner."""
    return list(Priority).index(priority) * _EACH_PRIORITY + row_id


class EngineTransaction:
    """`ports.Transaction` over one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self.has_work = False
        """Whether something was given a turn."""
        self.jobs = Jobs(connection)
        self.outbox = Outbox(connection)
        self.commitments = Commitments(connection)
        self.messages = Messages(connection)
        self.orders = OrderBook(connection)
        self.patients = PatientIndex(connection)
        self.refused = RefusedCallers(connection)
        self.users = Users(connection)
        self.sessions = SessionBook(connection)
        self.audit = AuditTrail(connection)
        self.turns = Turns(connection)
        self.relay = Relay(connection)
        self.hosts = Hosts(connection)

    def enqueue_job(
        self, job_id: int, *, run: int, priority: Priority, due_at: datetime | None = None
    ) -> None:
        self.has_work = True
        self.turns.put(
            Work.JOB, job_id, run=run, lane=JOBS_LANE, place=place(priority, job_id), due_at=due_at
        )

    def enqueue_delivery(
        self,
        delivery_id: int,
        *,
        run: int,
        destination: str,
        kind: DestinationKind,
        priority: Priority | None = None,
    ) -> None:
        self.has_work = True
        self.turns.put(
            Work.DELIVERY,
            delivery_id,
            run=run,
            lane=f"{kind.value}:{destination}",
            place=place(priority or self.outbox.priority_of(delivery_id), delivery_id),
        )

    def wake_delivery(self, delivery_id: int) -> None:
        self.wake(Work.DELIVERY, delivery_id)

    def enqueue_commitment(
        self, commitment_id: int, *, run: int, destination: str, due_at: datetime | None = None
    ) -> None:
        self.has_work = True
        self.turns.put(
            Work.COMMITMENT,
            commitment_id,
            run=run,
            lane=f"{COMMITMENT_LANE}:{destination}",
            place=commitment_id,
            due_at=due_at,
        )

    def wake_commitment(self, commitment_id: int) -> None:
        self.wake(Work.COMMITMENT, commitment_id)

    def wake(self, work: Work, row_id: int) -> None:
        self.has_work = True
        self.turns.wake(work, row_id)


class EngineUnitOfWork:
    """`ports.UnitOfWork` over the store's database, whose tables stand beside the engine's."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.announced = threading.Event()
        """Set when something was given a turn here."""
        self.client = DBOSClient(
            system_database_engine=database.others_engine, serializer=SERIALIZER, lazy=True
        )
        self._together = GroupCommit(partial(self.begin, is_urgent=True))

    def prepare(self) -> None:
        """Make the engine's tables, or upgrade them, whichever role comes first."""
        DBOS.migrate(self.database.engine.url.render_as_string(hide_password=False))

    @contextmanager
    def begin(self, *, is_urgent: bool = False) -> Iterator[EngineTransaction]:
        """is_urgent: as `Database.write` has it."""
        with self.database.write(is_urgent=is_urgent) as connection:
            transaction = EngineTransaction(connection)
            yield transaction
        if transaction.has_work:
            self.announced.set()

    @contextmanager
    def look(self) -> Iterator[EngineTransaction]:
        with self.database.read() as connection:
            yield EngineTransaction(connection)

    def together(self, enter: Callable[[EngineTransaction], Made]) -> Made:
        try:
            return self._together(enter)
        except Overtaken:  # what another host has committed is seen now
            return self._together(enter)

    def close(self) -> None:
        self.client.destroy()
