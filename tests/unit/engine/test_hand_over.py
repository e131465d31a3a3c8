"""The thread that hands new jobs over outlives a database that does not answer."""

from __future__ import annotations

import threading

import pytest

from node.domain.errors import StorageError
from node.engine import hand_over
from node.engine.hand_over import HandOver
from tests.fakes import Notes


def test_a_database_that_does_not_answer_is_said_and_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    again = threading.Event()

    class Work:
        announced = threading.Event()

    class Database:
        def read(self) -> object:
            asked.append(self)
            if len(asked) == 3:
                again.set()
            raise StorageError("the database did not answer")

    monkeypatch.setattr(hand_over, "AFTER_FAULT_S", 0.01)
    notes = Notes()
    thread = HandOver(Database(), Work(), notes)  # type: ignore[arg-type]
    thread.start()
    assert again.wait(10)
    thread.stop()
    said = notes.said("new jobs not handed over")
    assert len(said) == len(asked)
    assert "the jobs are safe" in said[0]["reason"]
