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
from node.domain.instance import Origin
from node.settings import read_settings

if TYPE_CHECKING:
    from node.configured_rehearsal import Plan

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
    from node.configured_rehearsal import plan_for

    settings = read_settings(config, overrides or ())
    origin = Origin(
        calling_ae=calling, called_ae=called or settings.dicom.ae_titles[0], peer=address
    )
    plan = plan_for(settings, file.read_bytes(), origin)
    console = Console(highlight=False, soft_wrap=True)
    if as_json:
        console.out(_json(plan))
    else:
        _show(console, plan)
    if plan.refused or not plan.deliveries:
        raise typer.Exit(1)


def _show(console: Console, plan: Plan) -> None:
    found, refused = plan.found, plan.refused
    findings = "; ".join(finding.message for finding in found.quality.findings)
    console.print(f"association  {f'rejected: {refused}' if refused else 'accepted'}", markup=False)
    console.print(f"instance     {UID(found.sop_class_uid).name}", markup=False)
    verdict = "accepted" if found.quality.accepted else "no estimate, a report that says why"
    console.print(f"quality      {verdict}{f': {findings}' if findings else ''}", markup=False)
    console.print(f"answered by  {plan.bundle}", markup=False)
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
    if not plan.deliveries:
        console.print("nothing would be sent: no rule decides, or it names nobody who takes it")
        return
    owed = Table("destination", "at", "would get", "as", title="Deliveries", title_justify="left")
    for each in plan.deliveries:
        owed.add_row(each.destination, each.at, each.kind.value, each.form)
    console.print(owed)


def _json(plan: Plan) -> str:
    found, refused = plan.found, plan.refused
    told = {
        "association": {"accepted": not refused, "reason": refused},
        "sop_class_uid": found.sop_class_uid,
        "quality": {
            "accepted": found.quality.accepted,
            "findings": [finding.code for finding in found.quality.findings],
        },
        "bundle": plan.bundle,
        "rules": [
            {"name": rule.name, "decides": rule.decides, "reasons": list(rule.reasons)}
            for rule in found.rules
        ],
        "priority": found.priority.value,
        "held": found.held,
        "not_back_to": [spared.name for spared in found.spared],
        "deliveries": [
            {
                "destination": each.destination,
                "at": each.at,
                "result": each.kind.value,
                "as": each.form,
            }
            for each in plan.deliveries
        ],
    }
    return json.dumps(told, indent=2)
