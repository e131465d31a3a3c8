"""Builds a node from its settings, starts its parts in order and stops them in reverse."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from node.configured import (
    build_credentials,
    build_identity_policy,
    build_order_policy,
    build_peers,
    build_routing,
    build_scu,
    build_sender,
    build_worklist,
    open_database,
    open_spool,
    tls_of,
)
from node.dicom.commitment import CommitmentScu
from node.dicom.commitment_service import CommitmentService
from node.dicom.part10 import MAX_INFLATED_BYTES
from node.dicom.scp import ListenerLimits, StorageScp
from node.dicom.stow_service import StowService
from node.dicom.template import load_templates
from node.domain.errors import CardioNodeError, ConfigurationError
from node.engine.certificate_watch import CertificateWatch
from node.engine.runner import Runner
from node.engine.unit_of_work import EngineUnitOfWork
from node.hl7.listener import MllpListener
from node.hl7.sender import Hl7Sender
from node.logs import Journal, set_up_logging
from node.metrics import Gauge, Metrics
from node.models import available_cores, load_models
from node.settings import MESSAGE_DESTINATIONS, DicomDestinationSettings, Settings
from node.side_processes import SideProcesses
from node.store.outbox import Outbox
from node.store.received import Jobs
from node.web.bearer import BearerTokens
from node.web.server import WebServer
from node.web.stow import StowEndpoint, StowLimits
from node.workflow.commit import Committing
from node.workflow.commitment_report import CommitmentPolicy, CommitmentReports
from node.workflow.deliver import Postman
from node.workflow.inbox import Inbox
from node.workflow.intake import Intake
from node.workflow.ports import Level, Sender, here
from node.workflow.process import Processing
from node.workflow.refused import RefusalBook
from node.workflow.registry import Registry
from node.workflow.retry import RetryPolicy
from pipelines.catalog import Served


def utc_now() -> datetime:
    """The node's clock."""
    return datetime.now(UTC)


class Node:
    """One running node."""

    def __init__(self, settings: Settings, home: Path) -> None:
        """Build all parts; nothing listens yet. Raises CardioNodeError when one cannot be built."""
        self._settings = settings
        self._metrics = Metrics()
        logger = set_up_logging(form=settings.log.form, level=settings.log.level)
        self.journal = Journal(logger, self._metrics)
        self._warn = partial(self.journal.event, level=Level.WARNING)
        self._lock = _lock_home(home)
        self._credentials = build_credentials(settings)
        self._templates = load_templates()
        self._models = load_models(settings.model, self._templates, self._report_runtime)
        for served in self._models.served.values():
            self._report_choice(served)
        self._spool = open_spool(settings, home)
        self._database = open_database(settings, home)
        if (found := self._database.prepare()) is not None:
            self.journal.event("database upgraded", schema=found)
        self._work = EngineUnitOfWork(self._database)
        self._senders = {
            name: build_sender(settings, name, self._credentials, self.journal.event)
            for name in settings.destinations
        }
        self._routing = build_routing(settings)
        self._intake = Intake(
            spool=self._spool,
            work=self._work,
            telemetry=self.journal,
            clock=utc_now,
            maximum_bytes=min(settings.dicom.maximum_instance_mb * 1_000_000, MAX_INFLATED_BYTES),
            routing=self._routing,
        )
        self._registry = Registry(
            spool=self._spool,
            work=self._work,
            corrects_late=settings.orders.late == "correct",
        )
        self._inbox = Inbox(
            registry=self._registry,
            spool=self._spool,
            work=self._work,
            telemetry=self.journal,
            clock=utc_now,
            processing_ids=frozenset(settings.hl7.processing_ids),
            unmarked_charset=settings.hl7.unmarked_charset,
        )
        self._refused = RefusalBook(work=self._work, telemetry=self.journal, clock=utc_now)
        at_once = settings.model.at_once
        self._side = SideProcesses(min(at_once, available_cores())) if at_once > 1 else None
        self._retries = {
            name: RetryPolicy(
                initial_s=each.retry_initial_s,
                maximum_s=each.retry_maximum_s,
                give_up_after_s=each.give_up_after_s,
                maximum_refusals=(
                    each.maximum_refusals if isinstance(each, MESSAGE_DESTINATIONS) else None
                ),
            )
            for name, each in settings.destinations.items()
        }
        self._committing, self._commitment_service = self._build_committing()
        self._runner = self._build_runner()
        self._scp = self._build_scp()
        self._listener = self._build_listener()
        self._web = WebServer(
            host=settings.web.host,
            port=settings.web.port,
            health=self._health,
            readiness=self._readiness,
            metrics=self._metrics.exposition,
            stow=self._build_stow(),
        )
        self._metrics.watch(self._gauges)
        self._started: list[tuple[str, Callable[[], None]]] = []
        self.ports: dict[str, int] = {}

    def start(self) -> None:
        """Start from the inside out: work first, then what brings work. Raises CardioNodeError."""
        try:
            if self._credentials is not None:
                watch = CertificateWatch(
                    credentials=self._credentials, telemetry=self.journal, clock=utc_now
                )
                self._start("certificates", watch.start, watch.stop)
            if self._side is not None:
                self._start("side processes", self._side.start, self._side.stop)
            self._start("engine", self._runner.start, self._runner.stop)
            self._start("refused callers", self._refused.start, self._refused.stop)
            self._start("dicom", self._scp.start, self._scp.stop)
            self._start("hl7", self._listener.start, self._listener.stop)
            self.ports["web"] = self._web.start()
            self._started.append(("web", self._web.stop))
        except CardioNodeError:
            self.stop()
            raise
        for name, port in (
            ("dicom", self._scp.port),
            ("dicom-tls", self._scp.tls_port),
            ("hl7", self._listener.port),
            ("hl7-tls", self._listener.tls_port),
        ):
            if port is not None:
                self.ports[name] = port
        self.journal.event(
            "node ready",
            address=" ".join(f"{name}:{port}" for name, port in sorted(self.ports.items())),
        )

    def stop(self) -> None:
        """Stop taking work, then stop working; what is unfinished goes on at the next start."""
        while self._started:
            _, stop = self._started.pop()
            stop()
        for sender in self._senders.values():
            if isinstance(sender, Hl7Sender):
                sender.close()
        self._work.close()
        self._database.close()
        self.journal.event("node stopped")
        os.close(self._lock)

    def _start(self, name: str, start: Callable[[], None], stop: Callable[[], None]) -> None:
        start()
        self._started.append((name, stop))

    def _build_runner(self) -> Runner:
        settings = self._settings
        senders: dict[str, Sender] = dict(self._senders)
        return Runner(
            database=self._database,
            work=self._work,
            spool=self._spool,
            processing=Processing(
                spool=self._spool,
                work=self._work,
                pipeline_for=self._models.pipeline_for,
                templates=self._templates,
                routing=self._routing,
                identity=build_identity_policy(settings),
                registry=self._registry,
                orders=build_worklist(settings, self._credentials),
                order_policy=build_order_policy(settings),
                telemetry=self.journal,
                clock=utc_now,
                run=self._side or here,
            ),
            postman=Postman(
                spool=self._spool,
                work=self._work,
                senders=senders,
                policies=self._retries,
                committing=self._committing,
                telemetry=self.journal,
                clock=utc_now,
            ),
            committing=self._committing,
            telemetry=self.journal,
            clock=utc_now,
            executor_id="node",
            processing_at_once=settings.model.at_once,
            finished_days=settings.storage.finished_days,
        )

    def _build_committing(self) -> tuple[Committing, CommitmentService]:
        """What asks for commitment, and what takes its reports on any association."""
        wanted = {
            name: each
            for name, each in self._settings.destinations.items()
            if isinstance(each, DicomDestinationSettings) and each.commitment
        }
        policies = {
            name: CommitmentPolicy(wait_s=each.commitment_wait_s, requests=each.commitment_requests)
            for name, each in wanted.items()
        }
        after = self._settings.after_committed
        reports = CommitmentReports(
            work=self._work,
            policies=policies,
            after=after,
            telemetry=self.journal,
            clock=utc_now,
        )
        service = CommitmentService(take=reports.take, report=self._warn)
        committing = Committing(
            work=self._work,
            requesters={
                name: CommitmentScu(build_scu(self._settings, each, self._credentials), service)
                for name, each in wanted.items()
            },
            policies=policies,
            retries=self._retries,
            after=after,
            telemetry=self.journal,
            clock=utc_now,
        )
        return committing, service

    def _build_scp(self) -> StorageScp:
        dicom = self._settings.dicom
        return StorageScp(
            ae_titles=dicom.ae_titles,
            host=dicom.host,
            port=dicom.port,
            peers=build_peers(self._settings),
            limits=ListenerLimits(
                maximum_associations=dicom.maximum_associations,
                maximum_pdu_bytes=dicom.maximum_pdu_bytes,
                acse_timeout_s=dicom.acse_timeout_s,
                dimse_timeout_s=dicom.dimse_timeout_s,
                network_timeout_s=dicom.network_timeout_s,
                maximum_instance_bytes=dicom.maximum_instance_mb * 1_000_000,
            ),
            accept=self._intake.accept,
            commitment=self._commitment_service,
            report=self.journal.event,
            warn=self._warn,
            note=self._refused.note,
            tls_port=dicom.tls_port,
            tls=self._credentials.server if self._credentials is not None else None,
        )

    def _build_listener(self) -> MllpListener:
        hl7 = self._settings.hl7
        return MllpListener(
            hl7.host,
            hl7.port,
            self._inbox.answer,
            limit_bytes=hl7.maximum_message_bytes,
            idle_timeout_s=hl7.idle_timeout_s,
            maximum_connections=hl7.maximum_connections,
            on_event=self._report_warning,
            tls_port=hl7.tls_port,
            tls=tls_of(self._credentials.server) if self._credentials is not None else None,
            networks=hl7.networks,
        )

    def _build_stow(self) -> StowEndpoint | None:
        """Where STOW-RS is taken, of a node that does. Raises ConfigurationError."""
        stow, dicom = self._settings.web.stow, self._settings.dicom
        if not stow.enabled or stow.tokens is None:
            return None
        return StowEndpoint(
            service=StowService(
                accept=self._intake.accept,
                maximum_bytes=self._intake.maximum_bytes,
                report=self._warn,
            ),
            called_ae=dicom.ae_titles[0],
            tokens=BearerTokens(stow.tokens),
            limits=StowLimits(
                maximum_request_bytes=stow.maximum_request_mb * 1_000_000,
                maximum_instance_bytes=dicom.maximum_instance_mb * 1_000_000,
                maximum_parts=stow.maximum_parts,
                maximum_requests=stow.maximum_requests,
                timeout_s=stow.timeout_s,
            ),
            report=self._warn,
        )

    def _report_choice(self, served: Served) -> None:
        identity = served.pipeline.identity
        self.journal.event(
            "bundle loaded",
            level=Level.WARNING if served.fell_back else Level.INFO,
            bundle=identity.label,
            runtime=identity.how,
            reason=served.reason or "as configured",
        )

    def _report_runtime(self, reason: str) -> None:
        self.journal.event("runtime replaced", level=Level.ERROR, reason=reason)

    def _report_warning(self, message: str, fields: dict[str, object]) -> None:
        shown: dict[str, Any] = {
            key: value for key, value in fields.items() if isinstance(value, str | int)
        }
        self.journal.event(message, level=Level.WARNING, **shown)

    def _health(self) -> Sequence[str]:
        try:
            with self._database.read() as connection:
                Jobs(connection).count_by_state()
        except CardioNodeError as error:
            return [error.message]
        return []

    def _readiness(self) -> Sequence[str]:
        problems = list(self._health())
        running = {name for name, _ in self._started}
        if not running >= {"engine", "dicom", "hl7", "web"}:
            problems.append("the node is starting or stopping")
        if not self._spool.has_room():
            problems.append("the disk of the spool is nearly full: new instances are refused")
        return problems

    def _gauges(self) -> Iterable[Gauge]:
        with self._database.read() as connection:
            jobs = Jobs(connection).count_by_state()
            deliveries = Outbox(connection).count_by_destination()
        for state, count in jobs.items():
            yield "cardionode_jobs", "Jobs by state", {"state": state.value}, count
        for (name, delivery_state), count in deliveries.items():
            labels = {"destination": name, "state": delivery_state.value}
            yield "cardionode_deliveries", "Deliveries by destination and state", labels, count
        for expiry in self._credentials.expiries if self._credentials is not None else ():
            labels, days = {"path": str(expiry.file)}, expiry.days_left(utc_now())
            yield "cardionode_certificate_days_left", "Days until it expires", labels, days
        free = float(self._spool.free_bytes())
        yield "cardionode_spool_free_bytes", "Free disk where the spool lies", {}, free


def _lock_home(home: Path) -> int:
    """Make the home folder and hold it: two nodes in one home would do each other's work."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"cannot use the home folder {home}: {error.strerror}; choose another with --home"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ConfigurationError(
            f"another node runs in {home}; stop it, or choose another folder with --home"
        ) from error
    return descriptor
