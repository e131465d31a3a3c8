"""The bundles there are, and the way from a bundle to a pipeline that has proved itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from node.domain.errors import BundleError
from node.domain.prediction import ModelIdentity
from pipelines.bundle import MANIFEST, Bundle, read_bundle
from pipelines.cine_sampler import CineSampler
from pipelines.ecg_to_cmr import EcgToCmr
from pipelines.graph_contract import check_contract, check_graph
from pipelines.layout_sampler import LayoutSampler
from pipelines.manifest import Manifest
from pipelines.preprocessing import RECIPES
from pipelines.runtime import Session
from pipelines.runtime.onnx import OnnxRuntime
from pipelines.sampler import Sampler
from pipelines.sampler_spec import LayoutSpec
from pipelines.self_test import self_test
from pipelines.signature import check_signature


def shipped_bundles() -> Path:
    """The folder of the bundles that come with cardionode."""
    return Path(str(resources.files("pipelines"))) / "bundles"


def is_shipped(bundle: Bundle) -> bool:
    """Whether it came with cardionode: who trusts the code trusts it too."""
    return bundle.folder.resolve().parent == shipped_bundles().resolve()


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


def load_pipeline(
    bundle: Bundle, *, threads: int, keys: Sequence[Ed25519PublicKey] = ()
) -> EcgToCmr:
    """Checksums, signature, graphs, golden self-test, then a pipeline that is ready.

    keys: one of which must have signed the bundle, unless it came with cardionode; none: whoever.
    Raises BundleError at the first thing that is wrong.
    """
    bundle.verify()
    if not is_shipped(bundle):
        check_signature(bundle, keys)
    manifest, runtime = bundle.manifest, OnnxRuntime()
    if manifest.preprocessing not in RECIPES:
        raise bundle.fault(
            f"{MANIFEST}: preprocessing {manifest.preprocessing!r} is not a recipe known here",
            "install the release of cardionode that the bundle was made for",
        )
    check_contract(bundle)
    sessions: dict[str, Session] = {}
    for role, spec in manifest.graphs.offered.items():
        sessions[role] = runtime.load(bundle.folder / spec.file, threads)
        check_graph(bundle, spec, sessions[role])
    sampler = _sampler(manifest, sessions)
    self_test(bundle, sessions, sampler)
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
        manifest=manifest,
        identity=identity,
        ecg=sessions["ecg"],
        cine=sessions.get("cine"),
        sampler=sampler,
    )


def _sampler(manifest: Manifest, sessions: Mapping[str, Session]) -> CineSampler | None:
    """What draws the bundle's cines, if it draws any."""
    spec = manifest.sampler
    if spec is None:
        return None
    graphs = {role: sessions[role] for role in spec.graphs}
    if isinstance(spec, LayoutSpec):
        return LayoutSampler(spec=spec, **graphs)
    return Sampler(spec=spec, **graphs)
