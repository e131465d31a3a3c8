"""The commands people type, on the real process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from node.dicom.part10 import read_part10
from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from node.domain.errors import CardioNodeError
from node.hl7.stand_in import RisStandIn
from tests.ecg_instances import instances
from tests.end_to_end import forked
from tests.end_to_end.node_process import BUNDLES, NodeProcess, destinations, free_port, settled
from tests.judges import complaints

WITHOUT_SUMMARY = """
[[rules]]
name = "as many as are sent at one time"
results = ["cine", "report", "oru"]
destinations = ["PACS", "RIS"]
"""
QUICK = ["--set", "model.bundle=quick-test", "--set", f'model.folders=["{BUNDLES}"]']


def test_two_runs_of_process_give_the_same_bytes(tmp_path: Path) -> None:
    file = tmp_path / "ecg.dcm"
    uid, content = next(instances(1))
    file.write_bytes(content)
    for run in ("one", "two"):
        done = forked.run(["process", str(file), "--pdf", "--out", str(tmp_path / run), *QUICK])
        assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "one" / uid).iterdir())
    assert names == [
        "cine.dcm", "cine.gif", "cine.png", "ecg.png", "prediction.json", "report.dcm",
        "report.txt", "result.hl7", "summary-pdf.dcm", "summary.dcm", "summary.pdf", "summary.png",
    ]  # fmt: skip
    for name in names:
        first, second = (tmp_path / run / uid / name for run in ("one", "two"))
        assert first.read_bytes() == second.read_bytes(), name


def test_process_says_what_it_could_not_read(tmp_path: Path) -> None:
    file = tmp_path / "note.txt"
    file.write_text("not an ECG")
    done = forked.run(["process", str(file), "--out", str(tmp_path / "out"), *QUICK])
    assert done.returncode == 1
    assert "note.txt" in done.stdout


def test_check_tries_what_the_file_names_and_says_what_is_wrong(tmp_path: Path) -> None:
    pacs = PacsStandIn(ae_title="PACS")
    node = NodeProcess(tmp_path, extra=destinations(pacs.start(), free_port()))
    checked = node.run("check")
    pacs.stop()
    assert checked.returncode == 1
    lines = checked.stdout.splitlines()
    assert any(line.startswith("ok    destination PACS: C-ECHO") for line in lines)
    assert any(line.startswith("FAIL  destination RIS") for line in lines)
    assert any(line.startswith("ok    model: quick-test") for line in lines)


def test_a_wrong_file_is_refused_with_every_problem_at_once(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('dicom.port = 99999\nhl7.prot = 1\nlog.form = "xml"\n')
    checked = subprocess.run(
        [sys.executable, "-m", "node", "check", "--config", file, "--home", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 1
    for key in ("dicom.port", "hl7.prot", "log.form"):
        assert key in checked.stderr
    assert "3 problems" in checked.stderr


def test_what_was_sent_is_corrected_then_withdrawn(tmp_path: Path) -> None:
    pacs, ris = PacsStandIn(ae_title="PACS"), RisStandIn()
    node = NodeProcess(tmp_path, extra=destinations(pacs.start(), ris.start()))
    try:
        node.start()
        scu = StorageScu(
            calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
        )
        scu.send(next(instances(1))[1])
        (job,) = node.wait_for_jobs(settled(1))
        owed, first = len(job["deliveries"]), len(pacs.received)
        corrected = node.run("jobs", "correct", "1")
        assert (corrected.returncode, corrected.stderr) == (0, "")
        node.wait_for_jobs(lambda jobs: settled(1)(jobs) and len(jobs[0]["deliveries"]) == 2 * owed)
        shown = node.run("jobs", "show", "1")
        assert "correction 1" in shown.stdout
        assert f"{owed} of {owed}" in node.run("jobs", "list").stdout
        withdrawn = node.run("jobs", "withdraw", "1")
        assert (withdrawn.returncode, withdrawn.stderr) == (0, "")
        (job,) = node.wait_for_jobs(
            lambda jobs: settled(1)(jobs) and len(jobs[0]["deliveries"]) == 2 * owed + 2
        )
        assert {each["state"] for each in job["deliveries"]} == {"delivered"}
        assert "2 of 2" in node.run("jobs", "list", "--state", "withdrawn").stdout
        assert node.run("jobs", "show", "1").stdout.count("withdrawal") == 2
    finally:
        node.close()
        pacs.stop()
        ris.stop()
    contents = list(pacs.instances().values())
    assert len(contents) == 2 * first + 1
    reports = [each for each in map(read_part10, contents) if each.Modality == "SR"]
    (study,) = reports[1].PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    (replaced,) = series.ReferencedSOPSequence
    assert replaced.ReferencedSOPInstanceUID == reports[0].SOPInstanceUID
    note = read_part10(contents[-1])
    rejected = [item for item in note.ContentSequence if "ReferencedSOPSequence" in item]
    assert len(rejected) == 2 * first
    for number, content in enumerate(contents[first:]):
        file = tmp_path / f"{number}.dcm"
        file.write_bytes(content)
        assert complaints(file) == []


def test_a_job_is_found_and_its_results_are_read_and_taken(tmp_path: Path) -> None:
    pacs, ris = PacsStandIn(ae_title="PACS"), RisStandIn()
    node = NodeProcess(tmp_path, extra=destinations(pacs.start(), ris.start()))
    _, content = next(instances(1))
    ecg = read_part10(content)
    try:
        node.start()
        scu = StorageScu(
            calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
        )
        scu.send(content)
        (job,) = node.wait_for_jobs(settled(1))
        for sought in (ecg.PatientID, ecg.StudyInstanceUID, ecg.SOPInstanceUID, "1"):
            found = json.loads(node.run("jobs", "find", "--for", sought, "--json").stdout)
            assert [each["job_id"] for each in found] == [1], sought
        assert json.loads(node.run("jobs", "find", "--for", "NOBODY", "--json").stdout) == []
        assert "completed" in node.run("jobs", "find", typed=f"{ecg.PatientID}\n").stdout
        made = {each["kind"]: each["delivery_id"] for each in job["deliveries"]}
        assert "synthetic" in node.run("jobs", "result", str(made["report"])).stdout.lower()
        assert node.run("jobs", "result", str(made["oru"])).stdout.startswith("MSH|")
        picture = node.run("jobs", "result", str(made["cine"]))
        assert (picture.returncode, "--out" in picture.stderr) == (1, True)
        assert node.run("jobs", "result", "99").returncode == 1
        out = tmp_path / "taken"
        for kind, delivery_id in made.items():
            taken = node.run("jobs", "result", str(delivery_id), "--out", str(out))
            file = Path(taken.stdout.strip())
            assert file.name.startswith(f"{kind}-{delivery_id}."), taken.stderr
            if kind == "oru":
                assert file.read_bytes() in ris.received.values()
            else:
                assert read_part10(file.read_bytes()).SOPInstanceUID in pacs.instances()
        noted = [each["said"] for each in json.loads(node.run("audit", "--json").stdout)]
        assert noted.count("1 found") == 5
        assert f"cine {made['cine']}" in noted
    finally:
        node.close()
        pacs.stop()
        ris.stop()


def test_a_person_sees_retries_and_cancels_a_job(tmp_path: Path) -> None:
    pacs_port = free_port()
    pacs = PacsStandIn(ae_title="PACS", port=pacs_port)
    node = NodeProcess(
        tmp_path, extra=destinations(pacs_port, free_port(), retry_s=300) + WITHOUT_SUMMARY
    )
    try:
        node.start()
        scu = StorageScu(
            calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
        )
        for _, content in instances(2):
            scu.send(content)
        node.wait_for_jobs(
            # The messages of one HL7 destination go one by one: the second is not tried yet.
            lambda jobs: all(
                len(job["deliveries"]) == 3
                and all(each["attempts"] or each["kind"] == "oru" for each in job["deliveries"])
                for job in jobs
            )
        )
        shown = node.run("jobs", "show", "1", "--json")
        tried = [each["tries"] for each in json.loads(shown.stdout)["deliveries"] if each["tries"]]
        assert {tries[0]["error_code"] for tries in tried} == {"unreachable"}

        assert node.run("jobs", "cancel", "2").returncode == 0
        pacs.start()
        assert node.run("jobs", "retry", "1").returncode == 0
        # The waiting ones are woken; without the retry they would wait for 300 s.
        until = time.monotonic() + 20
        while len(pacs.received) < 2 and time.monotonic() < until:
            time.sleep(0.1)
        assert len(pacs.received) == 2

        assert node.run("jobs", "cancel", "1").returncode == 0
        jobs = node.wait_for_jobs(settled(2))
        assert [sorted(e["state"] for e in job["deliveries"]) for job in jobs] == [
            ["cancelled", "delivered", "delivered"],
            ["cancelled", "cancelled", "cancelled"],
        ]
        assert node.run("jobs", "cancel", "1").returncode == 1
        assert node.run("jobs", "show", "99").returncode == 1

        before = sorted(pacs.stores)
        again = node.run("jobs", "send-again", "--to", "PACS", "--since", "2026-01-01 08:00")
        assert again.stdout == "results of 1 jobs are sent to PACS again\n", again.stderr
        until = time.monotonic() + 20
        while len(pacs.stores) < 2 * len(before) and time.monotonic() < until:
            time.sleep(0.1)
        assert sorted(pacs.stores[len(before) :]) == before
        assert node.run("jobs", "send-again", "--to", "PACS").returncode == 1
        assert node.run("jobs", "send-again", "2").returncode == 1
    finally:
        node.close()
        pacs.stop()


def test_a_caller_turned_away_is_seen_and_let_in(tmp_path: Path) -> None:
    peers = 'dicom.peers = [\n    { ae_title = "ED_*", networks = ["127.0.0.1/32"] },\n]\n'
    node = NodeProcess(tmp_path, extra=peers)
    try:
        node.start()
        scu = StorageScu(
            calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
        )
        for _ in range(3):
            with pytest.raises(CardioNodeError):
                scu.echo()
        rejected = node.events("association rejected")[0]
        assert rejected["level"] == "warning"
        assert "cardionode peers refused" in rejected["reason"]
        until = time.monotonic() + 10
        while not (callers := json.loads(node.run("peers", "refused", "--json").stdout)):
            assert time.monotonic() < until
        assert (callers[0]["calling_ae"], callers[0]["now"]) == ("CART", "refused")
        allowed = node.run("peers", "allow", str(callers[0]["number"]))
        assert allowed.returncode == 0, allowed.stderr
        assert node.stop() == 0
        node.start()
        scu.echo()
    finally:
        node.close()


def test_health_readiness_and_metrics_are_served(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path)
    try:
        node.start()

        def get(path: str) -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{node.web_port}{path}") as answer:
                return str(answer.read().decode())

        assert json.loads(get("/healthz")) == {"status": "ok", "problems": []}
        assert json.loads(get("/readyz")) == {"status": "ok", "problems": []}
        assert 'cardionode_jobs{state="received"} 0.0' in get("/metrics")
    finally:
        node.close()


def test_a_second_node_in_the_same_home_is_refused(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path)
    try:
        node.start()
        second = node.run("serve", "--set", "dicom.port=0")
        assert second.returncode == 1
        assert "another node runs" in second.stderr
    finally:
        node.close()


def test_a_full_disk_refuses_with_out_of_resources_and_keeps_running(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path, extra="storage.minimum_free_mb = 100000000")
    try:
        node.start()
        scu = StorageScu(
            calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
        )
        with pytest.raises(CardioNodeError, match="0xA700"):
            scu.send(next(instances(1))[1])
        scu.echo()
        assert node.events("instance refused")[0]["error_code"] == "out-of-space"
    finally:
        node.close()


def test_bundles_are_listed_and_verified(tmp_path: Path) -> None:
    listed = forked.run(["bundle", "list", *QUICK])
    assert listed.returncode == 0
    assert "quick-test" in listed.stdout
    assert forked.run(["bundle", "verify", "quick-test", *QUICK]).returncode == 0
    assert forked.run(["bundle", "verify", "nothing", *QUICK]).returncode == 1
