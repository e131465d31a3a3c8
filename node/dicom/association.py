"""One association on one connection, as its acceptor: negotiate, serve, end.

The states of PS3.8 §9.2 are places in this file:

    Sta2    shakes hands, where the port is one with TLS; then `_negotiate`: waits for the request;
            what is none ends in A-ABORT (AA-1) or, when the time is over, in closing the
            connection (AA-2)
    Sta3    `_negotiate`: judges it; A-ASSOCIATE-RJ (AE-8) or -AC (AE-7)
    Sta6    `_serve`: requests and responses, until A-RELEASE-RQ (AR-2, AR-4), A-ABORT (AA-3) or
            what may not come (AA-8)
    Sta13   `_part`: the last PDU is sent, the peer has to close the connection
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from node.dicom.associate_pdu import AssociateRequest, decode_request, encode_accept
from node.dicom.message import RequestAssembler
from node.dicom.negotiation import (
    Agreement,
    Peer,
    Rejection,
    ae_title,
    agree,
    objection,
    permissions,
)
from node.dicom.pdu import (
    PduType,
    ProtocolViolation,
    decode_data,
    encode_abort,
    encode_command,
    encode_reject,
    encode_release_response,
    printable,
)
from node.dicom.pdu_stream import ConnectionEnded, PduStream
from node.dicom.places import Places
from node.dicom.refusals import Refusals
from node.dicom.service import Report, Services, answer
from node.domain.caller import Permission
from node.domain.instance import Origin

_LARGEST_REQUEST_BYTES: Final = 65536
"""128 presentation contexts with six transfer syntaxes each."""
_SLACK_BYTES: Final = 128
"""Some peers count headers in another way than PS3.8 D.1 does."""
_PART_WITHIN_S: Final = 1.0
_PART_BYTES: Final = 1 << 20
"""What is read and thrown away of a peer that has been told to go."""
_CRUMBS: Final = 128
_CRUMBS_WAIT_S: Final = 0.001
_CRUMB_BYTES: Final = 1024
"""Who sends so many fragments of no more bytes waits a little, in one PDU or in many that come
together: they are work without any waiting for the network, in which Python lets other threads in
every 5 ms alone. Of a usual request the command set is one, and the last fragment."""
_CONTEXTS_NAMED: Final = 16
_DENIED: Final = {
    permission: f"no entry of dicom.peers that admits this caller lets it {permission.value}; add "
    f'"{permission.value}" to its may'
    for permission in Permission
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerLimits:
    """Bounds on what peers may take up."""

    maximum_associations: int
    maximum_pdu_bytes: int
    acse_timeout_s: float
    """From the connection to the whole request for an association."""
    dimse_timeout_s: float
    """For the rest of a PDU, for the next PDU within a message, and for taking an answer."""
    network_timeout_s: float
    """Between messages."""
    maximum_instance_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptor:
    """What all associations of a listener share."""

    ae_titles: Sequence[str]
    peers: Sequence[Peer]
    limits: ListenerLimits
    services: Services
    report: Report
    warn: Report
    """Like `report`, of what somebody should look at."""
    refusals: Refusals
    places: Places


class Association:
    """Runs in the thread of its connection."""

    def __init__(self, stream: PduStream, acceptor: Acceptor) -> None:
        self._stream = stream
        self._acceptor = acceptor
        self._limits = acceptor.limits
        self._origin: Origin | None = None
        """Whose association it is, once it is one."""
        self._crumbs = 0
        """Small fragments since it last waited for them."""
        self._names: tuple[str, ...] = ()
        """Those in the peer's certificate."""

    def run(self) -> None:
        """From the first PDU to the last. Raises nothing."""
        try:
            self._names = self._stream.handshake(
                by_s=self._stream.opened_at_s + self._limits.acse_timeout_s
            )
            request = self._negotiate()
            if request is not None:
                self._serve(*request)
        except ProtocolViolation as violation:
            # AA-1 names the service user, AA-8 the service provider. Source: PS3.8 table 9-10.
            reason = None if self._origin is None else violation.reason
            self._broken(violation.message, encode_abort(reason))
        except TimeoutError as error:
            self._broken(str(error), encode_abort(None) if self._origin else None)
        except ConnectionEnded as ended:
            if ended.reason is not None:
                self._broken(ended.reason, encode_abort(None) if self._origin else None)
            elif self._origin is not None:
                self._broken("the peer closed the connection without a release", None)
        except Exception as error:  # the association's boundary: failing closed
            self._acceptor.warn("association failed", error=error, peer=self._stream.address)
            self._part(encode_abort(None))

    def _negotiate(self) -> tuple[AssociateRequest, Agreement, Origin] | None:
        """The association that was agreed on; None when there is none."""
        kind, body = self._stream.read(
            {PduType.A_ASSOCIATE_RQ: _LARGEST_REQUEST_BYTES, PduType.A_ABORT: 4},
            begin_by_s=self._stream.opened_at_s + self._limits.acse_timeout_s,
        )
        if kind is PduType.A_ABORT:
            return None
        request = decode_request(body)
        origin = Origin(
            calling_ae=ae_title(request.calling_ae),
            called_ae=ae_title(request.called_ae),
            peer=self._stream.address,
        )
        peers = self._acceptor.peers
        rejection = objection(request, origin, self._names, self._acceptor.ae_titles, peers)
        if rejection is None and not self._acceptor.places.associate(self._stream):
            rejection = Rejection.FULL
        if rejection is not None:
            self._reject(rejection, origin)
            return None
        self._origin = origin
        agreement = agree(request, permissions(peers, origin, self._names))
        self._report_agreement(agreement, origin)
        answer = encode_accept(
            request, agreement.results, agreement.roles, self._limits.maximum_pdu_bytes
        )
        self._stream.send(answer, within_s=self._limits.dimse_timeout_s)
        return request, agreement, origin

    def _serve(self, request: AssociateRequest, agreement: Agreement, origin: Origin) -> None:
        """Answer requests until the association ends."""
        limits = self._limits
        assembler = RequestAssembler(agreement.accepted, limits.maximum_instance_bytes)
        largest = {
            PduType.P_DATA_TF: limits.maximum_pdu_bytes + _SLACK_BYTES,
            PduType.A_RELEASE_RQ: 4,
            PduType.A_ABORT: 4,
        }
        while True:
            patience_s = limits.dimse_timeout_s if assembler.is_inside else limits.network_timeout_s
            kind, body = self._stream.read(
                largest,
                begin_by_s=time.monotonic() + patience_s,
                complete_within_s=limits.dimse_timeout_s,
            )
            if kind is PduType.A_ABORT:
                self._broken("the peer aborted it", None)
                return
            if kind is PduType.A_RELEASE_RQ:
                self._part(encode_release_response())
                return
            self._answer(body, assembler, agreement.may, origin, request.maximum_length)
            del body  # not to be held while the peer is silent

    def _answer(
        self,
        body: memoryview,
        assembler: RequestAssembler,
        may: frozenset[Permission],
        origin: Origin,
        maximum_length: int,
    ) -> None:
        """Answer each request that a P-DATA-TF completes."""
        for value in decode_data(body):
            self._crumbs += len(value.fragment) <= _CRUMB_BYTES
            if self._crumbs >= _CRUMBS:
                self._crumbs = 0
                time.sleep(_CRUMBS_WAIT_S)
            request = assembler.take(value)
            if request is not None:
                response = answer(request, self._acceptor.services, may, origin)
                self._stream.send(
                    encode_command(value.context_id, response, maximum_length),
                    within_s=self._limits.dimse_timeout_s,
                )

    @property
    def _shown_names(self) -> str | None:
        """Of the certificate, for the log; None without TLS."""
        return printable(" ".join(self._names).encode("utf-8")) or None

    def _reject(self, rejection: Rejection, origin: Origin) -> None:
        self._acceptor.refusals.tell(
            "association rejected",
            calling_ae=origin.calling_ae,
            called_ae=origin.called_ae,
            peer=origin.peer,
            certificate=self._shown_names,
            reason=rejection.explanation,
        )
        self._part(encode_reject(*rejection.answer))

    def _report_agreement(self, agreement: Agreement, origin: Origin) -> None:
        self._acceptor.report(
            "association accepted",
            calling_ae=origin.calling_ae,
            called_ae=origin.called_ae,
            peer=origin.peer,
            certificate=self._shown_names,
        )
        for permission in agreement.denied:
            self._acceptor.refusals.tell(
                "permission refused",
                calling_ae=origin.calling_ae,
                called_ae=origin.called_ae,
                peer=origin.peer,
                reason=_DENIED[permission],
            )
        for sop_class_uid, reason in islice(agreement.refused.items(), _CONTEXTS_NAMED):
            self._acceptor.report(
                "presentation context refused",
                calling_ae=origin.calling_ae,
                peer=origin.peer,
                sop_class_uid=sop_class_uid,
                reason=reason,
            )
        more = len(agreement.refused) - _CONTEXTS_NAMED
        if more > 0:
            self._acceptor.report(
                "presentation context refused",
                calling_ae=origin.calling_ae,
                peer=origin.peer,
                count=more,
                reason="as those before",
            )

    def _broken(self, reason: str, last_pdu: bytes | None) -> None:
        """Report how the connection ended, if not with a release, and end it."""
        if self._origin is None:
            self._acceptor.refusals.tell(
                "connection refused", peer=self._stream.address, reason=reason
            )
        else:
            self._acceptor.report(
                "association aborted",
                calling_ae=self._origin.calling_ae,
                peer=self._origin.peer,
                reason=reason,
            )
        if last_pdu is not None:
            self._part(last_pdu)

    def _part(self, last_pdu: bytes) -> None:
        """Send the last PDU and wait a while for the peer to close the connection (Sta13)."""
        self._acceptor.places.dissociate(self._stream)
        with contextlib.suppress(TimeoutError, ConnectionEnded):
            self._stream.send(last_pdu, within_s=_PART_WITHIN_S)
            self._stream.drain(within_s=_PART_WITHIN_S, at_most_bytes=_PART_BYTES)
