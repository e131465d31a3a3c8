"""The durable engine (DBOS) under the story: two tiny workflows, change belongs into their steps.

One DBOS lives in a process, so one Runner does.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

from dbos import DBOS, DBOSConfig

from node.domain.delivery import DestinationKind
from node.domain.errors import CardioNodeError, Interrupted
from node.domain.host import HostRole
from node.engine.cluster import Cluster
from node.engine.hand_over import HandOver
from node.engine.in_hand import InHand
from node.engine.pace import IDLE_S, Pace
from node.engine.redrive import redrive
from node.engine.retention import forget_messages, remove_finished
from node.engine.unit_of_work import (
    APPLICATION_VERSION,
    COMMIT_QUEUE,
    COMMIT_WORKFLOW,
    DELIVER_WORKFLOW,
    DELIVERY_QUEUES,
    PROCESS_QUEUE,
    PROCESS_WORKFLOW,
    SERIALIZER,
    WAKE_TOPIC,
    EngineUnitOfWork,
)
from node.store.database import Database
from node.store.spool import Spool
from node.workflow.commit import Committing
from node.workflow.deliver import Postman
from node.workflow.ports import Clock, Level, Telemetry
from node.workflow.process import Processing
from node.workflow.retry import RetryPolicy

DICOM_DELIVERIES_AT_ONCE = 4
"""Instances need no order among themselves, so associations (and requests of
DICOMweb) run side by side."""
HL7_DELIVERIES_AT_ONCE = 1
"""One message in flight keeps their order, and no FHIR transaction, which has the
same queue, overtakes what it corrects."""
COMMITMENTS_AT_ONCE = 2
"""Associations that ask for commitment. A report that is awaited holds none."""
SEND_QUEUES = {
    DELIVERY_QUEUES[DestinationKind.DICOM]: DICOM_DELIVERIES_AT_ONCE,
    DELIVERY_QUEUES[DestinationKind.DICOMWEB]: DICOM_DELIVERIES_AT_ONCE,
    DELIVERY_QUEUES[DestinationKind.HL7]: HL7_DELIVERIES_AT_ONCE,
    COMMIT_QUEUE: COMMITMENTS_AT_ONCE,
}
"""With how much at once for each destination, by all hosts together."""
TIDY_EVERY_S = 3600.0
MEND_EVERY_S = 5.0
PACE_EVERY_S = 0.5

_STORAGE_RETRY = RetryPolicy(initial_s=1.0, maximum_s=60.0)


@dataclass(kw_only=True)
class Runner:
    """Claims work that is due and has the story do it, across crashes and restarts."""

    database: Database
    work: EngineUnitOfWork
    spool: Spool
    cluster: Cluster
    roles: frozenset[HostRole]
    """What of the work is done here."""
    processing: Processing | None
    """None without the role that makes results."""
    postman: Postman
    committing: Committing
    telemetry: Telemetry
    clock: Clock
    processing_at_once: int
    finished_days: int
    message_days: int
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)
    _inferring: Pace = field(default_factory=Pace, init=False)
    _sending: Pace = field(default_factory=Pace, init=False)
    _in_hand: InHand = field(default_factory=InHand, init=False)
    _hand_over: HandOver | None = field(init=False)

    def __post_init__(self) -> None:
        self._hand_over = (
            HandOver(self.database, self.work, self.telemetry)
            if HostRole.INFER in self.roles
            else None
        )

    def start(self) -> None:
        """Take up new work. The engine's tables are there, and this host is in the cluster."""
        logging.getLogger("dbos").setLevel(logging.WARNING)
        config: DBOSConfig = {
            "name": "cardionode",
            "system_database_engine": self.database.engine,
            "application_version": APPLICATION_VERSION,
            "executor_id": self.cluster.executor_id,
            "serializer": SERIALIZER,
            "log_level": "WARNING",
        }
        DBOS(config=config)
        self._register()
        infers, sends = HostRole.INFER in self.roles, HostRole.SEND in self.roles
        DBOS.listen_queues([*([PROCESS_QUEUE] if infers else []), *(SEND_QUEUES if sends else [])])
        DBOS.launch()
        # Limits are rows, the same for all hosts: those of another role do not write them.
        if infers:
            queue = DBOS.register_queue(
                PROCESS_QUEUE,
                worker_concurrency=self.processing_at_once,
                polling_interval_sec=IDLE_S,
            )
            self._inferring.queues.append(queue)
        for name, limit in SEND_QUEUES.items() if sends else ():
            queue = DBOS.register_queue(
                name, partition_concurrency=limit, polling_interval_sec=IDLE_S
            )
            self._sending.queues.append(queue)
        self.committing.recheck()
        if self._hand_over is not None:
            self._hand_over.start()
        threading.Thread(target=self._pace_on, name="pace", daemon=True).start()
        threading.Thread(target=self._mend_on, name="mend", daemon=True).start()
        threading.Thread(target=self._tidy_hourly, name="tidy", daemon=True).start()

    def stop(self) -> None:
        """Stop claiming work; what is unfinished is taken up at the next start."""
        self._stopping.set()
        if self._hand_over is not None:
            self._hand_over.stop()
        DBOS.destroy(workflow_completion_timeout_sec=0, destroy_registry=True)
        # A workflow that waited wakes, finds the engine gone and would tell of it with a traceback;
        # nothing is lost: it goes on at the next start.
        logging.getLogger("dbos").setLevel(logging.CRITICAL)

    def _pace_on(self) -> None:
        while not self._stopping.wait(PACE_EVERY_S):
            try:
                self._inferring.adjust()
                self._sending.adjust()
            except Exception as error:
                if not self._stopping.is_set():
                    self.telemetry.event("pace not set", level=Level.WARNING, error=error)

    def _register(self) -> None:
        @DBOS.step(name="process")
        def process_step(job_id: int) -> bool:
            return self._process(job_id)

        @DBOS.step(name="attempt")
        def attempt_step(delivery_id: int) -> float | None:
            return self._attempt(delivery_id)

        @DBOS.step(name="commit")
        def commit_step(commitment_id: int) -> float | None:
            return self._commit(commitment_id)

        @DBOS.workflow(name=PROCESS_WORKFLOW)
        def process_job(job_id: int) -> None:
            tries = 0
            with self._in_hand.executing(_own_id()):
                while process_step(job_id):
                    tries += 1
                    DBOS.recv(WAKE_TOPIC, timeout_seconds=_STORAGE_RETRY.wait_s(tries, 0.0))

        @DBOS.workflow(name=DELIVER_WORKFLOW)
        def deliver(delivery_id: int) -> None:
            with self._in_hand.executing(_own_id()):
                while (wait_s := attempt_step(delivery_id)) is not None:
                    DBOS.recv(WAKE_TOPIC, timeout_seconds=wait_s)

        @DBOS.workflow(name=COMMIT_WORKFLOW)
        def commit(commitment_id: int) -> None:
            with self._in_hand.executing(_own_id()):
                while (wait_s := commit_step(commitment_id)) is not None:
                    DBOS.recv(WAKE_TOPIC, timeout_seconds=wait_s)

    def _process(self, job_id: int) -> bool:
        """Whether the job is worth another try later."""
        if self.processing is None:
            raise AssertionError("a host that does not infer listens to no queue of jobs")
        try:
            self.processing.process(job_id, self._unless_stopping)
            self._inferring.moved()
        except CardioNodeError as error:
            self.telemetry.event(
                "job put off",
                level=Level.WARNING,
                job_id=job_id,
                error_code=error.code,
                reason=error.message,
            )
            return True
        except Exception as error:
            self.telemetry.event(
                "job ended by a fault of the node", level=Level.ERROR, error=error, job_id=job_id
            )
            self.processing.fail(job_id, "internal", _FAULT)
        return False

    def _unless_stopping(self, share: float) -> None:
        """Ends a long prediction where the node is stopped: it is made anew at the next start."""
        if self._stopping.is_set():
            raise Interrupted("the node is being stopped; the job goes on at the next start")

    def _attempt(self, delivery_id: int) -> float | None:
        """Seconds until the delivery is due again, None when it is settled."""
        try:
            again_s = self.postman.attempt(delivery_id)
            if again_s is None:
                self._sending.moved()
            return again_s
        except CardioNodeError as error:
            self.telemetry.event(
                "delivery put off",
                level=Level.WARNING,
                delivery_id=delivery_id,
                error_code=error.code,
                reason=error.message,
            )
            return _STORAGE_RETRY.maximum_s
        except Exception as error:
            self.telemetry.event(
                "delivery ended by a fault of the node",
                level=Level.ERROR,
                error=error,
                delivery_id=delivery_id,
            )
            self.postman.park(delivery_id, "internal", _FAULT)
            return None

    def _commit(self, commitment_id: int) -> float | None:
        """Seconds until the request for commitment is to be made again, None when it need not."""
        try:
            return self.committing.attempt(commitment_id)
        except CardioNodeError as error:
            self.telemetry.event(
                "commitment put off",
                level=Level.WARNING,
                commitment_id=commitment_id,
                error_code=error.code,
                reason=error.message,
            )
            return _STORAGE_RETRY.maximum_s
        except Exception as error:
            self.telemetry.event(
                "commitment ended by a fault of the node",
                level=Level.ERROR,
                error=error,
                commitment_id=commitment_id,
            )
            self.committing.park(commitment_id, "internal", _FAULT)
            return None

    def _mend_on(self) -> None:
        """What the engine lost of its own while the database was away, it never takes up."""
        while not self._stopping.wait(MEND_EVERY_S):
            try:
                self._mend()
            except Exception as error:
                self.telemetry.event("lost work not looked for", level=Level.ERROR, error=error)

    def _mend(self) -> None:
        begun = self.work.client.list_workflows(
            status="PENDING",
            executor_id=self.cluster.executor_id,
            load_input=False,
            load_output=False,
        )
        lost = self._in_hand.lost({each.workflow_id for each in begun})
        has_failed = self._in_hand.has_failed.is_set()
        if not lost and not has_failed:
            return
        self._in_hand.has_failed.clear()
        try:
            again = redrive(self.work, self.clock, orphaned=lost)
        except BaseException:
            self._in_hand.has_failed.set()  # the next time, then
            raise
        if again:
            self.telemetry.event("lost work taken up", level=Level.WARNING, count=again)

    def _tidy_hourly(self) -> None:
        while not self._stopping.wait(TIDY_EVERY_S):
            try:
                self.committing.recheck()
                self.cluster.take_over()
                removed = remove_finished(
                    self.work, self.spool, now=self.clock(), finished_days=self.finished_days
                )
                self.telemetry.event("finished jobs removed", count=removed)
                forgotten = forget_messages(
                    self.work, self.spool, now=self.clock(), message_days=self.message_days
                )
                self.telemetry.event("old messages forgotten", count=forgotten)
            except Exception as error:
                self.telemetry.event("tidying failed", level=Level.ERROR, error=error)


def _own_id() -> str:
    """Of the workflow that calls."""
    workflow_id = DBOS.workflow_id
    if workflow_id is None:
        raise AssertionError("only workflows ask")
    return workflow_id


_FAULT = "the node met a fault of its own; the log holds the traceback; retry after an update"
