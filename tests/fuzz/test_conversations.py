"""Mutated PDUs and DIMSE messages on a listener with its intake: it ends them and loses nothing."""

from __future__ import annotations

import os
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from node.store.spool import Spool
from node.workflow.intake import Intake
from tests.fakes import Clock, MemoryUnitOfWork, Notes
from tests.fuzz.byte_mutation import mutated
from tests.unit.dicom.ecg_phantom import dataset_bytes, instance, twelve_leads
from tests.wire.dicom import raw_scu as raw
from tests.wire.dicom.listening import Listening, soon, threads
from tests.wire.dicom.raw_scu import associate_request

Pdus = list[tuple[int, bytes]]
"""Type and body."""
UID = b"1.2.3.000000.0"
ECG = dataset_bytes(instance(twelve_leads(n_samples=4), SOPInstanceUID=UID.decode()))
_KINDS = {2: "acceptance", 3: "rejection", 4: "response", 6: "release", 7: "abort"}


def conversation(uids: tuple[str, ...]) -> Pdus:
    """An association with an echo and a store of each instance."""
    stores = b"".join(
        raw.store_request(ECG.replace(UID, uid.encode()), sop_instance=uid.encode(), largest=700)
        for uid in uids
    )
    whole = associate_request() + raw.echo_request() + stores + raw.RELEASE
    return list(_split(whole))


def _split(content: bytes) -> Iterator[tuple[int, bytes]]:
    while content:
        kind, length = struct.unpack_from(">BxI", content)
        yield kind, content[6 : 6 + length]
        content = content[6 + length :]


def changed(chance: random.Random, pdus: Pdus) -> bytes:
    """PDUs dropped, repeated, out of order, of another type or false length, or changed within."""
    stated: dict[int, int] = {}
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(pdus))
        kind, body = pdus[at]
        match chance.randrange(8):
            case 0 if len(pdus) > 1:
                del pdus[at]
            case 1:
                pdus.insert(at, pdus[chance.randrange(len(pdus))])
            case 2:
                pdus[at] = (chance.randrange(256), body)
            case 3:
                stated[at] = chance.choice((0, 1, len(body) - 1, len(body) + 1, 1 << 31))
            case 4 if kind == 4:  # context ID and message control header of the first PDV
                pdus[at] = (kind, body[:4] + chance.randbytes(2) + body[6:])
            case 5 if kind == 4:  # length of the first PDV
                pdus[at] = (kind, struct.pack(">I", chance.choice((0, 1, 2, 1 << 31))) + body[4:])
            case 6:
                chance.shuffle(pdus)
            case _:
                pdus[at] = (kind, mutated(chance, body or b"\0"))
    return b"".join(
        struct.pack(">BxI", kind, max(0, stated.get(at, len(body)))) + body
        for at, (kind, body) in enumerate(pdus)
    )


def answers(scu: raw.RawScu) -> Iterator[tuple[int, bytes]]:
    """All that comes back."""
    while True:
        kind, body = scu.receive()
        yield kind, body
        if not kind:
            return


def stored(body: bytes) -> str | None:
    """The SOP Instance UID of a C-STORE response with success, in one PDV as ours are."""
    elements = {}
    start = 6
    while start + 8 <= len(body):
        _, number, length = struct.unpack_from("<HHI", body, start)
        elements[number] = body[start + 8 : start + 8 + length]
        start += 8 + length
    if elements.get(0x0100) == b"\x01\x80" and elements.get(0x0900) == b"\0\0":
        return elements[0x1000].rstrip(b"\0").decode()
    return None


@pytest.mark.parametrize(
    "count", [2000, pytest.param(50_000, marks=pytest.mark.soak)], ids=["some", "many"]
)
def test_mutated_conversations_end_and_none_acknowledged_is_lost(
    count: int, tmp_path: Path
) -> None:
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"\nseed {seed}: {count} conversations (SEED={seed} repeats it)")
    chance = random.Random(seed)
    spool, work = Spool(tmp_path), MemoryUnitOfWork()
    intake = Intake(spool=spool, work=work, telemetry=Notes(), clock=Clock())
    one_at_a_time = Lock()  # SQLite in memory is one connection

    def accept(content: bytes, **fields: Any) -> None:
        with one_at_a_time:
            intake.accept(content, **fields)

    outcomes: Counter[str] = Counter()
    acknowledged: set[str] = set()
    others, slowest_s = len(threads()), 0.0
    with Listening(accept=accept) as listening:
        for number in range(count):
            listening.reports[:] = [
                each for each in listening.reports if each[0] == "association failed"
            ]
            listening.refusals.clear()
            pdus = conversation((f"1.2.3.{number:06}.1", f"1.2.3.{number:06}.2"))
            whole = b"".join(raw.pdu(*each) for each in pdus)
            sent = changed(chance, pdus) if chance.random() < 0.6 else mutated(chance, whole)
            begun_s = time.perf_counter()
            with listening.scu() as scu:
                last = "cut"
                try:
                    scu.send(sent)
                    scu.socket.shutdown(socket.SHUT_WR)
                    for kind, body in answers(scu):
                        if kind == 4 and (uid := stored(body)):
                            acknowledged.add(uid)
                        if kind:
                            last = _KINDS.get(kind, f"type {kind}")
                except OSError as error:
                    assert not isinstance(error, TimeoutError), f"seed {seed}, number {number}"
            slowest_s = max(slowest_s, time.perf_counter() - begun_s)
            outcomes[last] += 1
        assert listening.said("association failed") == [], f"seed {seed}"
        assert soon(lambda: len(threads()) == others + 1), f"seed {seed}"
        with listening.associated() as scu:
            assert scu.echo().status == 0
    print(f"the slowest {slowest_s:.2f} s; the last that came back:")
    for outcome, times in outcomes.most_common():
        print(f"{times:7}  {outcome}")
    with work.begin() as transaction:
        rows = transaction.jobs.latest(limit=3 * count)
    kept = {job.sop_instance_uid for job in rows if spool.get(job.content_digest)}
    assert acknowledged - kept == set(), f"seed {seed}"
    assert len(acknowledged) > count // 10
    print(f"{len(acknowledged)} acknowledged, none lost")
    work.close()
