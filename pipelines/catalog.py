"""The bundles there are, and the way from a bundle to a pipeline that has proved itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from node.domain.errors import BundleError, ConfigurationError, DeviceError
from node.domain.prediction import ModelIdentity
from pipelines.bundle import MANIFEST, Bundle, read_bundle
from pipelines.cine_sampler import CineSampler
from pipelines.contract import Pipeline
from pipelines.ecg_to_cmr import EcgToCmr
from pipelines.graph_contract import check_contract, check_files, check_graph
from pipelines.layout_sampler import LayoutSampler
from pipelines.manifest import SIMULATED_STATEMENT, Manifest
from pipelines.parity import Deviation
from pipelines.preprocessing import RECIPES
from pipelines.runtime import Runtime, Session
from pipelines.runtime.selection import AUTO, Candidate, Wish, candidates
from pipelines.sampler import Sampler
from pipelines.sampler_spec import LayoutSpec
from pipelines.self_test import self_test
from pipelines.signature import check_signature
from pipelines.standby import WithStandby


def shipped_bundles() -> Path:
    """The folder of the bundles that come with cardionode."""
    return Path(str(resources.files("pipelines"))) / "bundles"


def is_shipped(bundle: Bundle) -> bool:
    """Whether it came with cardionode: who trusts the code trusts it too."""
    return bundle.folder.resolve().parent == shipped_bundles().resolve()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What there is in some folders, by name; graphs are not hashed yet."""

    bundles: Mapping[str, Bundle]
    broken: Mapping[str, BundleError]
    """By the folder's name; of two bundles of one name by that too."""

    def bundle(self, name: str) -> Bundle:
        """Raises BundleError (it is broken), KeyError (there is none)."""
        if name in self.bundles:
            return self.bundles[name]
        raise self.broken[name]


def find_bundles(folders: Sequence[Path]) -> Found:
    """Every bundle in these folders; one that cannot be read is in nobody's way.

    Raises BundleError (a folder is not there, or may not be read).
    """
    bundles: dict[str, Bundle] = {}
    broken: dict[str, BundleError] = {}
    doubled: set[str] = set()
    for folder in folders:
        if not folder.is_dir():
            raise BundleError(f"{folder} is not a folder; create it or correct model.folders")
        for place in _places(folder):
            try:
                bundle = read_bundle(place)
            except BundleError as error:
                broken[place.name] = error
                continue
            name = bundle.manifest.name
            other = bundles.setdefault(name, bundle)
            if other.folder.resolve() != bundle.folder.resolve():
                alike = BundleError(
                    f"two bundles are called {name}: {other.folder} and {bundle.folder}; keep one "
                    "of them"
                )
                doubled.add(name)
                broken |= dict.fromkeys((name, other.folder.name, bundle.folder.name), alike)
    kept = {name: bundles[name] for name in sorted(bundles) if name not in doubled}
    return Found(bundles=kept, broken=broken)


def _places(folder: Path) -> list[Path]:
    """Folders with a manifest; nobody knows of one that may not be read.

    Raises BundleError (the folder itself may not be read).
    """
    try:
        inside = sorted(folder.iterdir())
        return [
            each
            for each in inside
            if not each.name.startswith(".") and each.is_dir() and _is_bundle(each)
        ]
    except OSError as error:
        raise BundleError(
            f"cannot read {folder}: {error.strerror}; let the node's user read it, or correct "
            "model.folders"
        ) from error


def _is_bundle(folder: Path) -> bool:
    try:
        return (folder / MANIFEST).exists()
    except PermissionError:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A pipeline, and why it is this runtime's."""

    pipeline: Pipeline
    reason: str
    """What was passed over, and why; nothing where the first choice serves."""
    fell_back: bool
    """A runtime that is here could not serve the bundle."""
    proof: Sequence[Deviation]
    """How near its answers to the golden ECG came to those of the bundle's maker."""

    @property
    def text(self) -> str:
        """Which bundle on what, and what was passed over."""
        identity = self.pipeline.identity
        simulated = f", {SIMULATED_STATEMENT}" if identity.simulated else ""
        passed = f" ({self.reason})" if self.reason else ""
        return f"{identity.label} on {identity.runtime} {identity.precision}{passed}{simulated}"


def serve_bundle(
    bundle: Bundle,
    wish: Wish,
    *,
    keys: Sequence[Ed25519PublicKey] = (),
    said: Callable[[str], None],
) -> Served:
    """As `serve_presets`, the bundle as it is."""
    return serve_presets(bundle, wish, ("",), keys=keys, said=said)[""]


def serve_presets(
    bundle: Bundle,
    wish: Wish,
    presets: Sequence[str],
    *,
    keys: Sequence[Ed25519PublicKey] = (),
    said: Callable[[str], None],
) -> dict[str, Served]:
    """The bundle on the best runtime that is here, is wished for and proves itself.

    presets: of the bundle's, "" for the bundle as it is; all draw with the same graphs. said: told
    when a device that fails later is replaced by the CPU.
    Raises BundleError, DeviceError (of the last that was tried), ConfigurationError.
    """
    for preset in presets:
        _check_preset(bundle, preset)
    passed: dict[str, str] = {}
    fell_back, standby = False, None
    *others, last = candidates(wish)
    for candidate in others:
        try:
            runtime = candidate.make()
        except DeviceError as error:
            passed[candidate.name] = error.message
            continue
        try:
            loaded = load_pipeline(bundle, runtime, keys=keys)
        except (DeviceError, BundleError) as error:
            passed[str(candidate)] = error.message
            fell_back = True
            continue
        standby = last if wish.runtime == AUTO and last.is_cpu else None
        break
    else:
        loaded = load_pipeline(bundle, last.make(), keys=keys)

    def served(preset: str) -> Pipeline:
        chosen = loaded.with_preset(preset) if preset else loaded
        if standby is None:
            return chosen
        return WithStandby(chosen, partial(_load, bundle, standby, preset, keys), said)

    reason = "; ".join(f"not {name}: {why}" for name, why in passed.items())
    return {
        preset: Served(
            pipeline=served(preset), reason=reason, fell_back=fell_back, proof=loaded.proof
        )
        for preset in presets
    }


def _load(
    bundle: Bundle, candidate: Candidate, preset: str, keys: Sequence[Ed25519PublicKey]
) -> EcgToCmr:
    return load_pipeline(bundle, candidate.make(), preset=preset, keys=keys)


def load_pipeline(
    bundle: Bundle,
    runtime: Runtime,
    *,
    preset: str = "",
    keys: Sequence[Ed25519PublicKey] = (),
) -> EcgToCmr:
    """Checksums, signature, graphs, golden self-test, then a pipeline that is ready.

    keys: one of which must have signed the bundle, unless it came with cardionode; none: whoever.
    Raises BundleError at the first thing that is wrong, DeviceError, ConfigurationError (no such
    preset).
    """
    bundle.verify()
    if not is_shipped(bundle):
        check_signature(bundle, keys)
    manifest = bundle.manifest
    if manifest.preprocessing not in RECIPES:
        raise bundle.fault(
            f"{MANIFEST}: preprocessing {manifest.preprocessing!r} is not a recipe known here",
            "install the release of cardionode that the bundle was made for",
        )
    check_contract(bundle)
    check_files(bundle)
    _check_preset(bundle, preset)
    sizes = {} if manifest.sampler is None else manifest.sampler.sizes
    sessions: dict[str, Session] = {}
    for role, spec in manifest.graphs.offered.items():
        sessions[role] = runtime.load(bundle.folder / spec.file, sizes)
        check_graph(bundle, spec, sessions[role])
    sampler = _sampler(manifest, sessions)
    proof = self_test(bundle, sessions, sampler, precision=runtime.precision)
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
    loaded = EcgToCmr(
        manifest=manifest,
        identity=identity,
        ecg=sessions["ecg"],
        cine=sessions.get("cine"),
        sampler=sampler,
        proof=proof,
    )
    return loaded.with_preset(preset) if preset else loaded


def _check_preset(bundle: Bundle, preset: str) -> None:
    presets = {} if bundle.manifest.sampler is None else bundle.manifest.sampler.presets
    if preset and preset not in presets:
        raise ConfigurationError(
            f"bundle {bundle.manifest.name} has no preset {preset!r}; it has "
            f"{', '.join(presets) or 'none'}: correct the name behind the / in [model]"
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
