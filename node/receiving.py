"""What of a node takes ECGs and messages in: its listeners, and what stands behind them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from node.configured import build_peers, tls_of
from node.dicom.commitment_service import CommitmentService
from node.dicom.credentials import Credentials
from node.dicom.part10 import MAX_INFLATED_BYTES
from node.dicom.scp import ListenerLimits, StorageScp
from node.dicom.stow_service import StowService
from node.engine.unit_of_work import EngineUnitOfWork
from node.hl7.listener import MllpListener
from node.logs import Journal
from node.settings import Settings
from node.store.objects import Objects
from node.web.bearer import BearerTokens
from node.web.stow import StowEndpoint, StowLimits
from node.workflow.inbox import Inbox
from node.workflow.intake import Intake
from node.workflow.ports import Clock, Level
from node.workflow.refused import RefusalBook
from node.workflow.route import Routing


class Receiving:
    """Builds the listeners; nothing listens before `scp` and `listener` are started."""

    def __init__(
        self,
        settings: Settings,
        *,
        spool: Objects,
        work: EngineUnitOfWork,
        routing: Routing,
        inbox: Inbox,
        commitment: CommitmentService,
        credentials: Credentials | None,
        journal: Journal,
        clock: Clock,
    ) -> None:
        """Raises CardioNodeError where one cannot be built."""
        self._settings = settings
        self._credentials = credentials
        self._journal = journal
        self._warn = partial(journal.event, level=Level.WARNING)
        self._intake = Intake(
            spool=spool,
            work=work,
            telemetry=journal,
            clock=clock,
            maximum_bytes=min(settings.dicom.maximum_instance_mb * 1_000_000, MAX_INFLATED_BYTES),
            routing=routing,
        )
        self._inbox = inbox
        self.refused = RefusalBook(work=work, telemetry=journal, clock=clock)
        self.scp = self._build_scp(commitment)
        self.listener = self._build_listener()
        self.stow = self._build_stow()

    @property
    def ports(self) -> Mapping[str, int]:
        """On which the started ones listen."""
        ports = {
            "dicom": self.scp.port,
            "dicom-tls": self.scp.tls_port,
            "hl7": self.listener.port,
            "hl7-tls": self.listener.tls_port,
        }
        return {name: port for name, port in ports.items() if port is not None}

    def _build_scp(self, commitment: CommitmentService) -> StorageScp:
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
            commitment=commitment,
            report=self._journal.event,
            warn=self._warn,
            note=self.refused.note,
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

    def _report_warning(self, message: str, fields: dict[str, object]) -> None:
        shown: dict[str, Any] = {
            key: value for key, value in fields.items() if isinstance(value, str | int)
        }
        self._journal.event(message, level=Level.WARNING, **shown)
