"""A node and a FHIR server: one report, whatever is lost, killed, corrected or taken back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from node.dicom.scu import StorageScu
from tests.ecg_instances import instances
from tests.end_to_end.node_process import NodeProcess, settled
from tests.wire.fhir.fhir_server import FhirServer, serving_fhir

CONFIGURATION = """
[destinations.EHR]
kind = "fhir"
url = "{url}"
time_zone = "Europe/Vienna"
token = "file:{token}"
retry_initial_s = 0.2
retry_maximum_s = 1
"""


def delivered(jobs: list[dict[str, Any]]) -> bool:
    return settled(1)(jobs) and {each["state"] for each in jobs[0]["deliveries"]} == {"delivered"}


def statuses(server: FhirServer) -> set[str]:
    return {each["status"] for each in server.resources.values()}


def test_a_resend_a_correction_and_a_withdrawal_leave_one_report(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    with serving_fhir() as server:
        server.is_busy, server.loses_answers = 1, 1
        node = NodeProcess(tmp_path, extra=CONFIGURATION.format(url=server.url, token=token))
        try:
            node.start()
            scu = StorageScu(
                calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
            )
            scu.send(next(instances(1))[1])
            (job,) = node.wait_for_jobs(delivered)
            assert [each["kind"] for each in job["deliveries"]] == ["fhir"]
            tries = json.loads(node.run("jobs", "show", "1", "--json").stdout)["deliveries"][0]
            assert [each["error_code"] for each in tries["tries"]] == [
                "unavailable", "unanswered", None
            ]  # fmt: skip
            first, again = server.requests
            assert first == again
            (report,) = server.of("DiagnosticReport")
            known = set(server.resources)
            assert len(report["result"]) == len(server.of("Observation")) == len(known) - 1
            assert statuses(server) == {"preliminary"}

            checked = node.run("check")
            assert f"FHIR transactions offered by {server.url}, in the clear" in checked.stdout

            node.kill()
            node.start()
            assert node.run("jobs", "correct", "1").returncode == 0
            node.wait_for_jobs(lambda jobs: delivered(jobs) and len(jobs[0]["deliveries"]) == 2)
            assert set(server.resources) == known
            assert statuses(server) == {"corrected"}

            assert node.run("jobs", "withdraw", "1").returncode == 0
            node.wait_for_jobs(lambda jobs: delivered(jobs) and len(jobs[0]["deliveries"]) == 3)
            assert set(server.resources) == known
            assert statuses(server) == {"entered-in-error"}
        finally:
            node.close()
    patient = report["subject"]["identifier"]["value"]
    assert patient
    for secret in (patient, "s3cret", "Doe"):
        assert secret not in node.text()
