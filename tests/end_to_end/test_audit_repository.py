"""A real node tells a real syslog server who did what, over mutual TLS, also when that was away."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from node.hl7.stand_in import RisStandIn
from tests.audit_schema import read_audit_message, summary
from tests.certificates import HOST, Authority
from tests.ecg_instances import instances
from tests.end_to_end.audit_repository import AuditRepository
from tests.end_to_end.node_process import NodeProcess, destinations, free_port, settled
from tests.wire.web.console_server import PASSWORD, Browser


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_a_repository_is_told_what_comes_and_goes_and_who_looks(
    tmp_path: Path, authority: Authority, outside: tuple[PacsStandIn, RisStandIn]
) -> None:
    pacs, ris = outside
    port = free_port()
    repository = AuditRepository(tmp_path, port, authority.issue("arr"))
    shown = authority.issue("node").toml()
    extra = destinations(pacs.start(), ris.start()) + shown
    extra += f'[audit_repository]\nhost = "{HOST}"\nport = {port}\nsource_id = "heart"\n'
    node = NodeProcess(tmp_path, extra=extra)
    ((_, content),) = instances(1)
    try:
        with repository.running():
            node.start()
            repository.wait_for(1)
        node.run("user", "add", "curie", "--role", "operator", typed=f"{PASSWORD}\n" * 2)
        scu = StorageScu(calling_ae="CART", called_ae="CARDIONODE", host=HOST, port=node.dicom_port)
        scu.send(content)
        node.wait_for_jobs(settled(1))
        browser = Browser(node.web_port)
        assert browser.sign_in("curie").status == 303
        assert browser.get("/studies/1").status == 200
        until = time.monotonic() + 60
        while not node.events("audit messages not taken"):
            assert time.monotonic() < until, node.text()[-3000:]
            time.sleep(0.2)
        with repository.running():
            repository.wait_for(8)
            assert node.stop() == 0
            messages = repository.wait_for(9)
    finally:
        node.close()
    said = [summary(each) for each in messages]
    assert said[0] == "Application Activity, Application Start, 0: heart"
    assert said[-1] == "Application Activity, Application Stop, 0: heart"
    user = next(each for each in said if "User security" in each)
    assert user.startswith("Security Alert, User security Attributes Changed, 0: ")
    assert "User Authentication, Login, 0: curie, heart" in said
    assert "DICOM Instances Accessed, 0: curie, heart" in said
    assert "DICOM Instances Transferred, 0: CART, CARDIONODE" in said
    assert said.count("DICOM Instances Transferred, 0: CARDIONODE, PACS") == 3
    looked = messages[said.index("DICOM Instances Accessed, 0: curie, heart")]
    _, patient = read_audit_message(looked).findall("ParticipantObjectIdentification")
    assert patient.get("ParticipantObjectID") == "TEST-00001"
    assert not any(b"Doe" in each for each in messages)
    assert "TEST-00001" not in node.text()
