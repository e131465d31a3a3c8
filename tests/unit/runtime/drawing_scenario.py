"""A whole drawing by `pipelines.sampler.Sampler`, and each of its steps: for whichever runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.parity import GATES, RelativeError
from pipelines.runtime import Array, Feed, Runtime, Session
from pipelines.runtime.onnx import OnnxRuntime
from pipelines.sampler import Sampler
from tests.unit.cardionets.published_generator import TINY
from tests.unit.runtime.drawing_graphs import decoder_graph, drawing_graphs, spec

CONDITION = np.linspace(-1.0, 1.0, TINY.condition, dtype=np.float32)[np.newaxis]
DRAWN = ("tokens", "x", "latent")
"""What grows beyond fp16 where a head's weights are random: a diffusion's, not a flow's."""
WHOLE = [("diffusion", "fp32"), ("flow", "fp32"), ("flow", "fp16")]
"""Head and precision of the drawings that stay numbers."""
FP32_STEP = 1e-3
"""Largest error of a run, over what is largest."""
FP32_CINE = 1e-2
"""Of [0, 1]: a drawing makes about 30 times as much of an error as each of its runs has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One run of a graph, as the CPU does it in fp32."""

    role: str
    inputs: Feed = field(repr=False)
    expected: Mapping[str, Array] = field(repr=False)

    @property
    def shapes(self) -> tuple[object, ...]:
        """A session has a recording of each."""
        return self.role, *(value.shape for value in self.inputs.values())

    def check(self, found: Mapping[str, Array], precision: str) -> None:
        for name, expected in self.expected.items():
            error = RelativeError.of(found[name], expected)
            if precision == "fp16":
                assert GATES["fp16"].passes(error), f"{self.shapes}: {error}"
            else:
                assert error.largest <= FP32_STEP, f"{self.shapes}: {error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """On the CPU in fp32."""

    head: str
    steps: list[Step]
    """In their order."""
    cine: Array = field(repr=False)
    """(1, frames, rows, columns) in [0, 1]."""


class _Noting:
    """A session that notes what it is asked."""

    def __init__(self, role: str, session: Session, noted: list[tuple[str, Feed]]) -> None:
        self.inputs, self.outputs = session.inputs, session.outputs
        self._role, self._session, self._noted = role, session, noted

    def run(self, inputs: Feed) -> dict[str, Array]:
        self._noted.append((self._role, inputs))
        return self._session.run(inputs)


def sessions_of(runtime: Runtime, head: str, folder: Path) -> dict[str, Session]:
    """Role -> session."""
    graphs = {role: graph for role, (graph, _) in drawing_graphs(head).items()}
    sessions = {}
    for role, graph in {**graphs, "decoder": decoder_graph()}.items():
        path = folder / f"{role}.onnx"
        path.write_bytes(graph)
        sessions[role] = runtime.load(path, spec(head).sizes)
    return sessions


def draw(sessions: Mapping[str, Session], head: str) -> Array:
    """(1, frames, rows, columns) in [0, 1]."""
    return Sampler(spec=spec(head), **sessions).samples(CONDITION, "an ECG").samples


def draw_on_the_cpu(head: str, folder: Path) -> Drawing:
    """Its steps with what is drawn brought to the size of noise, where it is larger."""
    sessions = sessions_of(OnnxRuntime(threads=1), head, folder)
    noted: list[tuple[str, Feed]] = []
    cine = draw({role: _Noting(role, each, noted) for role, each in sessions.items()}, head)
    steps = []
    for role, asked in noted:
        inputs = {name: _tamed(value) if name in DRAWN else value for name, value in asked.items()}
        steps.append(Step(role=role, inputs=inputs, expected=sessions[role].run(inputs)))
    return Drawing(head=head, steps=steps, cine=cine)


def _tamed(value: NDArray[Any]) -> NDArray[Any]:
    size = np.sqrt(np.mean(value**2)) if value.size else 0.0
    tamed: NDArray[Any] = value / np.float32(max(1.0, size))
    return tamed
