"""A token sampler's drawing over twins of NVIDIA's libraries; on hardware by tests/gpu."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

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
from tests.unit.runtime.nvidia_twin import CudaTwin

Make = Callable[..., TensorRtRuntime]


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Drawing]:
    """By the kind of head; made before there are twins, which are no modules that torch knows."""
    return {head: draw_on_the_cpu(head, tmp_path_factory.mktemp(head)) for head in HEADS}


@pytest.mark.parametrize("head", HEADS)
def test_a_drawing_begins_with_nothing_known_and_every_later_step_knows_more(
    drawings: dict[str, Drawing], head: str
) -> None:
    known = [s.inputs["known"].shape[1] for s in drawings[head].steps if s.role == "trunk"]
    assert known == [0, 2, 6, 12]  # of 18 places, by a cosine in 4 steps


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize("head", HEADS)
def test_every_step_gives_the_cpus_numbers_and_each_shape_is_recorded_once(
    drawings: dict[str, Drawing], make_runtime: Make, cuda: CudaTwin, tmp_path: Path, head: str,
    precision: str,
) -> None:  # fmt: skip
    sessions = sessions_of(make_runtime(precision=precision), head, tmp_path)
    steps = drawings[head].steps
    for step in steps:
        step.check(sessions[step.role].run(step.inputs), precision)
    assert cuda.calls["cudaStreamBeginCapture"] == len({step.shapes for step in steps})
    assert cuda.calls["cudaGraphLaunch"] == len(steps)


@pytest.mark.parametrize(("head", "precision"), WHOLE)
def test_a_drawing_is_the_same_bytes_again_also_from_sessions_loaded_anew(
    drawings: dict[str, Drawing], make_runtime: Make, tmp_path: Path, head: str, precision: str
) -> None:
    drawn = []
    for _ in range(2):
        sessions = sessions_of(make_runtime(precision=precision), head, tmp_path)
        drawn += [draw(sessions, head) for _ in range(2)]
    assert len({cine.tobytes() for cine in drawn}) == 1
    if precision == "fp32":
        assert np.abs(drawn[0] - drawings[head].cine).max() <= FP32_CINE
