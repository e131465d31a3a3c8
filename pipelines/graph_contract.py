"""What a bundle's graphs owe the pipeline: inputs it can give, outputs for all that is offered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pipelines.bundle import MANIFEST, Bundle
from pipelines.graph_spec import GraphSpec, TensorSpec
from pipelines.manifest import CineSpec, Manifest
from pipelines.onnx_file import read_declared
from pipelines.preprocessing import RECIPES
from pipelines.runtime import Session, Tensor
from pipelines.sampler_spec import LayoutSpec, SamplerSpec

REMEDY: Final = "export the bundle again; it must not be served"
_LEADS, _TRAITS = 12, 8

Layout = Mapping[str, tuple[str, tuple[int | str, ...]]]
"""Name -> numpy's dtype, shape."""


def check_contract(bundle: Bundle) -> None:
    """The manifest's graphs take what the pipeline gives and give what it offers.

    Raises BundleError.
    """
    manifest = bundle.manifest
    ecg, cine = manifest.graphs.ecg, manifest.graphs.cine
    taken = {"ecg": _float(1, _LEADS, RECIPES[manifest.preprocessing].window_samples)}
    if ecg.takes("subject"):
        taken["subject"] = _float(1, _TRAITS)
    _demand(bundle, ecg, "input", _layout(ecg.inputs), taken)
    given = _layout(ecg.outputs)
    for name, owed in _offered_outputs(manifest).items():
        if given.get(name) != owed:
            raise bundle.fault(f"{ecg.file}: output {_text({name: owed}, 'must be')}", REMEDY)
    if manifest.cine is None:
        return
    if isinstance(manifest.sampler, LayoutSpec):
        _check_layout(bundle, manifest.sampler, manifest.cine)
    elif manifest.sampler is not None:
        _check_sampler(bundle, manifest.sampler, manifest.cine)
    elif cine is not None:
        if "latent" not in given or _layout(cine.inputs) != {"latent": given["latent"]}:
            raise bundle.fault(f"{cine.file}: input must be the ecg graph's latent", REMEDY)
        _demand(bundle, cine, "output", _layout(cine.outputs), {"frames": _frames(manifest.cine)})


def check_files(bundle: Bundle) -> None:
    """Each file has the opset that the manifest declares, and its weights inside.

    Raises BundleError.
    """
    for spec in bundle.manifest.graphs.offered.values():
        try:
            declared = read_declared(bundle.content(spec.file))
        except ValueError as error:
            raise bundle.fault(f"{spec.file} is not an ONNX graph ({error})", REMEDY) from error
        if declared.opset != spec.opset:
            raise bundle.fault(
                f"{spec.file} is of opset {declared.opset or 'none'}, {MANIFEST} declares "
                f"{spec.opset}",
                REMEDY,
            )
        if declared.weights_outside:
            raise bundle.fault(f"{spec.file} has weights in other files", REMEDY)


def check_graph(bundle: Bundle, spec: GraphSpec, session: Session) -> None:
    """The file's inputs and outputs are those that the manifest declares. Raises BundleError."""
    for kind, declared, actual in (
        ("inputs", spec.inputs, session.inputs),
        ("outputs", spec.outputs, session.outputs),
    ):
        if not _alike(declared, actual):
            raise bundle.fault(f"{spec.file}: its {kind} are not those {MANIFEST} declares", REMEDY)


def _alike(declared: Sequence[TensorSpec], actual: Sequence[Tensor]) -> bool:
    """Name for name, type for type, size for size; an open dimension may have lost its name."""
    found = {tensor.name: tensor for tensor in actual}
    return set(found) == {tensor.name for tensor in declared} and all(
        found[tensor.name].dtype == tensor.dtype
        and len(found[tensor.name].shape) == len(tensor.shape)
        and all(
            size == owed or (size is None and isinstance(owed, str))
            for size, owed in zip(found[tensor.name].shape, tensor.shape, strict=True)
        )
        for tensor in declared
    )


def _offered_outputs(manifest: Manifest) -> Layout:
    """Outputs that the ecg graph owes for what the bundle offers."""
    owed = {}
    if manifest.phenotypes:
        owed["phenotypes"] = owed["spread"] = _float(1, len(manifest.phenotypes))
    if manifest.diseases:
        owed["diseases"] = _float(1, len(manifest.diseases))
    return owed


def _check_sampler(bundle: Bundle, sampler: SamplerSpec, cine: CineSpec) -> None:
    """The three graphs fit the sampler, the ecg graph and each other."""
    graphs = bundle.manifest.graphs
    trunk, head, decoder = graphs.trunk, graphs.head, graphs.decoder
    assert trunk is not None and head is not None and decoder is not None  # of the manifest
    condition, z = _condition(bundle), _width(trunk, "z")
    values = sampler.token_values
    estimate = 2 * values if sampler.head.kind == "diffusion" else values
    owed: tuple[tuple[GraphSpec, Layout, Layout], ...] = (
        (
            trunk,
            {
                "tokens": _float("samples", "known", values),
                "known": ("int64", ("samples", "known")),
                "masked": ("int64", ("samples", "masked")),
                "condition": _float("samples", condition),
                "dropped": ("bool", ("samples",)),
            },
            {"z": _float("samples", "masked", z or "width")},
        ),
        (
            head,
            {"x": _float("rows", values), "t": _float("rows"), "z": _float("rows", z or "width")},
            {"estimate": _float("rows", estimate)},
        ),
        (decoder, {"latent": _float(1, *sampler.latent)}, {"frames": _frames(cine)}),
    )
    for graph, inputs, outputs in owed:
        _demand(bundle, graph, "input", _layout(graph.inputs), inputs)
        _demand(bundle, graph, "output", _layout(graph.outputs), outputs)


def _check_layout(bundle: Bundle, sampler: LayoutSpec, cine: CineSpec) -> None:
    """The two graphs fit the sampler, the ecg graph and each other."""
    layout, decoder = bundle.manifest.graphs.layout, bundle.manifest.graphs.decoder
    assert layout is not None and decoder is not None  # of the manifest
    inputs = {
        "condition": _float("samples", _condition(bundle)),
        "noise": _float("samples", sampler.components),
    }
    _demand(bundle, layout, "input", _layout(layout.inputs), inputs)
    latent = {"latent": _float("samples", *sampler.latent)}
    _demand(bundle, layout, "output", _layout(layout.outputs), latent)
    _demand(
        bundle, decoder, "input", _layout(decoder.inputs), {"latent": _float(1, *sampler.latent)}
    )
    _demand(bundle, decoder, "output", _layout(decoder.outputs), {"frames": _frames(cine)})


def _condition(bundle: Bundle) -> int:
    """Width of what the ecg graph tells a sampler."""
    ecg = bundle.manifest.graphs.ecg
    width = _width(ecg, "condition")
    if width is None:
        raise bundle.fault(f"{ecg.file}: output condition is what a sampler needs", REMEDY)
    return width


def _width(graph: GraphSpec, output: str) -> int | None:
    """The last dimension of an output, where it is there and fixed."""
    sizes = [tensor.shape[-1] for tensor in graph.outputs if tensor.name == output and tensor.shape]
    return next((size for size in sizes if isinstance(size, int)), None)


def _demand(bundle: Bundle, graph: GraphSpec, kind: str, declared: Layout, owed: Layout) -> None:
    if declared != owed:
        raise bundle.fault(f"{graph.file}: {kind} must be {_text(owed)}", REMEDY)


def _frames(cine: CineSpec) -> tuple[str, tuple[int | str, ...]]:
    return _float(1, cine.frames, cine.rows, cine.columns)


def _float(*shape: int | str) -> tuple[str, tuple[int | str, ...]]:
    return "float32", shape


def _layout(tensors: Iterable[TensorSpec]) -> Layout:
    return {tensor.name: (tensor.dtype, tensor.shape) for tensor in tensors}


def _text(layout: Layout, verb: str = "") -> str:
    """As a person reads it, e.g. "known (samples, known) int64"; float32 goes without saying."""
    return ", ".join(
        " ".join(
            part
            for part in (
                name,
                verb,
                f"({', '.join(map(str, shape))})",
                "" if dtype == "float32" else dtype,
            )
            if part
        )
        for name, (dtype, shape) in layout.items()
    )
