"""The page of messages a second: what stands beside what."""

from __future__ import annotations

from benchmarks.messages.rates import NODE, Rate, over


def rate(name: str, connections: int, *a_second: float, is_sender: bool = False) -> Rate:
    return Rate(
        name=name, is_sender=is_sender, connections=connections, a_second=a_second, p50_ms=1.0,
        p95_ms=2.0, sender_cpu_ms=0.1, receiver_cpu_ms=0.2,
    )  # fmt: skip


def test_a_rate_is_over_the_peers_of_the_same_kind_and_number_of_connections() -> None:
    peer = rate("python-hl7", 8, 50.0, 100.0, 900.0)
    rates = [
        rate(NODE, 1, 7.0), rate(NODE, 8, 250.0), rate(NODE, 8, 9.0, is_sender=True), peer,
    ]  # fmt: skip
    assert over(rates, peer) == 2.5
