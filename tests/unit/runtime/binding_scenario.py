"""All that our code asks of TensorRT, asked of the real bindings; a process a version.

    python -m tests.unit.runtime.binding_scenario tensorrt|tensorrt-rtx ["OLD=>NEW" ...]

Each OLD=>NEW is an alteration of our sources, tried by itself; so is a misspelling at each place
that names something of NVIDIA's. Prints JSON: what was used, and the fault of each alteration and
misspelling ("" where none was found).
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tests.unit.runtime.binding_surface import CudaSurface, Mismatch, Surface
from tests.unit.runtime.nvidia_names import Place, names_of_cuda, names_of_tensorrt, places
from tests.unit.runtime.nvidia_twin import CudaTwin, LibraryTwin
from tests.unit.runtime.small_graphs import doubling, fourier

PACKAGE = "pipelines.runtime"
FOLDER = Path(__file__).parents[3] / "pipelines" / "runtime"
SOURCES = ("cuda", "tensorrt_library", "engine_build", "tensorrt_session", "tensorrt")
"""Each imports only those before it."""
Alter = Callable[[str, str], str]
"""Of a source and its text, the text to be tried."""


def _as_it_is(source: str, text: str) -> str:
    return text


def _replacing(old: str, new: str) -> Alter:
    if not any(old in _text(source) for source in SOURCES):
        raise SystemExit(f"no source has {old!r}")
    return lambda source, text: text.replace(old, new)


def _misspelling(place: Place) -> Alter:
    return lambda source, text: place.misspelt(text) if source == place.source else text


def _text(source: str) -> str:
    return (FOLDER / f"{source}.py").read_text(encoding="utf-8")


def _altered(alter: Alter) -> ModuleType:
    """Our modules anew."""
    for source in SOURCES:
        fresh = ModuleType(f"{PACKAGE}.{source}")
        sys.modules[fresh.__name__] = fresh
        exec(compile(alter(source, _text(source)), f"{source}.py", "exec"), fresh.__dict__)
    return sys.modules[f"{PACKAGE}.tensorrt"]


def _play(runtime_module: ModuleType, library: str, folder: Path) -> None:
    """Build, keep, load, record, run, of open and of fixed sizes; be refused a graph, and told."""
    from node.domain.errors import BundleError
    from pipelines.graph_spec import Range

    sizes = {"samples": Range(1, 2, 4)}
    (folder / "graph.onnx").write_bytes(doubling())
    (folder / "fixed.onnx").write_bytes(doubling(2))
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
    x = np.ones((2, 3), np.float32)
    assert (runtime.load(folder / "fixed.onnx", {}).run({"x": x})["y"] == 2 * x).all()
    runtime.tensorrt.log.log(runtime.tensorrt.module.ILogger.ERROR, "out of\n memory")
    assert runtime.tensorrt.log.last_error == "out of memory"
    try:
        runtime.load(folder / "refused.onnx", {})
    except BundleError as error:
        assert "DFT" in error.message
    else:
        raise AssertionError("a graph that cannot be parsed was taken")


def _fault(library: str, real: Any, real_cuda: Any, alter: Alter) -> tuple[str, set[str]]:
    cuda = CudaTwin()
    module = library.replace("-", "_")
    surface = Surface(LibraryTwin(cuda, real.__version__), real)
    sys.modules[module] = surface  # type: ignore[assignment]
    cuda_surface = CudaSurface(cuda, real_cuda)
    sys.modules["cuda.bindings.runtime"] = cuda_surface  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        try:
            _play(_altered(alter), library, Path(folder))
        except Mismatch as error:
            return str(error), set()
        except AttributeError as error:
            if not getattr(error.obj, "__module__", "").startswith(real.__name__):
                raise  # else it is the real class itself that lacks it
            return str(error), set()
    return "", {*surface.used, *cuda_surface.used}


def main(library: str, alterations: list[str]) -> None:
    real = importlib.import_module(
        {"tensorrt": "tensorrt_bindings", "tensorrt-rtx": "tensorrt_rtx_bindings"}[library]
    )
    real_cuda = importlib.import_module("cuda.bindings.runtime")
    fault, used = _fault(library, real, real_cuda, _as_it_is)
    theirs = names_of_tensorrt(real) | names_of_cuda(real_cuda)
    found = [place for source in SOURCES for place in places(source, _text(source), theirs)]
    said = {
        "version": real.__version__,
        "fault": fault,
        "used": sorted(name for name in used if not name.startswith("_")),
        "faults": {
            each: _fault(library, real, real_cuda, _replacing(*each.split("=>")))[0]
            for each in alterations
        },
        "misspelt": {
            str(place): _fault(library, real, real_cuda, _misspelling(place))[0] for place in found
        },
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
