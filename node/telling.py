"""What of a node tells others how it is: people of what is wrong, an audit repository of all."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from node.atna.audit_message import Reporter
from node.configured import build_audit_receiver, build_notifiers
from node.dicom.credentials import WARN_FROM_DAYS, Credentials
from node.domain.alert import Condition
from node.engine.alert_watch import AlertWatch
from node.engine.audit_relay import AuditRelay
from node.engine.unit_of_work import EngineUnitOfWork
from node.logs import Journal
from node.settings import DicomDestinationSettings, DicomWebDestinationSettings, Settings
from node.store.objects import Objects
from node.workflow.ports import Clock

_KEY_LETTERS: Final = 24
"""Of a problem, by which it is told from others however it goes on."""


class Telling:
    """Builds what tells, where anybody is to be told; nothing is told before its parts start."""

    def __init__(
        self,
        settings: Settings,
        *,
        executor_id: str,
        problems: Callable[[], Sequence[str]],
        is_clock_trusted: Callable[[], bool],
        work: EngineUnitOfWork,
        spool: Objects,
        credentials: Credentials | None,
        journal: Journal,
        clock: Clock,
    ) -> None:
        """problems: why this process is not ready. Raises ConfigurationError."""
        self._settings = settings
        self._executor_id = executor_id
        self._problems = problems
        self._is_clock_trusted = is_clock_trusted
        self._work = work
        self._spool = spool
        self._credentials = credentials
        self._journal = journal
        self._clock = clock
        self._here = socket.gethostname()
        self._relay = self._build_relay()
        self._watch = self._build_watch()

    @property
    def parts(self) -> Sequence[AuditRelay | AlertWatch]:
        """To start in this order, and to stop in reverse."""
        return [each for each in (self._relay, self._watch) if each is not None]

    def _build_relay(self) -> AuditRelay | None:
        repository, destinations = self._settings.audit_repository, self._settings.destinations
        if repository is None:
            return None
        return AuditRelay(
            repository=build_audit_receiver(repository, self._credentials),
            reporter=Reporter(
                source_id=repository.source_id, site_id=repository.site_id, machine=self._here
            ),
            executor_id=self._executor_id,
            addresses={
                name: each.host
                if isinstance(each, DicomDestinationSettings)
                else urlsplit(each.url).hostname or ""
                for name, each in destinations.items()
                if isinstance(each, DicomDestinationSettings | DicomWebDestinationSettings)
            },
            ae_titles={
                name: each.ae_title
                for name, each in destinations.items()
                if isinstance(each, DicomDestinationSettings)
            },
            work=self._work,
            spool=self._spool,
            telemetry=self._journal,
            clock=self._clock,
        )

    def _build_watch(self) -> AlertWatch | None:
        alerts = self._settings.alerts
        notifiers = build_notifiers(alerts)
        if not notifiers:
            return None
        silent = alerts.silent_hours
        return AlertWatch(
            node=self._here,
            executor_id=self._executor_id,
            notifiers=notifiers,
            after=timedelta(minutes=alerts.after_minutes),
            again_after=timedelta(hours=alerts.again_hours),
            silent_after=None if silent is None else timedelta(hours=silent),
            of_this_host=self._wrong_here,
            work=self._work,
            telemetry=self._journal,
            clock=self._clock,
        )

    def _wrong_here(self) -> Sequence[Condition]:
        """What is not as it should be with this host."""
        here, now = self._here, self._clock()
        found = [
            Condition(key=f"node {here} {problem[:_KEY_LETTERS]}", said=f"{here}: {problem}")
            for problem in self._problems()
        ]
        if not self._is_clock_trusted():
            said = "its clock was set by an hour or more; start the node again when it is right"
            found.append(Condition(key=f"clock {here}", said=f"{here}: {said}"))
        if self._relay is not None and (problem := self._relay.problem):
            found.append(Condition(key=f"audit repository {here}", said=f"{here}: {problem}"))
        expiries = self._credentials.expiries if self._credentials is not None else ()
        found += [
            Condition(key=f"certificate {each.file}", said=f"{here}: {each.sentence(now)}")
            for each in expiries
            if each.days_left(now) <= WARN_FROM_DAYS
        ]
        return found
