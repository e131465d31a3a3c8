"""All that our code asks of TensorRT, asked of the real bindings; a process a version.

    python -m tests.unit.runtime.binding_scenario tensorrt|tensorrt-rtx ["OLD=>NEW" ...]

Each OLD=>NEW is an alteration of our sources, tried by itself. Prints JSON: what was used, and the
fault of each alteration ("" where none was found).
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tests.unit.runtime.binding_surface import CudaSurface, Mismatch, Surface
from tests.unit.runtime.nvidia_twin import CudaTwin, LibraryTwin
from tests.unit.runtime.small_graphs import doubling, fourier

PACKAGE = "pipelines.runtime"
FOLDER = Path(__file__).parents[3] / "pipelines" / "runtime"
SOURCES = ("cuda", "tensorrt_library", "engine_build", "tensorrt_session", "tensorrt")
"""Each imports only those before it."""


def _altered(old: str, new: str) -> ModuleType:
    """Our modules anew, with every `old` of their sources replaced."""
    found = 0
    for name in SOURCES:
        source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        found += source.count(old) if old else 0
        fresh = ModuleType(f"{PACKAGE}.{name}")
        sys.modules[fresh.__name__] = fresh
        code = compile(source.replace(old, new) if old else source, f"{name}.py", "exec")
        exec(code, fresh.__dict__)
    if old and not found:
        raise SystemExit(f"no source has {old!r}")
    return sys.modules[f"{PACKAGE}.tensorrt"]


def _play(runtime_module: ModuleType, library: str, folder: Path) -> None:
    """Build, keep, load, record, run; and be refused a graph."""
    from node.domain.errors import BundleError
    from pipelines.graph_spec import Range

    sizes = {"samples": Range(1, 2, 4)}
    (folder / "graph.onnx").write_bytes(doubling())
    (folder / "refused.onnx").write_bytes(fourier())
    told: list[float] = []
    for _ in range(2):
        runtime: Any = runtime_module.TensorRtRuntime(
            library=library,
            precision="fp16",
            engines=folder / "engines",
            progress=lambda name, share: told.append(share),
        )
        session = runtime.load(folder / "graph.onnx", sizes)
        for rows in (1, 4, 1):
            x = np.ones((rows, 3), np.float32)
            assert (session.run({"x": x})["y"] == 2 * x).all()
    assert told[-1] == 1.0
    try:
        runtime.load(folder / "refused.onnx", {})
    except BundleError as error:
        assert "DFT" in error.message
    else:
        raise AssertionError("a graph that cannot be parsed was taken")


def _fault(library: str, real: Any, real_cuda: Any, old: str, new: str) -> tuple[str, set[str]]:
    cuda = CudaTwin()
    module = library.replace("-", "_")
    surface = Surface(LibraryTwin(cuda, real.__version__), real)
    sys.modules[module] = surface  # type: ignore[assignment]
    cuda_surface = CudaSurface(cuda, real_cuda)
    sys.modules["cuda.bindings.runtime"] = cuda_surface  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        try:
            _play(_altered(old, new), library, Path(folder))
        except Mismatch as error:
            return str(error), set()
    return "", {*surface.used, *cuda_surface.used}


def main(library: str, alterations: list[str]) -> None:
    real = importlib.import_module(
        {"tensorrt": "tensorrt_bindings", "tensorrt-rtx": "tensorrt_rtx_bindings"}[library]
    )
    real_cuda = importlib.import_module("cuda.bindings.runtime")
    fault, used = _fault(library, real, real_cuda, "", "")
    faults = {}
    for alteration in alterations:
        old, new = alteration.split("=>")
        faults[alteration] = _fault(library, real, real_cuda, old, new)[0]
    names = sorted(name for name in used if not name.startswith("_"))
    said = {"version": real.__version__, "fault": fault, "used": names, "faults": faults}
    print(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
