"""The node's way of a message in a process of its own: listener, intake, spool, rows.

    python -m benchmarks.messages.node_receiver FOLDER

Prints its port, ends when its input does.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.receiving.node_receiver import make_queue
from node.engine.unit_of_work import EngineUnitOfWork
from node.hl7.listener import MllpListener
from node.logs import Journal, set_up_logging
from node.metrics import Metrics
from node.settings import read_settings
from node.store.database import Database, sqlite_url
from node.store.spool import Spool
from node.workflow.intake import Intake


def main(folder: Path) -> None:
    settings = read_settings()
    database = Database(sqlite_url(folder / "node.db"))
    database.prepare()
    make_queue(database)
    journal = Journal(set_up_logging(form="json", level="info"), Metrics())
    intake = Intake(
        spool=Spool(
            folder / "spool", minimum_free_bytes=settings.storage.minimum_free_mb * 1_000_000
        ),
        work=EngineUnitOfWork(database),
        telemetry=journal,
        clock=lambda: datetime.now(UTC),
        unmarked_charset=settings.hl7.unmarked_charset,
    )
    listener = MllpListener(
        "127.0.0.1",
        0,
        intake.answer_message,
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
