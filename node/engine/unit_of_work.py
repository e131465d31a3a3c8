"""Rows and the work they cause, in one transaction of one database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer, EnqueueOptions

from node.domain.delivery import DestinationKind, Priority
from node.domain.errors import Overtaken
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
from node.store.users import Users

APPLICATION_VERSION = "flow-1"
"""Pinned: DBOS would take another version's queued work for foreign and leave it lying."""

PROCESS_QUEUE = "process"
DELIVERY_QUEUES = {
    DestinationKind.DICOM: "deliver-dicom",
    DestinationKind.DICOMWEB: "deliver-dicomweb",
    DestinationKind.HL7: "deliver-hl7",
    # A queue of its own would be polled for nothing where there is no such server.
    DestinationKind.FHIR: "deliver-hl7",
}
"""Each destination is a partition of its queue."""
COMMIT_QUEUE = "commit"
PROCESS_WORKFLOW = "process-job"
DELIVER_WORKFLOW = "deliver"
COMMIT_WORKFLOW = "commit"
WAKE_TOPIC = "wake"

_EACH_PRIORITY = 2**29
"""Places in a queue for the ids of each priority; all three stay below DBOS's limit of 2**31 - 1.
At 10,000 deliveries a day they last for 147 years."""

Made = TypeVar("Made")

SERIALIZER = DBOSPortableJSONSerializer()
"""JSON, not pickle: arguments are row ids, and nobody runs code through the database."""


def job_workflow_id(job_id: int, run: int) -> str:
    return f"job:{job_id}:{run}"


def delivery_workflow_id(delivery_id: int, run: int) -> str:
    return f"delivery:{delivery_id}:{run}"


def commitment_workflow_id(commitment_id: int, run: int) -> str:
    return f"commitment:{commitment_id}:{run}"


def place(priority: Priority, row_id: int) -> int:
    """Where in its queue: smaller is sooner. Order within one second is random without it."""
    return list(Priority).index(priority) * _EACH_PRIORITY + row_id


class EngineTransaction:
    """`ports.Transaction` over one connection."""

    def __init__(self, connection: sa.Connection, client: DBOSClient) -> None:
        self._connection = connection
        self._client = client
        self.has_new_jobs = False
        self.jobs = Jobs(connection)
        self.outbox = Outbox(connection)
        self.commitments = Commitments(connection)
        self.messages = Messages(connection)
        self.orders = OrderBook(connection)
        self.patients = PatientIndex(connection)
        self.refused = RefusedCallers(connection)
        self.users = Users(connection)
        self.hosts = Hosts(connection)

    def announce_job(self) -> None:
        self.has_new_jobs = True

    def enqueue_job(
        self, job_id: int, *, run: int, priority: Priority, delay_s: float = 0.0
    ) -> None:
        options: EnqueueOptions = {
            "queue_name": PROCESS_QUEUE,
            "workflow_name": PROCESS_WORKFLOW,
            "workflow_id": job_workflow_id(job_id, run),
            "app_version": APPLICATION_VERSION,
            "priority": place(priority, job_id),
        }
        if delay_s > 0:
            options["delay_seconds"] = delay_s
        self._client.enqueue_in_transaction(self._connection, options, job_id)

    def enqueue_delivery(
        self, delivery_id: int, *, run: int, destination: str, kind: DestinationKind
    ) -> None:
        options: EnqueueOptions = {
            "queue_name": DELIVERY_QUEUES[kind],
            "workflow_name": DELIVER_WORKFLOW,
            "workflow_id": delivery_workflow_id(delivery_id, run),
            "app_version": APPLICATION_VERSION,
            "queue_partition_key": destination,
            "priority": place(self.outbox.priority_of(delivery_id), delivery_id),
        }
        self._client.enqueue_in_transaction(self._connection, options, delivery_id)

    def wake_delivery(self, delivery_id: int, *, run: int) -> None:
        self._client.send_in_transaction(
            self._connection, delivery_workflow_id(delivery_id, run), 1, WAKE_TOPIC
        )

    def enqueue_commitment(
        self, commitment_id: int, *, run: int, destination: str, delay_s: float = 0.0
    ) -> None:
        options: EnqueueOptions = {
            "queue_name": COMMIT_QUEUE,
            "workflow_name": COMMIT_WORKFLOW,
            "workflow_id": commitment_workflow_id(commitment_id, run),
            "app_version": APPLICATION_VERSION,
            "queue_partition_key": destination,
            "priority": commitment_id,
        }
        if delay_s > 0:
            options["delay_seconds"] = delay_s
        self._client.enqueue_in_transaction(self._connection, options, commitment_id)

    def wake_commitment(self, commitment_id: int, *, run: int) -> None:
        self._client.send_in_transaction(
            self._connection, commitment_workflow_id(commitment_id, run), 1, WAKE_TOPIC
        )


class EngineUnitOfWork:
    """`ports.UnitOfWork` over the store's database, whose tables stand beside the engine's."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.announced = threading.Event()
        """Set when a job was received here."""
        self.client = DBOSClient(
            system_database_engine=database.engine, serializer=SERIALIZER, lazy=True
        )
        self._together = GroupCommit(self.begin)

    def prepare(self) -> None:
        """Make the engine's tables, or upgrade them, whichever role comes first."""
        DBOS.migrate(self.database.engine.url.render_as_string(hide_password=False))

    @contextmanager
    def begin(self) -> Iterator[EngineTransaction]:
        with self.database.write() as connection:
            transaction = EngineTransaction(connection, self.client)
            yield transaction
        if transaction.has_new_jobs:
            self.announced.set()

    def together(self, enter: Callable[[EngineTransaction], Made]) -> Made:
        try:
            return self._together(enter)
        except Overtaken:  # what another host has committed is seen now
            return self._together(enter)

    def close(self) -> None:
        self.client.destroy()
