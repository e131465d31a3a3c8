"""A token sampler's drawing on a real GPU: sizes that are open, and none that is known at first.

Skipped, saying why, where TensorRT or a GPU is not there: pytest -m gpu -s tests/gpu
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipelines.runtime import Session
from pipelines.runtime.tensorrt import TensorRtRuntime
from tests.unit.runtime.drawing_graphs import HEADS
from tests.unit.runtime.drawing_scenario import (
    FP32_CINE,
    WHOLE,
    Drawing,
    draw,
    draw_on_the_cpu,
    sessions_of,
)

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def drawings(library: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Drawing]:
    """By the kind of head; only where there is a library to be compared with."""
    return {head: draw_on_the_cpu(head, tmp_path_factory.mktemp(head)) for head in HEADS}


def _sessions(
    library: str, precision: str, engines: Path, head: str, folder: Path
) -> dict[str, Session]:
    runtime = TensorRtRuntime(library=library, precision=precision, engines=engines)
    return sessions_of(runtime, head, folder)


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize("head", HEADS)
def test_every_step_gives_the_cpus_numbers_in_any_order(
    drawings: dict[str, Drawing], library: str, engines: Path, tmp_path: Path, head: str,
    precision: str,
) -> None:  # fmt: skip
    sessions = _sessions(library, precision, engines, head, tmp_path)
    steps = drawings[head].steps
    for step in (*steps, *reversed(steps)):
        step.check(sessions[step.role].run(step.inputs), precision)


@pytest.mark.parametrize("head", HEADS)
def test_each_shape_of_a_step_is_recorded_once_and_every_step_is_one_launch(
    drawings: dict[str, Drawing], library: str, engines: Path, tmp_path: Path, head: str,
    calls: Counter[str],
) -> None:  # fmt: skip
    sessions = _sessions(library, "fp32", engines, head, tmp_path)
    steps = drawings[head].steps
    for _ in range(2):
        for step in steps:
            sessions[step.role].run(step.inputs)
    assert calls["cudaStreamBeginCapture"] == len({step.shapes for step in steps})
    assert calls["cudaGraphLaunch"] == 2 * len(steps), "a graph could not be recorded"


@pytest.mark.parametrize(("head", "precision"), WHOLE)
def test_a_drawing_is_the_same_bytes_again_also_from_sessions_loaded_anew(
    drawings: dict[str, Drawing], library: str, engines: Path, tmp_path: Path, head: str,
    precision: str,
) -> None:  # fmt: skip
    drawn = []
    for _ in range(2):
        sessions = _sessions(library, precision, engines, head, tmp_path)
        drawn += [draw(sessions, head) for _ in range(2)]
    assert len({cine.tobytes() for cine in drawn}) == 1
    error = np.abs(drawn[0] - drawings[head].cine).max()
    print(f"\n{library} {precision} {head}: at most {error:.1e} from the CPU's, of [0, 1]")
    if precision == "fp32":
        assert error <= FP32_CINE
