"""The proof that a bundle's graphs answer here as they did where the bundle was made."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from node.domain.errors import PredictionError
from pipelines.bundle import Bundle
from pipelines.cine_sampler import CineSampler
from pipelines.graph_contract import REMEDY
from pipelines.runtime import Array, Session

Golden = Mapping[str, NDArray[np.float32]]


def golden_name(role: str, tensor: str) -> str:
    """Where the golden archive keeps an input or output; those of the sampler say whose."""
    return tensor if role in ("ecg", "cine") else f"{role}.{tensor}"


def self_test(bundle: Bundle, sessions: Mapping[str, Session], sampler: CineSampler | None) -> None:
    """Run the golden inputs and compare every output with what the bundle's maker got.

    Of a sampler a short drawing too: that order and noise are the same here is part of it.
    Raises BundleError.
    """
    name = bundle.manifest.golden.file
    golden = _read_golden(bundle)
    try:
        for role, session in sessions.items():
            _test_graph(bundle, golden, role, session)
        if sampler is not None:
            _test_drawing(bundle, golden, sampler)
    except KeyError as error:
        raise bundle.fault(f"{name} lacks the array {error}", REMEDY) from error
    except PredictionError as error:
        raise bundle.fault(f"self-test: {error.message}", REMEDY) from error


def _test_graph(bundle: Bundle, golden: Golden, role: str, session: Session) -> None:
    expected = {tensor.name: golden[golden_name(role, tensor.name)] for tensor in session.outputs}
    given = session.run(
        {tensor.name: golden[golden_name(role, tensor.name)] for tensor in session.inputs}
    )
    tolerance = bundle.manifest.golden.tolerance
    differing = [name for name in given if not _near(given[name], expected[name], tolerance)]
    if differing:
        raise bundle.fault(
            f"self-test: {role} graph gives other {', '.join(differing)} than "
            f"{bundle.manifest.golden.file} has",
            REMEDY,
        )


def _test_drawing(bundle: Bundle, golden: Golden, sampler: CineSampler) -> None:
    latent = sampler.golden_latent(golden["condition"])
    expected = golden[golden_name("decoder", "latent")]
    if not _near(latent, expected, bundle.manifest.golden.drawn_tolerance):
        raise bundle.fault(
            f"self-test: the sampler draws another latent than {bundle.manifest.golden.file} has",
            REMEDY,
        )


def _read_golden(bundle: Bundle) -> Golden:
    name = bundle.manifest.golden.file
    content = bundle.content(name)
    try:
        with (
            zipfile.ZipFile(BytesIO(content)),  # np.load takes other formats too
            np.load(BytesIO(content), allow_pickle=False) as arrays,
        ):
            return {key: arrays[key] for key in arrays.files}
    except (ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise bundle.fault(f"{name} is not an archive of arrays", REMEDY) from error


def _near(given: Array, expected: NDArray[np.float32], tolerance: float) -> bool:
    if given.shape != expected.shape:
        return False
    scale = max(1.0, float(np.abs(expected).max()))
    return float(np.abs(given - expected).max()) <= tolerance * scale
