"""What the statement says of a running node that no part of it shows alone."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from pynetdicom import AE, evt

from node.dicom import dimse
from node.dicom.scu import StorageScu
from tests.ecg_instances import instances
from tests.end_to_end.node_process import NodeProcess
from tests.statement_tables import default_statement, tables

ECGS = 4
"""Of three results each."""


class SlowPacs:
    """Takes half a second for an object, and counts the associations that are open at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.open = self.most = 0
        ae = AE(ae_title="PACS")
        ae.maximum_associations = 50
        for sop_class in dimse.RESULT_STORAGE:
            ae.add_supported_context(sop_class)
        self._server = ae.start_server(
            ("127.0.0.1", 0),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, self._on_store)],
        )
        self.port = int(self._server.server_address[1])

    def _on_store(self, _: evt.Event) -> int:
        with self._lock:
            self.open += 1
            self.most = max(self.most, self.open)
        time.sleep(0.5)
        with self._lock:
            self.open -= 1
        return 0x0000

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_slow_destination_has_no_more_associations_than_the_statement_says(
    tmp_path: Path,
) -> None:
    pacs = SlowPacs()
    node = NodeProcess(
        tmp_path,
        extra=f"""
[destinations.PACS]
kind = "dicom"
ae_title = "PACS"
host = "127.0.0.1"
port = {pacs.port}
""",
    )
    try:
        node.start()
        scu = StorageScu(
            calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
        )
        for _, content in instances(ECGS):
            scu.send(content)
        node.wait_for_jobs(
            lambda jobs: (
                len(jobs) == ECGS
                and all(
                    job["deliveries"]
                    and all(each["state"] == "delivered" for each in job["deliveries"])
                    for job in jobs
                )
            )
        )
        assert node.stop() == 0
    finally:
        node.close()
        pacs.stop()
    (rows,) = tables(default_statement(), "4.2.1.2.2")
    stated = {row["As"]: int(row["Maximum number of simultaneous associations"]) for row in rows}
    assert 1 < pacs.most <= stated["Initiator, results, of one destination"]
