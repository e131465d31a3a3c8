"""Requests for Storage Commitment, and the deliveries each is for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa

from node.domain.commitment import COMMITMENT_TRANSITIONS, Commitment, CommitmentState
from node.domain.delivery import Delivery
from node.store.tables import commitment, commitment_instance

_OPEN = (CommitmentState.OWED, CommitmentState.AWAITED)


class Commitments:
    """Reads and writes requests for commitment inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(
        self, deliveries: Sequence[Delivery], *, transaction_uid: str, at: datetime
    ) -> Commitment:
        """A new request for the deliveries, which are of one job and one destination.

        Its number is that of the delivery that was asked for least: one that comes later, beside
        others, has as many requests as they had.
        """
        first = deliveries[0]
        added = self._connection.execute(
            commitment.insert()
            .values(
                transaction_uid=transaction_uid,
                job_id=first.job_id,
                destination=first.destination,
                number=1 + min(self._number_of(delivery) for delivery in deliveries),
                state=CommitmentState.OWED.value,
                requested_at=at,
                due_at=at,
            )
            .returning(*commitment.c)
        ).one()
        self._connection.execute(
            commitment_instance.insert(),
            [
                {"commitment_id": added.commitment_id, "delivery_id": delivery.delivery_id}
                for delivery in deliveries
            ],
        )
        return _read(added)

    def get(self, commitment_id: int) -> Commitment | None:
        return self._one(commitment.c.commitment_id == commitment_id)

    def of_transaction(self, transaction_uid: str) -> Commitment | None:
        return self._one(commitment.c.transaction_uid == transaction_uid)

    def of_job(self, job_id: int) -> list[Commitment]:
        return self._all(commitment.c.job_id == job_id)

    def superseded(self, commitment_id: int) -> set[int]:
        """Ids of its deliveries that a later request is for too."""
        later = commitment_instance.alias()
        query = sa.select(commitment_instance.c.delivery_id).where(
            commitment_instance.c.commitment_id == commitment_id,
            sa.exists().where(
                later.c.delivery_id == commitment_instance.c.delivery_id,
                later.c.commitment_id > commitment_id,
            ),
        )
        return set(self._connection.scalars(query))

    def settle(
        self,
        commitment_id: int,
        state: CommitmentState,
        *,
        at: datetime,
        due_at: datetime | None = None,
        error_code: str | None = None,
        error_message: str | None = None,
    ) -> bool:
        """Write how far it is, if its state still allows it; False when somebody was faster."""
        tried = state in (CommitmentState.OWED, CommitmentState.AWAITED)
        changed = self._connection.execute(
            commitment.update()
            .where(
                commitment.c.commitment_id == commitment_id,
                commitment.c.state.in_(_states_before(state)),
            )
            .values(
                state=state.value,
                attempts=commitment.c.attempts + int(tried),
                due_at=due_at,
                settled_at=None if tried else at,
                error_code=error_code,
                error_message=error_message,
            )
        )
        return changed.rowcount == 1

    def run_of(self, commitment_id: int) -> int:
        """The number of its run."""
        query = sa.select(commitment.c.run).where(commitment.c.commitment_id == commitment_id)
        return int(self._connection.scalar(query) or 1)

    def take_up(self, commitment_id: int, *, run: int) -> int | None:
        """A new run of a request that is open still; its number.

        None where it is not open any more, or was taken up by another since that run was read.
        """
        changed = self._connection.execute(
            commitment.update()
            .where(
                commitment.c.commitment_id == commitment_id,
                commitment.c.state.in_([state.value for state in _OPEN]),
                commitment.c.run == run,
            )
            .values(run=run + 1)
        )
        return run + 1 if changed.rowcount == 1 else None

    def _number_of(self, delivery: Delivery) -> int:
        """How often its commitment was asked for since a person last set it going."""
        query = (
            sa.select(sa.func.max(commitment.c.number))
            .join(
                commitment_instance,
                commitment_instance.c.commitment_id == commitment.c.commitment_id,
            )
            .where(
                commitment_instance.c.delivery_id == delivery.delivery_id,
                commitment.c.requested_at >= delivery.owed_since,
            )
        )
        return int(self._connection.scalar(query) or 0)

    def _one(self, condition: sa.ColumnElement[bool]) -> Commitment | None:
        row = self._connection.execute(commitment.select().where(condition)).one_or_none()
        return None if row is None else _read(row)

    def _all(self, condition: sa.ColumnElement[bool]) -> list[Commitment]:
        query = commitment.select().where(condition).order_by(commitment.c.commitment_id)
        return [_read(row) for row in self._connection.execute(query)]


def _states_before(state: CommitmentState) -> Iterable[str]:
    return [before.value for before, after in COMMITMENT_TRANSITIONS.items() if state in after]


def _read(row: sa.Row[tuple[object, ...]]) -> Commitment:
    values = dict(row._mapping)
    values.pop("run")
    return Commitment(**(values | {"state": CommitmentState(values["state"])}))
