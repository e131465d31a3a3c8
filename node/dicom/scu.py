"""Carries results to a PACS: one association, one C-STORE."""

from __future__ import annotations

import io
import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pydicom import Dataset, dcmread
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import EventHandlerType
from pynetdicom.pdu import A_ASSOCIATE_RJ

from node.dicom import dimse
from node.dicom.compression import TRANSFER_SYNTAXES, check_encoder, compress
from node.dicom.part10 import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    identify_part10,
)
from node.dicom.response_status import error_of
from node.dicom.service import Report
from node.dicom.tls import try_handshake
from node.domain.errors import Refused, TemporarilyRefused, Unanswered, Unreachable
from node.domain.form import Compression

CONNECT_TIMEOUT_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 60.0
"""For an association, for a response, and between PDUs."""
PROPOSED: Final[Mapping[str, tuple[str, ...]]] = {
    dimse.VERIFICATION: dimse.RECEIVED_TRANSFER_SYNTAXES[:1],
    dimse.STORAGE_COMMITMENT: dimse.RECEIVED_TRANSFER_SYNTAXES[:2],
    dimse.MODALITY_WORKLIST: dimse.RECEIVED_TRANSFER_SYNTAXES[:2],
}
"""Transfer syntaxes by SOP class, a context each; of storage see `storage_syntaxes`."""


def keep_quiet(message: str, **fields: object) -> None:
    """Nobody listens."""


class StorageScu:
    """Stores instances at one peer.

    Images go in the chosen compression where the peer takes it, else as they are.
    Raises Unreachable (no connection), TemporarilyRefused or Refused (the peer said so),
    Unanswered (sent, and the connection ended without an answer).
    """

    def __init__(
        self,
        *,
        calling_ae: str,
        called_ae: str,
        host: str,
        port: int,
        compression: Compression = Compression.NONE,
        report: Report = keep_quiet,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        tls: Callable[[], ssl.SSLContext] | None = None,
        server_name: str | None = None,
    ) -> None:
        """tls: gives the context for the next connection; None is without TLS.

        server_name: the one in the peer's certificate, where it is not the host.
        Raises ConfigurationError (the compression cannot be written here).
        """
        check_encoder(compression)
        self.calling_ae = calling_ae
        self.called_ae = called_ae
        self.host = host
        self._port = port
        self._compression = compression
        self._report = report
        self._connect_timeout_s = connect_timeout_s
        self._answer_timeout_s = answer_timeout_s
        self._tls = tls
        self._server_name = server_name or host

    def send(self, content: bytes) -> None:
        """Send one PS3.10 file; returns when the peer has acknowledged it.

        But for the compression of an image the data set goes byte for byte as it is.
        """
        said, as_it_is = identify_part10(content)
        image = self._to_compress(content, said.sop_class_uid, as_it_is)
        syntaxes = storage_syntaxes(as_it_is, self._compression, is_image=image is not None)
        association = self.associate(said.sop_class_uid, *syntaxes)
        try:
            if image is not None and self._is_taken(syntaxes[0], association, image):
                compress(image, self._compression)
                answer = association.send_c_store(image)
            else:
                answer = _store_as_it_is(association, content)
        finally:
            _end(association)
        if "Status" not in answer:
            raise Unanswered("the peer ended the association without answering the C-STORE")
        error = error_of(int(answer.Status), dimse.STORE_RESPONSES)
        if error is not None:
            raise error

    def echo(self) -> None:
        """Verify the peer with C-ECHO."""
        association = self.associate(dimse.VERIFICATION, *PROPOSED[dimse.VERIFICATION])
        try:
            answer = association.send_c_echo()
        finally:
            _end(association)
        if "Status" not in answer or int(answer.Status) != dimse.SUCCESS:
            raise TemporarilyRefused("the peer associates but does not answer C-ECHO with success")

    def offer(self, sop_class_uid: str) -> None:
        """Pass when the peer takes instances of that class; nothing is stored."""
        _end(self.associate(sop_class_uid, *dimse.RECEIVED_TRANSFER_SYNTAXES[:1]))

    def _to_compress(self, content: bytes, sop_class_uid: str, as_it_is: str) -> Dataset | None:
        """The instance, where it is an image that should travel compressed."""
        is_plain = as_it_is in dimse.RECEIVED_TRANSFER_SYNTAXES
        if self._compression is Compression.NONE or sop_class_uid in dimse.ECG_STORAGE:
            return None
        dataset = dcmread(io.BytesIO(content))
        return dataset if is_plain and "PixelData" in dataset else None

    def _is_taken(self, wanted: str, association: Association, image: Dataset) -> bool:
        if wanted in {context.transfer_syntax[0] for context in association.accepted_contexts}:
            return True
        self._report(
            "image sent uncompressed",
            called_ae=self.called_ae,
            sop_instance_uid=str(image.SOPInstanceUID),
            reason=f"the peer does not take {self._compression.value}",
        )
        return False

    @property
    def where(self) -> str:
        """The peer, for a message."""
        return f"{self.called_ae} at {self.host}:{self._port}"

    def associate(
        self,
        sop_class_uid: str,
        *transfer_syntax_uids: str,
        handlers: Sequence[EventHandlerType] = (),
    ) -> Association:
        """An association for one SOP class; Refused where the peer does not take it."""
        ae = AE(ae_title=self.calling_ae)
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.connection_timeout = self._connect_timeout_s
        ae.acse_timeout = self._answer_timeout_s
        ae.dimse_timeout = self._answer_timeout_s
        ae.network_timeout = self._answer_timeout_s
        for transfer_syntax_uid in transfer_syntax_uids:  # a context each: the peer takes or leaves
            ae.add_requested_context(sop_class_uid, transfer_syntax_uid)
        context = self._tls() if self._tls is not None else None
        rejections: list[A_ASSOCIATE_RJ] = []
        association = ae.associate(
            self.host,
            self._port,
            ae_title=self.called_ae,
            tls_args=(context, self._server_name) if context is not None else None,
            evt_handlers=[
                *handlers,
                (evt.EVT_CONN_OPEN, self._limit_waiting),
                (evt.EVT_PDU_RECV, _keep_rejection, [rejections]),
            ],
        )
        if association.is_established:
            return association
        # One that comes at once finds pynetdicom not yet waiting, which then says "aborted".
        if association.is_rejected or rejections:
            raise TemporarilyRefused(
                f"{self.where} rejected the association; does it know the calling AE title "
                f"{self.calling_ae}, and is {self.called_ae} its own AE title?"
            )
        if association.rejected_contexts:
            raise Refused(
                f"{self.where} does not take SOP class {sop_class_uid} in transfer syntax "
                f"{' or '.join(transfer_syntax_uids)}; enable it there"
            )
        if context is not None:
            self._explain(context)
        raise Unreachable(
            f"no association with {self.where}: is it running, and the address right?"
        )

    def _limit_waiting(self, event: evt.Event) -> None:
        """pynetdicom reads without a timeout when there is something to read.

        By TLS 1.3 that may be session tickets alone: a peer that says no more would hold us.
        """
        transport = event.assoc.dul.socket
        if transport is not None and transport.socket is not None:
            transport.socket.settimeout(self._answer_timeout_s)

    def _explain(self, context: ssl.SSLContext) -> None:
        """pynetdicom tells its own log alone why TLS failed: find out by another handshake."""
        reason = try_handshake(
            context,
            self.host,
            self._port,
            server_name=self._server_name,
            within_s=self._connect_timeout_s,
        )
        if reason is not None:
            raise Unreachable(f"no TLS with {self.where}: {reason}")


def storage_syntaxes(as_it_is: str, compression: Compression, *, is_image: bool) -> tuple[str, ...]:
    """Transfer syntaxes an instance is offered in: the best first, then the one it is in."""
    if not is_image or as_it_is not in dimse.RECEIVED_TRANSFER_SYNTAXES:
        return (as_it_is,)
    return tuple(dict.fromkeys([str(TRANSFER_SYNTAXES.get(compression, as_it_is)), as_it_is]))


def _keep_rejection(event: evt.Event, rejections: list[A_ASSOCIATE_RJ]) -> None:
    if isinstance(event.pdu, A_ASSOCIATE_RJ):
        rejections.append(event.pdu)


def _store_as_it_is(association: Association, content: bytes) -> Dataset:
    """The answer. pynetdicom only leaves what is in a file unchanged: one in memory, without name.

    A file on the disk would hold the patient, and stay there after a crash.
    """
    with os.fdopen(os.memfd_create("instance"), "wb") as file:
        file.write(content)
        file.flush()
        return association.send_c_store(f"/proc/self/fd/{file.fileno()}")


def _end(association: Association) -> None:
    if association.is_established:
        association.release()
