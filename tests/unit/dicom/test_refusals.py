from __future__ import annotations

from typing import Any

import pytest

from node.dicom.refusals import Refusals
from node.domain.caller import Refusal


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("node.dicom.refusals.time", clock)
    return clock


@pytest.fixture
def lines() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def noted() -> list[Refusal]:
    return []


@pytest.fixture
def refusals(lines: list[dict[str, Any]], noted: list[Refusal]) -> Refusals:
    return Refusals(
        lambda message, **fields: lines.append({"message": message, **fields}), noted.append
    )


def test_an_address_has_one_line_a_second_which_counts_the_others(
    clock: Clock, refusals: Refusals, lines: list[dict[str, Any]], noted: list[Refusal]
) -> None:
    for _ in range(160):
        refusals.tell("connection refused", peer="192.0.2.1", reason="too many")
        clock.now_s += 0.0625
    assert len(lines) == 10
    assert [each["count"] for each in lines] == [None] + [16] * 9
    assert len(noted) == 160


def test_other_addresses_and_other_reasons_have_lines_of_their_own(
    clock: Clock, refusals: Refusals, lines: list[dict[str, Any]]
) -> None:
    for peer, reason in (("192.0.2.1", "x"), ("192.0.2.2", "x"), ("192.0.2.1", "y")) * 2:
        refusals.tell("connection refused", peer=peer, reason=reason)
    assert [(each["peer"], each["reason"]) for each in lines] == [
        ("192.0.2.1", "x"),
        ("192.0.2.2", "x"),
        ("192.0.2.1", "y"),
    ]


def test_however_many_addresses_knock_lines_and_memory_are_bounded(
    clock: Clock, refusals: Refusals, lines: list[dict[str, Any]]
) -> None:
    for number in range(50_000):
        refusals.tell("connection refused", peer=f"2001:db8::{number:x}", reason="x")
    assert len(lines) == 1024
    clock.now_s += 2
    refusals.tell("connection refused", peer="192.0.2.1", reason="x")
    assert len(lines) == 1025
