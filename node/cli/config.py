"""`cardionode config`: look at the configuration, and change its file; comments stay."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from node.cli.jobs import note, now, open_work, who
from node.cli.options import DEFAULT_HOME, Config, Home, Overrides
from node.configuration import ConfigurationFile, difference
from node.domain.audit import Action
from node.domain.errors import ConfigurationError, NotPossible, StorageError
from node.domain.host import Host, HostRole
from node.home import ask_to_renew, holders
from node.settings import read_settings

if TYPE_CHECKING:
    from node.engine.unit_of_work import EngineUnitOfWork

app = typer.Typer(no_args_is_help=True, help="The configuration: what holds, changing its file.")
_LOOK_EVERY_S: Final = 0.5
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show the difference; the file stays as it is.")
]


@app.command("show")
def show(
    key: Annotated[
        str, typer.Argument(help="A table or a key, e.g. dicom or dicom.port; without one all.")
    ] = "",
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Print what holds, as JSON: the default, changed by the file and by --set."""
    found: Any = read_settings(config, overrides or ()).model_dump(mode="json")
    for part in filter(None, key.split(".")):
        if not isinstance(found, dict) or part not in found:
            raise ConfigurationError(f"there is no key {key}; without one all are shown")
        found = found[part]
    Console(highlight=False, soft_wrap=True).out(json.dumps(found, indent=2))


@app.command("set")
def set_keys(
    changes: Annotated[
        list[str],
        typer.Argument(
            help="E.g. dicom.port=11912; the value is TOML, or plain text. += adds to a list."
        ),
    ],
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
    dry_run: DryRun = False,
) -> None:
    """Set keys in the configuration file; nothing is written that a node would refuse.

    Comments stay, other keys too. A node that runs goes on with what it has read until it is told
    to take the file up: `cardionode config take-up`, or `systemctl reload cardionode`.
    """
    for each in changes:
        if "=" not in each:
            raise ConfigurationError(f"{each}: write it as table.key=value")
    keys = [each.partition("=")[0].rstrip("+ ") for each in changes]
    change_file(config, home, overrides, changes, f"{', '.join(keys)} set", dry_run=dry_run)


@app.command("unset")
def unset_keys(
    keys: Annotated[list[str], typer.Argument(help="E.g. dicom.port, or destinations.PACS.")],
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
    dry_run: DryRun = False,
) -> None:
    """Take keys or tables out of the configuration file: then the default holds."""
    for each in keys:
        if "=" in each:
            raise ConfigurationError(f"{each}: name the key alone")
    change_file(config, home, overrides, keys, f"{', '.join(keys)} unset", dry_run=dry_run)


@app.command("take-up")
def take_up(
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
    within_s: Annotated[
        float, typer.Option("--within", min=1, help="Seconds to wait for the processes to be back.")
    ] = 120.0,
) -> None:
    """Have the processes of this machine start anew by what the file says now, and wait for them.

    Nothing in hand is lost. Where a node could not start by the file it goes on as it is, and this
    says why. Exit status 0 only if all run by the file. Other machines: the same there; `cardionode
    hosts` lists them.
    """
    if config is None:
        raise ConfigurationError("which file? name it with --config, as the node was started")
    settings, digest = ConfigurationFile(path=config, overrides=overrides or ()).settings()
    pids = holders(home)
    if not pids:
        raise NotPossible(f"no node runs in {home}; is --home right?")
    with open_work(settings, home) as work:
        before = {host.executor_id for host in _hosts_in(home, work)}
        if not before:
            raise NotPossible(
                f"the node in {home} is just starting or stopping, or has another database than "
                f"{config} names: where what was acknowledged is kept cannot be changed this way"
            )
        with work.begin() as transaction:
            for executor_id in before:
                transaction.hosts.explain(executor_id, "")
        ask_to_renew(pids)
        with work.begin() as transaction:
            said = f"revision {digest[:8]}"
            transaction.audit.note(who(), Action.TOOK_UP, at=now(), said=said)
        back: list[Host] = []
        stay: list[Host] = []
        until_s = time.monotonic() + within_s
        with Console(stderr=True).status("starting anew"):
            while len(back) + len(stay) < len(pids) and time.monotonic() < until_s:
                time.sleep(_LOOK_EVERY_S)
                with suppress(StorageError):  # they may be about to upgrade it
                    found = _hosts_in(home, work)
                    back = [each for each in found if each.executor_id not in before]
                    stay = [each for each in found if each.not_taken_up]
    if stay:
        raise NotPossible(
            "; ".join(f"{_named(each)} goes on as it is: {each.not_taken_up}" for each in stay)
        )
    if len(back) < len(pids):
        raise NotPossible(
            f"not taken up within {within_s:g} s: the log says why ('configuration not taken up'), "
            "or that they are still starting"
        )
    if any(each.configuration != digest for each in back):
        raise NotPossible(f"they run by another file or revision than {config}")
    Console(highlight=False, soft_wrap=True, markup=False).print(
        f"taken up: {config}, revision {digest[:8]}"
    )


def _named(host: Host) -> str:
    """Of the processes of a home folder, one by what it does."""
    return " ".join(sorted(host.roles)) or HostRole.WEB


def _hosts_in(home: Path, work: EngineUnitOfWork) -> list[Host]:
    """Those of this machine and that folder."""
    with work.look() as transaction:
        hosts = transaction.hosts.all()
    return [
        each
        for each in hosts
        if each.machine == socket.gethostname() and Path(each.home).resolve() == home.resolve()
    ]


@app.command("reference")
def reference(
    out: Annotated[
        Path | None, typer.Option("--out", dir_okay=False, help="File; without one it is printed.")
    ] = None,
) -> None:
    """Print every key there is, with what it takes, its default and what it is, as Markdown."""
    from node.configuration_reference import configuration_reference

    text = configuration_reference()
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")


def change_file(
    config: Path | None,
    home: Path,
    overrides: list[str] | None,
    changes: Sequence[str],
    said: str,
    *,
    dry_run: bool,
) -> None:
    """Change the file, and show the difference. Raises as `ConfigurationFile` does.

    said: what is kept of it in the audit of the node in that home.
    """
    if config is None:
        raise ConfigurationError("which file? name it with --config; the default is never changed")
    file = ConfigurationFile(path=config, overrides=overrides or ())
    revision = file.read()
    text = file.changed(revision, changes)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    for line in difference(revision.text, text):
        console.print(line, style={"+": "green", "-": "red"}.get(line[:1]))
    if text == revision.text:
        console.print("nothing changes")
    elif not dry_run:
        file.replace(revision, text)
        note(read_settings(config, overrides or ()), home, Action.CONFIGURED, said)
        console.print(f"{config} is changed; a node that runs takes it up at `systemctl reload`")
