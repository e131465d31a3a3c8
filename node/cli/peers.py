"""`cardionode peers`: who may call, who was turned away, and what would let them in."""

from __future__ import annotations

import glob
import ipaddress
import json
import tomllib
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table

from node.cli.jobs import open_work
from node.cli.options import DEFAULT_HOME, Config, Home, Json, Overrides
from node.domain.caller import Permission, Refusal, RefusedCaller
from node.domain.errors import NotPossible
from node.domain.instance import Origin
from node.settings import AETitle, Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(no_args_is_help=True, help="Callers: who may, and who was turned away.")


@app.command("list")
def list_peers(config: Config = None, overrides: Overrides = None, as_json: Json = False) -> None:
    """List who may associate, as the configuration says."""
    peers = read_settings(config, overrides or ()).dicom.peers
    console = Console(highlight=False, soft_wrap=True)
    if as_json:
        console.out(json.dumps([peer.model_dump(mode="json") for peer in peers], indent=2))
        return
    table = Table("calling AE title", "from", "called AE title", "may", "certificate")
    for peer in peers:
        table.add_row(
            peer.ae_title,
            ", ".join(str(network) for network in peer.networks),
            peer.called_ae,
            ", ".join(permission.value for permission in peer.may),
            peer.certificate or "",
        )
    console.print(table)


@app.command("refused")
def list_refused(
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """List the callers that were turned away, the last first, and why."""
    settings = read_settings(config, overrides or ())
    with open_work(settings, home) as work, work.begin() as transaction:
        callers = transaction.refused.latest()
    console = Console(highlight=False, soft_wrap=True)
    if as_json:
        console.out(json.dumps([_described(each, settings) for each in callers], indent=2))
        return
    for each in callers:  # no table: the reasons are sentences
        refusal = each.refusal
        titles = f"{refusal.calling_ae or 'no AE title'} to {refusal.called_ae or 'none'}"
        console.print(
            f"{each.number:>4}  {titles} from {refusal.peer}: {each.count} times, "
            f"{each.first_seen_at:%Y-%m-%d %H:%M:%S} to {each.last_seen_at:%Y-%m-%d %H:%M:%S} UTC\n"
            f"      {refusal.reason}\n      now: {_now(refusal, settings)}",
            markup=False,
        )
    if callers:
        console.print("cardionode peers allow NUMBER prints what lets one in")


@app.command("allow")
def allow(
    number: Annotated[
        int, typer.Argument(help="The caller's number, as `peers refused` shows it.")
    ],
    may: Annotated[
        list[Permission] | None, typer.Option(help="What it may ask; may be repeated.")
    ] = None,
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
) -> None:
    """Print the lines of the configuration that let a refused caller in. No file is changed."""
    settings = read_settings(config, overrides or ())
    with open_work(settings, home) as work, work.begin() as transaction:
        caller = transaction.refused.get(number)
    if caller is None:
        raise NotPossible(
            f"there is no refused caller {number}; `cardionode peers refused` shows them"
        )
    refusal = caller.refusal
    for title in (refusal.calling_ae, refusal.called_ae):
        if not _is_ae_title(title):
            raise NotPossible(
                f"nothing in the configuration lets {refusal.peer} in: it sent no request for an "
                f"association with two AE titles ({refusal.reason}); see to the caller"
            )
    text = config.read_text(encoding="utf-8") if config else ""
    lines = list(_lines(refusal, frozenset(may or Permission), settings, text))
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if not lines:
        console.print(
            f"# dicom.peers admits this caller; it was refused because: {refusal.reason}\n"
            "# where that is no more so, restart the node: it reads its configuration at start"
        )
        return
    console.print(f"# {config or 'a file for --config'}; then restart the node")
    for line in lines:
        console.print(line)


def _lines(
    refusal: Refusal, may: frozenset[Permission], settings: Settings, text: str
) -> Sequence[str]:
    """What to put into the configuration; nothing where it admits the caller already."""
    lines: list[str] = []
    called = refusal.called_ae
    if called not in settings.dicom.ae_titles:
        titles = json.dumps([*settings.dicom.ae_titles, called])
        lines += ["# in [dicom], in place of ae_titles:", f"ae_titles = {titles}"]
    if may <= _permissions(refusal, settings):
        return lines
    entry = {
        "ae_title": json.dumps(glob.escape(refusal.calling_ae)),
        "networks": json.dumps([str(ipaddress.ip_network(refusal.peer))]),
        "called_ae": json.dumps(glob.escape(called)),
        "may": json.dumps([each.value for each in Permission if each in may]),
    }
    table = ["[[dicom.peers]]", *(f"{key} = {value}" for key, value in entry.items())]
    inline = "{ " + ", ".join(f"{key} = {value}" for key, value in entry.items()) + " }"
    if _is_toml([text, *table]):
        lines += ["# at the end of the file:", *table]
    elif _names_peers(text):
        lines += ["# in dicom.peers, one more of the list:", f"    {inline},"]
    else:
        lines += ["# at the beginning of the file:", f"dicom.peers = [{inline}]"]
    if not _names_peers(text):
        lines += ["# the file has no peers yet: only those it names will be admitted then"]
    return lines


def _names_peers(text: str) -> bool:
    return "peers" in tomllib.loads(text).get("dicom", {})


def _is_toml(lines: Sequence[str]) -> bool:
    """A table cannot follow where peers is a list, nor keys like dicom.port at the top."""
    try:
        tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError:
        return False
    return True


def _permissions(refusal: Refusal, settings: Settings) -> frozenset[Permission]:
    """What it may ask, if it shows the certificate that an entry may want."""
    from node.configured import build_peers
    from node.dicom.negotiation import permissions

    origin = Origin(calling_ae=refusal.calling_ae, called_ae=refusal.called_ae, peer=refusal.peer)
    return permissions(build_peers(settings), origin, None)


def _now(refusal: Refusal, settings: Settings) -> str:
    """What the configuration says of the caller today."""
    if refusal.called_ae not in settings.dicom.ae_titles:
        return "refused"
    may = _permissions(refusal, settings)
    return (
        "may " + ", ".join(each.value for each in Permission if each in may) if may else "refused"
    )


def _described(caller: RefusedCaller, settings: Settings) -> dict[str, object]:
    return {
        "number": caller.number,
        **asdict(caller.refusal),
        "count": caller.count,
        "first_seen_at": caller.first_seen_at.isoformat(),
        "last_seen_at": caller.last_seen_at.isoformat(),
        "now": _now(caller.refusal, settings),
    }


def _is_ae_title(text: str) -> bool:
    try:
        TypeAdapter(AETitle).validate_python(text)
    except ValidationError:
        return False
    return True
