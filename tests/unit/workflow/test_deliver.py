"""One attempt at a delivery: retried on kind, parked for a person, never lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from node.domain.delivery import Delivery, DeliveryState, DestinationKind, ResultKind
from node.domain.errors import (
    CardioNodeError,
    Refused,
    TemporarilyRefused,
    Unanswered,
    Unavailable,
    Unreachable,
)
from node.workflow.commit import Committing
from node.workflow.deliver import Postman
from node.workflow.retry import RetryPolicy
from tests.fakes import Clock, MemorySpool, MemoryUnitOfWork, Notes
from tests.unit.store.test_rows import INSTANCE


class Destination:
    """A sender that notes what it was given, and fails as told."""

    def __init__(self) -> None:
        self.error: CardioNodeError | None = None
        self.sent: list[bytes] = []

    def send(self, content: bytes) -> None:
        self.sent.append(content)
        if self.error is not None:
            raise self.error


class World:
    """A postman with one delivery to one destination."""

    def __init__(self) -> None:
        self.clock, self.spool, self.notes = Clock(), MemorySpool(), Notes()
        self.work, self.pacs = MemoryUnitOfWork(), Destination()
        self.committing = Committing(
            work=self.work, requesters={}, policies={}, retries={}, after={},
            telemetry=self.notes, clock=self.clock,
        )  # fmt: skip
        self.postman = Postman(
            spool=self.spool,
            work=self.work,
            senders={"PACS": self.pacs},
            policies={"PACS": RetryPolicy(initial_s=5, maximum_s=60, give_up_after_s=3600)},
            committing=self.committing,
            telemetry=self.notes,
            clock=self.clock,
            jitter=lambda: 0.0,
        )
        with self.work.begin() as transaction:
            self.job_id = transaction.jobs.add(INSTANCE)
        self.delivery_id = self.owe("2.25.1")

    def owe(self, identifier: str) -> int:
        """Another delivery."""
        with self.work.begin() as transaction:
            return transaction.outbox.add(
                job_id=self.job_id,
                kind=ResultKind.REPORT,
                identifier=identifier,
                sop_class_uid="1.2",
                destination="PACS",
                destination_kind=DestinationKind.DICOM,
                content_digest=self.spool.put(b"a report"),
                revision=1,
                at=self.clock(),
            )

    def attempt(self) -> float | None:
        return self.postman.attempt(self.delivery_id)

    def delivery(self) -> Delivery:
        with self.work.begin() as transaction:
            delivery = transaction.outbox.get(self.delivery_id)
        assert delivery is not None
        return delivery


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.work.close()


def test_what_is_acknowledged_is_delivered_once(world: World) -> None:
    assert world.attempt() is None
    assert world.delivery().state is DeliveryState.DELIVERED
    assert world.attempt() is None
    assert world.pacs.sent == [b"a report"]


@pytest.mark.parametrize("error", [Unreachable, Unanswered, TemporarilyRefused])
def test_what_can_heal_is_tried_again_with_the_same_bytes(
    world: World, error: type[CardioNodeError]
) -> None:
    world.pacs.error = error("not now")
    assert world.attempt() == 5.0
    delivery = world.delivery()
    assert (delivery.state, delivery.error_code) == (DeliveryState.PENDING, error.code)
    world.pacs.error = None
    assert world.attempt() is None
    assert world.pacs.sent == [b"a report"] * 2
    assert world.delivery().state is DeliveryState.DELIVERED


def test_waits_double_up_to_the_longest(world: World) -> None:
    world.pacs.error = Unreachable("nobody")
    assert [world.attempt() for _ in range(6)] == [5, 10, 20, 40, 60, 60]


def test_a_peer_that_wishes_to_be_asked_later_is_within_the_policy(world: World) -> None:
    world.pacs.error = TemporarilyRefused("not now", retry_after_s=30)
    assert world.attempt() == 30
    world.pacs.error = TemporarilyRefused("not now", retry_after_s=86400)
    assert world.attempt() == 60
    world.pacs.error = TemporarilyRefused("not now", retry_after_s=1)
    assert world.attempt() == 20


def test_a_refusal_stops_and_waits_for_a_person(world: World) -> None:
    world.pacs.error = Refused("never")
    assert world.attempt() is None
    assert world.delivery().state is DeliveryState.REFUSED
    assert world.attempt() is None
    assert len(world.pacs.sent) == 1


def test_by_a_clock_that_was_set_nothing_is_given_up(world: World) -> None:
    world.postman = replace(world.postman, is_clock_trusted=lambda: False)
    world.pacs.error = Unreachable("nobody")
    world.attempt()
    world.clock.move(30 * 24 * 3600.0)
    assert world.attempt() is not None
    assert world.delivery().state is DeliveryState.PENDING


def test_after_its_limit_a_delivery_is_exhausted_not_forgotten(world: World) -> None:
    world.pacs.error = Unreachable("nobody")
    world.attempt()
    world.clock.move(3601)
    assert world.attempt() is None
    assert world.delivery().state is DeliveryState.EXHAUSTED


def test_a_destination_no_longer_configured_waits_for_a_person(world: World) -> None:
    world.postman = Postman(
        spool=world.spool, work=world.work, senders={}, policies={},
        committing=world.committing, telemetry=world.notes, clock=world.clock,
    )  # fmt: skip
    assert world.attempt() is None
    delivery = world.delivery()
    assert (delivery.state, delivery.error_code) == (DeliveryState.REFUSED, "configuration")


def test_a_hundred_deliveries_that_fail_together_do_not_come_back_together(world: World) -> None:
    """With the postman's own jitter: a receiver that is back is not met by all of them at once."""
    postman = Postman(
        spool=world.spool, work=world.work, senders={"PACS": world.pacs},
        policies={"PACS": RetryPolicy(initial_s=100, maximum_s=1000)},
        committing=world.committing, telemetry=world.notes, clock=world.clock,
    )  # fmt: skip
    world.pacs.error = Unreachable("nobody")
    deliveries = [world.owe(f"2.25.{number}") for number in range(2, 102)]
    waits = [postman.attempt(each) or 0.0 for each in deliveries]
    assert all(75 <= wait <= 100 for wait in waits)
    fullest_second = max(Counter(int(wait) for wait in waits).values())
    assert fullest_second < 25, "of 4 expected"


def test_jitter_only_shortens_a_wait() -> None:
    policy = RetryPolicy(initial_s=8, maximum_s=100)
    assert policy.wait_s(1, 1.0) == 6.0
    assert policy.wait_s(1, 0.0) == 8.0


def test_whoever_is_served_in_order_is_not_held_up_for_ever_by_one_refused_message(
    world: World,
) -> None:
    patient = replace(world.postman.policies["PACS"], maximum_refusals=3)
    world.postman = replace(world.postman, policies={"PACS": patient})
    for error in (TemporarilyRefused("AE"), Unreachable("down"), TemporarilyRefused("AE")):
        world.pacs.error = error
        assert world.attempt() is not None
    world.pacs.error = TemporarilyRefused("AE")
    assert world.attempt() is None
    assert world.delivery().state is DeliveryState.EXHAUSTED


def test_a_server_that_serves_nobody_says_nothing_of_what_it_was_sent(world: World) -> None:
    patient = replace(world.postman.policies["PACS"], maximum_refusals=1)
    world.postman = replace(world.postman, policies={"PACS": patient})
    for _ in range(3):
        world.pacs.error = Unavailable("maintenance", retry_after_s=50)
        assert world.attempt() == 50
    world.pacs.error = TemporarilyRefused("AE")
    assert world.attempt() is None
    assert world.delivery().state is DeliveryState.EXHAUSTED


def test_a_destination_that_is_back_is_sent_at_once_what_could_not_reach_it(world: World) -> None:
    refused, never_tried = world.owe("2.25.2"), world.owe("2.25.3")
    world.pacs.error = Unreachable("nobody listens")
    first, second = world.delivery_id, world.owe("2.25.4")
    for each in (first, second):
        world.postman.attempt(each)
    world.pacs.error = TemporarilyRefused("no room for this one")
    world.postman.attempt(refused)
    assert world.work.queue == []
    world.pacs.error = None
    world.postman.attempt(first)
    assert world.work.queue == [("wake", second)]
    world.postman.attempt(never_tried)
    assert world.work.queue == [("wake", second)]
