"""HL7 messages received: kept whole in the spool, listed here, each once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from node.store.tables import hl7_message, order, patient


@dataclass(frozen=True, slots=True)
class Word:
    """Where something that a message told stands, and how to read it."""

    content_digest: str
    message_type: str
    unmarked_charset: str
    place: int
    """The how manieth of its kind it is there, from 0."""


WORD: Final = (
    hl7_message.c.content_digest,
    hl7_message.c.message_type,
    hl7_message.c.unmarked_charset,
)
"""The columns of a Word, but for its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedMessage:
    """One row."""

    message_id: int
    control_id: str
    """MSH-10."""
    message_type: str
    """E.g. "ADT^A40"."""
    peer: str
    content_digest: str
    received_at: datetime
    unmarked_charset: str
    """What it was read in where it does not say so."""
    error_message: str | None
    """Why nothing followed from it."""


class Messages:
    """Reads and writes the list of received messages inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(
        self,
        *,
        control_id: str,
        message_type: str,
        peer: str,
        content_digest: str,
        at: datetime,
        unmarked_charset: str,
        error: str | None = None,
    ) -> int | None:
        """List a message; its id. None when it is listed already: the same control id and content.

        One that could not be used and can be now counts as new.
        """
        same = sa.and_(
            hl7_message.c.control_id == control_id,
            hl7_message.c.content_digest == content_digest,
        )
        fresh = {
            "received_at": at,
            "unmarked_charset": unmarked_charset,
            "error_message": error,
        }
        if self._connection.scalar(sa.select(hl7_message.c.message_id).where(same)) is not None:
            if error is not None:
                return None
            usable = hl7_message.update().where(same, hl7_message.c.error_message.is_not(None))
            changed = usable.values(fresh).returning(hl7_message.c.message_id)
            again: int | None = self._connection.scalar(changed)
            return again
        added = hl7_message.insert().values(
            control_id=control_id,
            message_type=message_type,
            peer=peer,
            content_digest=content_digest,
            **fresh,
        )
        return int(self._connection.execute(added.returning(hl7_message.c.message_id)).scalar_one())

    def forget_before(self, at: datetime, *, limit: int) -> set[str]:
        """Forget messages that came before, with what they told; digests of their bytes.

        One that gives an identifier of a patient up, or speaks for the one in its place, stays: an
        ECG may come under the old one for ever.
        """
        leads = patient.c.merged_into.is_not(None)
        given_up = sa.select(patient.c.merged_into).where(leads)
        still = sa.select(patient.c.message_id).where(
            sa.or_(leads, patient.c.patient_digest.in_(given_up))
        )
        query = (
            sa.select(hl7_message.c.message_id, hl7_message.c.content_digest)
            .where(hl7_message.c.received_at < at, hl7_message.c.message_id.not_in(still))
            .order_by(hl7_message.c.message_id)
            .limit(limit)
        )
        rows = self._connection.execute(query).all()
        old = {row.message_id: row.content_digest for row in rows}
        for table in (order, patient, hl7_message):
            self._connection.execute(table.delete().where(table.c.message_id.in_(old)))
        return set(old.values())

    def get(self, message_id: int) -> ReceivedMessage | None:
        query = hl7_message.select().where(hl7_message.c.message_id == message_id)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else ReceivedMessage(**row._mapping)

    def unused(self) -> list[int]:
        """Numbers of those from which nothing followed, the first received first."""
        query = sa.select(hl7_message.c.message_id).where(hl7_message.c.error_message.is_not(None))
        return list(self._connection.scalars(query.order_by(hl7_message.c.message_id)))

    def latest(self, *, limit: int, before: int | None = None) -> list[ReceivedMessage]:
        """The last received first. before: only those with a smaller number."""
        query = hl7_message.select().order_by(hl7_message.c.message_id.desc()).limit(limit)
        if before is not None:
            query = query.where(hl7_message.c.message_id < before)
        return [ReceivedMessage(**row._mapping) for row in self._connection.execute(query)]
