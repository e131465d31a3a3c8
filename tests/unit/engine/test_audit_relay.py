"""What is told to the audit repository: once it is settled, in order, from where it was left."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from contextlib import suppress

import pytest

from node.atna.audit_message import Reporter
from node.domain.audit import Action, Actor
from node.domain.delivery import (
    DeliveryOutcome,
    DeliveryState,
    DestinationKind,
    ResultKind,
)
from node.domain.errors import StorageError, Unreachable
from node.domain.host import ALL_ROLES, Host
from node.domain.instance import Origin, ReceivedInstance
from node.engine.audit_relay import LOOK_EVERY_S, SETTLED_AFTER_S, AuditRelay, Told
from tests.audit_schema import read_audit_message, summary
from tests.ecg_instances import mortara
from tests.fakes import Clock, MemorySpool, MemoryUnitOfWork, Notes

CURIE = Actor(name="curie", peer="192.0.2.7")
STARTED = "Application Activity, Application Start, 0: cardionode"


class Repository:
    where = "arr:6514"

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.is_away = False

    def send(self, messages: Sequence[Told], *, within_s: float | None = None) -> None:
        if self.is_away:
            raise Unreachable("nobody is there")
        self.taken += [content for _, content in messages]

    def said(self) -> list[str]:
        found = [summary(each) for each in self.taken]
        self.taken.clear()
        return found


class World:
    """A node on which things are done, and its relay."""

    def __init__(self) -> None:
        self.clock, self.notes, self.work = Clock(), Notes(), MemoryUnitOfWork()
        self.spool, self.repository, self.now_s = MemorySpool(), Repository(), 0.0
        self._numbers = itertools.count(1)
        self.join("first")
        self.relay = self.new_relay()

    def uid(self) -> str:
        return f"1.2.3.{next(self._numbers)}"

    def join(self, name: str) -> None:
        at = self.clock()
        with self.work.begin() as transaction:
            transaction.hosts.join(
                Host(
                    executor_id=name, machine="m", home=f"/{name}", store="one", roles=ALL_ROLES,
                    configuration="", beats=0, started_at=at, beat_at=at,
                )
            )  # fmt: skip

    def new_relay(self, name: str = "first") -> AuditRelay:
        return AuditRelay(
            repository=self.repository,
            reporter=Reporter(source_id="cardionode", site_id="", machine="m"),
            executor_id=name,
            addresses={"PACS": "192.0.2.10"},
            ae_titles={"PACS": "ARCHIVE"},
            work=self.work,
            spool=self.spool,
            telemetry=self.notes,
            clock=self.clock,
            steady_s=lambda: self.now_s,
        )

    def look(self) -> list[str]:
        """What is told once all that was done is settled."""
        for _ in range(int(SETTLED_AFTER_S / LOOK_EVERY_S) + 1):
            self.relay.look()
            self.now_s += LOOK_EVERY_S
        return self.repository.said()

    def do(self, action: Action, *, job_id: int | None = None) -> None:
        with self.work.begin() as transaction:
            transaction.audit.note(CURIE, action, at=self.clock(), job_id=job_id)

    def take(self) -> int:
        """A job; nothing is delivered yet."""
        file = io.BytesIO()
        mortara().save_as(file)
        instance = ReceivedInstance(
            sop_class_uid="1.2.840.10008.5.1.4.1.1.9.1.1", sop_instance_uid=self.uid(),
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            origin=Origin(calling_ae="CART", called_ae="CARDIONODE", peer="192.0.2.9"),
            content_digest=self.spool.put(file.getvalue()), size_bytes=9,
            received_at=self.clock(), content=b"",
        )  # fmt: skip
        with self.work.begin() as transaction:
            return transaction.jobs.add(instance)

    def deliver(self, job_id: int, kind: DestinationKind, state: DeliveryState) -> None:
        with self.work.begin() as transaction:
            delivery_id = transaction.outbox.add(
                job_id=job_id, kind=ResultKind.CINE, identifier=self.uid(), sop_class_uid="1.2",
                destination="PACS", destination_kind=kind, content_digest="1" * 64, revision=1,
                at=self.clock(),
            )  # fmt: skip
            outcome = DeliveryOutcome(
                state=state, error_code="x", error_message="y", due_at=self.clock()
            )
            transaction.outbox.settle(
                delivery_id, outcome, started_at=self.clock(), at=self.clock()
            )


@pytest.fixture
def world() -> World:
    made = World()
    made.do(Action.SIGNED_IN)
    assert made.look() == [STARTED], "what was before is not told"
    return made


def test_what_people_do_is_told_in_order_and_once(world: World) -> None:
    for action in (Action.SIGNED_IN, Action.TRIED, Action.SEARCHED, Action.SIGNED_OUT):
        world.do(action)
    assert world.look() == [
        "User Authentication, Login, 0: curie, cardionode",
        "Query, 0: curie, cardionode",
        "User Authentication, Logout, 0: curie, cardionode",
    ]
    assert world.look() == []


def test_instances_that_come_and_go_are_told_with_their_patient(world: World) -> None:
    job_id = world.take()
    for kind, state in (
        (DestinationKind.DICOM, DeliveryState.PENDING),
        (DestinationKind.DICOM, DeliveryState.DELIVERED),
        (DestinationKind.HL7, DeliveryState.DELIVERED),
        (DestinationKind.DICOMWEB, DeliveryState.REFUSED),
    ):
        world.deliver(job_id, kind, state)
    world.relay.look()
    world.now_s += SETTLED_AFTER_S
    world.relay.look()
    messages = [read_audit_message(each) for each in world.repository.taken]
    assert world.repository.said() == [
        "DICOM Instances Transferred, 0: CART, CARDIONODE",
        "DICOM Instances Transferred, 0: CARDIONODE, ARCHIVE",
        "DICOM Instances Transferred, 8: CARDIONODE, ARCHIVE",
    ]
    ecg = mortara()
    for message in messages:
        study, patient = message.findall("ParticipantObjectIdentification")
        assert study.get("ParticipantObjectID") == ecg.StudyInstanceUID
        assert patient.get("ParticipantObjectID") == ecg.PatientID


def test_an_ecg_that_is_gone_is_told_of_without_its_patient(world: World) -> None:
    world.do(Action.VIEWED, job_id=99)
    world.take()
    world.spool.kept.clear()
    world.spool.get = lambda digest: b"broken"  # type: ignore[method-assign]
    assert world.look() == [
        "DICOM Instances Accessed, 0: curie, cardionode",
        "DICOM Instances Transferred, 0: CART, CARDIONODE",
    ]


def test_objects_that_are_away_are_waited_for_and_not_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = world.take()

    def away(digest: str) -> bytes:
        raise StorageError("the bucket does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(world.spool, "get", away)
        world.relay.look()
        world.now_s += SETTLED_AFTER_S
        with pytest.raises(StorageError):
            world.relay.look()
        assert world.repository.said() == []
    world.relay.look()
    (message,) = world.repository.taken
    assert len(read_audit_message(message).findall("ParticipantObjectIdentification")) == 2
    world.repository.taken.clear()
    world.do(Action.VIEWED, job_id=job_id)
    monkeypatch.setattr(world.spool, "get", away)
    for _ in range(30):
        world.now_s += LOOK_EVERY_S
        with suppress(StorageError):
            world.relay.look()
    assert world.repository.said() == ["DICOM Instances Accessed, 0: curie, cardionode"]


def test_what_is_done_while_a_new_repository_cannot_be_reached_is_told_once_it_can() -> None:
    world = World()
    world.do(Action.SIGNED_IN)
    world.repository.is_away = True
    assert world.look() == []
    world.do(Action.SEARCHED)
    assert world.look() == []
    world.relay = world.new_relay()
    assert world.look() == []
    world.repository.is_away = False
    assert world.look() == [STARTED, "Query, 0: curie, cardionode"]


def test_what_is_not_settled_waits(world: World) -> None:
    world.do(Action.SEARCHED)
    world.relay.look()
    world.now_s += SETTLED_AFTER_S / 2
    world.relay.look()
    assert world.repository.said() == []
    world.now_s += SETTLED_AFTER_S / 2
    world.relay.look()
    assert world.repository.said() == ["Query, 0: curie, cardionode"]


def test_a_repository_that_is_away_gets_all_when_it_is_back(world: World) -> None:
    world.repository.is_away = True
    world.do(Action.SEARCHED)
    assert world.look() == []
    assert world.relay.problem == "nobody is there"
    world.do(Action.SIGNED_OUT)
    world.repository.is_away = False
    assert len(world.look()) == 2
    assert world.relay.problem == ""


def test_a_new_process_goes_on_where_the_last_was(world: World) -> None:
    world.do(Action.SEARCHED)
    world.relay = world.new_relay()
    assert world.look() == [STARTED, "Query, 0: curie, cardionode"]


def test_a_host_of_which_another_tells_has_no_problem(world: World) -> None:
    world.repository.is_away = True
    world.do(Action.SEARCHED)
    world.look()
    assert world.relay.problem
    with world.work.begin() as transaction:
        transaction.hosts.remove("first")
    world.join("second")
    world.clock.move(1)
    world.join("first")
    world.look()
    assert world.relay.problem == ""


def test_of_several_hosts_one_tells(world: World) -> None:
    world.clock.move(1)
    world.join("second")
    world.do(Action.SEARCHED)
    world.relay = world.new_relay("second")
    assert world.look() == [STARTED]
    with world.work.begin() as transaction:
        transaction.hosts.remove("first")
    assert world.look() == ["Query, 0: curie, cardionode"]


def test_nothing_is_told_twice_though_the_last_of_it_is_removed(world: World) -> None:
    jobs = [world.take() for _ in range(3)]
    for job_id in jobs:
        world.deliver(job_id, DestinationKind.DICOM, DeliveryState.DELIVERED)
    assert len(world.look()) == 6
    with world.work.begin() as transaction:
        for job_id in jobs[1:]:
            transaction.jobs.remove(job_id)
    assert world.look() == []
    world.deliver(jobs[0], DestinationKind.DICOM, DeliveryState.DELIVERED)
    world.take()
    assert world.look() == [
        "DICOM Instances Transferred, 0: CART, CARDIONODE",
        "DICOM Instances Transferred, 0: CARDIONODE, ARCHIVE",
    ]


def test_the_end_is_told_where_somebody_listens(world: World) -> None:
    world.relay.stop()
    assert world.repository.said() == ["Application Activity, Application Stop, 0: cardionode"]
    world.repository.is_away = True
    other = world.new_relay()
    other.look()
    other.stop()
    assert world.repository.said() == []
