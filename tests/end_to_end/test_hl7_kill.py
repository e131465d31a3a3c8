"""A hostile RIS and kill -9 at random moments: each result acknowledged once, no message lost."""

from __future__ import annotations

import io
import os
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import hl7
import pytest

from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from node.domain.errors import CardioNodeError
from node.domain.identifiers import sha256
from node.hl7.sender import Hl7Sender
from node.store.database import Database, sqlite_url
from node.store.messages import Messages
from node.store.spool import Spool
from tests.ecg_instances import ROOT, mortara
from tests.end_to_end.hostile_ris import HostileRis
from tests.end_to_end.node_process import NodeProcess, destinations, settled

PATIENTS = 3
ANSWER_TIMEOUT_S = 2.0


@dataclass(slots=True)
class Fed:
    """What the node has acknowledged."""

    ecgs: list[int] = field(default_factory=list)
    """Numbers of ECGs, in order."""
    messages: list[bytes] = field(default_factory=list)


@pytest.mark.parametrize(
    ("ecgs", "kills"),
    [(6, 3), pytest.param(80, 20, marks=pytest.mark.soak)],
    ids=["small", "full"],
)
def test_each_result_is_acknowledged_once_in_order_and_no_message_is_lost(
    tmp_path: Path, ecgs: int, kills: int
) -> None:
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(10**6)))
    print(f"\nseed {seed}: {ecgs} ECGs, {kills} kills (SEED={seed} repeats it)")
    chance = random.Random(seed)
    pacs, ris = PacsStandIn(ae_title="PACS"), HostileRis(chance, patience_s=ANSWER_TIMEOUT_S)
    extra = destinations(pacs.start(), ris.start())
    node = NodeProcess(tmp_path, extra=f"{extra}answer_timeout_s = {ANSWER_TIMEOUT_S}\n")
    try:
        node.start()
        fed = _feed_under_kills(node, ecgs, kills, chance)
        jobs = node.wait_for_jobs(settled(ecgs), within_s=60 + 5 * ecgs)
        assert node.stop() == 0
    finally:
        node.close()
        pacs.stop()
        ris.stop()

    owed = [each for job in jobs for each in job["deliveries"]]
    assert {each["state"] for each in owed} == {"delivered"}
    _check_results(ris, [each["identifier"] for each in owed if each["kind"] == "oru"], ecgs, kills)
    _check_messages(node.home, fed.messages)
    assert not any(secret in node.text() for secret in ("TEST-", "ACC0", "Doe", "DOE"))


def _check_results(ris: HostileRis, owed: list[str], ecgs: int, kills: int) -> None:
    """Of each ECG one message, the same in every resend; those of a patient in the ECGs' order."""
    contents = dict(ris.arrived)
    assert set(ris.arrived) == set(contents.items()), "another content under a known MSH-10"
    assert sorted(owed) == sorted(contents)
    assert len(owed) == ecgs
    assert set(ris.acknowledged) == set(owed)
    again = sum(
        place >= ris.settled.get(control_id, len(ris.arrived))
        for place, (control_id, _) in enumerate(ris.arrived)
    )
    assert again <= kills, "sent again though it was acknowledged and the node was not killed"
    in_turn = defaultdict(list)
    for control_id in dict.fromkeys(ris.acknowledged):
        message = hl7.parse(contents[control_id].decode())
        number = int(str(message.segment("OBR")[18]).removeprefix("ACC"))
        assert str(message.segment("OBR")[2]) == (f"PL{number}^RIS" if number % 2 else "")
        in_turn[str(message.segment("PID")[3])].append(number)
    assert len(in_turn) == PATIENTS
    assert all(numbers == sorted(numbers) for numbers in in_turn.values()), dict(in_turn)
    resent = len(ris.arrived) - len(contents)
    print(f"{len(owed)} results, {resent} sent again, {again} of them after an AA")
    print(", ".join(f"{name} {times}" for name, times in ris.misdeeds.most_common()))


def _check_messages(home: Path, acknowledged: list[bytes]) -> None:
    """Each once in the list, and its bytes in the spool."""
    database, spool = Database(sqlite_url(home / "node.db")), Spool(home / "spool")
    with database.read() as connection:
        rows = Messages(connection).latest(limit=10 * len(acknowledged))
    database.close()
    listed = Counter((row.control_id, row.content_digest) for row in rows)
    for content in acknowledged:
        digest = sha256(content)
        assert spool.get(digest) == content
        assert listed[content.split(b"|")[9].decode(), digest] == 1
    assert {row.error_message for row in rows} == {None}
    print(f"{len(acknowledged)} messages acknowledged, {len(rows)} listed")


def _feed_under_kills(node: NodeProcess, ecgs: int, kills: int, chance: random.Random) -> Fed:
    """Send ECGs, orders and admissions, each until it is acknowledged, while the node is killed."""
    fed, killed = Fed(), threading.Event()
    feeders = [
        threading.Thread(target=_feed_ecgs, args=(node, ecgs, fed, random.Random(chance.random()))),
        threading.Thread(target=_feed_admissions, args=(node, fed, killed)),
    ]
    for feeder in feeders:
        feeder.start()
    for _ in range(kills):
        time.sleep(chance.uniform(0.05, 2.5))
        node.kill()
        node.start()
    killed.set()
    for feeder in feeders:
        feeder.join()
    return fed


def _feed_ecgs(node: NodeProcess, ecgs: int, fed: Fed, chance: random.Random) -> None:
    """Of every other ECG the order before it."""
    scu = StorageScu(
        calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port,
        connect_timeout_s=2, answer_timeout_s=10,
    )  # fmt: skip
    ris = Hl7Sender("127.0.0.1", node.hl7_port, connect_timeout_s=2, answer_timeout_s=5)
    for number, content in enumerate(_ecgs(ecgs)):
        if number % 2:
            _insist(ris, _order(number), fed)
        while number not in fed.ecgs:
            try:
                scu.send(content)
                fed.ecgs.append(number)
            except CardioNodeError:
                time.sleep(0.2)
        time.sleep(chance.uniform(0.0, 0.3))
    ris.close()


def _feed_admissions(node: NodeProcess, fed: Fed, killed: threading.Event) -> None:
    """Admissions and merges, of patients who have no ECG, as fast as they are acknowledged."""
    ris = Hl7Sender("127.0.0.1", node.hl7_port, connect_timeout_s=2, answer_timeout_s=5)
    number = 0
    while not killed.is_set():
        number += 1
        _insist(ris, _admission(number), fed)
        time.sleep(0.01)
    ris.close()


def _insist(ris: Hl7Sender, message: bytes, fed: Fed) -> None:
    while True:
        try:
            ris.send(message)
        except CardioNodeError:
            time.sleep(0.1)
        else:
            fed.messages.append(message)
            return


def _ecgs(count: int) -> Iterator[bytes]:
    """Of a few patients in turn, each in a study of its own."""
    dataset = mortara()
    dataset.PatientName = "Doe^Jane"
    for number in range(count):
        uid = f"{ROOT}.6.{number}"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{uid}.1"
        dataset.SeriesInstanceUID, dataset.StudyInstanceUID = f"{uid}.2", f"{uid}.3"
        dataset.PatientID, dataset.AccessionNumber = _patient(number), f"ACC{number:05}"
        file = io.BytesIO()
        dataset.save_as(file)
        yield file.getvalue()


def _patient(number: int) -> str:
    return f"TEST-{number % PATIENTS}"


def _message(event: str, control_id: str, *segments: str) -> bytes:
    head = f"MSH|^~\\&|RIS|H|CN|H|20261126080000||{event}|{control_id}|P|2.5.1"
    return "\r".join((head, *segments, "")).encode()


def _order(number: int) -> bytes:
    return _message(
        "ORM^O01", f"O{number}", f"PID|||{_patient(number)}^^^^MR||DOE^JANE",
        f"ORC|NW|PL{number}^RIS", "OBR|1|||93000^ECG^C4" + "|" * 14 + f"ACC{number:05}|RP1",
    )  # fmt: skip


def _admission(number: int) -> bytes:
    if number % 3:
        return _message("ADT^A08", f"A{number}", f"PID|||TEST-A{number}^^^^MR||DOE^JOHN")
    merged = f"MRG|TEST-A{number - 1}^^^^MR"
    return _message("ADT^A40", f"A{number}", f"PID|||TEST-A{number}^^^^MR||DOE^JOHN", merged)
