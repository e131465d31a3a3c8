"""Prometheus metrics, counted from the same events that are logged."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Gauge = tuple[str, str, dict[str, str], float]
"""(name, what it tells, labels, value), read when asked."""


class Metrics:
    """One registry a node."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._events = Counter(
            "cardionode_events",
            "Events by name, as in the log",
            ["event", "level"],
            registry=self._registry,
        )
        self._durations = Histogram(
            "cardionode_event_seconds",
            "Duration of events that have one",
            ["event"],
            registry=self._registry,
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
        )

    def count(self, event: str, level: str) -> None:
        self._events.labels(event=event, level=level).inc()

    def observe(self, event: str, seconds: float) -> None:
        self._durations.labels(event=event).observe(seconds)

    def watch(self, read: Callable[[], Iterable[Gauge]]) -> None:
        """Have gauges read from `read` each time the metrics are asked for."""
        self._registry.register(_Watched(read))

    def exposition(self) -> bytes:
        """Prometheus text format."""
        return generate_latest(self._registry)


class _Watched(Collector):
    def __init__(self, read: Callable[[], Iterable[Gauge]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for name, tells, labels, value in self._read():
            if name not in families:
                families[name] = GaugeMetricFamily(name, tells, labels=list(labels))
            families[name].add_metric(list(labels.values()), value)
        return families.values()

    def describe(self) -> Iterable[Metric]:
        """Nothing: the gauges are only known when read."""
        return ()
