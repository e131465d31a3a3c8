"""Storage Commitment of results: asked for once, followed up, made good, shown to a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from node.domain.commitment import Commitment, CommitmentReport, CommitmentState
from node.domain.delivery import (
    Delivery,
    DeliveryOutcome,
    DeliveryState,
    DestinationKind,
    JobState,
    Priority,
    ResultKind,
)
from node.domain.errors import (
    CardioNodeError,
    DeliveryError,
    NotPossible,
    Refused,
    TemporarilyRefused,
    Unanswered,
    UnknownTransaction,
    Unreachable,
)
from node.domain.instance import Origin
from node.workflow.commit import Committing
from node.workflow.commitment_report import CommitmentPolicy, CommitmentReports
from node.workflow.deliver import Postman
from node.workflow.intervene import Intervention
from node.workflow.retry import RetryPolicy
from tests.fakes import SOMEBODY, Clock, MemorySpool, MemoryUnitOfWork, Notes
from tests.unit.store.test_rows import INSTANCE
from tests.unit.workflow.test_deliver import Destination

PACS = Origin(calling_ae="PACS", called_ae="CARDIONODE", peer="127.0.0.1")
MISSING = TemporarilyRefused("the peer does not have the object any more (0x0112)")
KINDS = {ResultKind.CINE: "2.25.1", ResultKind.REPORT: "2.25.2"}


class Requester:
    """Takes requests, or does not, and reports at once where it is told to."""

    def __init__(self) -> None:
        self.error: CardioNodeError | None = None
        self.before_taken: Callable[[str], None] = lambda _: None
        self.asked_for: list[tuple[str, list[str]]] = []

    @contextmanager
    def asked(self, transaction_uid: str, instances: Sequence[tuple[str, str]]) -> Iterator[None]:
        self.asked_for.append((transaction_uid, [uid for _, uid in instances]))
        self.before_taken(transaction_uid)
        if self.error is not None:
            raise self.error
        yield


class World:
    """A job with a cine and a report for a PACS that commits, and an ORU that waits for it."""

    def __init__(self, *, requests: int = 3) -> None:
        self.clock, self.spool, self.notes = Clock(), MemorySpool(), Notes()
        self.work, self.pacs, self.ris = MemoryUnitOfWork(), Destination(), Destination()
        self.requester = Requester()
        policies = {"PACS": CommitmentPolicy(wait_s=600, requests=requests)}
        retry = RetryPolicy(initial_s=5, maximum_s=60, give_up_after_s=3600)
        after = {"RIS": "PACS"}
        uids = (f"1.2.{number}" for number in count(1))
        self.committing = Committing(
            work=self.work, requesters={"PACS": self.requester}, policies=policies,
            retries={"PACS": retry}, after=after, telemetry=self.notes, clock=self.clock,
            jitter=lambda: 0.0, new_uid=lambda: next(uids),
        )  # fmt: skip
        self.reports = CommitmentReports(
            work=self.work, policies=policies, after=after, telemetry=self.notes, clock=self.clock
        )
        self.postman = Postman(
            spool=self.spool, work=self.work, senders={"PACS": self.pacs, "RIS": self.ris},
            policies={"PACS": retry, "RIS": retry}, committing=self.committing,
            telemetry=self.notes, clock=self.clock, jitter=lambda: 0.0,
        )  # fmt: skip
        self.person = Intervention(
            by=SOMEBODY, work=self.work, telemetry=self.notes, clock=self.clock, after=after
        )
        with self.work.begin() as transaction:
            self.job_id = transaction.jobs.add(INSTANCE)
            transaction.jobs.settle(self.job_id, JobState.COMPLETED, at=self.clock())
            self.ids = {
                kind: transaction.outbox.add(
                    job_id=self.job_id, kind=kind, identifier=identifier, sop_class_uid="1.2",
                    destination=name, destination_kind=protocol,
                    content_digest=self.spool.put(kind.value.encode()), revision=1, at=self.clock(),
                    waits=kind is ResultKind.ORU,
                )
                for kind, identifier, name, protocol in (
                    (ResultKind.CINE, "2.25.1", "PACS", DestinationKind.DICOM),
                    (ResultKind.REPORT, "2.25.2", "PACS", DestinationKind.DICOM),
                    (ResultKind.ORU, "CN1", "RIS", DestinationKind.HL7),
                )
            }  # fmt: skip

    def deliver(self, *kinds: ResultKind) -> None:
        for kind in kinds or KINDS:
            self.postman.attempt(self.ids[kind])

    def ask(self) -> float | None:
        """Do what is due for the latest request."""
        return self.committing.attempt(self.commitments()[-1].commitment_id)

    def delivered_and_asked(self) -> str:
        """The transaction UID."""
        self.deliver()
        assert self.ask() is None
        return self.commitments()[-1].transaction_uid

    def report(
        self,
        transaction_uid: str,
        *committed: ResultKind,
        failed: dict[ResultKind, DeliveryError] | None = None,
    ) -> None:
        self.reports.take(
            CommitmentReport(
                transaction_uid=transaction_uid,
                committed=frozenset(KINDS[kind] for kind in committed),
                failed={KINDS[kind]: error for kind, error in (failed or {}).items()},
            ),
            PACS,
        )

    def silence(self) -> None:
        """As long as a report is waited for, and then what is done about it."""
        self.clock.move(601)
        self.ask()

    def commitments(self) -> list[Commitment]:
        with self.work.begin() as transaction:
            return transaction.commitments.of_job(self.job_id)

    def delivery(self, kind: ResultKind) -> Delivery:
        with self.work.begin() as transaction:
            delivery = transaction.outbox.get(self.ids[kind])
        assert delivery is not None
        return delivery

    def states(self) -> list[str]:
        """Of cine, report and ORU."""
        return [self.delivery(kind).state.value for kind in self.ids]

    def queued(self, name: str) -> list[tuple[Any, ...]]:
        return [entry[1:] for entry in self.work.queue if entry[0] == name]


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.work.close()


def test_all_results_of_a_job_go_into_one_request_once_all_are_stored(world: World) -> None:
    world.deliver(ResultKind.CINE)
    assert world.states() == ["stored", "pending", "waiting"]
    assert world.commitments() == []
    world.deliver(ResultKind.REPORT)
    assert world.states() == ["stored", "stored", "waiting"]
    assert world.ask() is None
    assert world.requester.asked_for == [("1.2.1", ["2.25.1", "2.25.2"])]
    (commitment,) = world.commitments()
    assert (commitment.state, commitment.number) == (CommitmentState.AWAITED, 1)
    first, watch = world.queued("commitment")
    assert first == (commitment.commitment_id, 1, "PACS", None)
    assert watch[1] == 2
    assert watch[3] >= world.clock.now + timedelta(seconds=600)


def test_a_report_commits_results_and_lets_the_message_go(world: World) -> None:
    transaction_uid = world.delivered_and_asked()
    assert world.queued("delivery") == []
    world.report(transaction_uid, *KINDS)
    assert world.states() == ["committed", "committed", "pending"]
    assert world.queued("delivery") == [(world.ids[ResultKind.ORU], 1, "RIS", DestinationKind.HL7)]
    world.deliver(ResultKind.ORU)
    assert world.delivery(ResultKind.ORU).state is DeliveryState.DELIVERED
    world.clock.move(601)
    world.ask()  # the watch finds that the report has come
    assert world.states() == ["committed", "committed", "delivered"]
    assert len(world.commitments()) == 1


def test_a_report_that_comes_twice_changes_nothing(world: World) -> None:
    transaction_uid = world.delivered_and_asked()
    world.report(transaction_uid, *KINDS)
    world.report(transaction_uid, failed=dict.fromkeys(KINDS, MISSING))
    assert world.states() == ["committed", "committed", "pending"]
    assert len(world.queued("delivery")) == 1


def test_a_report_faster_than_the_answer_to_the_request_counts(world: World) -> None:
    world.requester.before_taken = lambda uid: world.report(uid, *KINDS)
    world.delivered_and_asked()
    assert world.commitments()[0].state is CommitmentState.REPORTED
    assert world.states()[:2] == ["committed", "committed"]
    assert len(world.queued("commitment")) == 1  # nobody watches what has been reported


def test_a_report_on_the_association_of_the_request_counts_when_its_answer_is_lost(
    world: World,
) -> None:
    world.requester.before_taken = lambda uid: world.report(uid, *KINDS)
    world.requester.error = Unanswered("cut")
    world.delivered_and_asked()
    assert world.commitments()[0].state is CommitmentState.REPORTED
    assert world.states()[:2] == ["committed", "committed"]


def test_only_what_failed_is_sent_again_and_asked_for_anew(world: World) -> None:
    first = world.delivered_and_asked()
    world.report(first, ResultKind.REPORT, failed={ResultKind.CINE: MISSING})
    assert world.states() == ["pending", "committed", "waiting"]
    assert "0x0112" in (world.delivery(ResultKind.CINE).error_message or "")
    assert world.queued("delivery") == [
        (world.ids[ResultKind.CINE], 2, "PACS", DestinationKind.DICOM)
    ]
    second = world.delivered_and_asked()
    assert world.requester.asked_for[-1] == (second, ["2.25.1"])
    assert second != first
    assert world.pacs.sent == [b"cine", b"report", b"cine"]
    world.report(second, ResultKind.CINE)
    assert world.states() == ["committed", "committed", "pending"]
    with world.work.begin() as transaction:
        tries = transaction.outbox.attempts_of(world.ids[ResultKind.CINE])
    assert [tried["state"] for tried in tries] == ["stored", "pending", "stored", "committed"]


def test_what_fails_each_time_ends_with_a_person_who_sees_why(world: World) -> None:
    for _ in range(3):
        world.report(
            world.delivered_and_asked(), ResultKind.REPORT, failed={ResultKind.CINE: MISSING}
        )
        world.clock.move(1)
    assert world.states() == ["exhausted", "committed", "waiting"]
    assert world.pacs.sent == [b"cine", b"report", b"cine", b"cine"]
    waiting = world.delivery(ResultKind.ORU)
    assert waiting.error_code == "awaits-commitment"
    assert "0x0112" in (waiting.error_message or "")
    assert world.queued("delivery")[-1][0] == world.ids[ResultKind.CINE]


def test_what_cannot_be_committed_is_not_sent_again(world: World) -> None:
    never = Refused("the peer does not commit itself to objects of this SOP class (0x0122)")
    world.report(world.delivered_and_asked(), ResultKind.CINE, failed={ResultKind.REPORT: never})
    assert world.states() == ["committed", "refused", "waiting"]
    assert world.queued("delivery") == []


def test_what_a_report_leaves_out_is_asked_for_again_when_its_time_is_over(world: World) -> None:
    first = world.delivered_and_asked()
    world.report(first, ResultKind.CINE)
    assert world.states() == ["committed", "stored", "waiting"]
    world.silence()
    world.ask()
    assert world.requester.asked_for[-1][1] == ["2.25.2"]


def test_silence_is_asked_about_again_under_another_uid_and_then_shown(world: World) -> None:
    world.delivered_and_asked()
    for number in (2, 3):
        world.silence()
        assert world.commitments()[-1].number == number
        assert world.states()[:2] == ["stored", "stored"]
        world.ask()
    world.silence()
    assert world.states() == ["exhausted", "exhausted", "waiting"]
    assert len({uid for uid, _ in world.requester.asked_for}) == 3
    cine = world.delivery(ResultKind.CINE)
    assert cine.error_code == "no-report"
    assert "3 times" in (cine.error_message or "")
    assert "no report" in (world.delivery(ResultKind.ORU).error_message or "")
    assert world.pacs.sent == [b"cine", b"report"]


def test_nobody_is_asked_again_before_the_report_is_due(world: World) -> None:
    world.delivered_and_asked()
    world.clock.move(599)
    assert world.ask() == pytest.approx(1.0)
    assert len(world.commitments()) == 1


@pytest.mark.parametrize("request_number", [0, 2])
def test_a_late_report_to_any_request_counts(world: World, request_number: int) -> None:
    world.delivered_and_asked()
    for _ in range(2):
        world.silence()
        world.ask()
    world.silence()
    world.report(world.requester.asked_for[request_number][0], *KINDS)
    assert world.states() == ["committed", "committed", "pending"]


def test_a_late_report_counts_after_a_later_request_was_refused(world: World) -> None:
    first = world.delivered_and_asked()
    world.silence()
    world.requester.error = Refused("PACS does not offer Storage Commitment")
    world.ask()
    assert world.states() == ["refused", "refused", "waiting"]
    world.report(first, *KINDS)
    assert world.states() == ["committed", "committed", "pending"]


def test_bad_news_of_an_earlier_request_is_left_to_the_later_one(world: World) -> None:
    first = world.delivered_and_asked()
    world.silence()
    world.ask()
    world.report(first, failed=dict.fromkeys(KINDS, MISSING))
    assert world.states()[:2] == ["stored", "stored"]
    assert world.queued("delivery") == []


def test_a_report_nobody_asked_for_is_refused(world: World) -> None:
    world.delivered_and_asked()
    with pytest.raises(UnknownTransaction):
        world.report("1.2.99", *KINDS)
    assert world.states()[:2] == ["stored", "stored"]


@pytest.mark.parametrize("error", [Unreachable, Unanswered, TemporarilyRefused])
def test_a_request_that_was_not_taken_is_made_again_under_its_uid(
    world: World, error: type[CardioNodeError]
) -> None:
    world.deliver()
    world.requester.error = error("not now")
    assert [world.ask(), world.ask(), world.ask()] == [5, 10, 20]
    world.requester.error = None
    assert world.ask() is None
    assert {uid for uid, _ in world.requester.asked_for} == {"1.2.1"}
    assert world.commitments()[0].state is CommitmentState.AWAITED


def test_a_pacs_that_offers_no_commitment_is_shown_at_once(world: World) -> None:
    world.deliver()
    world.requester.error = Refused("PACS does not offer Storage Commitment")
    assert world.ask() is None
    assert world.states() == ["refused", "refused", "waiting"]
    assert "does not offer" in (world.delivery(ResultKind.CINE).error_message or "")
    assert "does not offer" in (world.delivery(ResultKind.ORU).error_message or "")


def test_a_pacs_that_cannot_be_asked_for_too_long_is_shown(world: World) -> None:
    world.deliver()
    world.requester.error = Unreachable("nobody")
    world.ask()
    world.clock.move(3601)
    assert world.ask() is None
    assert world.states()[:2] == ["exhausted", "exhausted"]


def test_a_request_is_for_what_is_stored_when_the_rest_was_refused(world: World) -> None:
    world.pacs.error = Refused("never")
    world.deliver(ResultKind.CINE)
    world.pacs.error = None
    world.deliver(ResultKind.REPORT)
    world.report(world.delivered_and_asked(), ResultKind.REPORT)
    assert world.states() == ["refused", "committed", "waiting"]
    assert "never" in (world.delivery(ResultKind.ORU).error_message or "")


def test_a_person_has_it_sent_and_asked_for_again_from_the_beginning(world: World) -> None:
    world.delivered_and_asked()
    for _ in range(2):
        world.silence()
        world.ask()
    world.silence()
    assert world.states() == ["exhausted", "exhausted", "waiting"]
    world.clock.move(10)
    assert world.person.retry(world.job_id) == "2 deliveries are tried now"
    assert world.states() == ["pending", "pending", "waiting"]
    transaction_uid = world.delivered_and_asked()
    assert world.commitments()[-1].number == 1
    world.report(transaction_uid, *KINDS)
    assert world.states() == ["committed", "committed", "pending"]


def test_a_person_may_ask_again_while_a_report_is_awaited(world: World) -> None:
    world.delivered_and_asked()
    world.clock.move(10)
    world.person.retry(world.job_id)
    world.delivered_and_asked()
    world.clock.move(601)
    world.committing.attempt(world.commitments()[0].commitment_id)  # the earlier one's watch
    assert len(world.commitments()) == 2
    assert world.states()[:2] == ["stored", "stored"]


def test_what_an_archive_has_lost_is_sent_and_asked_for_again(world: World) -> None:
    world.report(world.delivered_and_asked(), *KINDS)
    world.deliver(ResultKind.ORU)
    assert world.states() == ["committed", "committed", "delivered"]
    said = world.person.send_again(world.job_id, "PACS")
    assert said == "2 results are sent to PACS again"
    assert world.states() == ["pending", "pending", "delivered"]
    world.report(world.delivered_and_asked(), *KINDS)
    assert world.states() == ["committed", "committed", "delivered"]
    assert sorted(world.pacs.sent) == sorted(2 * [kind.value.encode() for kind in KINDS])
    assert len(world.ris.sent) == 1


def test_a_message_that_is_sent_again_waits_for_the_archive_again(world: World) -> None:
    world.report(world.delivered_and_asked(), *KINDS)
    world.deliver(ResultKind.ORU)
    assert world.person.send_again(world.job_id) == "3 results are sent to PACS, RIS again"
    assert world.states() == ["pending", "pending", "waiting"]
    transaction_uid = world.delivered_and_asked()
    assert world.states() == ["stored", "stored", "waiting"]
    world.report(transaction_uid, *KINDS)
    assert world.states() == ["committed", "committed", "pending"]
    world.deliver(ResultKind.ORU)
    assert len(world.ris.sent) == 2


@pytest.mark.parametrize("kind", [ResultKind.ECG, ResultKind.REJECTION])
def test_a_message_that_is_sent_again_waits_for_results_alone(
    world: World, kind: ResultKind
) -> None:
    with world.work.begin() as transaction:
        other = transaction.jobs.add(replace(INSTANCE, sop_instance_uid="1.2.9"))
        transaction.jobs.settle(other, JobState.COMPLETED, at=world.clock())
        for sent, name, protocol in (
            (kind, "PACS", DestinationKind.DICOM), (ResultKind.ORU, "RIS", DestinationKind.HL7)
        ):  # fmt: skip
            delivery_id = transaction.outbox.add(
                job_id=other, kind=sent, identifier=sent.value, sop_class_uid="1.2",
                destination=name, destination_kind=protocol,
                content_digest=world.spool.put(sent.value.encode()), revision=1, at=world.clock(),
            )  # fmt: skip
            outcome = DeliveryOutcome(state=DeliveryState.DELIVERED)
            transaction.outbox.settle(
                delivery_id, outcome, started_at=world.clock(), at=world.clock()
            )
    world.person.send_again(other)
    with world.work.begin() as transaction:
        states = {each.state for each in transaction.outbox.of_job(other)}
    assert states == {DeliveryState.PENDING}


def test_what_is_sent_again_waits_for_what_is_new(world: World) -> None:
    world.report(world.delivered_and_asked(), *KINDS)
    world.person.send_again(world.job_id, "PACS")
    assert {entry[-1] for entry in world.queued("delivery")[-2:]} == {Priority.LOW}


def test_nothing_is_sent_again_that_did_not_arrive(world: World) -> None:
    with pytest.raises(NotPossible, match="nothing of job 1 has arrived; what stopped"):
        world.person.send_again(world.job_id)
    world.report(world.delivered_and_asked(), *KINDS)
    with pytest.raises(NotPossible, match="has arrived at NOBODY"):
        world.person.send_again(world.job_id, "NOBODY")
    assert world.person.send_again(world.job_id) == "2 results are sent to PACS again"
    assert world.states() == ["pending", "pending", "pending"]  # the message is on its way already


def test_what_is_cancelled_is_asked_for_no_more(world: World) -> None:
    world.deliver()
    world.person.cancel(world.job_id)
    assert world.states() == ["cancelled"] * 3
    assert world.ask() is None
    assert world.commitments()[0].state is CommitmentState.VOID
    assert world.requester.asked_for == []


def test_a_request_nobody_waits_for_any_more_accuses_nobody_of_silence(world: World) -> None:
    world.delivered_and_asked()
    world.person.cancel(world.job_id)
    world.silence()
    (commitment,) = world.commitments()
    assert (commitment.state, commitment.error_message) == (CommitmentState.VOID, None)


def test_a_message_cancelled_while_it_waited_waits_again_when_a_person_retries(
    world: World,
) -> None:
    world.person.cancel(world.job_id)
    world.person.retry(world.job_id)
    assert world.states() == ["pending", "pending", "waiting"]
    assert [entry[2] for entry in world.queued("delivery")] == ["PACS", "PACS"]
    world.report(world.delivered_and_asked(), *KINDS)
    assert world.states() == ["committed", "committed", "pending"]


def ecg_of(world: World) -> int:
    """The ECG itself, owed to the PACS before there were results."""
    with world.work.begin() as transaction:
        return transaction.outbox.add(
            job_id=world.job_id, kind=ResultKind.ECG, identifier="2.25.9", sop_class_uid="1.2",
            destination="PACS", destination_kind=DestinationKind.DICOM,
            content_digest=world.spool.put(b"ecg"), revision=1, at=world.clock(),
        )  # fmt: skip


def test_an_ecg_asked_for_earlier_costs_the_results_no_request(world: World) -> None:
    with world.work.begin() as transaction:
        for kind in KINDS:
            transaction.outbox.cancel(world.ids[kind], at=world.clock())
    world.postman.attempt(ecg_of(world))
    assert [each.number for each in world.commitments()] == [1]
    world.person.retry(world.job_id)
    world.deliver()
    assert world.commitments()[-1].number == 1


def test_the_message_waits_for_results_and_not_for_the_ecg_itself(world: World) -> None:
    ecg = ecg_of(world)
    world.pacs.error = Refused("no such SOP class")
    world.postman.attempt(ecg)
    world.pacs.error = None
    world.report(world.delivered_and_asked(), *KINDS)
    assert world.states() == ["committed", "committed", "pending"]


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.HELD])
def test_the_ecg_itself_is_tried_again_whatever_became_of_its_job(state: JobState) -> None:
    world = World()
    with world.work.begin() as transaction:
        transaction.jobs.remove(world.job_id)
        world.job_id = transaction.jobs.add(INSTANCE)
        transaction.jobs.settle(world.job_id, state, at=world.clock())
    ecg = ecg_of(world)
    world.pacs.error = Refused("no such SOP class")
    world.postman.attempt(ecg)
    assert "1 deliveries are tried now" in world.person.retry(world.job_id)
    assert [entry[0] for entry in world.queued("delivery")] == [ecg]
    world.work.close()


def test_an_instance_that_contradicts_an_earlier_one_is_never_processed(world: World) -> None:
    with world.work.begin() as transaction:
        other = transaction.jobs.add(
            replace(INSTANCE, content_digest="1" * 64), conflicts_with=world.job_id, error="other"
        )
    world.person.cancel(other)
    with pytest.raises(NotPossible, match="contradicts"):
        world.person.retry(other)


def test_the_message_is_let_go_when_nobody_waits_for_commitment_any_more(world: World) -> None:
    without = Committing(
        work=world.work, requesters={}, policies={}, retries={}, after={},
        telemetry=world.notes, clock=world.clock,
    )  # fmt: skip
    without.recheck()
    assert world.states() == ["pending", "pending", "pending"]


def test_the_request_of_a_destination_no_longer_configured_waits_for_a_person(
    world: World,
) -> None:
    world.deliver()
    without = Committing(
        work=world.work, requesters={}, policies={}, retries={}, after={},
        telemetry=world.notes, clock=world.clock,
    )  # fmt: skip
    assert without.attempt(world.commitments()[0].commitment_id) is None
    assert world.states()[:2] == ["refused", "refused"]


def test_a_job_whose_results_are_committed_can_be_removed(world: World) -> None:
    world.report(world.delivered_and_asked(), *KINDS)
    world.clock.move(86400)
    with world.work.begin() as transaction:
        assert transaction.jobs.ended_before(world.clock(), limit=10) == []
    world.deliver(ResultKind.ORU)
    with world.work.begin() as transaction:
        (job,) = transaction.jobs.ended_before(world.clock(), limit=10)
        transaction.jobs.remove(job.job_id)
        assert transaction.commitments.of_job(job.job_id) == []
    with pytest.raises(UnknownTransaction):
        world.report("1.2.1", *KINDS)
