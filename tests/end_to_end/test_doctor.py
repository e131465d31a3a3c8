"""`cardionode doctor` on a node that runs and on one that does not: all of it, and no patient."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from tests.ecg_instances import instances
from tests.end_to_end.node_process import NodeProcess, destinations, free_port
from tests.fuzz.demands import betrays

RULE = """
[[rules]]
name = "a patient of ours"
attributes = { PatientID = "TEST-*" }
destinations = ["PACS", "RIS"]
"""


def test_what_is_packed_says_what_is_wrong_and_names_no_patient(tmp_path: Path) -> None:
    pacs = PacsStandIn(ae_title="PACS")
    node = NodeProcess(tmp_path, extra=destinations(pacs.start(), free_port(), retry_s=600) + RULE)
    archive = tmp_path / "support.zip"
    ((uid, content),) = instances(1)
    try:
        node.start()
        node.run("user", "add", "curie", "--role", "viewer", typed="correct horse battery\n" * 2)
        StorageScu(
            calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
        ).send(content)
        node.wait_for_jobs(lambda jobs: jobs and pacs.received and jobs[0]["state"] == "completed")
        done = node.run("doctor", "--log", str(node.log), "--out", str(archive))
        assert done.returncode == 1
        assert "FAIL  destination RIS: " in done.stdout, done.stdout
        assert "FAIL  node" not in done.stdout
        assert "port: cannot listen" not in done.stdout, "it has its ports itself"
        again = node.run("doctor", "--log", str(node.log), "--out", str(archive))
        assert "cannot write" in again.stderr
    finally:
        node.close()
        pacs.stop()
    with zipfile.ZipFile(archive) as packed:
        files = {Path(name).name: packed.read(name).decode() for name in packed.namelist()}
    assert archive.stat().st_mode & 0o077 == 0
    for name, text in files.items():
        assert not betrays(text, ["Doe^Jane", "TEST-00001", "ACC00001", uid]), name
        assert "Jane" not in text
        assert "curie" not in text
    assert json.loads(files["state.json"])["jobs"]["completed"] == 1
    assert json.loads(files["state.json"])["oldest_pending"]["RIS"]["error_code"]
    (rule,) = json.loads(files["configuration.json"])["rules"]
    assert rule["attributes"] == {"PatientID": "..."}
    assert {"subject", "problem", "detail"} == set(json.loads(files["checks.json"])[0])
    assert "pydicom" in json.loads(files["versions.json"])["distributions"]
    assert "cardionode_jobs" in files["metrics"]
    assert json.loads(files["readyz"])["status"] == "ok"
    assert '"message": "delivery attempted"' in files["log.txt"]


def test_a_node_that_does_not_run_is_told_of(tmp_path: Path) -> None:
    node, archive = NodeProcess(tmp_path), tmp_path / "support.zip"
    done = node.run("doctor", "--out", str(archive))
    assert done.returncode == 1
    assert f"FAIL  node: it does not answer on port {node.web_port}" in done.stdout
    with zipfile.ZipFile(archive) as packed:
        names = {Path(name).name for name in packed.namelist()}
        state = packed.read("cardionode-support/state.json").decode()
    assert "metrics" not in names
    assert "no node has run in" in state
