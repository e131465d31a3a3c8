"""Builds a node from its settings, starts its parts in order and stops them in reverse."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from node.admission import Admission
from node.configured import (
    build_credentials,
    build_identity_policy,
    build_inbox,
    build_order_policy,
    build_provider,
    build_registry,
    build_routing,
    build_scu,
    build_sender,
    build_worklist,
    need_traces,
)
from node.configured_rehearsal import plan_for
from node.configured_store import open_database, open_objects
from node.configured_trial import describe_caller, describe_destination, try_destination
from node.cores import available_cores
from node.dicom.commitment import CommitmentScu
from node.dicom.commitment_service import CommitmentService
from node.dicom.template import load_templates
from node.domain.errors import CardioNodeError
from node.domain.host import ALL_ROLES, HostRole
from node.engine.certificate_watch import CertificateWatch
from node.engine.clock_watch import ClockWatch
from node.engine.cluster import Cluster
from node.engine.niceness import step_back
from node.engine.retention import Retention
from node.engine.runner import STORAGE_RETRY, Runner
from node.engine.unit_of_work import EngineUnitOfWork
from node.hl7.sender import Hl7Sender
from node.home import hold_home
from node.logs import Journal, set_up_logging
from node.metrics import Gauge, Metrics
from node.models import (
    Models,
    Proved,
    find_bundle,
    load_models,
    prove_models,
)
from node.receiving import Receiving
from node.renewal import Renewal
from node.settings import (
    MESSAGE_DESTINATIONS,
    DicomDestinationSettings,
    Settings,
    read_settings,
)
from node.side_processes import SideProcesses
from node.store.outbox import Outbox
from node.store.received import Jobs
from node.telling import Telling
from node.web.console.connections import WHERE, Endpoint
from node.web.console.console import Console
from node.web.console.model import ShownModel
from node.web.server import WebServer
from node.workflow.commit import Committing
from node.workflow.commitment_report import CommitmentPolicy, CommitmentReports
from node.workflow.deliver import Postman
from node.workflow.ports import Level, Sender, here
from node.workflow.process import Processing
from node.workflow.retry import RetryPolicy
from pipelines.bundle import MODEL_CARD
from pipelines.catalog import Served

if TYPE_CHECKING:
    from node.traces import Traces


def utc_now() -> datetime:
    """The node's clock."""
    return datetime.now(UTC)


class Node:
    """One running process of a node: all of it, or the part that its roles are."""

    def __init__(
        self,
        settings: Settings,
        home: Path,
        roles: frozenset[HostRole] = ALL_ROLES,
        *,
        renewal: Renewal | None = None,
    ) -> None:
        """Build all parts; nothing listens yet. Raises CardioNodeError when one cannot be built.

        renewal: has the file whose settings these are, for the console to change, and how they are
        taken up then; None where neither can be.
        """
        self._renewal = renewal
        self._file = renewal.file if renewal is not None else None
        self._settings = settings
        self._roles = roles
        self._metrics = Metrics()
        logger = set_up_logging(form=settings.log.form, level=settings.log.level)
        self.journal = Journal(logger, self._metrics)
        self._locks = hold_home(home, roles)
        self._credentials = build_credentials(settings)
        self._templates = load_templates()
        self._routing = build_routing(settings)
        self._models = self._load_models() if HostRole.INFER in roles else None
        self._spool = open_objects(settings, home)
        self._traces = self._build_traces()
        self._database = open_database(settings, home)
        if (found := self._database.prepare()) is not None:
            self.journal.event("database upgraded", schema=found)
        self._work = EngineUnitOfWork(self._database)
        self._work.prepare()
        self._cluster = Cluster(
            self._work,
            home=home,
            store=self._spool.identity,
            roles=roles,
            configuration=renewal.started_by if renewal is not None else "",
            telemetry=self.journal,
            clock=utc_now,
        )
        self._registry = build_registry(settings, spool=self._spool, work=self._work)
        self._inbox = build_inbox(settings, self._registry, self.journal, utc_now)
        at_once = settings.model.at_once if self._models is not None else 1
        self._side = SideProcesses(min(at_once, available_cores())) if at_once > 1 else None
        self._senders = {
            name: build_sender(settings, name, self._credentials, self.journal.event)
            for name in (settings.destinations if HostRole.SEND in roles else ())
        }
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
        self._clock_watch = ClockWatch(
            work=self._work,
            longest_s=max(each.maximum_s for each in (STORAGE_RETRY, *self._retries.values())),
            telemetry=self.journal,
            clock=utc_now,
        )
        self._telling = Telling(
            settings,
            executor_id=self._cluster.executor_id,
            problems=self._readiness,
            is_clock_trusted=lambda: self._clock_watch.is_trusted,
            work=self._work,
            spool=self._spool,
            credentials=self._credentials,
            journal=self.journal,
            clock=utc_now,
        )
        self._committing, commitment = self._build_committing()
        self._receiving = self._build_receiving(commitment) if HostRole.RECEIVE in roles else None
        works = roles & {HostRole.INFER, HostRole.SEND}
        self._runner = self._build_runner() if works else None
        has_console = settings.web.console.enabled and HostRole.WEB in roles
        console = self._build_console() if has_console else None
        self._web = WebServer(
            host=settings.web.host,
            port=settings.web.port,
            health=self._health,
            readiness=self._readiness,
            metrics=self._metrics.exposition,
            stow=self._receiving.stow if self._receiving is not None else None,
            pages=console.routes if console is not None else (),
            proxies=[str(each) for each in settings.web.console.proxies],
            tls_port=settings.web.tls_port if self._is_for_others(console) else None,
            tls=self._credentials.web if self._credentials is not None else None,
        )
        self._metrics.watch(self._gauges)
        self._started: list[Callable[[], None]] = []
        self._is_ready = False
        self.ports: dict[str, int] = {}

    def start(self) -> None:
        """Start from the inside out: work first, then what brings work. Raises CardioNodeError."""
        try:
            if self._credentials is not None:
                watch = CertificateWatch(
                    credentials=self._credentials, telemetry=self.journal, clock=utc_now
                )
                self._start(watch.start, watch.stop)
            if self._side is not None:
                self._start(self._side.start, self._side.stop)
            self._start(self._cluster.start, self._cluster.stop)
            self._start(self._clock_watch.start, self._clock_watch.stop)
            for teller in self._telling.parts:
                self._start(teller.start, teller.stop)
            if self._runner is not None:
                self._start(self._runner.start, self._runner.stop)
            if self._receiving is not None:
                for part in (
                    self._receiving.refused, self._receiving.scp, self._receiving.listener,
                ):  # fmt: skip
                    self._start(part.start, part.stop)
                self.ports |= self._receiving.ports
            self.ports["web"] = self._web.start()
            self._started.append(self._web.stop)
            if self._web.tls_port is not None:
                self.ports["web-tls"] = self._web.tls_port
        except CardioNodeError:
            self.stop()
            raise
        self._is_ready = True
        self.journal.event(
            "node ready",
            address=" ".join(f"{name}:{port}" for name, port in sorted(self.ports.items())),
            role=" ".join(sorted(self._roles)),
        )

    def renew(self) -> None:
        """Start anew if what the configuration says now can be taken up; else tell why not."""
        if self._renewal is None:
            return
        try:
            self._renewal.prove()
        except CardioNodeError as error:
            self.journal.event(
                "configuration not taken up", level=Level.ERROR, reason=error.message
            )
            self._cluster.explain(error.message)
            return
        self._renewal.start_anew()

    def stop(self) -> None:
        """Stop taking work, then stop working; what is unfinished goes on at the next start."""
        self._is_ready = False
        while self._started:
            self._started.pop()()
        for sender in self._senders.values():
            if isinstance(sender, Hl7Sender):
                sender.close()
        self._work.close()
        self._database.close()
        self.journal.event("node stopped")
        if self._traces is not None:
            self._traces.stop()
        for lock in self._locks:
            os.close(lock)

    def _start(self, start: Callable[[], None], stop: Callable[[], None]) -> None:
        start()
        self._started.append(stop)

    def _load_models(self) -> Models:
        # A runtime's threads are as nice as the one that starts them.
        with ThreadPoolExecutor(1, thread_name_prefix="models", initializer=step_back) as loading:
            models = loading.submit(
                load_models,
                self._settings.model,
                self._templates,
                self._report_runtime,
                self._report_building,
            ).result()
        for served in models.served.values():
            self._report_choice(served)
        return models

    def _prove_models(self) -> list[Proved]:
        # As nice as what answers beside it.
        with ThreadPoolExecutor(1, thread_name_prefix="models", initializer=step_back) as proving:
            settings = self._configured().model
            return proving.submit(lambda: list(prove_models(settings, self._templates))).result()

    def _build_receiving(self, commitment: CommitmentService) -> Receiving:
        return Receiving(
            self._settings,
            spool=self._spool,
            work=self._work,
            routing=self._routing,
            inbox=self._inbox,
            commitment=commitment,
            credentials=self._credentials,
            journal=self.journal,
            clock=utc_now,
        )

    def _build_console(self) -> Console:
        served = self._models.served if self._models is not None else {}
        return Console(
            work=self._work,
            spool=self._spool,
            templates=self._templates,
            after=self._settings.after_committed,
            idle=timedelta(minutes=self._settings.web.console.idle_minutes),
            provider=build_provider(self._settings.web.console.provider),
            provider_label=getattr(self._settings.web.console.provider, "label", ""),
            problems=self._readiness,
            destinations=_described(self._settings),
            configured=lambda: _endpoints(self._configured()),
            file=self._file,
            renewal=self._renewal,
            started_by=self._renewal.started_by if self._renewal is not None else "",
            callers=[describe_caller(each) for each in self._settings.dicom.peers],
            admission=lambda: Admission(settings=self._configured()),
            trial=lambda name, *, sends: try_destination(self._configured(), name, sends=sends),
            routing=self._routing,
            configured_routing=lambda: build_routing(self._configured()),
            called_ae=self._settings.dicom.ae_titles,
            plan=lambda content, origin: plan_for(self._configured(), content, origin),
            maximum_bytes=self._settings.dicom.maximum_instance_mb * 1_000_000,
            replay=self._inbox.replay,
            models=[self._shown(choice, each) for choice, each in served.items()],
            prove=self._prove_models,
            free_bytes=self._spool.free_bytes,
            telemetry=self.journal,
            clock=utc_now,
        )

    def _configured(self) -> Settings:
        """What the file says now, which a node takes up when it starts or is told to."""
        if self._file is None:
            return self._settings
        return read_settings(self._file.path, self._file.overrides)

    def _shown(self, choice: str, served: Served) -> ShownModel:
        """choice: a bundle, perhaps with a preset."""
        bundle = find_bundle(self._settings.model, choice.partition("/")[0])
        return ShownModel(
            identity=served.pipeline.identity,
            reason=served.reason,
            fell_back=served.fell_back,
            offers=bundle.manifest.capabilities_text,
            licence=bundle.manifest.licence,
            card=(bundle.folder / MODEL_CARD).read_text(encoding="utf-8"),
            proof=served.proof,
        )

    def _build_processing(self) -> Processing | None:
        if self._models is None:
            return None
        return Processing(
            spool=self._spool,
            work=self._work,
            pipeline_for=self._models.pipeline_for,
            templates=self._templates,
            routing=self._routing,
            identity=build_identity_policy(self._settings),
            registry=self._registry,
            orders=build_worklist(self._settings, self._credentials),
            order_policy=build_order_policy(self._settings),
            telemetry=self.journal,
            clock=utc_now,
            run=self._side or here,
        )

    def _build_runner(self) -> Runner:
        senders: dict[str, Sender] = dict(self._senders)
        return Runner(
            database=self._database,
            work=self._work,
            spool=self._spool,
            cluster=self._cluster,
            roles=self._roles,
            processing=self._build_processing(),
            postman=Postman(
                spool=self._spool,
                work=self._work,
                senders=senders,
                policies=self._retries,
                committing=self._committing,
                telemetry=self.journal,
                clock=utc_now,
                is_clock_trusted=lambda: self._clock_watch.is_trusted,
            ),
            committing=self._committing,
            telemetry=self.journal,
            clock=utc_now,
            is_clock_trusted=lambda: self._clock_watch.is_trusted,
            processing_at_once=self._settings.model.at_once,
            retention=Retention(
                finished_days=self._settings.storage.finished_days,
                failed_days=self._settings.storage.failed_days,
                message_days=self._settings.storage.message_days,
                audit_days=self._settings.storage.audit_days,
                is_audit_told=self._settings.audit_repository is not None,
            ),
        )

    def _build_traces(self) -> Traces | None:
        """None where nobody wants any. Raises ConfigurationError (the library is not there)."""
        if self._settings.traces is None:
            return None
        need_traces(self._settings)
        from node.traces import Collector, Traces

        collector = Collector(self._settings.traces.url, telemetry=self.journal)
        traces = Traces(collector, store=self._spool.identity, machine=socket.gethostname())
        self.journal.traces = traces
        return traces

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
        warn = partial(self.journal.event, level=Level.WARNING)
        service = CommitmentService(take=reports.take, report=warn)
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
            is_clock_trusted=lambda: self._clock_watch.is_trusted,
        )
        return committing, service

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

    def _report_building(self, graph: str, share: float) -> None:
        self.journal.event("engine being built", graph=graph, share=round(share, 2))

    def _is_for_others(self, console: Console | None) -> bool:
        """Whether its web server has more than health and metrics, which are asked for here."""
        has_stow = self._receiving is not None and self._receiving.stow is not None
        return console is not None or has_stow

    def _health(self) -> Sequence[str]:
        try:
            with self._database.read() as connection:
                Jobs(connection).count_by_state()
        except CardioNodeError as error:
            return [error.message]
        return []

    def _readiness(self) -> Sequence[str]:
        problems = list(self._health())
        if not self._is_ready:
            problems.append("the node is starting or stopping")
        if not self._spool.has_room():
            problems.append("what keeps the objects is nearly full: new instances are refused")
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
        if (free := self._spool.free_bytes()) is not None:
            name, words = "cardionode_spool_free_bytes", "Free disk where the spool lies"
            yield name, words, {}, float(free)


def _described(settings: Settings) -> dict[str, str]:
    """Each destination's name and address."""
    return {name: describe_destination(each) for name, each in settings.destinations.items()}


def _endpoints(settings: Settings) -> dict[str, Endpoint]:
    """Each destination by its name."""
    return {
        name: Endpoint(
            described=describe_destination(each),
            where={key: getattr(each, key) for key in WHERE if hasattr(each, key)},
        )
        for name, each in settings.destinations.items()
    }
