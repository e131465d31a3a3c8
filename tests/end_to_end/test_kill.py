"""kill -9 at random moments: what was acknowledged ends with exactly one set of results."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from node.domain.errors import CardioNodeError
from node.hl7.stand_in import RisStandIn
from tests.ecg_instances import instances
from tests.end_to_end.node_process import NodeProcess, destinations, settled


@pytest.mark.parametrize(
    ("ecgs", "kills"),
    [(20, 3), pytest.param(1000, 50, marks=pytest.mark.soak)],
    ids=["small", "full"],
)
def test_an_acknowledged_ecg_survives_kill_minus_nine_with_one_set_of_results(
    tmp_path: Path, ecgs: int, kills: int
) -> None:
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(10**6)))
    print(f"\nseed {seed}: {ecgs} ECGs, {kills} kills (SEED={seed} repeats it)")
    chance = random.Random(seed)
    pacs, ris = PacsStandIn(ae_title="PACS"), RisStandIn()
    node = NodeProcess(tmp_path, at_once=3, extra=destinations(pacs.start(), ris.start()))
    try:
        node.start()
        acknowledged = _stream_under_kills(node, ecgs, kills, chance)
        jobs = node.wait_for_jobs(settled(ecgs), within_s=60 + 2 * ecgs)
        assert node.stop() == 0
    finally:
        node.close()
        pacs.stop()
        ris.stop()

    assert sorted(job["sop_instance_uid"] for job in jobs) == sorted(acknowledged)
    assert {job["state"] for job in jobs} == {"completed"}
    deliveries = [each for job in jobs for each in job["deliveries"]]
    assert {each["state"] for each in deliveries} == {"delivered"}
    assert Counter(each["kind"] for each in deliveries) == dict.fromkeys(
        ("cine", "summary", "report", "oru"), ecgs
    )
    # One set each: what arrived more than once arrived under the same identifier.
    assert set(pacs.received) == {
        each["identifier"] for each in deliveries if each["kind"] != "oru"
    }
    assert set(ris.received) == {each["identifier"] for each in deliveries if each["kind"] == "oru"}
    resent = len(pacs.stores) - len(pacs.received) + len(ris.messages) - len(ris.received)
    again = len(node.events("ecg predicted")) - ecgs
    print(f"{kills} kills: 0 lost, {resent} results sent again under the same identifiers")
    print(f"predictions logged beyond one an ECG: {again} (a kill between answer and commit)")


def _stream_under_kills(
    node: NodeProcess, ecgs: int, kills: int, chance: random.Random
) -> list[str]:
    """Send each ECG until it is acknowledged, while the node is killed and restarted."""
    acknowledged: list[str] = []
    scu = StorageScu(
        calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port,
        connect_timeout_s=2, answer_timeout_s=10,
    )  # fmt: skip

    def send() -> None:
        for uid, content in instances(ecgs):
            while True:
                try:
                    scu.send(content)
                except CardioNodeError:
                    time.sleep(0.2)
                else:
                    acknowledged.append(uid)
                    break
            time.sleep(chance.uniform(0.0, 0.15))

    sender = threading.Thread(target=send)
    sender.start()
    for _ in range(kills):
        time.sleep(chance.uniform(0.05, 2.5))
        node.kill()
        node.start()
    sender.join()
    return acknowledged
