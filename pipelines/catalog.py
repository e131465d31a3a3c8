"""The bundles there are, and the way from a bundle to a pipeline that has proved itself."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.domain.errors import BundleError, PredictionError
from node.domain.prediction import ModelIdentity
from pipelines.bundle import MANIFEST, Bundle, read_bundle
from pipelines.ecg_to_cmr import EcgToCmr
from pipelines.manifest import GraphSpec, Manifest, TensorSpec
from pipelines.preprocessing import RECIPES
from pipelines.runtime import Session, Tensor
from pipelines.runtime.onnx import OnnxRuntime

_LEADS, _TRAITS = 12, 8
_REMEDY: Final = "export the bundle again; it must not be served"


def shipped_bundles() -> Path:
    """The folder of the bundles that come with cardionode."""
    return Path(str(resources.files("pipelines"))) / "bundles"


def list_bundles(folders: Sequence[Path]) -> list[Bundle]:
    """Every bundle in these folders, by name; graphs are not hashed yet.

    Raises BundleError (a folder is not there, a bundle that cannot be read, a name used twice).
    """
    found: dict[str, Bundle] = {}
    for folder in folders:
        if not folder.is_dir():
            raise BundleError(f"{folder} is not a folder; create it or correct model.folders")
        for manifest in sorted(folder.glob(f"*/{MANIFEST}")):
            bundle = read_bundle(manifest.parent)
            name = bundle.manifest.name
            if name in found and found[name].folder.resolve() != bundle.folder.resolve():
                raise BundleError(
                    f"two bundles are called {name}: {found[name].folder} and {bundle.folder}; "
                    "keep one of them"
                )
            found[name] = bundle
    return [found[name] for name in sorted(found)]


def load_pipeline(bundle: Bundle, *, threads: int) -> EcgToCmr:
    """Checksums, graphs, golden self-test, then a pipeline that is ready.

    Raises BundleError at the first thing that is wrong.
    """
    bundle.verify()
    manifest, runtime = bundle.manifest, OnnxRuntime()
    if manifest.preprocessing not in RECIPES:
        raise _fault(
            bundle,
            f"{MANIFEST}: preprocessing {manifest.preprocessing!r} is not a recipe known here",
            "install the release of cardionode that the bundle was made for",
        )
    _check_contract(bundle)
    sessions: dict[str, Session] = {}
    for role, spec in manifest.graphs.offered.items():
        sessions[role] = runtime.load(bundle.folder / spec.file, threads)
        _check_graph(bundle, spec, sessions[role])
    _self_test(bundle, sessions)
    identity = ModelIdentity(
        bundle=manifest.name,
        version=manifest.version,
        digest=bundle.digest,
        runtime=runtime.name,
        precision=runtime.precision,
        intended_use=manifest.intended_use,
        training_data=manifest.training_data,
        simulated=manifest.simulated,
        interval_coverage=manifest.interval_coverage,
    )
    return EcgToCmr(
        manifest=manifest, identity=identity, ecg=sessions["ecg"], cine=sessions.get("cine")
    )


def _check_contract(bundle: Bundle) -> None:
    """The manifest's graphs take what the pipeline gives and give what it offers."""
    manifest = bundle.manifest
    window = RECIPES[manifest.preprocessing].window_samples
    taken = {"ecg": (1, _LEADS, window), "subject": (1, _TRAITS)}
    ecg, cine = manifest.graphs.ecg, manifest.graphs.cine
    if _shapes(ecg.inputs) != taken:
        raise _fault(bundle, f"{ecg.file}: inputs must be ecg and subject: {taken}", _REMEDY)
    given = _shapes(ecg.outputs)
    for name, shape in _offered_outputs(manifest).items():
        if given.get(name) != shape:
            raise _fault(bundle, f"{ecg.file}: output {name} must be {shape}", _REMEDY)
    if cine is None or manifest.cine is None:
        return
    picture = manifest.cine
    if "latent" not in given or _shapes(cine.inputs) != {"latent": given["latent"]}:
        raise _fault(bundle, f"{cine.file}: input must be the ecg graph's latent", _REMEDY)
    frames = (1, picture.frames, picture.rows, picture.columns)
    if _shapes(cine.outputs) != {"frames": frames}:
        raise _fault(bundle, f"{cine.file}: output must be frames {frames}", _REMEDY)


def _offered_outputs(manifest: Manifest) -> dict[str, tuple[int, ...]]:
    """Outputs that the ecg graph owes for what the bundle offers."""
    owed: dict[str, tuple[int, ...]] = {}
    if manifest.phenotypes:
        owed["phenotypes"] = owed["spread"] = (1, len(manifest.phenotypes))
    if manifest.diseases:
        owed["diseases"] = (1, len(manifest.diseases))
    return owed


def _shapes(tensors: Sequence[TensorSpec]) -> dict[str, tuple[int, ...]]:
    return {tensor.name: tensor.shape for tensor in tensors}


def _check_graph(bundle: Bundle, spec: GraphSpec, session: Session) -> None:
    """The file's inputs and outputs are those that the manifest declares."""
    for kind, declared, actual in (
        ("inputs", spec.inputs, session.inputs),
        ("outputs", spec.outputs, session.outputs),
    ):
        expected = tuple(
            Tensor(name=item.name, dtype=item.dtype, shape=item.shape) for item in declared
        )
        if sorted(expected, key=_name) != sorted(actual, key=_name):
            raise _fault(
                bundle, f"{spec.file}: its {kind} are not those {MANIFEST} declares", _REMEDY
            )


def _name(tensor: Tensor) -> str:
    return tensor.name


def _self_test(bundle: Bundle, sessions: dict[str, Session]) -> None:
    """Run the golden inputs and compare every output with what the bundle's maker got."""
    golden = _read_golden(bundle)
    tolerance = bundle.manifest.golden.tolerance
    for role, session in sessions.items():
        try:
            given = session.run({tensor.name: golden[tensor.name] for tensor in session.inputs})
            differing = [name for name in given if not _near(given[name], golden[name], tolerance)]
        except KeyError as error:
            raise _fault(
                bundle, f"{bundle.manifest.golden.file} lacks the array {error}", _REMEDY
            ) from error
        except PredictionError as error:
            raise _fault(bundle, f"self-test: {error.message}", _REMEDY) from error
        if differing:
            raise _fault(
                bundle,
                f"self-test: {role} graph gives other {', '.join(differing)} than "
                f"{bundle.manifest.golden.file} has",
                _REMEDY,
            )


def _read_golden(bundle: Bundle) -> dict[str, NDArray[np.float32]]:
    name = bundle.manifest.golden.file
    content = bundle.content(name)
    try:
        with (
            zipfile.ZipFile(BytesIO(content)),  # np.load takes other formats too
            np.load(BytesIO(content), allow_pickle=False) as arrays,
        ):
            return {key: arrays[key] for key in arrays.files}
    except (ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise _fault(bundle, f"{name} is not an archive of arrays", _REMEDY) from error


def _near(given: NDArray[np.float32], expected: NDArray[np.float32], tolerance: float) -> bool:
    if given.shape != expected.shape:
        return False
    scale = max(1.0, float(np.abs(expected).max()))
    return float(np.abs(given - expected).max()) <= tolerance * scale


def _fault(bundle: Bundle, what: str, remedy: str) -> BundleError:
    return BundleError(f"bundle {bundle.manifest.name}: {what}; {remedy}")
