"""A PACS of pynetdicom that commits itself to what it stored, in all the ways there are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from pydicom import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association

from node.dicom import dimse

PUSH_MODEL = "1.2.840.10008.1.20.1"
WELL_KNOWN = "1.2.840.10008.1.20.1.1"
SYNTAXES = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]
Instances = list[tuple[str, str]]
OnRequest = Callable[[str, Instances, Association], None]


def event_information(
    transaction_uid: str, committed: Instances, failed: Sequence[tuple[str, str, int]] = ()
) -> Dataset:
    """Source: DICOM PS3.4 table J.3-2."""
    information = Dataset()
    information.TransactionUID = transaction_uid
    if committed:
        information.ReferencedSOPSequence = [_item(*names) for names in committed]
    if failed:
        information.FailedSOPSequence = [_item(*names) for names in failed]
    return information


def _item(sop_class: str, sop_instance: str, reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_instance
    if reason is not None:
        item.FailureReason = reason
    return item


class CommittingPacs:
    """Stores what it is sent and answers requests for commitment as `on_request` does.

    The default reports on a new association that all it holds is committed, the rest failed with
    0x0112.
    """

    ae_title = "PACS"

    def __init__(self, *, offers: bool = True) -> None:
        self.node_port = 0
        """Where reports go."""
        self.stores: list[str] = []
        self.held: dict[str, str] = {}
        """SOP class by SOP instance."""
        self.requests: list[tuple[str, Instances]] = []
        self.answers: list[int | None] = []
        """To our reports; None for no answer."""
        self.status: int | None = 0x0000
        """Of an N-ACTION; None ends the association instead."""
        self.on_request: OnRequest = lambda uid, instances, _: self.report(uid, instances)
        self.offers = offers
        self.port = 0
        self._server: Any = None
        self._busy: list[threading.Thread] = []

    def start(self, port: int = 0) -> int:
        ae = AE(ae_title=self.ae_title)
        ae.maximum_associations = 50
        ae.add_supported_context(dimse.VERIFICATION)
        for sop_class in dimse.RESULT_STORAGE:
            ae.add_supported_context(sop_class, SYNTAXES)
        if self.offers:
            ae.add_supported_context(PUSH_MODEL, SYNTAXES)
        self._server = ae.start_server(
            ("127.0.0.1", port),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, self._on_store), (evt.EVT_N_ACTION, self._on_action)],
        )
        self.port = int(self._server.server_address[1])
        return self.port

    def stop(self) -> None:
        for thread in self._busy:
            thread.join(10)
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def report(
        self,
        transaction_uid: str,
        instances: Instances,
        *,
        failed: dict[str, int] | None = None,
        on: Association | None = None,
        roles: tuple[bool, bool] | None = (False, True),
    ) -> None:
        """Report what is held as committed; on a new association, unless one is given.

        failed: failure reason by SOP instance. roles: SCU, SCP; None selects none.
        """
        reasons = {uid: 0x0112 for _, uid in instances if uid not in self.held} | (failed or {})
        information = event_information(
            transaction_uid,
            [(name, uid) for name, uid in instances if uid not in reasons],
            [(name, uid, reasons[uid]) for name, uid in instances if uid in reasons],
        )
        self.say(information, 2 if reasons else 1, on=on, roles=roles)

    def say(
        self,
        information: Dataset,
        event_type: int = 1,
        *,
        on: Association | None = None,
        roles: tuple[bool, bool] | None = (False, True),
    ) -> None:
        association = on or self._associate(roles)
        status, _ = association.send_n_event_report(information, event_type, PUSH_MODEL, WELL_KNOWN)
        self.answers.append(int(status.Status) if "Status" in status else None)
        if on is None:
            association.release()

    def _associate(self, roles: tuple[bool, bool] | None) -> Association:
        ae = AE(ae_title=self.ae_title)
        ae.add_requested_context(PUSH_MODEL, SYNTAXES)
        proposed = [build_role(PUSH_MODEL, scu_role=roles[0], scp_role=roles[1])] if roles else []
        association = ae.associate(
            "127.0.0.1", self.node_port, ae_title="CARDIONODE", ext_neg=proposed
        )
        assert association.is_established
        return association

    def _on_store(self, event: evt.Event) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)  # type: ignore[union-attr]
        self.stores.append(uid)
        self.held[uid] = str(event.request.AffectedSOPClassUID)  # type: ignore[union-attr]
        return 0x0000

    def _on_action(self, event: evt.Event) -> tuple[int, None]:
        asked = event.action_information
        instances = [
            (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
            for item in asked.ReferencedSOPSequence
        ]
        uid = str(asked.TransactionUID)
        self.requests.append((uid, instances))
        if self.status == 0x0000:
            # After the answer to the N-ACTION has gone out.
            after = threading.Timer(0.1, self.on_request, (uid, instances, event.assoc))
            self._busy.append(after)
            after.start()
        if self.status is None:
            event.assoc.abort()
        return self.status or 0x0000, None
