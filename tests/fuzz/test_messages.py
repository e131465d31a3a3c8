"""Mutated HL7 messages from the stream to the registry and into results: known errors alone.

What is acknowledged positively is there, can be looked up, and says in an ORU what it said before.
"""

from __future__ import annotations

import os
import random
import re
import time
import traceback
from collections import Counter
from dataclasses import replace
from pathlib import Path

import hl7
import pytest
from pydicom import Dataset
from pydicom.config import RAISE
from pydicom.valuerep import validate_value

from node.dicom.study import put_patient, read_patient
from node.domain.errors import CardioNodeError, MalformedMessage
from node.domain.identifiers import sha256
from node.domain.order import Order
from node.domain.study import Patient
from node.hl7.message import AcknowledgementCode, read_acknowledgement, read_header
from node.hl7.mllp import Deframer, frame
from node.hl7.news import News, read_news
from node.hl7.profile import Profile
from node.workflow.inbox import Inbox
from node.workflow.registry import Registry
from tests.fakes import Clock, MemorySpool, MemoryUnitOfWork, Notes
from tests.fuzz.demands import HANGS_AFTER_S, Hang, betrays, bounded
from tests.fuzz.message_mutation import SECRETS, blocks, framed, message, originals, portions
from tests.unit.hl7.test_oru import oru, study

LIMIT_BYTES = 2_097_152
"""As the node has it by default."""
SMALL_LIMIT_BYTES = 5000
"""Few messages reach the other."""
PORTION_BYTES = 65536
NEW_WORLD_EVERY = 2000
"""Streams after which all that was kept is forgotten: what grows then is a leak."""
MAY_GROW_BYTES = 100_000_000
"""From a tenth of the way to the end: what the longest messages take, and the allocator keeps."""
_POSITIVE = {AcknowledgementCode.AA, AcknowledgementCode.CA, AcknowledgementCode.AE}
"""AE too: storage never fails here, so that it says that the content is kept and not used."""


class World:
    """An inbox whose spool and rows are in memory."""

    def __init__(self) -> None:
        self.spool, self.work, self.notes = MemorySpool(), MemoryUnitOfWork(), Notes()
        self.registry = Registry(spool=self.spool, work=self.work)
        self.inbox = Inbox(
            spool=self.spool, work=self.work, telemetry=self.notes, clock=Clock(),
            registry=self.registry, unmarked_charset="8859/1",
        )  # fmt: skip

    def keeps(self, content: bytes) -> bool:
        """Whether its bytes are there and are listed under its control id."""
        digest = sha256(content)
        with self.work.begin() as transaction:
            rows = transaction.messages.latest(limit=1)
            if not (rows and rows[0].content_digest == digest):  # it may be an earlier one's again
                rows = transaction.messages.latest(limit=10**9)
        listed = [row for row in rows if row.content_digest == digest]
        return self.spool.kept.get(digest) == content and [row.control_id for row in listed] == [
            read_header(content).control_id
        ]


class Fuzz:
    """A node's way of a message, with what came of each."""

    def __init__(self, chance: random.Random, orus: int, count: int) -> None:
        self.chance = chance
        self.world = World()
        self.outcomes: Counter[str] = Counter()
        self.faults: list[str] = []
        self.messages = self.kept = self.looked_up = self.orus = 0
        self.slowest_s = 0.0
        self._orus_wanted = orus
        self._oru_share = 4.0 * orus / count

    def take(self, number: int, stream: bytes) -> None:
        begun_s = time.process_time()
        try:
            with bounded(HANGS_AFTER_S):
                self._receive(stream)
        except (Exception, Hang) as fault:
            trace = "".join(traceback.format_exception(fault)[-4:])[-3000:]
            self.faults.append(f"number {number}: {type(fault).__name__}\n{trace}")
            self.world = World()  # a transaction may have been torn
        self.slowest_s = max(self.slowest_s, time.process_time() - begun_s)

    def _receive(self, stream: bytes) -> None:
        limit_bytes = self.chance.choice((LIMIT_BYTES, LIMIT_BYTES, LIMIT_BYTES, SMALL_LIMIT_BYTES))
        deframer, expected = Deframer(limit_bytes), iter(blocks(stream))
        for portion in portions(self.chance, stream):
            try:
                contents = deframer.feed(portion)
            except MalformedMessage as error:
                assert not betrays(error.message, SECRETS), error.message
                self.outcomes["connection closed: not MLLP"] += 1
                return
            assert len(deframer._buffer) <= limit_bytes + PORTION_BYTES
            for content in contents:
                assert content == next(expected), "another message than was framed"
                self._answer(content)

    def _answer(self, content: bytes) -> None:
        self.messages += 1
        answers = self.world.inbox.answer(content, "127.0.0.1")
        told = []
        for answer in answers:
            (arrived,) = Deframer(LIMIT_BYTES).feed(frame(answer))
            # python-hl7 wants these four, and takes seconds for what a megabyte of MSH-3 is echoed.
            if answer.startswith(b"MSH|^~\\&|") and len(answer) < 10_000:
                assert hl7.parse(answer.decode("latin-1")).segment("MSA")
            acknowledgement = read_acknowledgement(arrived)
            assert not betrays(acknowledgement.text, SECRETS)
            _check_control_id(content, answer)
            told.append(acknowledgement.code)
        self.outcomes[" and ".join(code.value for code in told) or "no answer was wanted"] += 1
        if not told:
            header = read_header(content)
            assert header.accept_acknowledgement or header.application_acknowledgement
        if _POSITIVE & set(told):
            assert self.world.keeps(content)
            self.kept += 1
        if AcknowledgementCode.AA in told:
            self._look_up(content)

    def _look_up(self, content: bytes) -> None:
        news = read_news(content, read_header(content).event, unmarked="8859/1")
        look_up = self.world.registry.look_up
        is_new = self.world.notes.events[-1][0] != "message received again"
        for each in {*news.patients[:2], *news.patients[-2:]}:
            told = look_up(replace(study(), patient=each.patient, accession_number=""))
            _check_ecg(each.patient)
            if is_new and each == news.patients[-1]:
                assert told.patient == each.patient
            if each.prior is not None:
                look_up(replace(study(), patient=each.prior))
        for order in {*news.orders[:2], *news.orders[-2:]}:
            of = order.scheduled
            told = look_up(
                replace(
                    study(),
                    patient=of.patient,
                    study_instance_uid=of.study_instance_uid or "9.9.9",
                    accession_number=of.order.accession_number,
                )
            )
            # A cancellation leaves what was said of its order before.
            if is_new and order == news.orders[-1] and order.is_described and not of.is_cancelled:
                assert of.order in [each.order for each in told.orders]
        self.looked_up += 1
        if self.orus < self._orus_wanted and self.chance.random() < self._oru_share:
            self._report(news)

    def _report(self, news: News) -> None:
        """An ORU about what was told."""
        patients = [each.patient for each in news.patients]
        patients += [each.scheduled.patient for each in news.orders]
        orders = [each.scheduled.order for each in news.orders] or [Order()]
        patient, order = self.chance.choice(patients), self.chance.choice(orders)
        charset = self.chance.choice(("UNICODE UTF-8", "UNICODE UTF-8", "8859/1", "ASCII"))
        version = self.chance.choice(("2.3.1", "2.4", "2.5.1"))
        profile = Profile(charset=charset, version=version)
        self.orus += 1
        try:
            made = oru(subject=replace(study(), patient=patient), order=order, profile=profile)
        except CardioNodeError as error:
            assert not betrays(error.message, SECRETS), error.message
            expected = "cannot write" if patient.patient_id else "no Patient ID"
            assert expected in error.message, error.message
            self.outcomes[f"ORU: {error.code}"] += 1
            return
        codec = {"UNICODE UTF-8": "utf-8", "8859/1": "latin-1", "ASCII": "ascii"}[charset]
        _check_report(made.decode(codec), patient, order)
        self.outcomes["ORU: read back the same"] += 1

    def forget(self) -> None:
        """Start a new world, once the old one has told no secret."""
        for text, fields in self.world.notes.events:
            if betrays(f"{text} {fields}", SECRETS):
                self.faults.append(f"told: {text}")
        self.world.work.close()
        self.world = World()


def _check_control_id(content: bytes, answer: bytes) -> None:
    """MSA-2 is the MSH-10 that came, letter for letter where both are plain."""
    try:
        header = read_header(content)
    except MalformedMessage:
        assert read_acknowledgement(answer).control_id == ""
        return
    if "\ufffd" in header.written_control_id or not header.control_id:
        return
    assert read_acknowledgement(answer).control_id == header.control_id
    head = re.split(b"[\r\n]", content.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n"))[0]
    if not head.isascii() or b"\x1b" in head:  # a separator may be half of a letter
        return
    separator = head[3:4]
    fields = head.split(separator)
    came, marks = fields[9], fields[1]
    for mark in filter(None, (marks[1:2], marks[:1])):
        came = came.split(mark)[0]
    msa = answer.split(b"\r")[1].split(separator)
    assert (msa[2] if len(msa) > 2 else b"") == came.strip(), (msa, came)


def _check_ecg(patient: Patient) -> None:
    """DICOM takes what was told of a patient, and says it again."""
    dataset = put_patient(Dataset(), patient)
    for keyword in ("PatientID", "IssuerOfPatientID"):
        validate_value("LO", dataset.get(keyword, ""), RAISE)
    read = read_patient(dataset)
    assert replace(read, name="") == replace(patient, name="")
    assert _squeezed(read.name) == _squeezed(patient.name)


def _squeezed(name: str) -> str:
    return re.sub(" *([=^]) *", r"\1", name).strip(" ^=")


def _check_report(text: str, patient: Patient, order: Order) -> None:
    """python-hl7 reads what went in, a control character as a space."""
    read = hl7.parse(text)
    pid, obr = read.segment("PID"), read.segment("OBR")
    _same(pid, 3, 1, patient.patient_id)
    assigner = [*_component(pid, 3, 4).split("&"), "", ""]
    for number, value in enumerate((patient.issuer_of_patient_id, patient.issuer_universal_id)):
        assert _meant(assigner[number]) == _printable(value)
    family, given, *_ = [*patient.leading_name.split("^"), "", ""]
    _same(pid, 5, 1, family)
    _same(pid, 5, 2, given)
    _same(obr, 2, 1, order.placer_order_number)
    _same(read.segment("ORC"), 2, 1, order.placer_order_number)
    for number, issuer in enumerate(order.placer_issuer if order.placer_order_number else ()):
        _same(obr, 2, number + 2, issuer)
    if order.filler_order_number:
        _same(obr, 3, 1, order.filler_order_number)
    _same(obr, 18, 1, order.accession_number or study().accession_number)
    if order.procedure is not None and _component(obr, 44, 1):  # else its meaning is not writable
        _same(obr, 44, 1, order.procedure.value)


def _same(segment: hl7.Segment, number: int, component: int, value: str) -> None:
    assert _meant(_component(segment, number, component)) == _printable(value)


def _component(segment: hl7.Segment, number: int, component: int) -> str:
    field = str(segment[number]) if number < len(segment) else ""
    parts = field.split("~")[0].split("^")
    return parts[component - 1] if component <= len(parts) else ""


def _meant(text: str) -> str:
    names = {"F": "|", "S": "^", "T": "&", "R": "~", "E": "\\"}
    return re.sub(r"\\([FSTRE])\\", lambda match: names[match[1]], text).strip()


def _printable(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]", " ", text).strip()


def _rss_bytes() -> int:
    statm = Path("/proc/self/statm").read_text(encoding="ascii")
    return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("count", "orus"),
    [(2000, 40), pytest.param(100_000, 2000, marks=pytest.mark.soak)],
    ids=["some", "many"],
)
def test_mutated_messages_end_in_known_errors_and_none_acknowledged_is_lost(
    count: int, orus: int
) -> None:
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"\nseed {seed}: {count} streams (SEED={seed} repeats it)")
    chance = random.Random(seed)
    found = originals()
    fuzz = Fuzz(chance, orus, count)
    begun_s, held_bytes = time.monotonic(), 0
    for number in range(count):
        if number == count // 10:
            held_bytes = _rss_bytes()
        if number % NEW_WORLD_EVERY == NEW_WORLD_EVERY - 1:
            fuzz.forget()
        messages = [message(chance, found, number) for _ in range(chance.choice((1, 1, 2, 3)))]
        fuzz.take(number, framed(chance, messages))
    fuzz.forget()
    grown_bytes = _rss_bytes() - held_bytes
    print(
        f"{time.monotonic() - begun_s:.0f} s, the slowest {fuzz.slowest_s:.2f} s of the processor"
    )
    print(f"memory grew by {grown_bytes / 1e6:.0f} MB after the first tenth")
    for outcome, times in fuzz.outcomes.most_common():
        print(f"{times:7}  {outcome}")
    assert fuzz.faults == [], f"seed {seed}:\n" + "\n".join(fuzz.faults[:5])
    assert grown_bytes < MAY_GROW_BYTES
    assert fuzz.kept > count // 10
    assert 0.7 * orus <= fuzz.orus <= orus  # by chance; `_oru_share` aims above it
    print(f"{fuzz.messages} messages, {fuzz.kept} kept, {fuzz.looked_up} looked up")
