"""In-memory twins of the ports: no socket, no disk, no engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from node.domain.audit import Actor
from node.domain.delivery import DestinationKind, Priority
from node.domain.errors import StorageError
from node.domain.identifiers import sha256
from node.store import tables
from node.store.audit import AuditTrail
from node.store.commitments import Commitments
from node.store.hosts import Hosts
from node.store.messages import Messages
from node.store.orders import OrderBook
from node.store.outbox import Outbox
from node.store.patients import PatientIndex
from node.store.received import Jobs
from node.store.refused import RefusedCallers
from node.store.relay import Relay
from node.store.sessions import SessionBook
from node.store.users import Users
from node.workflow.ports import Level

SOMEBODY = Actor(name="curie", peer="192.0.2.1")


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class MemorySpool:
    """`ports.ObjectStore` in a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.error: StorageError | None = None
        self.read = 0

    def put(self, content: bytes) -> str:
        if self.error is not None:
            raise self.error
        digest = sha256(content)
        self.kept[digest] = content
        return digest

    def get(self, digest: str) -> bytes:
        self.read += 1
        return self.kept[digest]


class MemoryTransaction:
    """`ports.Transaction` whose engine is a list."""

    def __init__(self, connection: sa.Connection, queue: list[tuple[Any, ...]]) -> None:
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
        self.relay = Relay(connection)
        self.hosts = Hosts(connection)
        self._queue = queue

    def enqueue_job(
        self, job_id: int, *, run: int, priority: Priority, due_at: datetime | None = None
    ) -> None:
        self._queue.append(("job", job_id, run, priority, *([due_at] if due_at else [])))

    def enqueue_delivery(
        self,
        delivery_id: int,
        *,
        run: int,
        destination: str,
        kind: DestinationKind,
        priority: Priority | None = None,
    ) -> None:
        given = [] if priority is None else [priority]
        self._queue.append(("delivery", delivery_id, run, destination, kind, *given))

    def wake_delivery(self, delivery_id: int) -> None:
        self._queue.append(("wake", delivery_id))

    def enqueue_commitment(
        self, commitment_id: int, *, run: int, destination: str, due_at: datetime | None = None
    ) -> None:
        self._queue.append(("commitment", commitment_id, run, destination, due_at))

    def wake_commitment(self, commitment_id: int) -> None:
        self._queue.append(("wake commitment", commitment_id))


class MemoryUnitOfWork:
    """`ports.UnitOfWork` over SQLite in memory; what a failed block queued is forgotten."""

    def __init__(self) -> None:
        self._engine = sa.create_engine(
            "sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False}
        )
        tables.metadata.create_all(self._engine)
        self.queue: list[tuple[Any, ...]] = []

    @contextmanager
    def begin(self) -> Iterator[MemoryTransaction]:
        queued: list[tuple[Any, ...]] = []
        with self._engine.begin() as connection:
            yield MemoryTransaction(connection, queued)
        self.queue += queued

    @contextmanager
    def look(self) -> Iterator[MemoryTransaction]:
        with self._engine.connect() as connection:
            yield MemoryTransaction(connection, [])

    def together(self, enter: Callable[[Any], Any]) -> Any:
        with self.begin() as transaction:
            return enter(transaction)

    def close(self) -> None:
        self._engine.dispose()


class Notes:
    """`ports.Telemetry` that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def event(
        self,
        message: str,
        *,
        level: Level = Level.INFO,
        error: BaseException | None = None,
        **fields: Any,
    ) -> None:
        self.events.append((message, fields))

    def said(self, message: str) -> list[dict[str, Any]]:
        return [fields for text, fields in self.events if text == message]
