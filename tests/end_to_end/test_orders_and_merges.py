"""Orders and merges that a RIS tells a node of, between kills and while its receivers are down."""

from __future__ import annotations

import io
import json
from pathlib import Path

import hl7
from pydicom import dcmread

from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from node.hl7.sender import Hl7Sender
from node.hl7.stand_in import RisStandIn
from tests.ecg_instances import instances
from tests.end_to_end.node_process import NodeProcess, destinations, free_port, settled

HEAD = "MSH|^~\\&|RIS|H|CN|H|20261126080000||{}|{}|P|2.5.1\r"
ORDER = HEAD.format("ORM^O01", "O1") + (
    "PID|||OLD-ID^^^^MR\rORC|NW|PL1^RIS|FI1^RAD\rOBR|1|||93000^ECG^C4" + "|" * 14 + "ACC-1|RP1\r"
)
MERGE = HEAD.format("ADT^A40", "M1") + "PID|||NEW-ID^^^HOSP^MR||DOE^JANE\rMRG|OLD-ID\r"


def ecg() -> bytes:
    dataset = dcmread(io.BytesIO(next(instances(1))[1]))
    dataset.PatientID, dataset.AccessionNumber = "OLD-ID", "ACC-1"
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def test_a_late_order_and_a_merge_are_in_what_arrives_and_nothing_arrives_without(
    tmp_path: Path,
) -> None:
    pacs_port, ris_port = free_port(), free_port()
    node = NodeProcess(
        tmp_path,
        extra='orders.unmatched = "hold"\n' + destinations(pacs_port, ris_port, retry_s=5.0),
    )
    pacs, ris = PacsStandIn(ae_title="PACS", port=pacs_port), RisStandIn(port=ris_port)
    sender = Hl7Sender("127.0.0.1", node.hl7_port)
    try:
        node.start()
        StorageScu(
            calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
        ).send(ecg())
        node.wait_for_jobs(lambda jobs: [job["state"] for job in jobs] == ["held"])
        sender.send(ORDER.encode())
        node.kill()
        node.start()
        node.wait_for_jobs(
            lambda jobs: jobs[0]["state"] == "completed" and len(jobs[0]["deliveries"]) == 4
        )
        # What a kill cuts short may have arrived, and would be corrected.
        node.wait_for_jobs(lambda jobs: len(node.events("delivery attempted")) >= 4)
        sender.send(MERGE.encode())
        node.kill()
        node.start()
        sender.send(MERGE.encode())  # as if its acknowledgement had been lost
        node.wait_for_jobs(
            lambda jobs: jobs[0]["state"] == "completed" and len(jobs[0]["deliveries"]) == 8
        )
        listed = node.run("hl7", "received", "--json")
        assert [each["control_id"] for each in json.loads(listed.stdout)] == ["M1", "O1"]
        assert "OLD-ID" not in listed.stdout
        merge = next(
            each["message_id"] for each in json.loads(listed.stdout) if each["control_id"] == "M1"
        )
        assert "\nMRG|OLD-ID" in node.run("hl7", "show", str(merge)).stdout
        assert node.run("hl7", "show", "99").returncode == 1
        pacs.start()
        ris.start()
        (job,) = node.wait_for_jobs(settled(1), within_s=90)
        assert node.stop() == 0
    finally:
        sender.close()
        node.close()
        pacs.stop()
        ris.stop()
    states = [each["state"] for each in job["deliveries"]]
    assert states == ["cancelled"] * 4 + ["delivered"] * 4
    made = [dcmread(io.BytesIO(each)) for each in pacs.instances().values()]
    assert [str(each.PatientID) for each in made] == ["NEW-ID"] * 3
    assert {str(each.PatientName) for each in made} == {"DOE^JANE"}
    (report,) = (each for each in made if each.Modality == "SR")
    assert report.ReferencedRequestSequence[0].PlacerOrderNumberImagingServiceRequest == "PL1"
    (message,) = (hl7.parse(each.decode()) for each in ris.received.values())
    assert str(message.segment("PID")[3]) == "NEW-ID^^^HOSP^MR"
    request = message.segment("OBR")
    assert (str(request[2]), str(request[3])) == ("PL1^RIS", "FI1^RAD")
    assert str(request[25]) == "R"  # nothing was sent before that it could correct
    assert not any(secret in node.text() for secret in ("OLD-ID", "NEW-ID", "DOE", "ACC-1"))
