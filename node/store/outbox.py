"""Deliveries owed to destinations, and every attempt at them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from node.domain.delivery import (
    ARRIVED,
    DELIVERY_TRANSITIONS,
    Delivery,
    DeliveryOutcome,
    DeliveryState,
    DestinationKind,
    Priority,
    ResultKind,
    Transmission,
)
from node.domain.elapsed import elapsed_ms
from node.domain.errors import Unreachable
from node.store.tables import attempt, commitment_instance, delivery, job

_UNSETTLED = (DeliveryState.PENDING, DeliveryState.STORED)


class Outbox:
    """Reads and writes deliveries inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(
        self,
        *,
        job_id: int,
        kind: ResultKind,
        identifier: str,
        sop_class_uid: str,
        destination: str,
        destination_kind: DestinationKind,
        content_digest: str,
        revision: int,
        at: datetime,
        waits: bool = False,
        signs: int | None = None,
    ) -> int:
        """A new delivery, pending or, if it `waits`, waiting; its id.

        signs: id of the delivery whose signed copy it is.
        """
        state = DeliveryState.WAITING if waits else DeliveryState.PENDING
        added = self._connection.execute(
            delivery.insert()
            .values(
                job_id=job_id,
                kind=kind.value,
                identifier=identifier,
                sop_class_uid=sop_class_uid,
                destination=destination,
                destination_kind=destination_kind.value,
                content_digest=content_digest,
                revision=revision,
                signs=signs,
                state=state.value,
                owed_since=at,
                due_at=None if waits else at,
            )
            .returning(delivery.c.delivery_id)
        )
        return int(added.scalar_one())

    def get(self, delivery_id: int) -> Delivery | None:
        row = self._connection.execute(
            delivery.select().where(delivery.c.delivery_id == delivery_id)
        ).one_or_none()
        return None if row is None else _read(row)

    def of_job(self, job_id: int) -> list[Delivery]:
        query = delivery.select().where(delivery.c.job_id == job_id)
        rows = self._connection.execute(query.order_by(delivery.c.delivery_id))
        return [_read(row) for row in rows]

    def of_jobs(self, job_ids: Sequence[int]) -> dict[int, list[Delivery]]:
        """The deliveries of each of the jobs."""
        found: dict[int, list[Delivery]] = {job_id: [] for job_id in job_ids}
        query = delivery.select().where(delivery.c.job_id.in_(job_ids))
        for row in self._connection.execute(query.order_by(delivery.c.delivery_id)):
            found[row.job_id].append(_read(row))
        return found

    def of_commitment(self, commitment_id: int) -> list[Delivery]:
        """What a request for commitment is for."""
        asked = sa.select(commitment_instance.c.delivery_id).where(
            commitment_instance.c.commitment_id == commitment_id
        )
        query = delivery.select().where(delivery.c.delivery_id.in_(asked))
        rows = self._connection.execute(query.order_by(delivery.c.delivery_id))
        return [_read(row) for row in rows]

    def is_any_pending(self, job_id: int, destination: str) -> bool:
        """Whether something of the job is on its way to that destination."""
        query = sa.select(delivery.c.delivery_id).where(
            delivery.c.job_id == job_id,
            delivery.c.destination == destination,
            delivery.c.state == DeliveryState.PENDING.value,
        )
        return self._connection.scalar(query.limit(1)) is not None

    def unreached(self, destination: str) -> list[int]:
        """Ids of what is owed to it and was tried while it could not be reached."""
        query = sa.select(delivery.c.delivery_id).where(
            delivery.c.destination == destination,
            delivery.c.state == DeliveryState.PENDING.value,
            delivery.c.error_code == Unreachable.code,
        )
        return list(self._connection.scalars(query.order_by(delivery.c.delivery_id)))

    def jobs_arrived(self, destination: str, *, since: datetime) -> list[int]:
        """Jobs of which something has arrived there since then, the first received first."""
        query = sa.select(delivery.c.job_id).where(
            delivery.c.destination == destination,
            delivery.c.state.in_([state.value for state in ARRIVED]),
            delivery.c.settled_at >= since,
        )
        return list(self._connection.scalars(query.distinct().order_by(delivery.c.job_id)))

    def jobs_with_waiting(self) -> list[int]:
        """Jobs of which a delivery waits for another destination's commitment."""
        query = sa.select(delivery.c.job_id).where(delivery.c.state == DeliveryState.WAITING.value)
        return list(self._connection.scalars(query.distinct().order_by(delivery.c.job_id)))

    def count_by_destination(self) -> dict[tuple[str, DeliveryState], int]:
        rows = self._connection.execute(
            sa.select(delivery.c.destination, delivery.c.state, sa.func.count()).group_by(
                delivery.c.destination, delivery.c.state
            )
        )
        return {(name, DeliveryState(state)): count for name, state, count in rows}

    def oldest_pending(self) -> dict[str, Delivery]:
        """By destination, what it is owed and has been on its way longest."""
        oldest = (
            sa.select(sa.func.min(delivery.c.delivery_id))
            .where(delivery.c.state == DeliveryState.PENDING.value)
            .group_by(delivery.c.destination)
        )
        rows = self._connection.execute(delivery.select().where(delivery.c.delivery_id.in_(oldest)))
        return {row.destination: _read(row) for row in rows}

    def stopped(self, *, limit: int) -> list[Delivery]:
        """Those that wait for a person, the last made first."""
        states = [DeliveryState.REFUSED.value, DeliveryState.EXHAUSTED.value]
        query = delivery.select().where(delivery.c.state.in_(states))
        latest = query.order_by(delivery.c.delivery_id.desc()).limit(limit)
        return [_read(row) for row in self._connection.execute(latest)]

    def priority_of(self, delivery_id: int) -> Priority:
        """That of its job."""
        query = (
            sa.select(job.c.priority).join(delivery).where(delivery.c.delivery_id == delivery_id)
        )
        return Priority(self._connection.scalars(query).one())

    def run_of(self, delivery_id: int) -> int:
        """The number of its run."""
        query = sa.select(delivery.c.run).where(delivery.c.delivery_id == delivery_id)
        return int(self._connection.scalar(query) or 1)

    def settle(
        self, delivery_id: int, outcome: DeliveryOutcome, *, started_at: datetime, at: datetime
    ) -> bool:
        """Write what one attempt came to; False when a person was faster (cancelled)."""
        self._connection.execute(
            delivery.update().where(delivery.c.delivery_id == delivery_id).values(under_way=False)
        )
        changed = self._connection.execute(
            delivery.update()
            .where(
                delivery.c.delivery_id == delivery_id,
                delivery.c.state == DeliveryState.PENDING.value,
            )
            .values(
                state=outcome.state.value,
                attempts=delivery.c.attempts + 1,
                due_at=outcome.due_at,
                settled_at=None if outcome.state in _UNSETTLED else at,
                error_code=outcome.error_code,
                error_message=outcome.error_message,
            )
        )
        self._note_attempt(delivery_id, outcome, started_at=started_at, at=at)
        return changed.rowcount == 1

    def settle_commitment(
        self, delivery_id: int, outcome: DeliveryOutcome, *, started_at: datetime, at: datetime
    ) -> bool:
        """Write what a request for its commitment came to; False when its state forbids that.

        PENDING has it sent again, in a new run.
        """
        again = outcome.state is DeliveryState.PENDING
        allowed = {DeliveryState.STORED.value, DeliveryState.EXHAUSTED.value}
        if outcome.state is DeliveryState.COMMITTED:
            allowed.add(DeliveryState.REFUSED.value)
        changed = self._connection.execute(
            delivery.update()
            .where(
                delivery.c.delivery_id == delivery_id,
                delivery.c.state.in_(allowed.intersection(_states_before(outcome.state))),
            )
            .values(
                state=outcome.state.value,
                run=delivery.c.run + int(again),
                due_at=at if again else None,
                settled_at=None if outcome.state in _UNSETTLED else at,
                error_code=outcome.error_code,
                error_message=outcome.error_message,
            )
        )
        if changed.rowcount:
            self._note_attempt(delivery_id, outcome, started_at=started_at, at=at)
        return changed.rowcount == 1

    def begin_attempt(self, delivery_id: int) -> bool:
        """Note that it is being sent: until `settle` it may have arrived. False: it is not owed."""
        changed = self._connection.execute(
            delivery.update()
            .where(
                delivery.c.delivery_id == delivery_id,
                delivery.c.state == DeliveryState.PENDING.value,
            )
            .values(under_way=True)
        )
        return changed.rowcount == 1

    def release(self, delivery_id: int, *, at: datetime) -> int | None:
        """Owe a waiting delivery from now on; the number of its run, None if it does not wait."""
        is_released = self._change_waiting(
            delivery_id,
            state=DeliveryState.PENDING.value,
            owed_since=at,
            due_at=at,
            error_code=None,
            error_message=None,
        )
        return self.run_of(delivery_id) if is_released else None

    def explain(self, delivery_id: int, code: str | None, message: str | None) -> None:
        """Write why a waiting delivery has to wait for a person; None: it has not."""
        self._change_waiting(delivery_id, error_code=code, error_message=message)

    def wait_again(self, seen: Delivery) -> None:
        """Have one that was cancelled or has arrived wait as it did, for another's commitment.

        seen: as the person knows it; nothing happens where it is in another state by now.
        """
        self._connection.execute(
            delivery.update()
            .where(
                delivery.c.delivery_id == seen.delivery_id,
                delivery.c.state == seen.state.value,
                delivery.c.state.in_(_states_before(DeliveryState.WAITING)),
            )
            .values(state=DeliveryState.WAITING.value, settled_at=None)
        )

    def _change_waiting(self, delivery_id: int, **values: object) -> bool:
        changed = self._connection.execute(
            delivery.update()
            .where(
                delivery.c.delivery_id == delivery_id,
                delivery.c.state == DeliveryState.WAITING.value,
            )
            .values(**values)
        )
        return changed.rowcount == 1

    def _note_attempt(
        self, delivery_id: int, outcome: DeliveryOutcome, *, started_at: datetime, at: datetime
    ) -> None:
        self._connection.execute(
            attempt.insert().values(
                delivery_id=delivery_id,
                started_at=started_at,
                duration_ms=elapsed_ms(started_at, at),
                state=outcome.state.value,
                error_code=outcome.error_code,
                error_message=outcome.error_message,
            )
        )

    def attempts_of(
        self, delivery_id: int, *, since: datetime | None = None
    ) -> list[dict[str, object]]:
        """Every attempt, oldest first: started_at, duration_ms, state, error_code and _message."""
        query = attempt.select().where(attempt.c.delivery_id == delivery_id)
        if since is not None:
            query = query.where(attempt.c.started_at >= since)
        rows = self._connection.execute(query.order_by(attempt.c.attempt_id))
        return [
            {key: value for key, value in row._mapping.items() if not key.endswith("_id")}
            for row in rows
        ]

    def transmissions(
        self, *, limit: int, destination: str | None = None, before: int | None = None
    ) -> list[Transmission]:
        """The last attempts first. before: only those with a smaller number."""
        query = (
            sa.select(
                attempt.c.attempt_id,
                delivery.c.job_id,
                delivery.c.delivery_id,
                delivery.c.kind,
                delivery.c.identifier,
                delivery.c.destination,
                delivery.c.destination_kind,
                attempt.c.started_at,
                attempt.c.duration_ms,
                attempt.c.state,
                attempt.c.error_message,
            )
            .join(delivery)
            .order_by(attempt.c.attempt_id.desc())
            .limit(limit)
        )
        if destination is not None:
            query = query.where(delivery.c.destination == destination)
        if before is not None:
            query = query.where(attempt.c.attempt_id < before)
        return [Transmission(**_typed(row._mapping)) for row in self._connection.execute(query)]

    def cancel(self, delivery_id: int, *, at: datetime) -> bool:
        """A person stops it; False when its state does not allow that."""
        changed = self._connection.execute(
            delivery.update()
            .where(
                delivery.c.delivery_id == delivery_id,
                delivery.c.state.in_(_states_before(DeliveryState.CANCELLED)),
            )
            .values(state=DeliveryState.CANCELLED.value, settled_at=at, due_at=None)
        )
        return changed.rowcount == 1

    def take_up(self, delivery_id: int, *, run: int) -> int | None:
        """A new run of a delivery that is owed still; its number.

        None where it is not owed any more, or was taken up by another since that run was read.
        """
        changed = self._connection.execute(
            delivery.update()
            .where(
                delivery.c.delivery_id == delivery_id,
                delivery.c.state == DeliveryState.PENDING.value,
                delivery.c.run == run,
            )
            .values(run=run + 1)
        )
        return run + 1 if changed.rowcount == 1 else None

    def start_again(self, seen: Delivery, *, at: datetime) -> int | None:
        """A person owes a delivery again, due now; the number of its new run.

        seen: as the person knows it. None when it is in another state by now, or in one that does
        not allow it (it is owed, or waits).
        """
        delivery_id = seen.delivery_id
        changed = self._connection.execute(
            delivery.update()
            .where(
                delivery.c.delivery_id == delivery_id,
                delivery.c.state == seen.state.value,
                delivery.c.state.in_(_states_before(DeliveryState.PENDING)),
            )
            .values(
                state=DeliveryState.PENDING.value,
                run=delivery.c.run + 1,
                owed_since=at,
                due_at=at,
                settled_at=None,
            )
        )
        return self.run_of(delivery_id) if changed.rowcount == 1 else None


def _states_before(state: DeliveryState) -> list[str]:
    return [before.value for before, after in DELIVERY_TRANSITIONS.items() if state in after]


def _read(row: sa.Row[tuple[object, ...]]) -> Delivery:
    values = _typed(row._mapping)
    values.pop("run")
    return Delivery(**values)


def _typed(columns: sa.RowMapping) -> dict[str, Any]:
    return {str(name): value for name, value in columns.items()} | {
        "kind": ResultKind(columns["kind"]),
        "destination_kind": DestinationKind(columns["destination_kind"]),
        "state": DeliveryState(columns["state"]),
    }
