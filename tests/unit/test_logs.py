"""Log lines hold a closed set of keys, and no word of an error that could quote a data set."""

from __future__ import annotations

import json
import logging

import pytest

from node.logs import Journal, set_up_logging
from node.metrics import Metrics
from node.workflow.ports import Level


@pytest.fixture
def journal(capsys: pytest.CaptureFixture[str]) -> Journal:
    return Journal(set_up_logging(form="json", level="info"), Metrics())


def test_a_key_outside_the_set_is_left_out_and_named(
    journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    journal.event("instance accepted", job_id=7, patient_name="Doe^Jane")
    line = json.loads(capsys.readouterr().err)
    assert (line["message"], line["job_id"]) == ("instance accepted", 7)
    assert line["dropped"] == "patient_name"
    assert "Doe" not in json.dumps(line)


def test_a_traceback_shows_where_and_what_kind_but_not_the_words(
    journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        raise ValueError("Doe^Jane is not a date")
    except ValueError as error:
        journal.event("job ended by a fault of the node", level=Level.ERROR, error=error)
    line = json.loads(capsys.readouterr().err)
    assert "ValueError" in line["traceback"]
    assert "test_logs.py" in line["traceback"]
    assert "Doe" not in json.dumps(line)


def test_every_event_is_counted_under_its_name() -> None:
    metrics = Metrics()
    journal = Journal(logging.getLogger("silent"), metrics)
    journal.event("delivery attempted", duration_ms=40)
    text = metrics.exposition().decode()
    assert 'cardionode_events_total{event="delivery attempted",level="info"} 1.0' in text
    assert 'cardionode_event_seconds_sum{event="delivery attempted"} 0.04' in text
