"""A PACS stand-in: takes any result this node makes, keeps it in memory, and says so.

For the demonstration and for trying a configuration out; it forgets everything when it ends.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from pynetdicom import AE, evt
from pynetdicom.events import EventHandlerType
from pynetdicom.transport import ThreadedAssociationServer

from node.dicom import dimse


class PacsStandIn:
    """A Storage SCP on loopback. `received` maps SOP Instance UID to the last bytes stored."""

    def __init__(
        self,
        *,
        ae_title: str,
        host: str = "127.0.0.1",
        port: int = 0,
        transfer_syntaxes: Sequence[str] = dimse.RECEIVED_TRANSFER_SYNTAXES,
    ) -> None:
        self.ae_title = ae_title
        self._transfer_syntaxes = list(transfer_syntaxes)
        self.received: dict[str, bytes] = {}
        self.stores: list[str] = []
        """SOP Instance UIDs in the order of arrival, a resend each time."""
        self._address = (host, port)
        self._changed = threading.Condition()
        self._server: ThreadedAssociationServer | None = None

    def start(self) -> int:
        """Listen; gives the port."""
        ae = AE(ae_title=self.ae_title)
        ae.maximum_associations = 50
        ae.add_supported_context(dimse.VERIFICATION)
        for sop_class_uid in (*dimse.ECG_STORAGE, *dimse.RESULT_STORAGE):
            ae.add_supported_context(sop_class_uid, self._transfer_syntaxes)
        handlers: list[EventHandlerType] = [(evt.EVT_C_STORE, self._on_store)]
        self._server = ae.start_server(self._address, block=False, evt_handlers=handlers)
        if self._server is None:
            raise AssertionError("a server that does not block is given back")
        self._address = (self._address[0], int(self._server.server_address[1]))
        return self._address[1]

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def wait_for(self, count: int, *, timeout_s: float) -> bool:
        """Wait until so many different instances have arrived; whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.received) >= count, timeout_s)

    def instances(self) -> dict[str, bytes]:
        """Every instance held: SOP Instance UID and the PS3.10 file."""
        with self._changed:
            return dict(self.received)

    def _on_store(self, event: evt.Event) -> int:
        content = event.encoded_dataset()
        uid = str(event.request.AffectedSOPInstanceUID)  # type: ignore[union-attr]
        with self._changed:
            self.received[uid] = content
            self.stores.append(uid)
            self._changed.notify_all()
        return dimse.SUCCESS
