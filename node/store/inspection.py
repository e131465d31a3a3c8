"""Whether all that rows name is kept as it was written, and what is kept that no row names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from node.domain.errors import StorageError
from node.store.database import Database
from node.store.objects import Objects
from node.store.received import Jobs
from node.store.tables import delivery, hl7_message, job

Tick = Callable[[int, int], None]
"""How many of how many are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Bytes that a row names, and that are not there as they were written."""

    digest: str
    reason: str
    named_by: tuple[str, ...]
    """Rows in words: "the ECG of job 7"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was found."""

    checked: int
    lost: tuple[Lost, ...]
    orphans: tuple[str, ...]
    """Digests of what no row names, and was not kept anew since the moment that was asked for."""


def inspect_store(
    database: Database, spool: Objects, *, older_than: datetime, tick: Tick
) -> Inspection:
    """Read every object that a row names, beside a node that runs. Raises StorageError.

    older_than: what was kept later may belong to a row that is being written.
    """
    # Objects first: a row names what was kept before it.
    kept = spool.digests(older_than=older_than)
    with database.read() as connection:
        named = Jobs(connection).digests()
    lost = []
    for number, digest in enumerate(sorted(named), start=1):
        try:
            spool.get(digest)
        except StorageError as error:
            names = _naming(database, digest)
            if names:  # else it was removed with its rows meanwhile
                lost.append(Lost(digest=digest, reason=error.message, named_by=names))
        tick(number, len(named))
    return Inspection(checked=len(named), lost=tuple(lost), orphans=tuple(sorted(kept - named)))


def _naming(database: Database, digest: str) -> tuple[str, ...]:
    queries = (
        ("the ECG of job {}", sa.select(job.c.job_id).where(job.c.content_digest == digest)),
        ("the numbers of job {}", sa.select(job.c.job_id).where(job.c.prediction_digest == digest)),
        (
            "what delivery {} carries",
            sa.select(delivery.c.delivery_id).where(delivery.c.content_digest == digest),
        ),
        (
            "HL7 message {}",
            sa.select(hl7_message.c.message_id).where(hl7_message.c.content_digest == digest),
        ),
    )
    with database.read() as connection:
        return tuple(
            words.format(number) for words, query in queries for number in connection.scalars(query)
        )
