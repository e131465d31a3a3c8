"""Log lines hold a closed set of keys, and no word of an error that could quote a data set."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable

import pytest

from node.logs import Journal, set_up_logging
from node.metrics import Metrics
from node.workflow.ports import Level

STREAM = logging.StreamHandler


def lines_of(event: Callable[[Journal], None]) -> str:
    """What a journal writes for the event, through the very handler the service uses."""
    logger = set_up_logging(form="json", level="info")
    (handler,) = [each for each in logging.getLogger().handlers if type(each) is STREAM]
    stream = io.StringIO()
    handler.setStream(stream)
    event(Journal(logger, Metrics()))
    return stream.getvalue()


def test_a_key_outside_the_set_is_left_out_and_named() -> None:
    written = lines_of(
        lambda journal: journal.event("instance accepted", job_id=7, patient_name="Doe^Jane")
    )
    line = json.loads(written)
    assert (line["message"], line["job_id"]) == ("instance accepted", 7)
    assert line["dropped"] == "patient_name"
    assert "Doe" not in json.dumps(line)


def test_a_traceback_shows_where_and_what_kind_but_not_the_words() -> None:
    def fail(journal: Journal) -> None:
        try:
            raise ValueError("Doe^Jane is not a date")
        except ValueError as error:
            journal.event("job ended by a fault of the node", level=Level.ERROR, error=error)

    line = json.loads(lines_of(fail))
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


def test_the_engine_says_what_is_wrong_in_a_line_a_minute(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up_logging(form="json", level="info")
    engine = logging.getLogger("dbos")
    for _ in range(3):
        try:
            raise ConnectionError("PATIENT^NAME")
        except ConnectionError:
            engine.warning("the queue was not read:\nSELECT %s", "PATIENT^NAME", exc_info=True)
    engine.warning("another place")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["message"] for line in lines] == [
        "engine: the queue was not read:",
        "engine: another place",
    ]
    assert not any("traceback" in line for line in lines)
