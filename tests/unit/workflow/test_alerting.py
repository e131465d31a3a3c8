"""What a person is told, when, and how often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from node.domain.alert import AlertState, Condition
from node.workflow.alerting import Alarm

BEGIN = datetime(2026, 1, 1, 3, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DISK = Condition(key="disk", said="the disk is nearly full")
PACS = Condition(key="PACS", said="PACS takes nothing")


@pytest.fixture
def alarm() -> Alarm:
    return Alarm(after=5 * MINUTE, again_after=timedelta(hours=24))


def told(alarm: Alarm, conditions: list[Condition], at: datetime) -> list[str]:
    """What was due, which then was told."""
    due = alarm.due(conditions, at)
    alarm.told(due, at)
    return [f"{each.state.value} {each.condition.key}" for each in due]


def test_what_passes_by_itself_is_not_told(alarm: Alarm) -> None:
    assert told(alarm, [PACS], BEGIN) == []
    assert told(alarm, [PACS], BEGIN + 4 * MINUTE) == []
    assert told(alarm, [], BEGIN + 5 * MINUTE) == []
    assert told(alarm, [PACS], BEGIN + 6 * MINUTE) == [], "it began anew"


def test_what_lasts_is_told_once_then_daily_and_its_end_at_once(alarm: Alarm) -> None:
    told(alarm, [PACS], BEGIN)
    assert told(alarm, [PACS], BEGIN + 5 * MINUTE) == ["began PACS"]
    assert told(alarm, [PACS], BEGIN + 6 * MINUTE) == []
    assert told(alarm, [PACS], BEGIN + timedelta(hours=24, minutes=5)) == ["lasts PACS"]
    assert told(alarm, [PACS], BEGIN + timedelta(hours=24, minutes=6)) == []
    assert told(alarm, [], BEGIN + timedelta(hours=24, minutes=7)) == ["ended PACS"]
    assert told(alarm, [], BEGIN + timedelta(hours=24, minutes=8)) == []


def test_what_reached_nobody_stays_due(alarm: Alarm) -> None:
    told(alarm, [PACS], BEGIN)
    (first,) = alarm.due([PACS], BEGIN + 5 * MINUTE)
    (again,) = alarm.due([PACS], BEGIN + 6 * MINUTE)
    assert first == again
    alarm.told([again], BEGIN + 6 * MINUTE)
    (ended,) = alarm.due([], BEGIN + 7 * MINUTE)
    assert ended.state is AlertState.ENDED
    assert alarm.due([], BEGIN + 8 * MINUTE) == [ended]


def test_what_is_said_is_the_latest(alarm: Alarm) -> None:
    told(alarm, [PACS, DISK], BEGIN)
    later = Condition(key="PACS", said="PACS takes nothing; it is owed 7")
    due = alarm.due([later, DISK], BEGIN + 5 * MINUTE)
    assert due[0].sentence == "PACS takes nothing; it is owed 7 (since 2026-01-01 03:00 UTC)"
    assert len(due) == 2
