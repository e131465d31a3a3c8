"""From the bytes of an ECG to its numbers, its cine and all that is made of them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.ecgs import record_of
from benchmarks.effort import Effort
from benchmarks.networks import Networks
from benchmarks.processes import ServingNode, Started, serve, sessions_of, start_processes
from benchmarks.shipped import Served, shipped_bundle
from benchmarks.stopwatch import PARTS, REST, Stopwatch
from benchmarks.throughput import Throughput, measure_throughput
from benchmarks.timing import Wall, take_turns
from benchmarks.torch_session import torch_pipeline
from node.domain.ecg import Subject

IN_A_PROCESS: Final = 4
"""ECGs that a new process answers before its memory is read."""
WHOLE: Final = "whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """One further ECG: numbers and cine; with the DICOM objects; with all files and pictures."""

    predict: Wall
    answer: Wall
    process: Wall


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeAnswer:
    """By way: "onnx" is what is shipped, "torch" the same with its networks in torch eager."""

    started: dict[str, Started]
    node: ServingNode
    steps: dict[str, Steps]
    parts_s: dict[str, float]
    """Mean seconds of each part of `process`, in the order of the work."""
    throughput: tuple[Throughput, ...]


def measure_whole_answer(
    networks: Networks, ecgs: Sequence[bytes], threads: int, effort: Effort
) -> WholeAnswer:
    served = Served.with_threads(threads)
    peer = replace(served, pipeline=torch_pipeline(shipped_bundle(), sessions_of(networks)))
    return WholeAnswer(
        started=start_processes(networks, ecgs[:IN_A_PROCESS], effort),
        node=serve(ecgs),
        steps=_steps({"onnx": served, "torch": peer}, ecgs, effort),
        parts_s=_parts(served, ecgs[: effort.answers]),
        throughput=measure_throughput(ecgs, threads, effort),
    )


def _steps(ways: dict[str, Served], ecgs: Sequence[bytes], effort: Effort) -> dict[str, Steps]:
    records = [record_of(content) for content in ecgs]

    def predict(served: Served, call: int) -> object:
        record = records[call % len(records)]
        return served.pipeline.predict(record, Subject(), source_digest=f"{call:064}")

    def answer(served: Served, call: int) -> object:
        return served.answer(ecgs[call % len(ecgs)])

    with tempfile.TemporaryDirectory() as name:

        def process(served: Served, call: int) -> object:
            return served.process(ecgs[call % len(ecgs)], Path(name))

        found = {
            work.__name__: take_turns(
                {way: partial(work, served) for way, served in ways.items()}, effort
            )
            for work in (predict, answer, process)
        }
    return {way: Steps(**{step: taken[way] for step, taken in found.items()}) for way in ways}


def _parts(served: Served, ecgs: Sequence[bytes]) -> dict[str, float]:
    stopwatch = Stopwatch()
    timed = replace(served, pipeline=stopwatch.timed(served.pipeline))
    with tempfile.TemporaryDirectory() as name, stopwatch.watching():
        timed.process(ecgs[0], Path(name))  # the first of anything is slower
        stopwatch.spent.clear()
        for content in ecgs:
            with stopwatch.running(WHOLE):
                timed.process(content, Path(name))
    whole = stopwatch.spent.pop(WHOLE)
    found = {part: seconds / len(ecgs) for part, seconds in stopwatch.spent.items()}
    found[REST] = whole / len(ecgs) - sum(found.values())
    return {part: found[part] for part in PARTS}
