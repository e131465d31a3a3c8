"""From an ONNX graph to the plan of an engine, with TensorRT or TensorRT for RTX."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from node.domain.errors import BundleError, DeviceError
from pipelines.graph_spec import Sizes
from pipelines.runtime.tensorrt_library import Progress, TensorRtLibrary

REVISION: Final = "1"
"""Part of an engine's name: another one whenever a builder is asked for something else than before,
here or in TensorRtLibrary: flags, profiles, capabilities, timings.
"""
OPEN = -1
"""How the libraries write the size of an open dimension."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltEngine:
    """What a builder gives."""

    plan: bytes = field(repr=False)
    """The engine's program for its GPU and library."""
    timings: bytes = field(repr=False)
    """What the builder has timed, for the next engine."""


def build_engine(
    library: TensorRtLibrary,
    graph: bytes,
    sizes: Sizes,
    *,
    name: str,
    capabilities: Sequence[str],
    timings: bytes = b"",
    progress: Progress,
) -> BuiltEngine:
    """The engine of a graph whose open dimensions stay within `sizes`; seconds to minutes.

    name: the graph's, for messages. capabilities: of the GPUs that TensorRT for RTX builds for.
    Raises BundleError (the library does not take the graph, or a dimension has no range),
    DeviceError (the engine cannot be built here).
    """
    builder = library.start("Builder")
    network = builder.create_network(library.network_flags)
    parser = library.module.OnnxParser(network, library.log)
    if not parser.parse(graph):
        raise BundleError(
            f"{library.title} {library.version} does not take {name}: "
            f'{"; ".join(_faults(parser))}; set model.runtime = "onnx", or export the bundle again'
        )
    config = builder.create_builder_config()
    # 19 bits of each product: by default on, and no fp32.
    config.clear_flag(library.module.BuilderFlag.TF32)
    library.aim(config, capabilities)
    _open(builder, network, config, sizes, name)
    library.time_with(config, timings)
    monitor = config.progress_monitor = library.monitor(name, progress)
    plan = _built(builder, network, config, monitor)
    if plan is None:
        raise DeviceError(
            f"{library.title} {library.version} cannot build {name} here "
            f"({library.log.last_error or 'it does not say why'}); look at the GPU's free memory, "
            'or set model.runtime = "onnx"'
        )
    progress(name, 1.0)
    return BuiltEngine(plan=bytes(plan), timings=library.timings(config))


def _built(builder: Any, network: Any, config: Any, monitor: Any) -> Any:
    """In a thread of its own: Ctrl-C, raised inside NVIDIA's code, would end the process."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        plan = thread.submit(builder.build_serialized_network, network, config)
        try:
            return plan.result()
        except BaseException:
            monitor.cancelled = True
            raise


def _faults(parser: Any) -> Iterator[str]:
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        yield f"node {error.node_name()} ({error.node_operator()}): {error.desc()}"


def _open(builder: Any, network: Any, config: Any, sizes: Sizes, name: str) -> None:
    """Say which sizes the open dimensions of the inputs take, if there are any."""
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    opened = [tensor for tensor in inputs if OPEN in tuple(tensor.shape)]
    if not opened:
        return
    profile = builder.create_optimization_profile()
    for tensor in opened:
        try:
            profile.set_shape(tensor.name, *_shapes(tensor, sizes, name))
        except ValueError as error:
            raise _refused_sizes(name) from error
    if config.add_optimization_profile(profile) < 0:
        raise _refused_sizes(name)


def _shapes(tensor: Any, sizes: Sizes, name: str) -> tuple[tuple[int, ...], ...]:
    """The least, the usual and the largest shape of an input."""
    ranges: list[tuple[int, ...]] = []
    for axis, size in enumerate(tensor.shape):
        if size != OPEN:
            ranges.append((size, size, size))
            continue
        dimension = tensor.get_dimension_name(axis)
        if dimension not in sizes:
            raise BundleError(
                f"{name} leaves dimension {axis} ({dimension or 'without a name'}) of its input "
                f"{tensor.name} open, and the bundle has no range for it: export the bundle again"
            )
        ranges.append(tuple(sizes[dimension]))
    return tuple(zip(*ranges, strict=True))


def _refused_sizes(name: str) -> BundleError:
    return BundleError(
        f"{name} has open dimensions whose ranges contradict each other: export the bundle again"
    )
