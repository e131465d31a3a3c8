"""The orders that HL7 messages told of: which message has the last word on each.

What an order is stands in its message; here are the digests of the numbers that it is found by.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

import sqlalchemy as sa

from node.domain.order import OrderKeys
from node.store.messages import WORD, Word
from node.store.tables import hl7_message, order

_NUMBERS: Final = frozenset({"placer_digest", "filler_digest"})
_OTHERS: Final = frozenset({"study_instance_uid", "accession_digest"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownOrder:
    """One order."""

    word: Word
    """The last on it."""
    is_cancelled: bool


class OrderBook:
    """Reads and writes orders inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def put(self, keys: OrderKeys, *, message_id: int, place: int, is_cancelled: bool) -> None:
        """Have this message speak for the order from now on; numbers that it leaves out stay."""
        known = self._same(keys)
        values = {
            "message_id": message_id,
            "place": place,
            "is_cancelled": is_cancelled,
            **{name: value for name, value in asdict(keys).items() if value is not None},
        }
        if known:
            self._connection.execute(
                order.update().where(order.c.order_id.in_(known)).values(values)
            )
        else:
            self._connection.execute(order.insert().values(values))

    def set_cancelled(self, keys: OrderKeys, *, is_cancelled: bool) -> bool:
        """Note whether the orders with these numbers stand; False when none is known."""
        known = self._same(keys)
        self._connection.execute(
            order.update().where(order.c.order_id.in_(known)).values(is_cancelled=is_cancelled)
        )
        return bool(known)

    def find(
        self, *, study_instance_uid: str, accession_digest: str | None
    ) -> tuple[KnownOrder, ...]:
        """Those of the study or the accession number, the first told of first."""
        matches = [order.c.study_instance_uid == study_instance_uid]
        if accession_digest is not None:
            matches.append(order.c.accession_digest == accession_digest)
        query = (
            sa.select(*WORD, order.c.place, order.c.is_cancelled)
            .join(hl7_message, hl7_message.c.message_id == order.c.message_id)
            .where(sa.or_(*matches))
            .order_by(order.c.order_id)
        )
        return tuple(
            KnownOrder(word=Word(*words), is_cancelled=is_cancelled)
            for *words, is_cancelled in self._connection.execute(query)
        )

    def _same(self, keys: OrderKeys) -> list[int]:
        """Ids of the orders that these numbers are of.

        They share the placer's or the filler's number, and differ in neither, nor in the procedure.
        An order that has neither number is told by its study or accession number.
        """
        stated = {name: value for name, value in asdict(keys).items() if value is not None}
        telling = _NUMBERS if stated.keys() & _NUMBERS else _OTHERS
        shared = [order.c[name] == stated[name] for name in telling & stated.keys()]
        alike = [
            sa.or_(order.c[name] == stated[name], order.c[name].is_(None))
            for name in (_NUMBERS | {"procedure_digest"}) & stated.keys()
        ]
        if telling is _OTHERS:
            alike += [order.c[name].is_(None) for name in _NUMBERS]
        query = sa.select(order.c.order_id).where(sa.or_(*shared), *alike)
        return list(self._connection.scalars(query))
