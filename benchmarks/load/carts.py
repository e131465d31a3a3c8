"""ECG carts: when they send, and each ECG as one of its own."""

from __future__ import annotations

import io
import itertools
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from pydicom import dcmread
from pydicom.uid import UID

from benchmarks.ecgs import ROOT
from node.dicom.scu import StorageScu

AT_ONCE: Final = 64
"""Associations of the carts. Once as many wait, the next cart's wait is counted as the node's."""
PEAK: Final = 2.0
"""In the morning the busiest moment has so many times the mean rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An ECG that was acknowledged. Seconds of the epoch, as the node's log has them."""

    sop_instance_uid: str
    due_s: float
    """When its cart wanted to send it: what holds up the carts is part of every figure."""
    acknowledged_s: float


def arrivals(a_second: float, seconds: float, *, seed: int, is_morning: bool) -> list[float]:
    """Seconds from the begin at which carts send, which know nothing of each other.

    A Poisson process; in the morning its rate climbs to PEAK times the mean and falls again.
    """
    chance = random.Random(seed)
    found: list[float] = []
    at_s = 0.0
    while True:
        at_s += chance.expovariate(a_second * PEAK)
        if at_s >= seconds:
            return found
        share = 1 / PEAK
        if is_morning:
            share = 1 - abs(2 * at_s / seconds - 1)
        if chance.random() < share:
            found.append(at_s)


class Carts:
    """Send to a node, each ECG over an association of its own as carts do."""

    def __init__(self, port: int, ecgs: Sequence[bytes]) -> None:
        """ecgs: PS3.10 files, sent in turn under ever new UIDs and Patient IDs."""
        self._scu = StorageScu(
            calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=port
        )
        self._ecgs = _numbered(ecgs)

    def send(self, due_s: Iterable[float]) -> list[Sent]:
        """At each of these seconds from now on; returns once all are acknowledged.

        Raises what the first cart's association raises that fails, soon: nothing may be refused.
        """
        began_s: float | None = None
        sending: list[Future[Sent]] = []
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for each in due_s:
                uid, content = next(self._ecgs)  # recorded before it is due
                began_s = began_s or time.time()
                time.sleep(max(0.0, began_s + each - time.time()))
                sending.append(pool.submit(self._send_one, uid, content, began_s + each))
                for last in sending[-AT_ONCE:]:
                    if last.done():
                        last.result()
        return [each.result() for each in sending]

    def _send_one(self, uid: str, content: bytes, due_s: float) -> Sent:
        self._scu.send(content)
        return Sent(sop_instance_uid=uid, due_s=due_s, acknowledged_s=time.time())


def _numbered(ecgs: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    """SOP Instance UID and PS3.10 file of ever new ECGs of ever new patients."""
    datasets = [dcmread(io.BytesIO(content)) for content in ecgs]
    for number, dataset in enumerate(itertools.cycle(datasets), start=1):
        uid = f"{ROOT}.9.{number}.1"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(uid)
        dataset.SeriesInstanceUID = UID(f"{ROOT}.9.{number}.2")
        dataset.StudyInstanceUID = UID(f"{ROOT}.9.{number}.3")
        dataset.PatientID = f"LOAD-{number:06}"
        file = io.BytesIO()
        dataset.save_as(file)
        yield uid, file.getvalue()
