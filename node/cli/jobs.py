"""`cardionode jobs`: look at jobs and their deliveries, and do something about them."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from node.cli.options import DEFAULT_HOME, Config, Home, Json, Overrides
from node.domain.audit import COMMAND_LINE, Action, Actor
from node.domain.commitment import Commitment
from node.domain.delivery import ARRIVED, Delivery, JobState
from node.domain.errors import CardioNodeError, ConfigurationError, NotPossible
from node.logs import Journal, set_up_logging
from node.metrics import Metrics
from node.settings import Settings, read_settings
from node.workflow.finding import find_jobs
from node.workflow.intervene import Intervention
from node.workflow.replacement import standing

if TYPE_CHECKING:
    from node.engine.unit_of_work import EngineUnitOfWork
    from node.store.received import Job

app = typer.Typer(no_args_is_help=True, help="Jobs: what each received ECG caused.")
_MOMENTS: Final = ["%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]
JobId = Annotated[int, typer.Argument(help="The job's number, as `jobs list` shows it.")]


@app.command("list")
def list_jobs(
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10000, help="How many, latest first.")] = 50,
    as_json: Json = False,
) -> None:
    """List the latest jobs and how far their results are."""
    settings = read_settings(config, overrides or ())
    with open_work(settings, home) as work, work.begin() as transaction:
        found = transaction.jobs.latest(limit=limit, state=state)
        deliveries = transaction.outbox.of_jobs([job.job_id for job in found])
    _print_jobs(found, deliveries, as_json=as_json)


@app.command("find")
def find(
    sought: Annotated[
        str,
        typer.Option(
            "--for",
            prompt="Patient ID, accession number, UID or job",
            help="What is known of the ECG; typed at the prompt it is in no history of commands.",
        ),
    ],
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Find the jobs of a patient, an order, a study or an instance, the latest first."""
    settings = read_settings(config, overrides or ())
    with open_work(settings, home) as work, work.begin() as transaction:
        found = find_jobs(transaction, sought)
        deliveries = transaction.outbox.of_jobs([job.job_id for job in found])
        said = f"{len(found)} found"
        transaction.audit.note(who(), Action.SEARCHED, at=now(), said=said)
    _print_jobs(found, deliveries, as_json=as_json)


@app.command("result")
def result(
    delivery_id: Annotated[
        int, typer.Argument(help="The delivery's number, as `jobs show` shows it.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", file_okay=False, help="Folder for the file, as it is sent."),
    ] = None,
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
) -> None:
    """Print a report or a message as text, or put any result into a folder, byte for byte."""
    from node.configured_store import open_objects
    from node.workflow.reading import READABLE, file_name, result_text

    settings = read_settings(config, overrides or ())
    with open_work(settings, home) as work:
        with work.begin() as transaction:
            delivery = transaction.outbox.get(delivery_id)
        if delivery is None:
            raise NotPossible(
                f"there is no delivery {delivery_id}; `cardionode jobs show` has them"
            )
        kind = delivery.kind
        if out is None and kind not in READABLE:
            raise NotPossible(f"a {kind.value} is no text: name a folder with --out")
        content = open_objects(settings, home).get(delivery.content_digest)
        with work.begin() as transaction:
            said = f"{kind.value} {delivery_id}"
            transaction.audit.note(
                who(), Action.DOWNLOADED, at=now(), job_id=delivery.job_id, said=said
            )
    if out is None:
        typer.echo(result_text(kind, content))
        return
    file = out / file_name(kind, delivery_id)
    try:
        out.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    except OSError as error:
        raise ConfigurationError(f"cannot write {file}: {error.strerror}") from error
    typer.echo(str(file))


@app.command("show")
def show(
    job_id: JobId,
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Show one job: each delivery with every attempt and its reason."""
    settings = read_settings(config, overrides or ())
    with open_work(settings, home) as work, work.begin() as transaction:
        job = transaction.jobs.get(job_id)
        if job is None:
            raise NotPossible(f"there is no job {job_id}; `cardionode jobs list` shows them")
        deliveries = transaction.outbox.of_job(job_id)
        commitments = transaction.commitments.of_job(job_id)
        signatures = transaction.users.signatures_of(job_id)
        attempts = {
            each.delivery_id: transaction.outbox.attempts_of(each.delivery_id)
            for each in deliveries
        }
    console = Console(highlight=False, soft_wrap=True)
    if as_json:
        described = _describe(job, deliveries)
        for shown, each in zip(described["deliveries"], deliveries, strict=True):
            shown["tries"] = attempts[each.delivery_id]
        described["commitments"] = [asdict(asked) for asked in commitments]
        described["signatures"] = [
            asdict(signature) | {"revision": revision} for revision, signature in signatures
        ]
        console.out(_json(described))
        return
    console.print(f"job {job.job_id}: {job.state.value}  {job.error_message or ''}", markup=False)
    console.print(f"  instance {job.sop_instance_uid}  bundle {job.bundle or '-'}", markup=False)
    table = Table("delivery", "result", "to", "state", "at (UTC)", "took", "reason")
    for each in deliveries:
        head = [str(each.delivery_id), _result(each, job), each.destination]
        if not attempts[each.delivery_id]:
            table.add_row(*head, each.state.value, "", "", each.error_message or "not tried yet")
        for tried in attempts[each.delivery_id]:
            table.add_row(
                *head,
                str(tried["state"]),
                f"{tried['started_at']:%Y-%m-%d %H:%M:%S}",
                f"{tried['duration_ms']} ms",
                str(tried["error_message"] or ""),
            )
    console.print(table)
    for asked in commitments:
        console.print(_request(asked), markup=False)
    for revision, signature in signatures:
        what = f"correction {revision - 1}" if revision > 1 else "the first results"
        console.print(
            f"signed {signature.signed_at:%Y-%m-%d %H:%M:%S} (UTC) by {signature.readable_name} "
            f"({signature.user_name}): {what}",
            markup=False,
        )


@app.command("sent")
def sent(
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
    to: Annotated[str | None, typer.Option("--to", help="Only to this destination.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10000, help="How many, latest first.")] = 50,
    as_json: Json = False,
) -> None:
    """List the latest attempts to send results, and how each went."""
    settings = read_settings(config, overrides or ())
    with open_work(settings, home) as work, work.begin() as transaction:
        found = transaction.outbox.transmissions(limit=limit, destination=to)
    console = Console(highlight=False, soft_wrap=True)
    if as_json:
        console.out(_json([asdict(each) for each in found]))
        return
    table = Table("at (UTC)", "job", "result", "to", "protocol", "outcome", "took", "why")
    for each in found:
        table.add_row(
            f"{each.started_at:%Y-%m-%d %H:%M:%S}",
            str(each.job_id),
            each.kind.value,
            each.destination,
            each.destination_kind.value,
            each.state.value,
            f"{each.duration_ms} ms",
            each.error_message or "",
        )
    console.print(table)


@app.command("retry")
def retry(
    job_id: JobId, config: Config = None, home: Home = DEFAULT_HOME, overrides: Overrides = None
) -> None:
    """Set going again what stopped, now. What has arrived stays.

    What is stored and not yet committed is sent again, and its commitment asked for again.
    """
    with _intervening(config, home, overrides) as person:
        _say(person.retry(job_id))


@app.command("send-again")
def send_again(
    job_id: Annotated[
        int | None, typer.Argument(help="The job's number; without one: all since --since.")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="The destination; without one: all of the job's.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--since", formats=_MOMENTS, help="UTC: everything that arrived at --to from then on."
        ),
    ] = None,
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
) -> None:
    """Send once more what has arrived, byte for byte: a PACS or a RIS has lost it.

    After a PACS came back from a backup: --to NAME --since "2026-11-27 22:00".
    """
    destinations = read_settings(config, overrides or ()).destinations
    if to is not None and to not in destinations:
        raise NotPossible(f"no destination is called {to}; there are {', '.join(destinations)}")
    with _intervening(config, home, overrides) as person:
        if job_id is not None and since is None:
            _say(person.send_again(job_id, to))
        elif job_id is None and since is not None and to is not None:
            _say(_send_all_again(person, to, since.replace(tzinfo=UTC)))
        else:
            raise NotPossible("name a job, or a destination and since when: --to NAME --since TIME")


def _send_all_again(person: Intervention, to: str, since: datetime) -> str:
    """What was done."""
    with person.work.look() as transaction:
        found = transaction.outbox.jobs_arrived(to, since=since)
    done = 0
    for job_id in track(found, "sending again", console=Console(stderr=True), transient=True):
        with suppress(NotPossible):  # others have replaced it meanwhile
            person.send_again(job_id, to)
            done += 1
    return f"results of {done} jobs are sent to {to} again"


@app.command("release")
def release(
    job_id: JobId, config: Config = None, home: Home = DEFAULT_HOME, overrides: Overrides = None
) -> None:
    """Have a held job processed in spite of the doubt that it shows."""
    with _intervening(config, home, overrides) as person:
        _say(person.release(job_id))


@app.command("reject")
def reject(
    job_id: JobId, config: Config = None, home: Home = DEFAULT_HOME, overrides: Overrides = None
) -> None:
    """Stop a held job: no result is made of its ECG."""
    with _intervening(config, home, overrides) as person:
        _say(person.reject(job_id))


@app.command("correct")
def correct(
    job_id: JobId, config: Config = None, home: Home = DEFAULT_HOME, overrides: Overrides = None
) -> None:
    """Have an answered ECG processed again: after an update of the model, or when its order came.

    What is made of it replaces the earlier results: the report names its predecessor, the message
    to the RIS is a correction. What of the earlier ones has not arrived is not sent any more.
    """
    with _intervening(config, home, overrides) as person:
        _say(person.correct(job_id))


@app.command("withdraw")
def withdraw(
    job_id: JobId, config: Config = None, home: Home = DEFAULT_HOME, overrides: Overrides = None
) -> None:
    """Take back what was sent of an ECG, for good: it was another patient's, or must not be used.

    Each archive gets a note that rejects the instances it has, for patient safety; each RIS its
    last message again, every result marked as wrong. What has not left is not sent any more.
    """
    from node.configured_store import open_objects
    from node.dicom.template import load_templates
    from node.workflow.withdraw import Withdrawal

    settings = read_settings(config, overrides or ())
    with open_work(settings, home) as work:
        withdrawal = Withdrawal(
            by=who(),
            work=work,
            spool=open_objects(settings, home),
            templates=load_templates(),
            telemetry=journal(),
            clock=now,
        )
        _say(withdrawal.withdraw(job_id))


@app.command("sign")
def sign(
    job_id: JobId,
    user: Annotated[str, typer.Option("--as", help="Your name, as `user list` shows it.")],
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
) -> None:
    """Sign the results of a job, which you have reviewed; it asks for your password.

    Each archive gets the report again, verified by you, each RIS its message as final. Pictures
    stay as they are: they say that they are synthetic.
    """
    from node.configured_store import open_objects
    from node.dicom.template import load_templates
    from node.workflow.accounts import Accounts
    from node.workflow.sign_off import SignOff

    settings = read_settings(config, overrides or ())
    telemetry = journal()
    with open_work(settings, home) as work:
        with work.begin() as transaction:
            job = transaction.jobs.get(job_id)
        if job is None:
            raise NotPossible(f"there is no job {job_id}; `cardionode jobs list` shows them")
        which = f"correction {job.revision - 1}" if job.revision > 1 else "the first results"
        typer.echo(f"job {job_id}: {which}, of {job.bundle or 'no bundle'}", err=True)
        password = typer.prompt(f"password of {user}", hide_input=True, err=True)
        signing = SignOff(
            peer=COMMAND_LINE,
            work=work,
            spool=open_objects(settings, home),
            accounts=Accounts(work=work, telemetry=telemetry, clock=now),
            organization=settings.sign_off.organization,
            templates=load_templates(),
            telemetry=telemetry,
            clock=now,
            after=settings.after_committed,
        )
        _say(signing.sign(job_id, revision=job.revision, user_name=user, password=password))


@app.command("cancel")
def cancel(
    job_id: JobId, config: Config = None, home: Home = DEFAULT_HOME, overrides: Overrides = None
) -> None:
    """Stop a job and what is still owed for it."""
    with _intervening(config, home, overrides) as person:
        _say(person.cancel(job_id))


@contextmanager
def open_work(settings: Settings, home: Path) -> Iterator[EngineUnitOfWork]:
    """The database of a node, which may run."""
    if not settings.storage.database_url and not (home / "node.db").exists():
        raise ConfigurationError(f"no node has run in {home} yet; is --home right?")
    from node.configured_store import open_database
    from node.engine.unit_of_work import EngineUnitOfWork

    database = open_database(settings, home)
    database.check()
    work = EngineUnitOfWork(database)
    try:
        yield work
    finally:
        work.close()
        database.close()


def note(settings: Settings, home: Path, action: Action, said: str) -> None:
    """Keep in the audit what was done beside a node; where it cannot be kept that is said."""
    try:
        with open_work(settings, home) as work, work.begin() as transaction:
            transaction.audit.note(who(), action, at=now(), said=said)
    except (CardioNodeError, OSError) as error:  # it is done all the same
        typer.echo(f"not kept in the audit: {error}", err=True)


@contextmanager
def _intervening(
    config: Path | None, home: Path, overrides: list[str] | None
) -> Iterator[Intervention]:
    settings = read_settings(config, overrides or ())
    with open_work(settings, home) as work:
        yield Intervention(
            by=who(), work=work, telemetry=journal(), clock=now, after=settings.after_committed
        )


def journal() -> Journal:
    """Where a command tells what a person did."""
    return Journal(set_up_logging(form="text", level="warning"), Metrics())


def who() -> Actor:
    """The user of the machine who gives the command."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # the machine has no name for it
        name = str(os.getuid())
    return Actor(name=name[:64], peer=COMMAND_LINE)


def now() -> datetime:
    """Aware UTC."""
    return datetime.now(UTC)


def _say(sentence: str) -> None:
    Console(highlight=False, soft_wrap=True).print(sentence, markup=False)


def _result(delivery: Delivery, job: Job) -> str:
    if job.state is JobState.WITHDRAWN and delivery.revision == job.revision:
        return f"{delivery.kind.value}, withdrawal"
    correction = f", correction {delivery.revision - 1}" if delivery.revision > 1 else ""
    return delivery.kind.value + correction + (", signed" if delivery.signs is not None else "")


def _row(job: Job, deliveries: list[Delivery]) -> list[str]:
    owed = standing(deliveries, job)
    delivered = sum(each.state in ARRIVED for each in owed)
    wrong = [job.error_message or ""] + [
        f"{each.destination}: {each.error_message}" for each in owed if each.error_message
    ]
    return [
        str(job.job_id),
        job.state.value,
        f"{job.received_at:%Y-%m-%d %H:%M:%S}",
        f"{job.origin.calling_ae}@{job.origin.peer}",
        f"{delivered} of {len(owed)}",
        "; ".join(filter(None, wrong)),
    ]


def _print_jobs(
    found: Sequence[Job], deliveries: Mapping[int, list[Delivery]], *, as_json: bool
) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if as_json:
        console.out(_json([_describe(job, deliveries[job.job_id]) for job in found]))
        return
    table = Table("job", "state", "received (UTC)", "from", "delivered", "what is wrong")
    for job in found:
        table.add_row(*_row(job, deliveries[job.job_id]))
    console.print(table)


def _request(asked: Commitment) -> str:
    """A request for Storage Commitment, under the UID that the PACS's log shows; one line."""
    due = f", due {asked.due_at:%Y-%m-%d %H:%M:%S}" if asked.due_at else ""
    reason = f": {asked.error_message}" if asked.error_message else ""
    return (
        f"commitment of {asked.destination}, request {asked.number} "
        f"({asked.transaction_uid}): {asked.state.value}{due}{reason}"
    )


def _describe(job: Job, deliveries: list[Delivery]) -> dict[str, list[dict[str, object]]]:
    shown = asdict(job)
    del shown["patient_digest"]  # who guesses a Patient ID can tell whether it is this one
    return shown | {"deliveries": [asdict(each) for each in deliveries]}


def _json(value: object) -> str:
    def encode(item: object) -> str:
        if isinstance(item, Enum):
            return str(item.value)
        if isinstance(item, datetime):
            return item.isoformat()
        raise TypeError(type(item).__name__)

    return json.dumps(value, indent=2, default=encode)
