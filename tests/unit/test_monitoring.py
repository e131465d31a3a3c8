"""The dashboard that comes along asks for what a node has."""

from __future__ import annotations

import json
import re
from pathlib import Path

from node.domain.delivery import DeliveryState, JobState
from node.metrics import Metrics

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "docs/monitoring/grafana.json").read_text(encoding="utf-8"))
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
EXPRESSIONS += [each["expr"] for each in DASHBOARD["annotations"]["list"]]
SOURCES = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "node").rglob("*.py"))


def test_every_series_is_one_that_a_node_has() -> None:
    metrics = Metrics()
    metrics.count("node ready", "info")
    metrics.observe("ecg predicted", 1.0)
    found = set(re.findall(r"^(cardionode_\w+)[ {]", metrics.exposition().decode(), re.MULTILINE))
    found |= set(re.findall(r'"(cardionode_[a-z_]+)"', SOURCES))
    asked = {name for each in EXPRESSIONS for name in re.findall(r"cardionode_\w+", each)}
    assert len(asked) > 6
    assert asked <= found


def test_every_event_and_state_is_one_that_there_is() -> None:
    events = {name for each in EXPRESSIONS for name in re.findall(r'event="([^"]+)"', each)}
    assert len(events) > 4
    for event in events:
        assert f'"{event}"' in SOURCES, event
    states = {state.value for kind in (JobState, DeliveryState) for state in kind}
    asked = {
        state
        for each in EXPRESSIONS
        for found in re.findall(r'state=~?"([^"]+)"', each)
        for state in found.split("|")
    }
    assert len(asked) > 6
    assert asked <= states


def test_panels_lie_beside_each_other() -> None:
    taken = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
