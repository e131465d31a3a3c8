"""The DICOM listener: Verification, and Storage of ECG waveforms."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from io import BytesIO
from typing import Protocol, cast

from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import EventHandlerType
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.transport import ThreadedAssociationServer

from node.dicom import dimse
from node.domain.errors import CardioNodeError, ConfigurationError
from node.domain.instance import Origin

Report = Callable[..., None]
"""Gets (message, **fields) for each thing worth a log line; never patient data."""

_CALLING_NOT_RECOGNISED = (0x01, 0x01, 0x03)
_CALLED_NOT_RECOGNISED = (0x01, 0x01, 0x07)
"""Result permanent, source service user, reason. Source: DICOM PS3.8 table 9-21."""


class Accept(Protocol):
    """Keeps one instance; returns when it is durable, raises CardioNodeError when it is not."""

    def __call__(
        self,
        dataset_bytes: bytes,
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        origin: Origin,
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A caller that may associate: AE title pattern (fnmatch) and the networks it may come from."""

    ae_title: str
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

    def admits(self, calling_ae: str, address: str) -> bool:
        host = ipaddress.ip_address(address)
        return fnmatchcase(calling_ae, self.ae_title) and any(
            host in network for network in self.networks
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerLimits:
    """Bounds on what peers may take up."""

    maximum_associations: int
    maximum_pdu_bytes: int
    acse_timeout_s: float
    dimse_timeout_s: float
    network_timeout_s: float


class StorageScp:
    """Listens, admits peers, and answers C-STORE with success only after `accept` returned."""

    def __init__(
        self,
        *,
        ae_titles: Sequence[str],
        host: str,
        port: int,
        peers: Sequence[Peer],
        limits: ListenerLimits,
        accept: Accept,
        report: Report,
    ) -> None:
        self._ae_titles = tuple(ae_titles)
        self._address = (host, port)
        self._peers = tuple(peers)
        self._accept = accept
        self._report = report
        self._server: ThreadedAssociationServer | None = None
        self._ae = AE(ae_title=self._ae_titles[0])
        self._ae.maximum_associations = limits.maximum_associations
        self._ae.maximum_pdu_size = limits.maximum_pdu_bytes
        self._ae.acse_timeout = limits.acse_timeout_s
        self._ae.dimse_timeout = limits.dimse_timeout_s
        self._ae.network_timeout = limits.network_timeout_s
        self._ae.add_supported_context(dimse.VERIFICATION)
        for sop_class_uid in dimse.ECG_STORAGE:
            self._ae.add_supported_context(sop_class_uid, dimse.RECEIVED_TRANSFER_SYNTAXES)

    @property
    def port(self) -> int:
        """The port it listens on; the one given, or the one chosen for 0."""
        if self._server is None:
            return self._address[1]
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Listen. Raises ConfigurationError when the address cannot be had."""
        handlers: list[EventHandlerType] = [
            (evt.EVT_REQUESTED, self._on_requested),
            (evt.EVT_ACCEPTED, self._on_accepted),
            (evt.EVT_ABORTED, self._on_aborted),
            (evt.EVT_C_ECHO, self._on_echo),
            (evt.EVT_C_STORE, self._on_store),
        ]
        try:
            self._server = self._ae.start_server(self._address, block=False, evt_handlers=handlers)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen for DICOM on {self._address[0]}:{self._address[1]}: "
                f"{error.strerror}; choose another dicom.port or stop what holds it"
            ) from error

    def stop(self) -> None:
        """Take no new association and end the open ones."""
        if self._server is not None:
            self._server.shutdown()
            self._ae.shutdown()
            self._server = None

    def _on_requested(self, event: evt.Event) -> None:
        """Admit or reject before anything is negotiated; every rejection says why."""
        caller = event.assoc.requestor
        request = cast(A_ASSOCIATE, caller.primitive)
        calling_ae = str(request.calling_ae_title).strip()
        called_ae = str(request.called_ae_title).strip()
        if called_ae not in self._ae_titles:
            self._reject(event, calling_ae, called_ae, _CALLED_NOT_RECOGNISED)
        elif not any(peer.admits(calling_ae, caller.address) for peer in self._peers):
            self._reject(event, calling_ae, called_ae, _CALLING_NOT_RECOGNISED)

    def _reject(
        self, event: evt.Event, calling_ae: str, called_ae: str, answer: tuple[int, int, int]
    ) -> None:
        reason = (
            "no AE title of this node is called that; see dicom.ae_titles"
            if answer is _CALLED_NOT_RECOGNISED
            else "no entry of dicom.peers admits this calling AE title from this address"
        )
        self._report(
            "association rejected",
            calling_ae=calling_ae,
            called_ae=called_ae,
            peer=event.assoc.requestor.address,
            reason=reason,
        )
        event.assoc.acse.send_reject(*answer)
        # Returns once the answer is out; the socket would be closed under it otherwise.
        event.assoc.kill()

    def _on_accepted(self, event: evt.Event) -> None:
        origin = _origin(event)
        refused = [str(context.abstract_syntax) for context in event.assoc.rejected_contexts]
        self._report(
            "association accepted",
            calling_ae=origin.calling_ae,
            called_ae=origin.called_ae,
            peer=origin.peer,
        )
        for sop_class_uid in dict.fromkeys(refused):
            self._report(
                "presentation context refused",
                calling_ae=origin.calling_ae,
                peer=origin.peer,
                sop_class_uid=sop_class_uid,
                reason=_why_refused(sop_class_uid),
            )

    def _on_aborted(self, event: evt.Event) -> None:
        self._report("association aborted", peer=event.assoc.requestor.address)

    def _on_echo(self, _event: evt.Event) -> int:
        return dimse.SUCCESS

    def _on_store(self, event: evt.Event) -> int:
        request = cast(C_STORE, event.request)
        origin = _origin(event)
        sop_class_uid = str(request.AffectedSOPClassUID)
        sop_instance_uid = str(request.AffectedSOPInstanceUID)
        try:
            self._accept(
                (request.DataSet or BytesIO()).getvalue(),
                sop_class_uid=sop_class_uid,
                sop_instance_uid=sop_instance_uid,
                transfer_syntax_uid=str(event.context.transfer_syntax),
                origin=origin,
            )
        except Exception as error:  # the association's boundary: nothing may pass as success
            status = dimse.status_of(error)
            known = isinstance(error, CardioNodeError)
            self._report(
                "instance refused",
                error=None if known else error,
                calling_ae=origin.calling_ae,
                called_ae=origin.called_ae,
                peer=origin.peer,
                sop_class_uid=sop_class_uid,
                error_code=error.code if isinstance(error, CardioNodeError) else "internal",
                reason=error.message if isinstance(error, CardioNodeError) else None,
                status=f"0x{status:04X}",
            )
            return status
        return dimse.SUCCESS


def _origin(event: evt.Event) -> Origin:
    requestor = event.assoc.requestor
    return Origin(
        calling_ae=str(requestor.ae_title).strip(),
        called_ae=str(cast(A_ASSOCIATE, requestor.primitive).called_ae_title).strip(),
        peer=str(requestor.address),
    )


def _why_refused(sop_class_uid: str) -> str:
    if sop_class_uid in dimse.ECG_STORAGE:
        return "none of the offered transfer syntaxes is read here; offer Explicit VR Little Endian"
    return "this node takes ECG waveform storage and verification, not this SOP class"
