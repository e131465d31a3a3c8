"""Taking over: bytes first, then the row with its work, then the success; each instance once."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from node.domain.delivery import JobState
from node.domain.errors import MalformedInstance, OutOfSpace
from node.domain.instance import Origin
from node.workflow.intake import Intake
from tests.ecg_instances import mortara
from tests.fakes import Clock, MemorySpool, MemoryUnitOfWork, Notes

ORIGIN = Origin(calling_ae="CART", called_ae="CARDIONODE", peer="127.0.0.1")


class World:
    def __init__(self) -> None:
        self.spool, self.work, self.notes = MemorySpool(), MemoryUnitOfWork(), Notes()
        self.intake = Intake(spool=self.spool, work=self.work, telemetry=self.notes, clock=Clock())

    def accept(self, dataset: Dataset, *, implicit: bool = False, cut: int = 0) -> None:
        """Hand the data set over in one of its encodings, `cut` bytes short."""
        file = io.BytesIO()
        dataset.save_as(file, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
        content = file.getvalue()
        # A PS3.10 file: preamble, prefix, and a file meta whose length (0002,0000) states.
        body = content[144 + int.from_bytes(content[140:144], "little") :]
        syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        self.intake.accept(
            body[: len(body) - cut],
            sop_class_uid=str(dataset.SOPClassUID),
            sop_instance_uid=str(dataset.SOPInstanceUID),
            transfer_syntax_uid=str(syntax),
            origin=ORIGIN,
        )

    def states(self) -> list[JobState]:
        with self.work.begin() as transaction:
            return [job.state for job in transaction.jobs.latest(limit=10)][::-1]


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.work.close()


def test_the_next_of_many_contents_under_one_uid_costs_no_more_than_the_first(
    world: World,
) -> None:
    dataset = mortara()
    for number in range(5):
        dataset.PatientID = f"TEST-{number}"
        world.spool.read = 0
        world.accept(dataset)
        assert world.spool.read == (1 if number else 0)
    assert world.states() == [JobState.RECEIVED] + [JobState.CONFLICT] * 4


def recoded(dataset: Dataset, *, implicit: bool) -> Dataset:
    """The same data set, its file meta naming the other transfer syntax."""
    dataset.file_meta.TransferSyntaxUID = (
        ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    )
    return dataset


def test_an_accepted_instance_is_kept_and_its_work_queued_with_it(world: World) -> None:
    world.accept(mortara())
    assert world.states() == [JobState.RECEIVED]
    assert world.work.queue == [("job", 1, 1)]
    assert len(world.spool.kept) == 1


def test_the_same_instance_again_changes_nothing_in_either_encoding(world: World) -> None:
    world.accept(mortara())
    world.accept(mortara())
    world.accept(recoded(mortara(), implicit=True), implicit=True)
    assert world.states() == [JobState.RECEIVED]
    assert world.work.queue == [("job", 1, 1)]
    assert len(world.notes.said("instance received again")) == 2


def test_another_content_under_a_known_uid_is_kept_aside_and_never_processed(
    world: World,
) -> None:
    world.accept(mortara())
    other = mortara()
    other.PatientID = "SOMEBODY-ELSE"
    world.accept(other)
    assert world.states() == [JobState.RECEIVED, JobState.CONFLICT]
    assert world.work.queue == [("job", 1, 1)]
    assert len(world.spool.kept) == 2


def test_a_spool_that_is_full_means_no_row_and_no_success(world: World) -> None:
    world.spool.error = OutOfSpace("full")
    with pytest.raises(OutOfSpace):
        world.accept(mortara())
    assert world.states() == []
    assert world.work.queue == []


def test_an_instance_cut_short_leaves_nothing_behind(world: World) -> None:
    with pytest.raises(MalformedInstance):
        world.accept(mortara(), cut=1000)
    assert world.states() == []
    assert world.spool.kept == {}


def test_a_message_is_kept_before_it_is_acknowledged_and_kept_once(world: World) -> None:
    message = b"MSH|^~\\&|RIS|H|||20260102||ADT^A01|77|P|2.5.1\rPID|1||X\r"
    first = world.intake.answer_message(message, "127.0.0.1")
    again = world.intake.answer_message(message, "127.0.0.1")
    assert b"MSA|AA|77" in first
    assert b"MSA|AA|77" in again
    assert list(world.spool.kept.values()) == [message]
    assert len(world.notes.said("message kept")) == 1
    world.spool.error = OutOfSpace("full")
    refused = world.intake.answer_message(message.replace(b"|77|", b"|78|"), "127.0.0.1")
    assert b"MSA|AE|78" in refused
