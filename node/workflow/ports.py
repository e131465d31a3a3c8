"""What the story needs of the world: everything with a socket, a file or a clock is passed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeVar

from node.domain.delivery import DestinationKind, Priority
from node.domain.order import ScheduledOrder
from node.domain.study import Study

if TYPE_CHECKING:
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

Clock = Callable[[], datetime]
"""Gives aware UTC."""


def always() -> bool:
    return True


Field = str | int | float | None
Made = TypeVar("Made")


class Run(Protocol):
    """Does pure work, here or in another process; what is given and made can be pickled."""

    def __call__(self, work: Callable[..., Made], *given: object) -> Made:
        """What `work` makes of what it is given.

        Raises what `work` raises; of another process DeviceError and Interrupted too: transient.
        """
        ...


def here(work: Callable[..., Made], *given: object) -> Made:
    """In the thread that asks."""
    return work(*given)


class Level(Enum):
    """How loud an event is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Telemetry(Protocol):
    """Counts and logs, without ever naming a patient."""

    def event(
        self,
        message: str,
        *,
        level: Level = Level.INFO,
        error: BaseException | None = None,
        **fields: Field,
    ) -> None:
        """One thing that happened: a constant lower-case message and a closed set of keys."""
        ...


class ObjectStore(Protocol):
    """Write-once bytes named by their SHA-256, durable when `put` returns."""

    def put(self, content: bytes) -> str: ...

    def get(self, digest: str) -> bytes: ...


class Transaction(Protocol):
    """Rows and the work they cause, committed together."""

    @property
    def jobs(self) -> Jobs: ...

    @property
    def outbox(self) -> Outbox: ...

    @property
    def commitments(self) -> Commitments: ...

    @property
    def messages(self) -> Messages: ...

    @property
    def orders(self) -> OrderBook: ...

    @property
    def patients(self) -> PatientIndex: ...

    @property
    def refused(self) -> RefusedCallers: ...

    @property
    def users(self) -> Users: ...

    @property
    def sessions(self) -> SessionBook: ...

    @property
    def audit(self) -> AuditTrail: ...

    @property
    def relay(self) -> Relay: ...

    @property
    def hosts(self) -> Hosts: ...

    def enqueue_job(
        self, job_id: int, *, run: int, priority: Priority, due_at: datetime | None = None
    ) -> None:
        """Have the job processed when it is its turn, once this is committed, or later."""
        ...

    def enqueue_delivery(
        self,
        delivery_id: int,
        *,
        run: int,
        destination: str,
        kind: DestinationKind,
        priority: Priority | None = None,
    ) -> None:
        """Have it attempted once this transaction is committed, by the priority of its job where
        none is given."""
        ...

    def wake_delivery(self, delivery_id: int) -> None:
        """Have a delivery that is backing off attempted now."""
        ...

    def enqueue_commitment(
        self, commitment_id: int, *, run: int, destination: str, due_at: datetime | None = None
    ) -> None:
        """Have the request looked after once this is committed, or later."""
        ...

    def wake_commitment(self, commitment_id: int) -> None:
        """Have a request that is backing off made now."""
        ...


class UnitOfWork(Protocol):
    """Opens transactions."""

    def begin(self) -> AbstractContextManager[Transaction]:
        """Committed and durable when the block has ended without error. Raises StorageError."""
        ...

    def look(self) -> AbstractContextManager[Transaction]:
        """To read: nobody waits for it, and what is written is forgotten. Raises StorageError."""
        ...

    def together(self, enter: Callable[[Transaction], Made]) -> Made:
        """What `enter` gives, committed and durable, in one transaction with others that wait.

        `enter` may be called twice, in another thread. Raises what it raises, StorageError.
        """
        ...


class Sender(Protocol):
    """Carries one result to one destination; returns when the destination has acknowledged it."""

    def send(self, content: bytes) -> object:
        """Raises DeliveryError, whose kind says what to do next."""
        ...


class Orders(Protocol):
    """Who knows which orders there are."""

    def find(self, study: Study) -> Sequence[ScheduledOrder]:
        """Those that the ECG of this study may answer. Raises DeliveryError."""
        ...


class CommitmentRequester(Protocol):
    """Asks one destination to commit itself to what it stored."""

    def asked(
        self, transaction_uid: str, instances: Sequence[tuple[str, str]]
    ) -> AbstractContextManager[None]:
        """The block runs once the destination has taken the request; its report may come in it.

        instances: (SOP class UID, SOP Instance UID).
        Raises DeliveryError, whose kind says what to do next.
        """
        ...
