"""A bundle's fp32 graph with 8-bit products inside: what ONNX Runtime serves as int8.

A bundle holds its weights once, in fp32. The wide products of a transformer, with every token, are
taken in 8 bits; convolutions stay as they are, and so do the heads, which run once an ECG.
"""

from __future__ import annotations

import platform
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from node.domain.errors import BundleError, DeviceError

PRODUCT: Final = "MatMul"
"""Of tokens; what runs once for a sample is exported as Gemm."""
LEAST_WIDTH: Final = 128
"""Rows and columns of weights that are taken in 8 bits: of fewer, as those of a patch's samples in
mV, the rounding costs more than it saves."""
EXACT_SUMS: Final = frozenset({"avx512_vnni", "avx_vnni"})
"""Of x86, what adds products of 8 bits without overflow."""
CPU: Final = Path("/proc/cpuinfo")


def int8(path: Path) -> bytes:
    """The ONNX file with such products in 8 bits, its inputs and outputs as they were.

    Weights are rounded by column, to 7 bits on processors on which sums of 8 overflow; activations
    as they come, each tensor by its own range: an answer depends on what it was computed together
    with.
    Raises DeviceError (the package onnx is missing), BundleError (not an ONNX file).
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.quantization.quant_utils import add_pre_process_metadata
    except ImportError as error:
        raise DeviceError(
            'int8 needs the package onnx: pip install "cardionode[int8]", '
            'or set model.precision = "fp32"'
        ) from error
    try:
        model = onnx.load(path)
    except DecodeError as error:
        raise BundleError(
            f"{path.name} is not an ONNX graph; export the bundle again or install its release"
        ) from error
    products = _products(model.graph)
    if not products:
        return path.read_bytes()
    add_pre_process_metadata(model)  # else it warns: exported graphs need no simplification
    try:
        with TemporaryDirectory() as folder:
            written = Path(folder) / path.name
            quantize_dynamic(
                model,
                written,
                op_types_to_quantize=[PRODUCT],
                nodes_to_quantize=products,
                per_channel=True,
                reduce_range=not sums_are_exact(),
                weight_type=QuantType.QInt8,
            )
            return written.read_bytes()
    except OSError as error:
        raise DeviceError(
            f"int8 needs room for {path.name} in the folder for temporary files "
            f'({error.strerror}); set TMPDIR, or model.precision = "fp32"'
        ) from error


def sums_are_exact() -> bool:
    """Whether ONNX Runtime adds products of 8 bits on this processor without overflow."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return True
    try:
        told = CPU.read_text(encoding="utf-8")
    except OSError:
        return False
    return any(not EXACT_SUMS.isdisjoint(line.split()) for line in told.splitlines())


def _products(graph: Any) -> list[str]:
    """Names of the products with weights that are wide enough."""
    wide = {each.name for each in graph.initializer if min(each.dims, default=0) >= LEAST_WIDTH}
    for index, node in enumerate(graph.node):
        node.name = node.name or f"unnamed_{index}"
    return [node.name for node in graph.node if node.op_type == PRODUCT and node.input[1] in wide]
