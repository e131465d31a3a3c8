"""`cardionode route`: which rule decides about an ECG, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydicom.uid import UID
from rich.console import Console
from rich.table import Table

from node.cli.options import Config, Json, Overrides
from node.domain.caller import Permission
from node.domain.delivery import ResultKind
from node.domain.instance import Origin
from node.models import find_bundle
from node.settings import (
    MESSAGE_DESTINATIONS,
    DicomDestinationSettings,
    Settings,
    read_settings,
)
from node.workflow.rehearse import Rehearsal, rehearse
from pipelines.manifest import Manifest
from pipelines.preprocessing import RECIPES

if TYPE_CHECKING:
    from node.workflow.route import Destination

app = typer.Typer(no_args_is_help=True, help="Rules: what would be sent where.")


@app.callback()
def _of_several() -> None:
    """A group, though it has one command so far."""


@app.command("test")
def test(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="An ECG file.")],
    calling: Annotated[
        str, typer.Option("--calling", help="AE title that would send it.")
    ] = "SENDER",
    called: Annotated[
        str, typer.Option("--called", help="AE title it would call; else the node's first.")
    ] = "",
    address: Annotated[
        str, typer.Option("--from", help="IP address it would come from.")
    ] = "127.0.0.1",
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Show which rule would decide about an ECG and what would be sent where.

    Nothing is predicted, looked up, written or sent. Exit status 0 if somebody would get something.
    """
    from node.configured import build_identity_policy, build_routing

    settings = read_settings(config, overrides or ())
    origin = Origin(
        calling_ae=calling, called_ae=called or settings.dicom.ae_titles[0], peer=address
    )
    manifest = _answering(settings, origin.called_ae)
    found = rehearse(
        file.read_bytes(),
        origin=origin,
        routing=build_routing(settings),
        minimum_duration_s=RECIPES[manifest.preprocessing].minimum_duration_s,
        offers_cine=manifest.cine is not None,
        identity=build_identity_policy(settings),
    )
    refused = _refusal(settings, origin)
    console = Console(highlight=False, soft_wrap=True)
    if as_json:
        console.out(_json(found, refused, manifest, settings))
    else:
        _show(console, found, refused, manifest, settings)
    if refused or not found.owed:
        raise typer.Exit(1)


def _answering(settings: Settings, called_ae: str) -> Manifest:
    choice = settings.model.by_ae_title.get(called_ae, settings.model.bundle)
    return find_bundle(settings.model, choice.partition("/")[0]).manifest


def _refusal(settings: Settings, origin: Origin) -> str:
    """Why the association would be rejected; nothing where it would not."""
    from node.configured import build_peers
    from node.dicom.negotiation import permissions

    if origin.called_ae not in settings.dicom.ae_titles:
        return f"{origin.called_ae} is not among dicom.ae_titles"
    if Permission.STORE not in permissions(build_peers(settings), origin, None):
        return f"no entry of dicom.peers lets {origin.calling_ae} from {origin.peer} store"
    return ""


def _where(destination: Destination, settings: Settings) -> str:
    configured = settings.destinations[destination.name]
    return f"{destination.kind.value} {configured.address}"


def _as(destination: Destination, kind: ResultKind, settings: Settings) -> str:
    """The form of one result at its destination; nothing of a message, whose settings say it."""
    configured = settings.destinations[destination.name]
    if isinstance(configured, MESSAGE_DESTINATIONS):
        return ""
    form = destination.form
    chosen = [f"{form.study.value} study", form.character_set.value]
    if kind is ResultKind.ECG:
        return "as it came, in the transfer syntax it came in"
    compression = (
        [f"compression {configured.compression.value}"]
        if isinstance(configured, DicomDestinationSettings)
        else []
    )
    said = {
        ResultKind.CINE: [form.cine.value, *chosen, *compression],
        ResultKind.SUMMARY: [*chosen, *compression],
        ResultKind.REPORT: [form.report.value, *chosen],
    }
    return ", ".join(said.get(kind, chosen))


def _show(
    console: Console, found: Rehearsal, refused: str, manifest: Manifest, settings: Settings
) -> None:
    findings = "; ".join(finding.message for finding in found.quality.findings)
    console.print(f"association  {f'rejected: {refused}' if refused else 'accepted'}", markup=False)
    console.print(f"instance     {UID(found.sop_class_uid).name}", markup=False)
    verdict = "accepted" if found.quality.accepted else "no estimate, a report that says why"
    console.print(f"quality      {verdict}{f': {findings}' if findings else ''}", markup=False)
    console.print(f"answered by  {manifest.name} {manifest.version}", markup=False)
    rules = Table("rule", "decides", "why not", title="Rules, in their order", title_justify="left")
    for rule in found.rules:
        after = "" if rule.reasons or rule.decides else "a rule before it decides"
        rules.add_row(rule.name, "yes" if rule.decides else "", "; ".join(rule.reasons) or after)
    console.print(rules)
    if found.held:
        console.print(f"results      held: {found.held}", markup=False)
    console.print(f"priority     {found.priority.value}", markup=False)
    for spared in found.spared:
        console.print(
            f"not sent     the ECG itself to {spared.name}, where it comes from "
            "(ecg_to_sender = true would send it)",
            markup=False,
        )
    if not found.owed:
        console.print("nothing would be sent: no rule decides, or it names nobody who takes it")
        return
    owed = Table("destination", "at", "would get", "as", title="Deliveries", title_justify="left")
    for destination, kind in found.owed:
        where, form = _where(destination, settings), _as(destination, kind, settings)
        owed.add_row(destination.name, where, kind.value, form)
    console.print(owed)


def _json(found: Rehearsal, refused: str, manifest: Manifest, settings: Settings) -> str:
    told = {
        "association": {"accepted": not refused, "reason": refused},
        "sop_class_uid": found.sop_class_uid,
        "quality": {
            "accepted": found.quality.accepted,
            "findings": [finding.code for finding in found.quality.findings],
        },
        "bundle": f"{manifest.name} {manifest.version}",
        "rules": [
            {"name": rule.name, "decides": rule.decides, "reasons": list(rule.reasons)}
            for rule in found.rules
        ],
        "priority": found.priority.value,
        "held": found.held,
        "not_back_to": [spared.name for spared in found.spared],
        "deliveries": [
            {
                "destination": destination.name,
                "at": _where(destination, settings),
                "result": kind.value,
                "as": _as(destination, kind, settings),
            }
            for destination, kind in found.owed
        ],
    }
    return json.dumps(told, indent=2)
