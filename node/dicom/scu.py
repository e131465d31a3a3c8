"""Carries results to a PACS: one association, one C-STORE."""

from __future__ import annotations

import io
import ssl
from collections.abc import Callable

from pydicom import dcmread
from pynetdicom import AE
from pynetdicom.association import Association

from node.dicom import dimse
from node.dicom.tls import try_handshake
from node.domain.errors import Refused, TemporarilyRefused, Unanswered, Unreachable


class StorageScu:
    """Stores instances at one peer.

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
        connect_timeout_s: float = 10.0,
        answer_timeout_s: float = 60.0,
        tls: Callable[[], ssl.SSLContext] | None = None,
        server_name: str | None = None,
    ) -> None:
        """tls: gives the context for the next connection; None is without TLS.

        server_name: the one in the peer's certificate, where it is not the host.
        """
        self._calling_ae = calling_ae
        self._called_ae = called_ae
        self._host = host
        self._port = port
        self._connect_timeout_s = connect_timeout_s
        self._answer_timeout_s = answer_timeout_s
        self._tls = tls
        self._server_name = server_name or host

    def send(self, content: bytes) -> None:
        """Send one PS3.10 file as it is; returns when the peer has acknowledged it."""
        dataset = dcmread(io.BytesIO(content))
        sop_class_uid = str(dataset.file_meta.MediaStorageSOPClassUID)
        transfer_syntax_uid = str(dataset.file_meta.TransferSyntaxUID)
        association = self._associate(sop_class_uid, transfer_syntax_uid)
        try:
            answer = association.send_c_store(dataset)
        finally:
            _end(association)
        if "Status" not in answer:
            raise Unanswered("the peer ended the association without answering the C-STORE")
        error = dimse.error_of(int(answer.Status))
        if error is not None:
            raise error

    def echo(self) -> None:
        """Verify the peer with C-ECHO."""
        association = self._associate(dimse.VERIFICATION, dimse.RECEIVED_TRANSFER_SYNTAXES[0])
        try:
            answer = association.send_c_echo()
        finally:
            _end(association)
        if "Status" not in answer or int(answer.Status) != dimse.SUCCESS:
            raise TemporarilyRefused("the peer associates but does not answer C-ECHO with success")

    def _associate(self, sop_class_uid: str, transfer_syntax_uid: str) -> Association:
        ae = AE(ae_title=self._calling_ae)
        ae.connection_timeout = self._connect_timeout_s
        ae.acse_timeout = self._answer_timeout_s
        ae.dimse_timeout = self._answer_timeout_s
        ae.network_timeout = self._answer_timeout_s
        ae.add_requested_context(sop_class_uid, transfer_syntax_uid)
        context = self._tls() if self._tls is not None else None
        association = ae.associate(
            self._host,
            self._port,
            ae_title=self._called_ae,
            tls_args=(context, self._server_name) if context is not None else None,
        )
        if association.is_established:
            return association
        where = f"{self._called_ae} at {self._host}:{self._port}"
        if association.is_rejected:
            raise TemporarilyRefused(
                f"{where} rejected the association; does it know the calling AE title "
                f"{self._calling_ae}, and is {self._called_ae} its own AE title?"
            )
        if association.rejected_contexts:
            raise Refused(
                f"{where} does not take SOP class {sop_class_uid} in transfer syntax "
                f"{transfer_syntax_uid}; enable it there"
            )
        if context is not None:
            self._explain(context, where)
        raise Unreachable(f"no association with {where}: is it running, and the address right?")

    def _explain(self, context: ssl.SSLContext, where: str) -> None:
        """pynetdicom tells its own log alone why TLS failed: find out by another handshake."""
        reason = try_handshake(
            context,
            self._host,
            self._port,
            server_name=self._server_name,
            within_s=self._connect_timeout_s,
        )
        if reason is not None:
            raise Unreachable(f"no TLS with {where}: {reason}")


def _end(association: Association) -> None:
    if association.is_established:
        association.release()
