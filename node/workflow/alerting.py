"""What is wrong with a node and since when, and what of that a person was told."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from node.domain.alert import Alert, AlertState, Condition
from node.domain.delivery import Delivery, DeliveryState, JobState
from node.domain.host import Host, HostRole
from node.workflow.ports import Transaction

_STOPPED: Final = (DeliveryState.REFUSED, DeliveryState.EXHAUSTED)
_WAITING: Final = {
    JobState.FAILED: "of which no results could be made",
    JobState.HELD: "held, because patient or order is in doubt",
    JobState.CONFLICT: "that contradict an earlier one of their UID",
}


def missing_roles(hosts: Sequence[Host]) -> Sequence[str]:
    """What nobody does, a sentence each. hosts: those that are alive."""
    there = {role for host in hosts for role in host.roles}
    return [
        f"no host with the role {role.value} is alive: what it does waits"
        for role in (HostRole.RECEIVE, HostRole.INFER, HostRole.SEND)
        if hosts and role not in there
    ]


def conditions(
    transaction: Transaction, *, at: datetime, silent_after: timedelta | None
) -> Sequence[Condition]:
    """What is wrong by the rows, which all hosts of a node have in common.

    silent_after: so long without an ECG is wrong, too; None: never.
    """
    found = [Condition(key=each, said=each) for each in missing_roles(transaction.hosts.all())]
    found += _destinations(
        transaction.outbox.count_by_destination(), transaction.outbox.oldest_pending()
    )
    jobs = transaction.jobs.count_by_state()
    found += [
        Condition(
            key=f"jobs {state.value}",
            said=f"ECGs {words}: {jobs[state]}; see `cardionode jobs list --state {state.value}`",
            count=jobs[state],
        )
        for state, words in _WAITING.items()
        if jobs.get(state)
    ]
    if silent_after is not None:
        found += _silence(transaction, at, silent_after)
    return found


def _destinations(
    counts: Mapping[tuple[str, DeliveryState], int], oldest: Mapping[str, Delivery]
) -> Sequence[Condition]:
    found = []
    for name in sorted({name for name, _ in counts}):
        stopped = sum(counts.get((name, state), 0) for state in _STOPPED)
        if stopped:
            said = f"results that {name} does not get unless a person sees to it: {stopped}; see "
            said = f"{said}`cardionode jobs list`"
            found.append(Condition(key=f"stopped {name}", said=said, count=stopped))
        waits = oldest.get(name)
        if waits is not None and waits.error_message:
            owed = counts.get((name, DeliveryState.PENDING), 0)
            said = f"{name} has not taken a result, which is tried again: {waits.error_message}"
            found.append(Condition(key=f"waiting {name}", said=f"{said}; it is owed {owed}"))
    return found


def _silence(
    transaction: Transaction, at: datetime, silent_after: timedelta
) -> Sequence[Condition]:
    """A node that never had an ECG is being set up."""
    last = transaction.jobs.latest(limit=1)
    if not last or at - last[0].received_at < silent_after:
        return ()
    said = (
        f"no ECG has come since {last[0].received_at:%Y-%m-%d %H:%M} UTC: does the PACS send any?"
    )
    return (Condition(key="silence", said=said),)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lasting:
    condition: Condition
    since: datetime
    told_at: datetime | None = None
    told_count: int = 0


@dataclass(kw_only=True)
class Alarm:
    """What one who is told has heard: nothing of what passes by itself, nothing twice a day."""

    after: timedelta
    """What lasts less long is not told."""
    again_after: timedelta
    """What lasts is told again then."""
    _lasting: dict[str, _Lasting] = field(default_factory=dict, init=False)

    def due(self, conditions: Sequence[Condition], at: datetime) -> Sequence[Alert]:
        """What is to be told now; it stays due until `told` has it. conditions: all that are."""
        here = {each.key: each for each in conditions}
        for key, condition in here.items():
            known = self._lasting.get(key, _Lasting(condition=condition, since=at))
            self._lasting[key] = replace(known, condition=condition)
        for key in [key for key, each in self._lasting.items() if each.told_at is None]:
            if key not in here:
                del self._lasting[key]
        found = []
        for key, each in self._lasting.items():
            state = self._state(each, at, is_here=key in here)
            if state is not None:
                found.append(Alert(state=state, condition=each.condition, since=each.since))
        return found

    def told(self, alerts: Sequence[Alert], at: datetime) -> None:
        """Somebody has them now."""
        for alert in alerts:
            key = alert.condition.key
            if alert.state is AlertState.ENDED:
                self._lasting.pop(key, None)
            elif key in self._lasting:
                self._lasting[key] = replace(
                    self._lasting[key], told_at=at, told_count=alert.condition.count
                )

    def forget(self, keys: Collection[str]) -> None:
        """Another tells of these: nothing more is said here, not that they are over either."""
        for key in keys:
            self._lasting.pop(key, None)

    def _state(self, each: _Lasting, at: datetime, *, is_here: bool) -> AlertState | None:
        if not is_here:
            return AlertState.ENDED
        if each.told_at is None:
            return AlertState.BEGAN if at - each.since >= self.after else None
        has_grown = each.condition.count >= 2 * each.told_count
        return AlertState.LASTS if has_grown or at - each.told_at >= self.again_after else None
