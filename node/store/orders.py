"""The orders that HL7 messages told of: which message has the last word on each.

What an order is stands in its message; here are the digests of the numbers that it is found by.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

import sqlalchemy as sa

from node.domain.order import Matched, OrderKeys
from node.store.messages import WORD, Word
from node.store.tables import hl7_message, order

MOST_ORDERS: Final = 50
"""Of one study or accession number: each is read while an ECG, or a message, waits."""
_NUMBERS: Final = frozenset({"placer_digest", "filler_digest"})
_OTHERS: Final = frozenset({"study_instance_uid", "accession_digest"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownOrder:
    """One order."""

    word: Word
    """The last on it."""
    is_cancelled: bool
    matched: Matched


class OrderBook:
    """Reads and writes orders inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def put(
        self, keys: OrderKeys, *, message_id: int, place: int, is_cancelled: bool | None
    ) -> list[Matched]:
        """Have this message speak for the order from now on; numbers that it leaves out stay.

        is_cancelled: None where it does not say. Gives what ECGs were and are matched to it by.
        """
        known = self._same(keys)
        values = {
            "message_id": message_id,
            "place": place,
            **({} if is_cancelled is None else {"is_cancelled": is_cancelled}),
            **{name: value for name, value in asdict(keys).items() if value is not None},
        }
        touched = self._matched(known)
        if known:
            self._connection.execute(
                order.update().where(order.c.order_id.in_(known)).values(values)
            )
            return touched + self._matched(known)
        added = order.insert().values({"is_cancelled": False} | values)
        return self._matched(list(self._connection.scalars(added.returning(order.c.order_id))))

    def last_word(self, keys: OrderKeys) -> tuple[int, bool]:
        """Number of the last message that speaks for orders with one of these numbers, 0 where none
        does, and whether one of them is cancelled."""
        known = self._same(keys, all_alike=False)
        query = sa.select(order.c.message_id, order.c.is_cancelled).where(
            order.c.order_id.in_(known)
        )
        rows = self._connection.execute(query).all()
        return max((row[0] for row in rows), default=0), any(row[1] for row in rows)

    def set_cancelled(self, keys: OrderKeys, *, is_cancelled: bool) -> list[Matched]:
        """Note whether the orders with these numbers stand; none where none is known.

        To cancel, one number is enough: who does may write another without its authority, and an
        ECG that is held wrongly is let go by a person.
        """
        known = self._same(keys, all_alike=not is_cancelled)
        self._connection.execute(
            order.update().where(order.c.order_id.in_(known)).values(is_cancelled=is_cancelled)
        )
        return self._matched(known)

    def find(
        self, *, study_instance_uid: str, accession_digest: str | None
    ) -> tuple[KnownOrder, ...]:
        """Of the study or the accession number the MOST_ORDERS that were last told of, in turn."""
        matches = [order.c.study_instance_uid == study_instance_uid]
        if accession_digest is not None:
            matches.append(order.c.accession_digest == accession_digest)
        query = (
            sa.select(
                *WORD,
                order.c.place,
                order.c.is_cancelled,
                order.c.study_instance_uid,
                order.c.accession_digest,
            )
            .join(hl7_message, hl7_message.c.message_id == order.c.message_id)
            .where(sa.or_(*matches))
            .order_by(order.c.message_id.desc(), order.c.place.desc())
            .limit(MOST_ORDERS)
        )
        rows = self._connection.execute(query).all()
        return tuple(
            KnownOrder(word=Word(*row[:4]), is_cancelled=row[4], matched=Matched(*row[5:]))
            for row in reversed(rows)
        )

    def _matched(self, order_ids: list[int]) -> list[Matched]:
        query = sa.select(order.c.study_instance_uid, order.c.accession_digest).where(
            order.c.order_id.in_(order_ids)
        )
        return [Matched(*row) for row in self._connection.execute(query)]

    def _same(self, keys: OrderKeys, *, all_alike: bool = True) -> list[int]:
        """Ids of the orders that these numbers are of.

        They share the placer's or the filler's number, and differ in neither, nor in the procedure.
        An order that has neither number is told by its study or accession number. Without
        all_alike they may differ in the other number.
        """
        stated = {name: value for name, value in asdict(keys).items() if value is not None}
        telling = _NUMBERS if stated.keys() & _NUMBERS else _OTHERS
        shared = [order.c[name] == stated[name] for name in telling & stated.keys()]
        alike = [
            sa.or_(order.c[name] == stated[name], order.c[name].is_(None))
            for name in ((_NUMBERS if all_alike else set()) | {"procedure_digest"}) & stated.keys()
        ]
        if telling is _OTHERS:
            alike += [order.c[name].is_(None) for name in _NUMBERS]
        query = sa.select(order.c.order_id).where(sa.or_(*shared), *alike)
        return list(self._connection.scalars(query))
