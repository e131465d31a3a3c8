"""The durable engine (DBOS) under the story: it does one turn after the other.

One DBOS lives in a process, so one Runner does.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dbos import DBOS, DBOSConfig, SetWorkflowID

from node.domain.errors import CardioNodeError, Interrupted
from node.domain.host import HostRole
from node.engine.cluster import Cluster
from node.engine.dispatch import Dispatch
from node.engine.retention import (
    Retention,
    forget_entries,
    forget_messages,
    remove_engine_records,
    remove_old_jobs,
)
from node.engine.unit_of_work import APPLICATION_VERSION, SERIALIZER, EngineUnitOfWork
from node.store.database import Database
from node.store.objects import Objects
from node.store.turns import Turn, Work
from node.workflow.commit import Committing
from node.workflow.deliver import Postman
from node.workflow.ports import Clock, Level, Telemetry, always
from node.workflow.process import Processing
from node.workflow.retry import RetryPolicy

WORKFLOW = "turn"
TIDY_EVERY_S = 3600.0

STORAGE_RETRY = RetryPolicy(initial_s=1.0, maximum_s=60.0)


@dataclass(kw_only=True)
class Runner:
    """Has the story do what is due, across crashes and restarts."""

    database: Database
    work: EngineUnitOfWork
    spool: Objects
    cluster: Cluster
    roles: frozenset[HostRole]
    """What of the work is done here."""
    processing: Processing | None
    """None without the role that makes results."""
    postman: Postman
    committing: Committing
    telemetry: Telemetry
    clock: Clock
    is_clock_trusted: Callable[[], bool] = always
    """By no other is anything removed."""
    processing_at_once: int
    retention: Retention
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)
    _dispatch: Dispatch = field(init=False)

    def __post_init__(self) -> None:
        self._dispatch = Dispatch(
            self.work,
            executor_id=self.cluster.executor_id,
            roles=self.roles,
            jobs_at_once=self.processing_at_once,
            begin=self._begin,
            telemetry=self.telemetry,
            clock=self.clock,
        )

    def start(self) -> None:
        """Take up new work. The engine's tables are there, and this host is in the cluster."""
        logging.getLogger("dbos").setLevel(logging.WARNING)
        config: DBOSConfig = {
            "name": "cardionode",
            "system_database_engine": self.database.others_engine,
            "application_version": APPLICATION_VERSION,
            "executor_id": self.cluster.executor_id,
            "serializer": SERIALIZER,
            "log_level": "WARNING",
        }
        DBOS(config=config)
        self._register()
        DBOS.listen_queues([])
        DBOS.launch()
        self.committing.recheck()
        self._dispatch.start()
        threading.Thread(target=self._tidy_hourly, name="tidy", daemon=True).start()

    def stop(self) -> None:
        """Stop taking work; what is unfinished is taken up at the next start."""
        self._stopping.set()
        self._dispatch.stop()
        DBOS.destroy(workflow_completion_timeout_sec=0, destroy_registry=True)
        # What is in hand ends after its engine has, which would tell of that with a traceback.
        logging.getLogger("dbos").setLevel(logging.CRITICAL)

    def _register(self) -> None:
        @DBOS.workflow(name=WORKFLOW)
        def do(work: str, row_id: int, tries: int) -> None:
            put_off_s = STORAGE_RETRY.wait_s(tries + 1, 0.0)
            again_s: float | None = put_off_s
            try:
                again_s = self._do(Work(work), row_id, put_off_s)
            finally:
                self._dispatch.end(Work(work), row_id, again_s)

        self._workflow = do

    def _begin(self, turn: Turn) -> None:
        # Of an id that it knows, DBOS would do nothing: each is new, and the row says who has it.
        name = f"{turn.work}:{turn.row_id}:{turn.run}:{secrets.token_hex(8)}"
        with SetWorkflowID(name):
            DBOS.start_workflow(self._workflow, turn.work.value, turn.row_id, turn.tries)

    def _do(self, work: Work, row_id: int, put_off_s: float) -> float | None:
        """Seconds until it is due again, None when it is done with."""
        about: dict[str, Any] = {f"{work}_id": row_id}
        try:
            if work is Work.DELIVERY:
                return self.postman.attempt(row_id)
            if work is Work.COMMITMENT:
                return self.committing.attempt(row_id)
            if self.processing is None:
                raise AssertionError("a host that does not infer takes no jobs")
            self.processing.process(row_id, self._unless_stopping)
            return None
        except CardioNodeError as error:
            self.telemetry.event(
                f"{work} put off",
                level=Level.WARNING,
                error_code=error.code,
                reason=error.message,
                **about,
            )
            return put_off_s
        except Exception as error:
            self.telemetry.event(
                f"{work} ended by a fault of the node", level=Level.ERROR, error=error, **about
            )
            self._give_up(work, row_id)
            return None

    def _unless_stopping(self, share: float) -> None:
        """Ends a long prediction where the node is stopped: it is made anew at the next start."""
        if self._stopping.is_set():
            raise Interrupted(_STOPPING)

    def _give_up(self, work: Work, row_id: int) -> None:
        """For a person to see."""
        if work is Work.DELIVERY:
            self.postman.park(row_id, "internal", _FAULT)
        elif work is Work.COMMITMENT:
            self.committing.park(row_id, "internal", _FAULT)
        elif self.processing is not None:
            self.processing.fail(row_id, "internal", _FAULT)

    def _tidy_hourly(self) -> None:
        while not self._stopping.wait(TIDY_EVERY_S):
            try:
                self.committing.recheck()
                self.cluster.take_over()
                if not self.is_clock_trusted():
                    self.telemetry.event("nothing removed", level=Level.WARNING, reason=_DOUBTED)
                    continue
                kept = self.retention
                removed = remove_old_jobs(
                    self.work,
                    self.spool,
                    now=self.clock(),
                    finished_days=kept.finished_days,
                    failed_days=kept.failed_days,
                )
                self.telemetry.event("old jobs removed", count=removed)
                forgotten = forget_messages(
                    self.work, self.spool, now=self.clock(), message_days=kept.message_days
                )
                self.telemetry.event("old messages forgotten", count=forgotten)
                forgotten = forget_entries(
                    self.work,
                    now=self.clock(),
                    audit_days=kept.audit_days,
                    is_audit_told=kept.is_audit_told,
                )
                self.telemetry.event("old audit entries forgotten", count=forgotten)
                remove_engine_records(self.work, now=self.clock())
            except Exception as error:
                self.telemetry.event("tidying failed", level=Level.ERROR, error=error)


_DOUBTED = (
    "the clock was set by an hour or more while the node ran; start the node again when it is right"
)
_STOPPING = "the node is being stopped; the job goes on at the next start"
_FAULT = "the node met a fault of its own; the log holds the traceback; retry after an update"
