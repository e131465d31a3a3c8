"""Networks to ONNX graphs as a bundle serves them, and proof that both give the same."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.graph_spec import GraphSpec, TensorSpec
from pipelines.preprocessing import Recipe

# It names operators of torchvision, which no network here uses, in every export.
logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)

OPSET = 20
"""The newest that ONNX Runtime, OpenVINO and TensorRT all take."""


OpenSizes = Mapping[str, Mapping[int, Any]]
"""Of an input its dimensions that each run sets: axis -> torch.export.Dim."""


def export_graph(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    dynamic_shapes: OpenSizes | None = None,
) -> bytes:
    """The network as an ONNX file: shapes of `inputs`, weights inside, opset 20, fp32.

    Shapes are static but for `dynamic_shapes`; one Dim in several places is one size.
    """
    opened = None
    if dynamic_shapes is not None:
        opened = tuple(dict(dynamic_shapes.get(name, {})) or None for name in inputs)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch.onnx warns about its own future
        program = torch.onnx.export(
            network.eval(),
            tuple(value.clone() for value in inputs.values()),
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
            dynamic_shapes=opened,
        )
    if program is None:
        raise AssertionError("the dynamo exporter gives a program")
    return _without_origin(program.model_proto)


def _without_origin(model: Any) -> bytes:
    """The graph without the exporter's notes on it: they name files of the machine it ran on."""
    graph = model.graph
    parts = (graph.node, graph.value_info, graph.initializer, graph.input, graph.output)
    for part in (model, graph, *(each for group in parts for each in group)):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return bytes(model.SerializeToString())


def graph_spec(graph: bytes, file: str) -> GraphSpec:
    """What a manifest says of the graph, as read from it."""
    proto = onnx.load_model_from_string(graph).graph
    return GraphSpec(
        file=file,
        opset=OPSET,
        precision="fp32",
        inputs=tuple(_tensor_spec(value) for value in proto.input),
        outputs=tuple(_tensor_spec(value) for value in proto.output),
    )


def _tensor_spec(value: Any) -> TensorSpec:
    kind = value.type.tensor_type
    shape = tuple(size.dim_param or size.dim_value for size in kind.shape.dim)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    return TensorSpec.model_validate({"name": value.name, "dtype": dtype, "shape": shape})


def run_graph(graph: bytes, inputs: Mapping[str, Tensor]) -> dict[str, NDArray[np.float32]]:
    """What ONNX Runtime makes of the graph."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    given = {name: value.numpy() for name, value in inputs.items()}
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, given), strict=True))


def largest_difference(
    network: nn.Module, graph: bytes, inputs: Mapping[str, Tensor], outputs: Sequence[str]
) -> float:
    """Largest difference of any output between torch and ONNX Runtime, over max(1, |value|)."""
    with torch.inference_mode():
        answer = network(*inputs.values())
    expected = answer if isinstance(answer, tuple) else (answer,)
    found = run_graph(graph, inputs)
    return max(
        float((np.abs(found[name] - want.numpy()) / np.maximum(1.0, np.abs(want.numpy()))).max())
        for name, want in zip(outputs, expected, strict=True)
    )


def example_ecg(recipe: Recipe) -> NDArray[np.float64]:
    """(12, window) mV of nobody: a bell a second over a wave of the lead's own.

    No patch is flat: the norm over a flat patch would magnify rounding, on any two machines apart.
    """
    time = np.arange(recipe.window_samples) / recipe.sampling_frequency_hz
    bell = np.exp(-(((time % 1.0) - 0.4) ** 2) / 0.0008)
    leads = np.arange(12.0)[:, np.newaxis]
    waves = 0.2 * np.sin(2.0 * np.pi * (4.0 + leads) * time)  # a cycle a patch, or more
    ecg: NDArray[np.float64] = (leads / 6.0 - 0.5) * bell + waves
    return ecg
