"""`cardionode hosts`: the processes that are one node together."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from node.cli.jobs import open_work
from node.cli.options import DEFAULT_HOME, Config, Home, Json, Overrides
from node.settings import read_settings


def hosts(
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """List the processes of the node, with their roles, and when each last said that it lives.

    One that is silent is taken for dead within seconds by any other, which goes on with its work.
    """
    settings = read_settings(config, overrides or ())
    with open_work(settings, home) as work, work.begin() as transaction:
        found = transaction.hosts.all()
    now = datetime.now(UTC)
    rows = [
        {
            "host": host.executor_id,
            "machine": host.machine,
            "home": host.home,
            "roles": " ".join(sorted(host.roles)),
            "configuration": host.configuration[:8],
            "not_taken_up": host.not_taken_up,
            "started_at": f"{host.started_at:%Y-%m-%dT%H:%M:%SZ}",
            "silent_s": round(max(0.0, (now - host.beat_at).total_seconds()), 1),
        }
        for host in found
    ]
    console = Console(highlight=False, soft_wrap=True)
    if as_json:
        console.out(json.dumps(rows, indent=2))
        return
    table = Table("machine", "home", "roles", "configuration", "started (UTC)", "silent for")
    for row in rows:
        told = (
            row["machine"],
            row["home"],
            row["roles"],
            row["configuration"],
            row["started_at"],
            f"{row['silent_s']} s",
        )
        table.add_row(*(escape(str(value)) for value in told))
    console.print(table)
    for row in rows:
        if row["not_taken_up"]:
            said = f"{row['machine']} {row['roles']}: not taken up: {row['not_taken_up']}"
            console.print(escape(said), style="red")
