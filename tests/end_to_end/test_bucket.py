"""A node whose objects are in a bucket, encrypted: through a kill, an outage, and a new home."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from node.domain.errors import CardioNodeError
from node.hl7.stand_in import RisStandIn
from tests.ecg_instances import instances
from tests.end_to_end.node_process import NodeProcess, destinations, settled
from tests.s3 import BUCKET, S3, s3

ECGS = 4


@pytest.fixture
def store() -> Iterator[S3]:
    with s3() as running:
        yield running


def in_bucket(store: S3, folder: Path) -> str:
    """Configuration of a store of objects there, with a key."""
    for name, content in (
        ("key", base64.b64encode(bytes(range(32)))), ("access", b"cart"), ("secret", b"horse"),
    ):  # fmt: skip
        (folder / name).write_bytes(content)
    return f"""
storage.objects = "s3://{BUCKET}/hospital/a"
storage.keys = ["file:{folder}/key"]
[storage.s3]
endpoint_url = "{store.endpoint_url}"
region = "us-east-1"
access_key = "file:{folder}/access"
secret_key = "file:{folder}/secret"
"""


def test_ecgs_in_an_encrypted_bucket_are_answered_through_a_kill_and_an_outage(
    tmp_path: Path, store: S3, outside: tuple[PacsStandIn, RisStandIn]
) -> None:
    pacs, ris = outside
    extra = in_bucket(store, tmp_path) + destinations(pacs.start(), ris.start())
    node = NodeProcess(tmp_path, extra=extra)
    try:
        checked = node.run("check")
        assert f"objects: written, read and removed in s3://{BUCKET}" in checked.stdout
        node.start()
        scu = StorageScu(
            calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
        )
        sent = list(instances(ECGS))
        for _, content in sent[:2]:
            scu.send(content)
        node.kill()
        node.start()
        store.freeze()
        with pytest.raises(CardioNodeError):
            scu.send(sent[2][1])
        store.thaw()
        for _, content in sent[2:]:
            scu.send(content)
        jobs = node.wait_for_jobs(settled(ECGS), within_s=120)
        assert node.stop() == 0
    finally:
        node.close()
    assert {each["state"] for job in jobs for each in job["deliveries"]} == {"delivered"}
    assert (len(pacs.received), len(ris.received)) == (3 * ECGS, ECGS)
    assert not (node.home / "spool").exists()
    refused = node.events("instance refused")
    assert refused[0]["error_code"] == "storage"
    assert f"s3://{BUCKET}/hospital/a" in refused[0]["reason"]

    kept = store.objects("hospital/a")
    assert len(kept) >= 6 * ECGS
    words = (b"TEST-", b"SYNTHETIC", b"1.2.840.10008.")
    assert not any(word in content for content in kept.values() for word in words)
    verified = json.loads(node.run("store", "verify", "--json").stdout)
    assert (verified["checked"], verified["lost"]) == (5 * ECGS + 1, [])  # they are of one waveform


def test_a_backup_of_a_bucket_is_restored_into_another(tmp_path: Path, store: S3) -> None:
    node = NodeProcess(tmp_path, extra=in_bucket(store, tmp_path))
    try:
        node.start()
        scu = StorageScu(
            calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
        )
        for _, content in instances(2):
            scu.send(content)
        node.wait_for_jobs(settled(2))
        backed_up = node.run("store", "backup", str(tmp_path / "backup"))
        assert backed_up.returncode == 0, backed_up.stderr
        assert node.stop() == 0
    finally:
        node.close()
    node.home = tmp_path / "restored"
    written = node.configuration.read_text(encoding="utf-8")
    node.configuration.write_text(written.replace("hospital/a", "hospital/b"), encoding="utf-8")
    restored = node.run("store", "restore", str(tmp_path / "backup"))
    assert restored.returncode == 0, restored.stderr
    verified = node.run("store", "verify", "--json")
    assert json.loads(verified.stdout)["lost"] == []
    assert {job["state"] for job in node.jobs()} == {"completed"}
    checked = json.loads(verified.stdout)["checked"]
    assert len(store.objects("hospital/b")) == checked + 1 > 3  # and the proof of the keys
