"""The engine looks often while work flows, and seldom when none does."""

from __future__ import annotations

from node.engine.pace import FLOWING_S, IDLE_S, Pace


class Queue:
    """Of the engine."""

    def __init__(self) -> None:
        self.written: list[float] = []

    def set_polling_interval_sec(self, value: float) -> None:
        self.written.append(value)


def test_a_flow_is_followed_and_its_end_seen() -> None:
    now = [0.0]
    pace, queue = Pace(lambda: now[0]), Queue()
    pace.queues.append(queue)  # type: ignore[arg-type]
    for at_s, moves in ((0.0, 0), (1.0, 1), (4.0, 1), (5.0, 1), (6.0, 0), (7.5, 0), (9.0, 0)):
        now[0] = at_s
        for _ in range(moves):
            pace.moved()
        pace.adjust()
    assert queue.written == [FLOWING_S, IDLE_S]
