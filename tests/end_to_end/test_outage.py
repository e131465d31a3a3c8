"""PACS and RIS down for the whole run, then up: everything arrives, the model ran once an ECG."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from node.hl7.stand_in import RisStandIn
from tests.ecg_instances import instances
from tests.end_to_end.node_process import NodeProcess, destinations, free_port, settled

ECGS = 12


def test_results_wait_for_a_pacs_and_a_ris_that_are_down_and_the_model_runs_once(
    tmp_path: Path,
) -> None:
    pacs_port, ris_port = free_port(), free_port()
    node = NodeProcess(tmp_path, extra=destinations(pacs_port, ris_port))
    pacs = PacsStandIn(ae_title="PACS", port=pacs_port)
    ris = RisStandIn(port=ris_port)
    try:
        node.start()
        scu = StorageScu(
            calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
        )
        for _, content in instances(ECGS):
            scu.send(content)
        node.wait_for_jobs(lambda jobs: all(job["state"] == "completed" for job in jobs))
        failed = node.jobs()
        assert all(each["state"] == "pending" for job in failed for each in job["deliveries"]), (
            "nothing can have arrived"
        )
        assert any(
            each["error_code"] == "unreachable" for job in failed for each in job["deliveries"]
        )

        pacs.start()
        ris.start()
        jobs = node.wait_for_jobs(settled(ECGS), within_s=90)
        assert node.stop() == 0
    finally:
        node.close()
        pacs.stop()
        ris.stop()
    states = Counter(each["state"] for job in jobs for each in job["deliveries"])
    assert states == {"delivered": 4 * ECGS}
    assert len(pacs.received) == 3 * ECGS
    assert len(ris.received) == ECGS
    assert len(node.events("ecg predicted")) == ECGS
