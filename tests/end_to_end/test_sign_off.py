"""Users and signatures by the commands people type, beside a real node."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from node.dicom.part10 import read_part10
from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from node.hl7.stand_in import RisStandIn
from tests.ecg_instances import instances
from tests.end_to_end.node_process import BUNDLES, NodeProcess, destinations, settled

PASSWORD = "correct horse battery"


@pytest.fixture
def folder_of_a_bundle_of_patients(tmp_path: Path) -> Path:
    """That of one like `quick`, which does not say that its training data were simulated."""
    bundle = tmp_path / "bundles" / "of-patients"
    shutil.copytree(BUNDLES / "quick", bundle)
    manifest = bundle / "manifest.json"
    before = sha256(manifest.read_bytes()).hexdigest()
    told = json.loads(manifest.read_text(encoding="utf-8"))
    told |= {"name": "of-patients", "simulated": False}
    manifest.write_text(json.dumps(told), encoding="utf-8")
    sums = bundle / "SHA256SUMS"
    after = sha256(manifest.read_bytes()).hexdigest()
    sums.write_text(sums.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
    return bundle.parent


def test_a_person_signs_by_a_password_and_archive_and_ris_have_it_as_final(
    tmp_path: Path, folder_of_a_bundle_of_patients: Path
) -> None:
    pacs, ris = PacsStandIn(ae_title="PACS"), RisStandIn()
    extra = 'sign_off.organization = "St. Francis"\n' + destinations(pacs.start(), ris.start())
    node = NodeProcess(
        tmp_path, bundle="of-patients", bundles=folder_of_a_bundle_of_patients, extra=extra
    )
    try:
        node.start()
        scu = StorageScu(
            calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
        )
        scu.send(next(instances(1))[1])
        (job,) = node.wait_for_jobs(settled(1))
        owed = len(job["deliveries"])
        added = node.run(
            "user", "add", "curie", "--role", "operator", "--signs-as", "Curie^Marie",
            typed=f"{PASSWORD}\n{PASSWORD}\n",
        )  # fmt: skip
        assert added.returncode == 0, added.stderr
        (user,) = json.loads(node.run("user", "list", "--json").stdout)
        assert (user["name"], user["role"], user["signs_as"]) == (
            "curie",
            "operator",
            "Curie^Marie",
        )

        wrong = node.run("jobs", "sign", "1", "--as", "curie", typed="wrong horse battery\n")
        assert wrong.returncode == 1
        assert "the name or the password is wrong" in wrong.stderr
        signed = node.run("jobs", "sign", "1", "--as", "curie", typed=f"{PASSWORD}\n")
        assert signed.returncode == 0, signed.stderr
        assert signed.stdout == "2 results are signed by Marie Curie and sent as final\n"
        (job,) = node.wait_for_jobs(
            lambda jobs: settled(1)(jobs) and len(jobs[0]["deliveries"]) == owed + 2
        )
        assert {each["state"] for each in job["deliveries"]} == {"delivered"}
        assert len([each for each in job["deliveries"] if each["signs"] is not None]) == 2
        shown = node.run("jobs", "show", "1").stdout
        assert "by Marie Curie (curie): the first results" in shown
        assert PASSWORD not in node.text() and "Curie" not in node.text()
    finally:
        node.close()
        pacs.stop()
        ris.stop()
    reports = [
        each for each in map(read_part10, pacs.instances().values()) if each.Modality == "SR"
    ]
    assert [each.VerificationFlag for each in reports] == ["UNVERIFIED", "VERIFIED"]
    *_, message = ris.received.values()
    assert b"|F|" in message and b"SIGNED BY Marie Curie" in message
