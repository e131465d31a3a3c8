"""Results behind a PACS that is down cost next to nothing, and drain when it is back."""

from __future__ import annotations

import io
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import Dataset, dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from node.dicom.part10 import encode_part10
from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from node.domain.delivery import DestinationKind, JobState, ResultKind
from node.domain.instance import Origin, ReceivedInstance
from node.engine.unit_of_work import EngineUnitOfWork
from node.hl7.stand_in import RisStandIn
from node.store.database import Database, sqlite_url
from node.store.spool import Spool
from tests.ecg_instances import ROOT, instances
from tests.end_to_end.node_process import NodeProcess, free_port
from tests.end_to_end.process_tree import cpu_s, rss_bytes, thread_count

SR = "1.2.840.10008.5.1.4.1.1.88.33"
BATCH = 500


def report(number: int) -> tuple[str, bytes]:
    """A small report that nobody reads."""
    uid = f"{ROOT}.9.{number}"
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = SR, uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT}.9", f"{ROOT}.8"
    dataset.Modality, dataset.PatientID = "SR", "TEST"
    encoded = io.BytesIO()
    dcmwrite(encoded, dataset, implicit_vr=False, little_endian=True)
    return uid, encode_part10(
        encoded.getvalue(), sop_class_uid=SR, sop_instance_uid=uid,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )  # fmt: skip


def park(home: Path, count: int) -> list[str]:
    """Owe so many reports to the PACS; their UIDs in the order in which they are owed."""
    home.mkdir()
    database, spool = Database(sqlite_url(home / "node.db")), Spool(home / "spool")
    database.prepare()
    work = EngineUnitOfWork(database)
    at = datetime.now(UTC)
    ecg = spool.put(b"an ECG")
    uids = []
    for first in range(0, count, BATCH):
        kept = [report(number) for number in range(first, min(first + BATCH, count))]
        digests = [spool.put(content) for _, content in kept]
        with work.begin() as transaction:
            for (uid, _), digest in zip(kept, digests, strict=True):
                instance = ReceivedInstance(
                    sop_class_uid="1.2.840.10008.5.1.4.1.1.9.1.1", sop_instance_uid=f"{uid}.7",
                    transfer_syntax_uid=ExplicitVRLittleEndian,
                    origin=Origin(calling_ae="CART", called_ae="CARDIONODE", peer="127.0.0.1"),
                    content_digest=ecg, size_bytes=9, received_at=at, content=b"",
                )  # fmt: skip
                job_id = transaction.jobs.add(instance)
                assert transaction.jobs.settle(job_id, JobState.COMPLETED, at=at)
                delivery_id = transaction.outbox.add(
                    job_id=job_id, kind=ResultKind.REPORT, identifier=uid, sop_class_uid=SR,
                    destination="PACS", destination_kind=DestinationKind.DICOM,
                    content_digest=digest, revision=1, at=at,
                )  # fmt: skip
                transaction.enqueue_delivery(
                    delivery_id, run=1, destination="PACS", kind=DestinationKind.DICOM
                )
                uids.append(uid)
    work.close()
    database.close()
    return uids


def share_of_a_core(node: NodeProcess, seconds: float) -> float:
    before = cpu_s(node.pid)
    time.sleep(seconds)
    return (cpu_s(node.pid) - before) / seconds


def pick_up_s(node: NodeProcess, count: int) -> float:
    """95th percentile from an ECG's success status to the begin of its work, as the log has it."""
    scu = StorageScu(
        calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
    )
    accepted = {each["job_id"] for each in node.events("instance accepted")}
    for number, (_, content) in enumerate(instances(count), start=len(accepted) + 1):
        scu.send(content)
        while len(node.events("ecg predicted")) < number:
            time.sleep(0.05)
        time.sleep(2.2)  # so that the next one comes to a node at rest
    taken = {each["job_id"]: at(each) for each in node.events("instance accepted")}
    begun = {
        each["job_id"]: at(each) - each["duration_ms"] / 1000
        for each in node.events("ecg predicted")
    }
    waited = sorted(begun[job_id] - taken[job_id] for job_id in begun)
    return waited[max(0, round(0.95 * len(waited)) - 1)]


def at(event: dict[str, str]) -> float:
    return datetime.fromisoformat(event["at"]).timestamp()


@pytest.mark.parametrize(
    ("count", "ecgs", "idle_s"),
    [(200, 2, 3.0), pytest.param(10_000, 20, 60.0, marks=pytest.mark.soak)],
)
def test_what_waits_costs_next_to_nothing_and_arrives_once(
    tmp_path: Path, count: int, ecgs: int, idle_s: float
) -> None:
    """Processor, pick-up, rate and order are told, not judged: they are of this machine."""
    port, ris = free_port(), RisStandIn()
    configuration = (
        f'[destinations.PACS]\nkind = "dicom"\nae_title = "PACS"\nhost = "127.0.0.1"\n'
        f"port = {port}\nretry_maximum_s = 30\n"
        f'[destinations.RIS]\nkind = "hl7"\nhost = "127.0.0.1"\nport = {ris.start()}\n'
        '[[rules]]\nname = "told"\nresults = ["oru"]\ndestinations = ["RIS"]\n'
    )
    for name in ("empty", "parked"):
        (tmp_path / name).mkdir()
    empty = NodeProcess(tmp_path / "empty", extra=configuration)
    node = NodeProcess(tmp_path / "parked", extra=configuration)
    uids = park(node.home, count)
    pacs = PacsStandIn(ae_title="PACS", port=port)
    try:
        empty.start()
        time.sleep(5.0)
        usual_bytes, usual = rss_bytes(empty.pid), thread_count(empty.pid)
        idle = share_of_a_core(empty, idle_s)
        empty.stop()
        node.start()
        time.sleep(10.0)
        more_mb = (rss_bytes(node.pid) - usual_bytes) / 1e6
        more = thread_count(node.pid) - usual
        waiting = share_of_a_core(node, idle_s)
        waited_s = pick_up_s(node, ecgs)
        pacs.start()
        assert pacs.wait_for(1, timeout_s=60)
        begun = time.monotonic()
        assert pacs.wait_for(count, timeout_s=30 + count / 15)
        rate = (count - 1) / (time.monotonic() - begun)
    finally:
        empty.close()
        node.close()
        pacs.stop()
        ris.stop()
    order = {uid: place for place, uid in enumerate(uids)}
    came = [order[uid] for uid in pacs.received]
    displaced = max(abs(place - wanted) for wanted, place in enumerate(came))
    print(
        f"\n{count} parked: {more_mb:+.1f} MB, {more:+} threads; idle {idle:.1%}, with them "
        f"{waiting:.1%} of a core; picked up within {waited_s * 1000:.0f} ms (p95 of {ecgs}); "
        f"drained at {rate:.0f} a second, at most {displaced} places from their order"
    )
    assert len(pacs.stores) == count
    assert more_mb < 32.0
    assert more < 4
