"""The state of an earlier version, with work in flight, under this one."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from node.dicom.stand_in import PacsStandIn
from node.hl7.stand_in import RisStandIn
from node.store.schema import HEAD
from tests.end_to_end.node_process import NodeProcess, destinations, settled

DATABASES = Path(__file__).parents[1] / "data" / "databases"


@pytest.mark.parametrize("schema", ["0000"])
def test_what_an_earlier_version_accepted_is_finished_by_this_one(
    tmp_path: Path, schema: str
) -> None:
    """One ECG answered, its results owed; one acknowledged a moment before the end."""
    with tarfile.open(DATABASES / f"schema-{schema}.tar.xz") as kept:
        kept.extractall(tmp_path, filter="data")
    pacs, ris = PacsStandIn(ae_title="PACS"), RisStandIn()
    node = NodeProcess(tmp_path, extra=destinations(pacs.start(), ris.start()))
    try:
        beside = node.run("jobs", "list")
        assert beside.returncode == 1
        assert f"has schema {schema}, this version of cardionode needs {HEAD}" in beside.stderr
        node.start()
        jobs = node.wait_for_jobs(settled(2))
        assert node.stop() == 0
    finally:
        node.close()
        pacs.stop()
        ris.stop()
    assert {job["state"] for job in jobs} == {"completed"}
    assert {each["state"] for job in jobs for each in job["deliveries"]} == {"delivered"}
    assert len(pacs.instances()) == 2 * 3
    assert len(ris.received) == 2
    assert len(node.events("ecg predicted")) == 1  # the first was predicted by the other version
    assert [each["schema"] for each in node.events("database upgraded")] == [schema]
    assert (node.home / f"node.db.schema-{schema}").is_file()
