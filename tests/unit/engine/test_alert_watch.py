"""What the rows of a node say is wrong, who tells it, and what becomes of what nobody took."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from node.domain.alert import Alert, Condition
from node.domain.delivery import (
    DeliveryOutcome,
    DeliveryState,
    DestinationKind,
    JobState,
    ResultKind,
)
from node.domain.errors import StorageError, Unreachable
from node.domain.host import ALL_ROLES, Host, HostRole
from node.domain.instance import Origin, ReceivedInstance
from node.engine.alert_watch import AlertWatch
from node.workflow.alerting import conditions
from tests.fakes import Clock, MemoryUnitOfWork, Notes

SILENT = timedelta(hours=12)


class Person:
    """Takes alerts, unless they are away."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.fault: Exception | None = None

    def tell(self, node: str, alerts: Sequence[Alert]) -> str:
        if self.fault is not None:
            raise self.fault
        self.heard += [f"{each.state.value} {each.condition.key}" for each in alerts]
        return ""


class World:
    """A node with one destination, whose rows a test changes."""

    def __init__(self) -> None:
        self.clock, self.notes, self.work = Clock(), Notes(), MemoryUnitOfWork()
        self.here: list[Condition] = []
        self.now_s = 0.0
        self.persons = {"mail": Person(), "webhook": Person()}
        self.join("first")

    def join(self, name: str, *roles: HostRole, configuration: str = "") -> None:
        at = self.clock()
        with self.work.begin() as transaction:
            transaction.hosts.join(
                Host(
                    executor_id=name, machine="m", home=f"/{name}", store="one",
                    roles=frozenset(roles) or ALL_ROLES, configuration=configuration, beats=0,
                    started_at=at, beat_at=at,
                )
            )  # fmt: skip

    def watch(self, name: str = "first") -> AlertWatch:
        return AlertWatch(
            node="heart", executor_id=name, notifiers=self.persons, after=timedelta(0),
            again_after=timedelta(hours=24), silent_after=SILENT, of_this_host=lambda: self.here,
            work=self.work, telemetry=self.notes, clock=self.clock, steady_s=lambda: self.now_s,
        )  # fmt: skip

    def take(self, uid: str = "1.2.3") -> int:
        """The id of a delivery to the PACS of a new ECG."""
        at = self.clock()
        instance = ReceivedInstance(
            sop_class_uid="1.2", sop_instance_uid=uid, transfer_syntax_uid="1.2.840.10008.1.2.1",
            origin=Origin(calling_ae="CART", called_ae="NODE", peer="127.0.0.1"),
            content_digest="0" * 64, size_bytes=9, received_at=at, content=b"",
        )  # fmt: skip
        with self.work.begin() as transaction:
            job_id = transaction.jobs.add(instance)
            transaction.jobs.settle(job_id, JobState.COMPLETED, at=at)
            return transaction.outbox.add(
                job_id=job_id, kind=ResultKind.CINE, identifier=f"{uid}.1", sop_class_uid="1.2",
                destination="PACS", destination_kind=DestinationKind.DICOM,
                content_digest="1" * 64, revision=1, at=at,
            )  # fmt: skip

    def settle(self, delivery_id: int, state: DeliveryState, said: str | None = None) -> None:
        outcome = DeliveryOutcome(
            state=state, error_code="unreachable" if said else None, error_message=said,
            due_at=self.clock() if state is DeliveryState.PENDING else None,
        )  # fmt: skip
        with self.work.begin() as transaction:
            transaction.outbox.settle(
                delivery_id, outcome, started_at=self.clock(), at=self.clock()
            )

    def said(self) -> dict[str, str]:
        with self.work.begin() as transaction:
            found = conditions(transaction, at=self.clock(), silent_after=SILENT)
        return {each.key: each.said for each in found}


@pytest.fixture
def world() -> World:
    return World()


def test_of_a_node_that_is_well_nothing_is_said(world: World) -> None:
    world.settle(world.take(), DeliveryState.DELIVERED)
    assert world.said() == {}


def test_a_destination_that_takes_nothing_is_said_until_it_does(world: World) -> None:
    delivery_id = world.take()
    assert world.said() == {}, "on its way"
    world.settle(delivery_id, DeliveryState.PENDING, "no connection to 192.0.2.1:104")
    assert world.said() == {
        "waiting PACS": "PACS has not taken a result, which is tried again: no connection to "
        "192.0.2.1:104; it is owed 1"
    }
    world.settle(delivery_id, DeliveryState.DELIVERED)
    assert world.said() == {}


@pytest.mark.parametrize("state", [DeliveryState.REFUSED, DeliveryState.EXHAUSTED])
def test_what_waits_for_a_person_is_said(world: World, state: DeliveryState) -> None:
    world.settle(world.take(), state, "0xA900")
    assert world.said() == {
        "stopped PACS": "results that PACS does not get unless a person sees to it: 1; see "
        "`cardionode jobs list`"
    }


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.HELD])
def test_ecgs_that_wait_for_a_person_are_said(world: World, state: JobState) -> None:
    at = world.clock()
    instance = ReceivedInstance(
        sop_class_uid="1.2", sop_instance_uid="1", transfer_syntax_uid="1.2.840.10008.1.2.1",
        origin=Origin(calling_ae="CART", called_ae="NODE", peer="127.0.0.1"),
        content_digest="0" * 64, size_bytes=9, received_at=at, content=b"",
    )  # fmt: skip
    with world.work.begin() as transaction:
        job_id = transaction.jobs.add(instance)
        transaction.jobs.settle(job_id, state, at=at, error_code="x", error_message="y")
    (said,) = world.said().values()
    assert f": 1; see `cardionode jobs list --state {state.value}`" in said


def test_silence_is_said_of_a_node_that_had_ecgs(world: World) -> None:
    world.clock.move(24 * 3600)
    assert world.said() == {}
    world.settle(world.take(), DeliveryState.DELIVERED)
    world.clock.move(11 * 3600)
    assert world.said() == {}
    world.clock.move(3600)
    assert world.said() == {
        "silence": "no ECG has come since 2026-01-03 03:04 UTC: does the PACS send any?"
    }


def test_a_role_that_nobody_has_is_said(world: World) -> None:
    with world.work.begin() as transaction:
        transaction.hosts.remove("first")
    world.join("receiver", HostRole.RECEIVE)
    assert sorted(world.said()) == [
        "no host with the role infer is alive: what it does waits",
        "no host with the role send is alive: what it does waits",
    ]


def test_of_several_hosts_one_tells_what_all_have_in_common(world: World) -> None:
    world.clock.move(1)
    world.join("second")
    world.settle(world.take(), DeliveryState.REFUSED, "0xA900")
    world.watch("second").look()
    assert world.persons["mail"].heard == []
    world.watch("first").look()
    assert world.persons["mail"].heard == ["began stopped PACS"]
    with world.work.begin() as transaction:
        transaction.hosts.remove("first")
    world.watch("second").look()
    assert world.persons["mail"].heard == ["began stopped PACS"] * 2, "it may not have been told"


@pytest.mark.parametrize("fault", [Unreachable("nobody is there"), ValueError("ours")])
def test_a_way_that_fails_is_tried_again_ever_later_and_holds_up_no_other(
    world: World, fault: Exception
) -> None:
    watch, mail, webhook = world.watch(), world.persons["mail"], world.persons["webhook"]
    mail.fault = fault
    world.here = [Condition(key="disk", said="the disk is nearly full")]
    for _ in range(40):
        watch.look()
        world.now_s += 15
    assert (mail.heard, webhook.heard) == ([], ["began disk"])
    assert 4 <= len(world.notes.said("alert not told")) <= 7
    mail.fault = None
    world.here = []
    watch.look()
    assert (mail.heard, webhook.heard) == ([], ["began disk", "ended disk"]), "it is over"


def test_a_host_that_is_not_the_first_any_more_says_nothing_is_over(world: World) -> None:
    watch, mail = world.watch("first"), world.persons["mail"]
    world.settle(world.take(), DeliveryState.REFUSED, "0xA900")
    watch.look()
    with world.work.begin() as transaction:
        transaction.hosts.remove("first")
    world.join("second")
    world.clock.move(1)
    world.join("first")
    watch.look()
    assert mail.heard == ["began stopped PACS"]
    world.watch("second").look()
    assert mail.heard == ["began stopped PACS"] * 2


def test_hosts_of_another_configuration_do_not_silence_those_that_tell(world: World) -> None:
    world.clock.move(1)
    world.join("second", configuration="another")
    world.settle(world.take(), DeliveryState.REFUSED, "0xA900")
    world.watch("second").look()
    assert world.persons["mail"].heard == ["began stopped PACS"]


def test_many_more_are_news(world: World) -> None:
    watch, mail = world.watch(), world.persons["mail"]
    for number in range(5):
        world.settle(world.take(f"1.2.{number}"), DeliveryState.REFUSED, "0xA900")
        watch.look()
    assert mail.heard == ["began stopped PACS", "lasts stopped PACS", "lasts stopped PACS"]


def test_what_cannot_be_looked_at_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, mail = world.watch(), world.persons["mail"]

    def fail() -> Any:
        raise OSError("the disk is gone")

    monkeypatch.setattr(world.work, "look", fail)
    watch.of_this_host = fail
    watch.look()
    assert mail.heard == ["began unseen this host heart", "began unseen the database heart"]


def test_a_database_that_is_away_ends_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, mail = world.watch(), world.persons["mail"]
    world.settle(world.take(), DeliveryState.REFUSED, "0xA900")
    watch.look()

    def fail() -> None:
        raise StorageError("the database does not answer")

    monkeypatch.setattr(world.work, "look", fail)
    world.here = [Condition(key="node m", said="m: the database does not answer")]
    watch.look()
    assert mail.heard == ["began stopped PACS", "began node m"]
