"""Mutated ECG objects from the sender to the model's door: known errors alone, nothing lost.

Originals are generated and, where the sample data is, real. What Intake accepts is read back from
the spool as a job would read it.
"""

from __future__ import annotations

import io
import os
import random
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

import pytest
from pydicom import dcmread

from node.dicom.part10 import read_dataset, read_part10, source_digest
from node.dicom.study import read_study
from node.dicom.template import load_templates
from node.domain.delivery import ResultKind
from node.domain.errors import CardioNodeError
from node.domain.form import DEFAULT_FORM
from node.domain.instance import Origin
from node.store.received import Job
from node.store.spool import Spool
from node.workflow.answer import answer, compose, judge
from node.workflow.intake import Intake
from node.workflow.ports import here
from pipelines.bundle import read_bundle
from pipelines.catalog import load_pipeline
from pipelines.contract import Pipeline
from pipelines.runtime.onnx import OnnxRuntime
from tests.conftest import SHARED_VARIABLE
from tests.ecg_instances import mortara
from tests.fakes import Clock, MemoryUnitOfWork, Notes
from tests.fuzz.byte_mutation import mutated
from tests.fuzz.demands import HANGS_AFTER_S, Hang, betrays, bounded
from tests.fuzz.object_mutation import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    Elements,
    changed,
    encoded,
    shortened,
    taken_apart,
    with_value,
)
from tests.unit.dicom.ecg_phantom import instance, part10, twelve_leads

BUNDLE = Path(__file__).parents[1] / "data" / "bundles" / "quick"
ACCEPTED_OF, REFUSED_OF = 10, 100
"""Of so many that the quality gate takes, and refuses, one goes the whole way to its results."""
MAXIMUM_BYTES = 10_000_000
SHORT = 100
"""Samples of each waveform in nine of ten: whole ones cost time, and few of the paths need them."""
ORIGIN = Origin(calling_ae="CART", called_ae="CARDIONODE", peer="127.0.0.1")
TWELVE_LEAD_ECG = "1.2.840.10008.5.1.4.1.1.9.1.1"
PATIENT = {
    (0x0008, 0x0050): (b"SH", b"AKZESS889977 "),
    (0x0010, 0x0010): (b"PN", b"Geheimrat^Walburga"),
    (0x0010, 0x0020): (b"LO", b"PATKENNUNG4711"),
    (0x0010, 0x0030): (b"DA", b"19380817"),
    (0x0010, 0x1040): (b"LO", b"Blumenstrasse 17"),
}
SECRETS = tuple(value.decode() for _, value in PATIENT.values())


def originals() -> list[Elements]:
    """Real and generated ECGs, all of one invented patient."""
    found = [mortara()]
    found += [dcmread(io.BytesIO(part10(instance(twelve_leads(n_samples=n))))) for n in (20, 600)]
    shared = Path(os.environ.get(SHARED_VARIABLE, Path(__file__).parents[3] / "shared"))
    files = sorted((shared / "data" / "ecg_dicom").glob("*.dcm"))
    found += [dcmread(file) for file in files]
    print(f"{len(files)} real ECGs of the sample data, 1 of pydicom, 2 generated")
    apart = [taken_apart(each) for each in found]
    for tag, (vr, value) in PATIENT.items():
        apart = [with_value(each, tag, vr, value) for each in apart]
    return [shortened(each, SHORT) for each in apart] * 9 + apart


def mutant(chance: random.Random, apart: list[Elements], number: int) -> tuple[bytes, str, str]:
    """Data set, transfer syntax and SOP Instance UID of a C-STORE request."""
    uid = f"1.2.3.{number if chance.random() < 0.9 else 1}"
    elements = with_value(chance.choice(apart), (0x0008, 0x0018), b"UI", _padded(uid))
    elements = with_value(elements, (0x0008, 0x0016), b"UI", _padded(TWELVE_LEAD_ECG))
    if chance.random() < 0.75:
        elements = changed(chance, elements)
    syntax = chance.choices((EXPLICIT, IMPLICIT, DEFLATED, BIG_ENDIAN), (6, 6, 4, 1))[0]
    content = encoded(elements, syntax)
    if chance.random() < 0.35:
        content = mutated(chance, content)
    if chance.random() < 0.05:
        syntax = chance.choice((EXPLICIT, IMPLICIT, DEFLATED, BIG_ENDIAN, "1.2.840.10008.1.2.4.50"))
    return content, syntax, uid


def _padded(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)


class Fuzz:
    """A node's way of an ECG as far as the model, with what came of each input."""

    def __init__(self, folder: Path, pipeline: Pipeline) -> None:
        self.spool, self.work, self.notes = Spool(folder), MemoryUnitOfWork(), Notes()
        self.intake = Intake(
            spool=self.spool, work=self.work, telemetry=self.notes, clock=Clock(),
            maximum_bytes=MAXIMUM_BYTES,
        )  # fmt: skip
        self.pipeline, self.templates = pipeline, load_templates()
        self.outcomes: Counter[str] = Counter()
        self.faults: list[str] = []
        self.acknowledged: dict[tuple[str, str], int] = {}
        """Number of the input by SOP Instance UID and content digest of its job."""
        self.slowest_s = 0.0
        self.read = self.answered = 0

    def take(self, number: int, content: bytes, syntax: str, uid: str) -> None:
        begun_s = time.perf_counter()
        try:
            with bounded(HANGS_AFTER_S):
                outcome = self._accept(content, syntax, uid, number)
        except (Exception, Hang) as fault:
            trace = "".join(traceback.format_exception(fault)[-4:])
            self.faults.append(f"number {number}: {type(fault).__name__}\n{trace}")
            outcome = f"FAULT {type(fault).__name__}"
        self.outcomes[outcome] += 1
        self.slowest_s = max(self.slowest_s, time.perf_counter() - begun_s)

    def _accept(self, content: bytes, syntax: str, uid: str, number: int) -> str:
        try:
            self.intake.accept(
                content, sop_class_uid=TWELVE_LEAD_ECG, sop_instance_uid=uid,
                transfer_syntax_uid=syntax, origin=ORIGIN,
            )  # fmt: skip
        except CardioNodeError as error:
            return f"not accepted: {self._told(error)}"
        with self.work.begin() as transaction:
            jobs = transaction.jobs.of_instance(uid)
        kept = self._keeper(jobs, content, syntax)
        self.acknowledged[uid, kept.content_digest] = number
        return f"accepted: {self._read(self.spool.get(kept.content_digest))}"

    def _keeper(self, jobs: list[Job], content: bytes, syntax: str) -> Job:
        """The job with those bytes, or the first where it is the same ECG in another encoding."""
        for job in jobs[::-1]:
            if self.spool.get(job.content_digest).endswith(content):
                return job
        same = source_digest(read_dataset(content, syntax))
        assert source_digest(read_part10(self.spool.get(jobs[0].content_digest))) == same
        return jobs[0]

    def _read(self, content: bytes) -> str:
        """As `answer` does, the model for some alone."""
        try:
            dataset = read_part10(content)
            read_study(dataset)
            source_digest(dataset)
            record, quality = judge(dataset, self.pipeline.input_spec.minimum_duration_s)
            for finding in quality.findings:
                assert not betrays(finding.message, SECRETS), finding.message
            self.read += quality.accepted
            if quality.accepted:
                is_answered = self.read % ACCEPTED_OF == 1
            else:
                is_answered = len(self.acknowledged) % REFUSED_OF == 0
            if is_answered:
                found = answer(content, pipeline=self.pipeline)
                self.answered += found.prediction is not None
                compose(found, self.templates, DEFAULT_FORM, here, set(ResultKind))
        except CardioNodeError as error:
            return f"job fails: {self._told(error)}"
        if record is None:
            return "waveform not read"
        return "ECG read" if quality.accepted else "ECG refused by the quality gate"

    def _told(self, error: CardioNodeError) -> str:
        assert len(error.message) > 15
        assert not betrays(error.message, SECRETS), error.message
        return error.code

    def lost(self) -> list[int]:
        """Numbers of inputs that were acknowledged and are not there, by row and bytes."""
        with self.work.begin() as transaction:
            jobs = transaction.jobs.latest(limit=len(self.acknowledged) + 1)
        kept = {(job.sop_instance_uid, job.content_digest) for job in jobs}
        for _, digest in kept:
            self.spool.get(digest)  # raises where the bytes are gone or altered
        return [number for key, number in self.acknowledged.items() if key not in kept]


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return load_pipeline(read_bundle(BUNDLE), OnnxRuntime(threads=1))


@pytest.mark.parametrize(
    "count", [2000, pytest.param(50_000, marks=pytest.mark.soak)], ids=["some", "many"]
)
def test_mutated_objects_end_in_known_errors_and_none_acknowledged_is_lost(
    count: int, tmp_path: Path, pipeline: Pipeline
) -> None:
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"\nseed {seed}: {count} objects (SEED={seed} repeats it)")
    chance = random.Random(seed)
    apart = originals()
    fuzz = Fuzz(tmp_path, pipeline)
    limit = sys.getrecursionlimit()
    begun_s = time.monotonic()
    for number in range(count):
        fuzz.take(number, *mutant(chance, apart, number))
    assert sys.getrecursionlimit() == limit
    print(f"{time.monotonic() - begun_s:.0f} s, the slowest {fuzz.slowest_s:.2f} s")
    for outcome, times in fuzz.outcomes.most_common():
        print(f"{times:7}  {outcome}")
    assert fuzz.faults == [], f"seed {seed}:\n" + "\n".join(fuzz.faults[:5])
    assert fuzz.lost() == [], f"seed {seed}"
    assert len(fuzz.acknowledged) > count // 10
    assert fuzz.answered > 0
    print(f"{len(fuzz.acknowledged)} acknowledged, none lost, {fuzz.answered} put to the model")
    for message, fields in fuzz.notes.events:
        assert not betrays(f"{message} {fields}", SECRETS), message
    fuzz.work.close()
