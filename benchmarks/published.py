"""A cine as the authors draw it, beside ours: the same ECG network, the same decoder.

16 autoregressive steps, 100 diffusion steps and guidance, with `benchmarks.artefact`. What it costs
does not depend on its weights; how good its cines are, `benchmarks.quality` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from benchmarks.ecgs import record_of
from benchmarks.effort import Effort
from benchmarks.graph_files import graph_file
from benchmarks.networks import Networks
from benchmarks.processes import sessions_of
from benchmarks.shipped import Served, shipped_bundle
from benchmarks.timing import Wall, take_turns
from benchmarks.token_sampling import published_in_torch
from benchmarks.torch_session import torch_pipeline
from node.domain.ecg import Subject
from pipelines.ecg_to_cmr import EcgToCmr
from pipelines.runtime.onnx import OnnxRuntime
from pipelines.sampler import Sampler


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedProcedure:
    """`predict` of one ECG: conditioning, numbers and a cine."""

    procedure: str
    parameters: int
    """Of the generator."""
    in_torch: Wall
    torch_threads: int
    """Of torch: one, or all cores, whichever was faster; its small steps gain little from more."""
    in_onnx: Wall
    """The same steps with our graphs and our loop."""
    shipped: Wall


def measure_published(
    networks: Networks, ecgs: Sequence[bytes], threads: int, effort: Effort
) -> PublishedProcedure:
    served, in_torch = Served.with_threads(threads).pipeline, published_in_torch(networks)
    runtime, spec = OnnxRuntime(threads=threads), in_torch.spec
    trunk, head, decoder = (
        runtime.load(graph_file(networks, role), spec.sizes)
        for role in ("trunk", "diffusion-head", "decoder")
    )
    ours = Sampler(spec=spec, trunk=trunk, **networks.drawing(head, decoder))
    peer = replace(torch_pipeline(shipped_bundle(), sessions_of(networks)), sampler=in_torch)
    before, counts = torch.get_num_threads(), sorted({1, threads})
    ways = {
        **{f"torch {count}": (peer, count) for count in counts},
        "onnx": (replace(served, sampler=ours), threads),
        "shipped": (served, threads),
    }
    records = [record_of(content) for content in ecgs]

    def predict(pipeline: EcgToCmr, count: int, call: int) -> object:
        torch.set_num_threads(count)
        record = records[call % len(records)]
        return pipeline.predict(record, Subject(), source_digest=f"{call:064}")

    few = replace(effort, answers=effort.procedures, rounds=1)
    taken = take_turns({way: partial(predict, *each) for way, each in ways.items()}, few)
    torch.set_num_threads(before)
    best = min(counts, key=lambda count: taken[f"torch {count}"].p50_s)
    size = networks.mar_size
    return PublishedProcedure(
        procedure=(
            f"{spec.ar_steps} autoregressive steps over {spec.tokens} tokens, {spec.head.steps} "
            f"diffusion steps, guidance {spec.guidance.scale:g}; trunk {size.width} wide with "
            f"{size.encoder_depth} + {size.decoder_depth} blocks, head {size.head_width} wide"
        ),
        parameters=sum(each.numel() for each in networks.generator(diffusion=True).parameters()),
        in_torch=taken[f"torch {best}"],
        torch_threads=best,
        in_onnx=taken["onnx"],
        shipped=taken["shipped"],
    )
