"""One study: the ECG, what was estimated and drawn of it, and where that went."""

from __future__ import annotations

import hmac
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydicom import dcmread
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from node.dicom.part10 import read_part10
from node.dicom.rendering import COLUMNS, contact_sheet
from node.dicom.template import Templates
from node.dicom.waveform import read_ecg
from node.domain.audit import Action, Actor
from node.domain.delivery import (
    ARRIVED,
    Delivery,
    DeliveryState,
    JobState,
    ResultKind,
)
from node.domain.errors import StorageError
from node.domain.user import Role
from node.ecg.conditioning import trim_calibration_pulse
from node.ecg.drawing import draw_ecg
from node.web.console.gate import Gate, Visit, number_of
from node.web.console.numbers import shown_numbers
from node.web.console.pages import HEADERS, Pages
from node.web.console.recorded import Recorded, Recordings
from node.workflow.intervene import Intervention
from node.workflow.ports import ObjectStore, Transaction, UnitOfWork
from node.workflow.reading import READABLE, file_name, result_text
from node.workflow.replacement import standing

if TYPE_CHECKING:
    from node.store.received import Job

_HISTORY: Final = 20
_MEDIA_TYPES: Final = {
    ResultKind.ORU: "x-application/hl7-v2+er7",
    ResultKind.FHIR: "application/fhir+json",
}
"""The others are DICOM objects."""
_OPEN: Final = (DeliveryState.PENDING, DeliveryState.WAITING, DeliveryState.STORED)
_STOPPED: Final = (DeliveryState.REFUSED, DeliveryState.EXHAUSTED, DeliveryState.CANCELLED)
_ANSWERED: Final = (JobState.COMPLETED, JobState.NO_RESULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What a person can do to a job."""

    does: Callable[[Intervention, int], str]
    action: Action
    says: str
    """Beside its button."""
    asks: bool = False
    """Whether the person is asked once more: it cannot be taken back."""


ACTS: Final[Mapping[str, Act]] = {
    "retry": Act(
        does=Intervention.retry,
        action=Action.RETRIED,
        says="Set going again what stopped, now. What has arrived stays.",
    ),
    "send-again": Act(
        does=Intervention.send_again,
        action=Action.SENT_AGAIN,
        says="Send what has arrived once more, as it is: its destination has lost it.",
        asks=True,
    ),
    "release": Act(
        does=Intervention.release,
        action=Action.RELEASED,
        says="Process it in spite of the doubt above.",
    ),
    "reject": Act(
        does=Intervention.reject,
        action=Action.REJECTED,
        says="Make no result of it.",
        asks=True,
    ),
    "correct": Act(
        does=Intervention.correct,
        action=Action.CORRECTED,
        says="Process it again; the new results replace those that were sent.",
        asks=True,
    ),
    "cancel": Act(
        does=Intervention.cancel,
        action=Action.CANCELLED,
        says="Stop it, and what is still owed for it.",
        asks=True,
    ),
}


_NOTED: Final = frozenset(each.action for each in ACTS.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownDelivery:
    """A delivery with its attempts."""

    delivery: Delivery
    attempts: Sequence[Mapping[str, object]]
    is_current: bool
    """Whether no later result stands for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPage:
    """Shows a study, and does what a person asks for."""

    work: UnitOfWork
    spool: ObjectStore
    recordings: Recordings
    templates: Templates
    intervene: Callable[[Actor], Intervention]
    pages: Pages
    gate: Gate

    @property
    def routes(self) -> list[Route]:
        here = "/studies/{job}"
        return [
            self.gate.get(here, self.show),
            self.gate.get(f"{here}/deliveries", self.deliveries),
            self.gate.get(f"{here}/ecg.png", self.ecg),
            self.gate.get(f"{here}/cine.png", self.cine),
            self.gate.get(f"{here}/results/{{delivery}}", self.download),
            self.gate.post(f"{here}/{{act}}", self.act, needs=Role.OPERATOR),
        ]

    def show(self, visit: Visit) -> Response:
        """The page. Who looks at it is noted first."""
        job_id = number_of(visit.path["job"])
        with self.work.look() as transaction:
            _job(transaction, job_id)
        self.gate.note(visit, Action.VIEWED, job_id=job_id)
        with self.work.look() as transaction:
            job = _job(transaction, job_id)
            shown = _shown(transaction, job)
            history = transaction.audit.latest(limit=_HISTORY, job_id=job_id)
        made = [each.delivery for each in shown["deliveries"] if each.is_current]
        recorded = self._recorded(job, made)
        prediction, lost = self._prediction(job)
        return self.pages.render(
            "study.html",
            user=visit.user,
            form_token=visit.form_token,
            recorded=recorded,
            prediction=prediction,
            lost=lost,
            picture_token=visit.picture_token(job_id),
            a_row=COLUMNS,
            numbers=shown_numbers(prediction, recorded.sex, self.templates.summary),
            summary=self.templates.summary.text,
            has_cine=any(each.kind is ResultKind.CINE for each in made),
            texts=self._texts(made),
            history=history,
            acts={name: ACTS[name] for name in possible(job, made)},
            last_act=next((each for each in history if each.action in _NOTED), None),
            **shown,
        )

    def deliveries(self, visit: Visit) -> Response:
        """Where its results went, alone: nothing of a patient. An open page asks for it.

        Once there is more to see than that, the page is to load itself again.
        """
        with self.work.look() as transaction:
            job = _job(transaction, number_of(visit.path["job"]))
            shown = _shown(transaction, job)
        response = self.pages.render("deliveries.html", **shown)
        if not shown["is_open"] or job.state.value != visit.query.get("state"):
            response.headers["HX-Refresh"] = "true"
        return response

    def ecg(self, visit: Visit) -> Response:
        """The ECG on its paper. Raises InputError (its waveform cannot be read)."""
        job_id = _of_a_page(visit)
        with self.work.look() as transaction:
            job = _job(transaction, job_id)
        record = read_ecg(read_part10(self.spool.get(job.content_digest)))
        return _picture(draw_ecg(trim_calibration_pulse(record)))

    def cine(self, visit: Visit) -> Response:
        """All frames in one picture, row by row, as they were sent."""
        job_id = _of_a_page(visit)
        with self.work.look() as transaction:
            job = _job(transaction, job_id)
            made = standing(transaction.outbox.of_job(job.job_id), job)
        cines = [each for each in made if each.kind is ResultKind.CINE]
        if not cines:
            raise HTTPException(404, "no cine of it was sent anywhere")
        shown = [each for each in cines if each.destination == cines[0].destination]
        images = [dcmread(io.BytesIO(self.spool.get(each.content_digest))) for each in shown]
        return _picture(contact_sheet(images, most=None))

    def download(self, visit: Visit) -> Response:
        """A result, byte for byte as it is sent."""
        job_id, delivery_id = number_of(visit.path["job"]), number_of(visit.path["delivery"])
        with self.work.look() as transaction:
            delivery = transaction.outbox.get(delivery_id)
        if delivery is None or delivery.job_id != job_id:
            raise HTTPException(404, "no such result")
        content = self.spool.get(delivery.content_digest)
        said = f"{delivery.kind.value} {delivery_id}"
        self.gate.note(visit, Action.DOWNLOADED, job_id=job_id, said=said)
        media_type = _MEDIA_TYPES.get(delivery.kind, "application/dicom")
        name = file_name(delivery.kind, delivery_id)
        headers = {"Content-Disposition": f'attachment; filename="{name}"', **HEADERS}
        return Response(content, headers=headers, media_type=media_type)

    def act(self, visit: Visit) -> Response:
        """Do it, and show the study anew. Raises NotPossible."""
        job_id, act = number_of(visit.path["job"]), ACTS.get(visit.path["act"])
        if act is None:
            raise HTTPException(404, "no such thing can be done")
        act.does(self.intervene(visit.actor), job_id)
        return RedirectResponse(f"/studies/{job_id}", 303, HEADERS)

    def _prediction(self, job: Job) -> tuple[Mapping[str, Any] | None, str]:
        """What was predicted; where that is lost, why."""
        if job.prediction_digest is None:
            return None, ""
        try:
            return json.loads(self.spool.get(job.prediction_digest)), ""
        except StorageError as error:
            return None, error.message

    def _recorded(self, job: Job, made: Sequence[Delivery]) -> Recorded:
        """Of the ECG, under the patient whom its results are filed under: he may be merged."""
        recorded = self.recordings.read(job.content_digest)
        report = next((each for each in made if each.kind is ResultKind.REPORT), None)
        if report is None:
            return recorded
        filed = self.recordings.read_patient(report.content_digest)
        return recorded if filed is None else recorded.under(filed)

    def _texts(self, made: Sequence[Delivery]) -> Sequence[tuple[Delivery, str]]:
        """Of the report and of each message, the words as they are sent."""
        found, seen = [], set()
        for each in made:
            if each.content_digest in seen:
                continue
            if each.kind in READABLE:
                seen.add(each.content_digest)
                try:
                    text = result_text(each.kind, self.spool.get(each.content_digest))
                except StorageError as error:
                    text = error.message
                found.append((each, text))
        return found


def _shown(transaction: Transaction, job: Job) -> dict[str, Any]:
    """What "deliveries.html" takes."""
    deliveries = transaction.outbox.of_job(job.job_id)
    current = {each.delivery_id for each in standing(deliveries, job)}
    shown = [
        ShownDelivery(
            delivery=each,
            attempts=transaction.outbox.attempts_of(each.delivery_id),
            is_current=each.delivery_id in current,
        )
        for each in deliveries
    ]
    return {
        "job": job,
        "deliveries": shown,
        "commitments": transaction.commitments.of_job(job.job_id),
        "signatures": transaction.users.signatures_of(job.job_id),
        "is_open": job.state is JobState.RECEIVED
        or any(each.is_current and each.delivery.state in _OPEN for each in shown),
    }


def possible(job: Job, made: Sequence[Delivery]) -> Sequence[str]:
    """What can be done to a job now: names of ACTS."""
    if job.state is JobState.HELD:
        return ("release", "reject")
    found = []
    if job.state is not JobState.CONFLICT and (
        job.state in (JobState.FAILED, JobState.CANCELLED)
        or any(each.state in (*_STOPPED, *_OPEN) for each in made)
    ):
        found.append("retry")
    if any(each.state in ARRIVED for each in made):
        found.append("send-again")
    if job.state in _ANSWERED:
        found.append("correct")
    if job.state in (JobState.RECEIVED, JobState.CONFLICT) or any(
        each.state in (*_OPEN, DeliveryState.REFUSED, DeliveryState.EXHAUSTED) for each in made
    ):
        found.append("cancel")
    return found


def _of_a_page(visit: Visit) -> int:
    """The job, of whose page the picture is. Raises HTTPException 403, 404."""
    job_id = number_of(visit.path["job"])
    given, right = visit.query.get("seen", ""), visit.picture_token(job_id)
    if not hmac.compare_digest(given.encode(), right.encode()):
        raise HTTPException(403, "open the study; its pictures are part of it")
    return job_id


def _picture(png: bytes) -> Response:
    return Response(png, headers=HEADERS, media_type="image/png")


def _job(transaction: Transaction, job_id: int) -> Job:
    job = transaction.jobs.get(job_id)
    if job is None:
        raise HTTPException(404, "there is no such study here, or not any more")
    return job
