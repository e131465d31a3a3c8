"""The list of studies: what was received, of whom, and how far its results are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from node.domain.audit import Action
from node.domain.delivery import ARRIVED, Delivery, JobState
from node.web.console.gate import Gate, Visit, number_of
from node.web.console.pages import Pages
from node.web.console.recorded import Recorded, Recordings
from node.workflow.finding import FOUND_AT_MOST, find_jobs
from node.workflow.ports import Transaction, UnitOfWork
from node.workflow.replacement import standing

if TYPE_CHECKING:
    from node.store.received import Job

PAGE: Final = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRow:
    """A line of the list."""

    job: Job
    recorded: Recorded
    delivered: int
    owed: int
    wrong: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Studies:
    """Lists them, the last received first, and finds those of a patient or an order."""

    work: UnitOfWork
    recordings: Recordings
    pages: Pages
    gate: Gate

    @property
    def routes(self) -> list[Route]:
        return [
            self.gate.get("/studies", self.list),
            # What is searched for may name a patient: it stays out of the URL.
            self.gate.post("/studies", self.search),
        ]

    def list(self, visit: Visit) -> Response:
        """A page of them, of one state where the query names one."""
        state, before = _state(visit.query.get("state", "")), visit.query.get("before", "")
        self.gate.note(visit, Action.LISTED)
        with self.work.look() as transaction:
            jobs = transaction.jobs.latest(
                limit=PAGE + 1, state=state, before=number_of(before) if before else None
            )
            deliveries = _deliveries(transaction, jobs[:PAGE])
            counts = transaction.jobs.count_by_state()
        return self.pages.render(
            "studies.html",
            user=visit.user,
            form_token=visit.form_token,
            rows=self._rows(deliveries),
            state=state,
            counts=counts,
            older=jobs[PAGE - 1].job_id if len(jobs) > PAGE else None,
            sought="",
            most=FOUND_AT_MOST,
        )

    def search(self, visit: Visit) -> Response:
        """Those whose patient, order, study, instance or number was named."""
        sought = visit.form.get("sought", "").strip()
        with self.work.look() as transaction:
            jobs = find_jobs(transaction, sought)
            deliveries = _deliveries(transaction, jobs)
            counts = transaction.jobs.count_by_state()
        self.gate.note(visit, Action.SEARCHED, said=f"{len(jobs)} found")
        return self.pages.render(
            "studies.html",
            user=visit.user,
            form_token=visit.form_token,
            rows=self._rows(deliveries),
            state=None,
            counts=counts,
            older=None,
            sought=sought,
            most=FOUND_AT_MOST,
        )

    def _rows(self, deliveries: _Deliveries) -> Sequence[StudyRow]:
        """Read outside of the transaction: objects may lie far away."""
        return [self._row(job, made) for job, made in deliveries]

    def _row(self, job: Job, deliveries: Sequence[Delivery]) -> StudyRow:
        owed = standing(deliveries, job)
        return StudyRow(
            job=job,
            recorded=self.recordings.read(job.content_digest),
            delivered=sum(each.state in ARRIVED for each in owed),
            owed=len(owed),
            wrong=[
                *filter(None, [job.error_message]),
                *(
                    f"{each.destination}: {each.error_message}"
                    for each in owed
                    if each.error_message
                ),
            ],
        )


_Deliveries = Sequence[tuple["Job", Sequence[Delivery]]]


def _deliveries(transaction: Transaction, jobs: Sequence[Job]) -> _Deliveries:
    found = transaction.outbox.of_jobs([job.job_id for job in jobs])
    return [(job, found[job.job_id]) for job in jobs]


def _state(name: str) -> JobState | None:
    """Raises HTTPException 404."""
    try:
        return JobState(name) if name else None
    except ValueError:
        raise HTTPException(404, "no such state") from None
