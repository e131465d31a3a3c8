"""How cost grows with the work: more ECGs, more samples of a cine, more steps of a drawing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from benchmarks.effort import Effort
from benchmarks.graph_files import ROLES, graph_file
from benchmarks.machine import held_memory_mb
from benchmarks.networks import Network, Networks
from benchmarks.shipped import Served
from benchmarks.throughput import answers
from benchmarks.timing import Said, Work, seconds_of
from benchmarks.token_sampling import flow_spec
from node.domain.delivery import ResultObject
from node.side_processes import SideProcesses
from pipelines.cardionets.ecg_to_phenotypes import CONDITION
from pipelines.cardionets.export import export_graph
from pipelines.layout_sampler import LayoutSampler, seeded_noise
from pipelines.runtime.onnx import OnnxRuntime
from pipelines.sampler import Sampler

SAMPLES: Final = (1, 2, 4, 8, 16)
AR_STEPS: Final = (1, 2, 4, 8, 16, 32)
FLOW_STEPS: Final = (1, 2, 4, 8, 16)
BATCHES: Final = (1, 2, 8)
BATCHED: Final = ("ecg", "decoder")
"""Networks that take nearly all the time of an ECG."""
USUAL_AR_STEPS: Final = 16
USUAL_FLOW_STEPS: Final = 8
TRIES: Final = 3
"""Of each drawing; the fastest counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyEcgs:
    """One process that answers so many, as many at once as there are cores."""

    count: int
    seconds: float
    grown_mb: float
    """Memory held after the last, beyond what was held after one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Seconds by count; nothing here is extrapolated."""

    ecgs: tuple[ManyEcgs, ...]
    samples: dict[int, float]
    """Of the shipped layout sampler."""
    ar_steps: dict[int, float]
    """Of the tiny generator with a flow of 8 steps, decoder included."""
    flow_steps: dict[int, float]
    """Of the same in 16 autoregressive steps."""
    batches: dict[str, dict[int, float]]
    """Of a network, an ECG of so many in one run on one thread."""


def measure_growth(
    networks: Networks, ecgs: Sequence[bytes], threads: int, effort: Effort, said: Said
) -> Growth:
    said("cost of more samples and steps")
    by_ar = _by_steps(networks, threads, [(n, USUAL_FLOW_STEPS) for n in AR_STEPS])
    by_flow = _by_steps(networks, threads, [(USUAL_AR_STEPS, n) for n in FLOW_STEPS])
    return Growth(
        samples=_by_samples(threads),
        ar_steps=dict(zip(AR_STEPS, by_ar, strict=True)),
        flow_steps=dict(zip(FLOW_STEPS, by_flow, strict=True)),
        batches={role: _by_batch(ROLES[role](networks)) for role in BATCHED},
        ecgs=tuple(_by_ecgs(ecgs, threads, effort, said)),
    )


def _by_samples(threads: int) -> dict[int, float]:
    sampler = Served.with_threads(threads).pipeline.sampler
    assert isinstance(sampler, LayoutSampler)  # of the shipped bundle
    noise = seeded_noise(sampler.spec, "growth")
    condition = np.zeros((1, CONDITION), np.float32)
    return {count: _least(partial(sampler.cines, condition, noise[:count])) for count in SAMPLES}


def _by_steps(networks: Networks, threads: int, settings: Sequence[tuple[int, int]]) -> list[float]:
    """Seconds of one cine for pairs of autoregressive and flow steps."""
    size, runtime = networks.mar_size, OnnxRuntime(threads=threads)
    graphs = {
        role: runtime.load(graph_file(networks, role), {}) for role in ("trunk", "head", "decoder")
    }
    condition = np.zeros((1, CONDITION), np.float32)
    return [
        _least(
            partial(
                Sampler(spec=flow_spec(size, steps=steps, ar_steps=ar_steps), **graphs).shown,
                condition,
                "growth",
            )
        )
        for ar_steps, steps in settings
    ]


def _by_batch(network: Network) -> dict[int, float]:
    found = {}
    with TemporaryDirectory() as folder:
        for count in BATCHES:
            inputs = {
                name: value.repeat(count, *[1] * (value.ndim - 1))
                for name, value in network.inputs.items()
            }
            file = Path(folder) / f"{count}.onnx"
            file.write_bytes(export_graph(network.module, inputs, network.outputs))
            session = OnnxRuntime(threads=1).load(file, {})
            feed = {name: value.numpy() for name, value in inputs.items()}
            found[count] = _least(partial(session.run, feed)) / count
    return found


def _least(work: Work) -> float:
    work()
    return min(seconds_of(work) for _ in range(TRIES))


def _by_ecgs(ecgs: Sequence[bytes], cores: int, effort: Effort, said: Said) -> Iterator[ManyEcgs]:
    served, side = Served.with_threads(1), SideProcesses(cores)
    served.answer(ecgs[0])
    side.start()
    before, each_s = held_memory_mb(), 0.0
    for count in effort.ecgs:
        if count * each_s > effort.growing_s:
            break
        said(f"ECGs in a row: {count}")
        queue = [ecgs[number % len(ecgs)] for number in range(count)]
        seconds = seconds_of(partial(_drop, answers(queue, served, cores + 1, side)))
        each_s = seconds / count
        yield ManyEcgs(count=count, seconds=seconds, grown_mb=round(held_memory_mb() - before, 1))
    side.stop()


def _drop(answered: Iterator[tuple[ResultObject, ...]]) -> None:
    """Keeping a thousand answers would be a cost of ours."""
    for _ in answered:
        pass
