"""`cardionode hl7`: what a RIS would receive, what it sent, and both ends of a link to try."""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated

import typer
from rich.console import Console

from node.cli.jobs import journal, now, open_work, who
from node.cli.models import load
from node.cli.options import DEFAULT_HOME, Config, Home, Json, Overrides
from node.cli.send import tls_credentials
from node.cli.wishes import next_wish
from node.dicom.template import Templates, load_templates
from node.domain.audit import Action
from node.domain.ecg import ECGRecord
from node.domain.errors import (
    CardioNodeError,
    ConfigurationError,
    MalformedMessage,
    NotPossible,
    StorageError,
    UnsupportedInstance,
)
from node.domain.form import ResultForm
from node.domain.prediction import Prediction
from node.hl7.listener import MllpListener
from node.hl7.message import CODECS, Header, read_acknowledgement, read_header
from node.hl7.sender import Hl7Sender
from node.hl7.stand_in import Answer as StandInAnswer
from node.hl7.stand_in import answer_as
from node.settings import Hl7DestinationSettings, Settings, read_settings
from node.workflow.answer import Answer, answer
from node.workflow.compose import compose_message
from node.workflow.reading import message_text

app = typer.Typer(
    no_args_is_help=True, help="HL7: what a RIS would receive, and both ends of a link to try."
)

_LIMIT_BYTES = 16_777_216
_IDLE_TIMEOUT_S = 3600.0
_CONNECTIONS = 50
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST_NAME = 64


@app.command("preview")
def preview(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="An ECG file.")],
    destination: Annotated[str, typer.Option("--destination", help="Name of an HL7 destination.")],
    called: Annotated[
        str,
        typer.Option("--called", help="AE title called, where model.by_ae_title tells bundles."),
    ] = "",
    exact: Annotated[
        bool, typer.Option("--exact", help="The bytes themselves: segments end with CR.")
    ] = False,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Print the message that a destination would receive for an ECG, a segment a line.

    It names the patient, as the message does, and the order that the ECG itself states. Nothing is
    looked up, kept or sent.
    """
    from node.configured import profile_of

    settings = read_settings(config, overrides or ())
    configured = settings.destinations.get(destination)
    if not isinstance(configured, Hl7DestinationSettings):
        names = [
            name
            for name, each in settings.destinations.items()
            if isinstance(each, Hl7DestinationSettings)
        ]
        raise ConfigurationError(
            f"no HL7 destination is called {destination}; there are {', '.join(names) or 'none'}"
        )
    templates = load_templates()
    found, prediction, record = answered(file, called, settings, templates)
    profile = profile_of(configured)
    message = compose_message(
        prediction,
        record,
        found.source,
        form_beside(destination, settings),
        destination=destination,
        profile=profile,
        templates=templates,
    )
    if exact:
        sys.stdout.buffer.write(message.content)
        return
    typer.echo(message.content.decode(CODECS[profile.charset]).replace("\r", "\n"), nl=False)


def answered(
    file: Path, called: str, settings: Settings, templates: Templates
) -> tuple[Answer, Prediction, ECGRecord]:
    """What a message would tell of an ECG. Raises UnsupportedInstance (there is no estimate)."""
    pipeline = load(settings.model, templates).pipeline_for(called)
    found = answer(file.read_bytes(), pipeline=pipeline)
    if found.prediction is None or found.record is None:
        reasons = "; ".join(finding.message for finding in found.quality.findings)
        raise UnsupportedInstance(f"there is no estimate, so that no message is sent: {reasons}")
    return found, found.prediction, found.record


def form_beside(destination: str, settings: Settings) -> ResultForm:
    """Of the DICOM results that a message for the destination refers to."""
    from node.configured import build_routing

    routing = build_routing(settings)
    return routing.decide_for(destination).form_for(routing.destinations[destination])


@app.command("received")
def received(
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
    limit: Annotated[int, typer.Option(min=1, max=10000, help="How many, latest first.")] = 50,
    as_json: Json = False,
) -> None:
    """List the latest messages that were taken, and why one was not used.

    Nothing of what they say is shown; what is refused is in the log alone, as its sender keeps it.
    """
    settings = read_settings(config, overrides or ())
    with open_work(settings, home) as work, work.begin() as transaction:
        messages = transaction.messages.latest(limit=limit)
    console = Console(highlight=False, soft_wrap=True)
    if as_json:
        console.out(json.dumps([asdict(each) for each in messages], indent=2, default=str))
        return
    for each in messages:  # no table: the reasons are sentences
        console.print(
            f"{each.message_id:>5}  {each.received_at:%Y-%m-%d %H:%M:%S} UTC  "
            f"{each.message_type}  {each.control_id}  "
            f"from {each.peer}" + (f"\n      {each.error_message}" if each.error_message else ""),
            style="yellow" if each.error_message else None,
            markup=False,
        )


@app.command("show")
def show_message(
    number: Annotated[
        int, typer.Argument(help="The message's number, as `hl7 received` shows it.")
    ],
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
) -> None:
    """Print a message that was taken, as it came, a segment a line. It names a patient."""
    from node.configured_store import open_objects

    settings = read_settings(config, overrides or ())
    with open_work(settings, home) as work:
        with work.begin() as transaction:
            message = transaction.messages.get(number)
        if message is None:
            raise NotPossible(f"there is no message {number} here, or not any more")
        content = open_objects(settings, home).get(message.content_digest)
        with work.begin() as transaction:
            said = f"message {number}, {message.message_type}"
            transaction.audit.note(who(), Action.READ, at=now(), said=said)
    typer.echo(message_text(content, unmarked=message.unmarked_charset))


@app.command("replay")
def replay(
    number: Annotated[
        int | None, typer.Argument(help="The message's number, as `hl7 received` shows it.")
    ] = None,
    all_unused: Annotated[
        bool, typer.Option("--all", help="Every message that was not used, the first first.")
    ] = False,
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
) -> None:
    """Use messages that could not be used when they came.

    Once the settings, or a newer version, can read them, and no later message has told of the same
    patient or order. Exit status 1 if one is not used.
    """
    from node.configured import build_inbox, build_registry
    from node.configured_store import open_objects

    if (number is None) != all_unused:
        raise NotPossible("name one message, or --all that were not used")
    settings = read_settings(config, overrides or ())
    failed = False
    with open_work(settings, home) as work:
        registry = build_registry(settings, spool=open_objects(settings, home), work=work)
        inbox = build_inbox(settings, registry, journal(), now)
        numbers = [number] if number is not None else []
        if all_unused:
            with work.begin() as transaction:
                numbers = transaction.messages.unused()
        for each in numbers:
            try:
                typer.echo(inbox.replay(each, who()))
            except CardioNodeError as error:
                typer.echo(error.message, err=True)
                failed = True
    if failed:
        raise typer.Exit(1)


@app.command("listen")
def listen(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")],
    host: Annotated[str, typer.Option("--host", help="Where to listen.")] = "127.0.0.1",
    answer_with: Annotated[
        StandInAnswer,
        typer.Option("--answer", case_sensitive=False, help="What each message is answered."),
    ] = StandInAnswer.AA,
    show: Annotated[bool, typer.Option("--show", help="Print the segments too.")] = False,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", file_okay=False, help="Folder for the messages, a file each."),
    ] = None,
    tls: Annotated[bool, typer.Option("--tls", help="With [tls] of the configuration.")] = False,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Stand in for a RIS: take HL7 messages and print a line for each, until Ctrl-C.

    The line: time, message type (MSH-9), control id (MSH-10), size, answer. With --show or --keep
    it tells of patients, as the messages do.
    """
    from node.configured import tls_of

    desk = _Desk(answer_with, show=show, folder=keep)
    listener = MllpListener(
        host,
        None if tls else port,
        desk.take,
        limit_bytes=_LIMIT_BYTES,
        idle_timeout_s=_IDLE_TIMEOUT_S,
        maximum_connections=_CONNECTIONS,
        on_event=desk.tell,
        tls_port=port if tls else None,
        tls=tls_of(tls_credentials(config, overrides).server) if tls else None,
    )
    wishes: SimpleQueue[None] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: wishes.put(None))
    listener.start()
    desk.print(f"listening on {host}:{listener.tls_port if tls else listener.port}")
    next_wish(wishes)
    listener.stop()
    desk.print(f"{desk.count} message{'' if desk.count == 1 else 's'}")


@app.command("send")
def send(
    files: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, help="HL7 messages, one a file.")
    ],
    to: Annotated[str, typer.Option("--to", help="The receiver: host:port.")],
    tls: Annotated[bool, typer.Option("--tls", help="With [tls] of the configuration.")] = False,
    server_name: Annotated[
        str | None,
        typer.Option(help="The name in the receiver's certificate, where it is not the host."),
    ] = None,
    answer_timeout_s: Annotated[
        float, typer.Option("--answer-timeout", min=0.1, help="Seconds to wait for each answer.")
    ] = 30.0,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Send HL7 messages over MLLP, in order; exit status 0 only if each was acknowledged.

    Lines may end with LF or CR LF, as editors leave them: each is sent with CR.
    """
    from node.configured import tls_of

    host, port = _address(to)
    sender = Hl7Sender(
        host,
        port,
        answer_timeout_s=answer_timeout_s,
        tls=tls_of(tls_credentials(config, overrides).client) if tls else None,
        server_name=server_name,
    )
    console = Console(highlight=False, soft_wrap=True)
    acknowledged = 0
    for file in files:
        try:
            code = sender.send(_message_in(file)).code
        except CardioNodeError as error:
            console.print(f"{file}: {error.message}", style="red", markup=False)
        else:
            acknowledged += 1
            console.print(f"{file}: {code.value}", markup=False)
    sender.close()
    console.print(f"{acknowledged} of {len(files)} acknowledged by {to}", markup=False)
    if acknowledged < len(files):
        raise typer.Exit(1)


class _Desk:
    """Where messages come to be shown, kept and answered; several at a time."""

    def __init__(self, answer_with: StandInAnswer, *, show: bool, folder: Path | None) -> None:
        """Raises ConfigurationError (the folder cannot be made)."""
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"cannot make {folder}: {error.strerror}") from error
        self.count = 0
        self._answer_with = answer_with
        self._show = show
        self._folder = folder
        self._console = Console(highlight=False, soft_wrap=True)
        self._turn = threading.Lock()

    def take(self, message: bytes, peer: str) -> tuple[bytes, ...]:
        """The acknowledgements."""
        at = datetime.now(UTC)
        try:
            header = read_header(message)
        except MalformedMessage:
            header = Header()
        with self._turn:
            self.count += 1
            if self._folder is not None:
                self._keep(self._folder, message, header, at)
            acknowledgements = answer_as(self._answer_with, message, at=at)
            codes = [read_acknowledgement(each).code.value for each in acknowledgements]
            kind = "^".join(filter(None, (header.message_type, header.trigger)))
            self.print(
                f"{at.astimezone():%H:%M:%S}  {kind or '?'}  {header.control_id or '?'}  "
                f"{len(message)} bytes  {' '.join(codes) or 'none'}"
            )
            if self._show:
                for segment in message.decode(header.codec, errors="replace").splitlines():
                    self.print(f"    {segment}")
        return acknowledgements

    def tell(self, event: str, fields: dict[str, object]) -> None:
        """What went wrong with a connection."""
        reason = fields.get("reason")
        self.print(f"{fields.get('peer')}: {event}" + (f": {reason}" if reason else ""))

    def print(self, line: str) -> None:
        """What a peer sent must not command the terminal."""
        shown = "".join(each if each.isprintable() else "\ufffd" for each in line)
        self._console.print(shown, markup=False)

    def _keep(self, folder: Path, message: bytes, header: Header, at: datetime) -> None:
        name = re.sub(r"[^A-Za-z0-9_-]", "_", header.control_id)[:_LONGEST_NAME]
        file = folder / f"{at:%Y%m%dT%H%M%S.%f}-{self.count:04}-{name}.hl7"
        try:
            file.write_bytes(message)
        except OSError as error:
            raise StorageError(f"cannot write {file}: {error.strerror}") from error


def _address(to: str) -> tuple[str, int]:
    host, _, port = to.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise typer.BadParameter("write it as host:port", param_hint="--to")
    return host.strip("[]"), int(port)


def _message_in(file: Path) -> bytes:
    """The message, its segments ended with CR."""
    content = file.read_bytes().removeprefix(_BYTE_ORDER_MARK)
    return content.replace(b"\r\n", b"\r").replace(b"\n", b"\r").strip(b"\r") + b"\r"
