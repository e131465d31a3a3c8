"""The node's way of a message in a process of its own: listener, inbox, spool, rows.

    python -m benchmarks.messages.node_receiver FOLDER

Prints its port, ends when its input does.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from node.engine.unit_of_work import EngineUnitOfWork
from node.hl7.listener import MllpListener
from node.logs import Journal, set_up_logging
from node.metrics import Metrics
from node.settings import read_settings
from node.store.database import Database, sqlite_url
from node.store.spool import Spool
from node.workflow.inbox import Inbox
from node.workflow.registry import Registry


def main(folder: Path) -> None:
    settings = read_settings()
    database = Database(sqlite_url(folder / "node.db"))
    database.prepare()
    journal = Journal(set_up_logging(form="json", level="info"), Metrics())
    spool = Spool(folder / "spool", minimum_free_bytes=settings.storage.minimum_free_mb * 1_000_000)
    work = EngineUnitOfWork(database)
    inbox = Inbox(
        spool=spool,
        work=work,
        telemetry=journal,
        registry=Registry(spool=spool, work=work),
        clock=lambda: datetime.now(UTC),
        unmarked_charset=settings.hl7.unmarked_charset,
    )
    listener = MllpListener(
        "127.0.0.1",
        0,
        inbox.answer,
        limit_bytes=settings.hl7.maximum_message_bytes,
        idle_timeout_s=settings.hl7.idle_timeout_s,
        maximum_connections=settings.hl7.maximum_connections,
        on_event=lambda message, fields: journal.event(message),
    )
    listener.start()
    sys.stdout.write(f"{listener.port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    listener.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
