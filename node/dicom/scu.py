"""Carries results to a PACS: one association, one C-STORE."""

from __future__ import annotations

import io
from collections.abc import Sequence

from pydicom import dcmread
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.events import EventHandlerType

from node.dicom import dimse
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
    ) -> None:
        self.calling_ae = calling_ae
        self.called_ae = called_ae
        self.host = host
        self._port = port
        self._connect_timeout_s = connect_timeout_s
        self._answer_timeout_s = answer_timeout_s

    def send(self, content: bytes) -> None:
        """Send one PS3.10 file as it is; returns when the peer has acknowledged it."""
        dataset = dcmread(io.BytesIO(content))
        sop_class_uid = str(dataset.file_meta.MediaStorageSOPClassUID)
        transfer_syntax_uid = str(dataset.file_meta.TransferSyntaxUID)
        association = self.associate(sop_class_uid, transfer_syntax_uid)
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
        association = self.associate(dimse.VERIFICATION, dimse.RECEIVED_TRANSFER_SYNTAXES[0])
        try:
            answer = association.send_c_echo()
        finally:
            _end(association)
        if "Status" not in answer or int(answer.Status) != dimse.SUCCESS:
            raise TemporarilyRefused("the peer associates but does not answer C-ECHO with success")

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
        ae.connection_timeout = self._connect_timeout_s
        ae.acse_timeout = self._answer_timeout_s
        ae.dimse_timeout = self._answer_timeout_s
        ae.network_timeout = self._answer_timeout_s
        ae.add_requested_context(sop_class_uid, list(transfer_syntax_uids))
        association = ae.associate(
            self.host, self._port, ae_title=self.called_ae, evt_handlers=list(handlers)
        )
        if association.is_established:
            return association
        where = self.where
        if association.is_rejected:
            raise TemporarilyRefused(
                f"{where} rejected the association; does it know the calling AE title "
                f"{self.calling_ae}, and is {self.called_ae} its own AE title?"
            )
        if association.rejected_contexts:
            raise Refused(
                f"{where} does not take SOP class {sop_class_uid} in transfer syntax "
                f"{' or '.join(transfer_syntax_uids)}; enable it there"
            )
        raise Unreachable(f"no association with {where}: is it running, and the address right?")


def _end(association: Association) -> None:
    if association.is_established:
        association.release()
