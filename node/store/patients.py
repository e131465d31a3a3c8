"""The patients that HL7 messages told of: which message has the last word, and who became whom.

Who a patient is stands in the message; here are digests of Patient IDs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import sqlalchemy as sa

from node.store.messages import WORD, Word
from node.store.tables import hl7_message, patient


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPatient:
    """One patient."""

    patient_digest: str = field(repr=False)
    """Of the identifier that is in use."""
    words: tuple[Word, ...]
    """Of each identifier that was followed: the merge that gave it up, and at last the last word
    on who is left."""

    @property
    def was_merged(self) -> bool:
        """Whether it is another identifier than was asked for."""
        return len(self.words) > 1


class PatientIndex:
    """Reads and writes patients inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def put(self, patient_digest: str, *, message_id: int, place: int) -> None:
        """Have this message speak for the identifier, which is in use: merged into no other."""
        self._write(patient_digest, message_id=message_id, place=place, merged_into=None)

    def merge(self, prior: str, *, into: str, message_id: int, place: int) -> None:
        """Note that an identifier is given up for another, which this message speaks for.

        What is in use leads nowhere else, so that identifiers never lead round in a circle.
        """
        self.put(into, message_id=message_id, place=place)
        if prior != into:
            self._write(prior, message_id=message_id, place=place, merged_into=into)

    def find(self, patient_digest: str) -> KnownPatient | None:
        """Who an identifier stands for now; None where nothing is known of it."""
        followed, words = [patient_digest], list[Word]()
        while (found := self._row(followed[-1])) is not None:
            word, merged_into = found
            words.append(word)
            if merged_into is None or merged_into in followed:
                return KnownPatient(patient_digest=followed[-1], words=tuple(words))
            followed.append(merged_into)
        return None

    def last_word(self, patient_digests: Collection[str]) -> int:
        """Number of the last message that speaks for one of them; 0 where none does."""
        query = sa.select(sa.func.max(patient.c.message_id)).where(
            patient.c.patient_digest.in_(patient_digests)
        )
        return int(self._connection.scalar(query) or 0)

    def merged_into(self, patient_digest: str) -> list[str]:
        """Digests of all identifiers that lead to this one."""
        leads = (
            sa.select(patient.c.patient_digest)
            .where(patient.c.merged_into == patient_digest)
            .cte(recursive=True)
        )
        on = patient.c.merged_into == leads.c.patient_digest
        leads = leads.union(sa.select(patient.c.patient_digest).join(leads, on))
        return list(self._connection.scalars(sa.select(leads.c.patient_digest)))

    def _row(self, patient_digest: str) -> tuple[Word, str | None] | None:
        query = (
            sa.select(*WORD, patient.c.place, patient.c.merged_into)
            .join(hl7_message, hl7_message.c.message_id == patient.c.message_id)
            .where(patient.c.patient_digest == patient_digest)
        )
        row = self._connection.execute(query).one_or_none()
        return None if row is None else (Word(*row[:-1]), row[-1])

    def _write(
        self, patient_digest: str, *, message_id: int, place: int, merged_into: str | None
    ) -> None:
        values = {"message_id": message_id, "place": place, "merged_into": merged_into}
        known = self._connection.execute(
            patient.update().where(patient.c.patient_digest == patient_digest).values(values)
        )
        if known.rowcount == 0:
            self._connection.execute(
                patient.insert().values(patient_digest=patient_digest, **values)
            )
