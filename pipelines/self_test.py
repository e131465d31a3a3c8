"""The proof that a bundle's graphs answer here as they did where the bundle was made."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.domain.errors import PredictionError
from pipelines.bundle import Bundle
from pipelines.cine_sampler import CineSampler
from pipelines.graph_contract import REMEDY
from pipelines.parity import GATES, Deviation, RelativeError, picture_fault, reader_faults
from pipelines.runtime import Array, Session

Golden = Mapping[str, NDArray[np.float32]]
EXACT: Final = "fp32"
MOST_BYTES: Final = 1 << 30
"""Of the golden arrays, unpacked; those of the published networks take a tenth."""
_NO_ARCHIVE: Final = (
    ValueError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, OverflowError,
    MemoryError,  # an array that says it is larger than what follows
    NotImplementedError, RuntimeError,  # compressed or encrypted as no archive of ours
)  # fmt: skip
FEWER: Final = 'this bundle is not served in this precision here; set model.precision = "fp32"'


def golden_name(role: str, tensor: str) -> str:
    """Where the golden archive keeps an input or output; those of the sampler say whose."""
    return tensor if role in ("ecg", "cine") else f"{role}.{tensor}"


def self_test(
    bundle: Bundle,
    sessions: Mapping[str, Session],
    sampler: CineSampler | None,
    *,
    precision: str = "fp32",
) -> tuple[Deviation, ...]:
    """Run the golden inputs and compare every output with what the bundle's maker got.

    Of a sampler a short drawing too: that order and noise are the same here is part of it. Fewer
    bits than fp32 must pass the gates of `pipelines.parity`.
    How far each strayed. Raises BundleError.
    """
    name = bundle.manifest.golden.file
    golden = _read_golden(bundle)
    found: list[Deviation] = []
    try:
        for role, session in sessions.items():
            found += _test_graph(bundle, golden, role, session, precision)
        if sampler is not None:
            found += _test_drawing(bundle, golden, sampler, sessions, precision)
    except KeyError as error:
        raise bundle.fault(f"{name} lacks the array {error}", REMEDY) from error
    except PredictionError as error:
        raise bundle.fault(f"self-test: {error.message}", REMEDY) from error
    return tuple(found)


def _test_graph(
    bundle: Bundle, golden: Golden, role: str, session: Session, precision: str
) -> Iterator[Deviation]:
    expected = {tensor.name: golden[golden_name(role, tensor.name)] for tensor in session.outputs}
    given = session.run(
        {tensor.name: golden[golden_name(role, tensor.name)] for tensor in session.inputs}
    )
    tolerance = bundle.manifest.golden.tolerance
    differing = [
        name for name in given if not _near(given[name], expected[name], tolerance, precision)
    ]
    if differing:
        raise bundle.fault(
            f"self-test: {role} graph gives other {', '.join(differing)} than "
            f"{bundle.manifest.golden.file} has",
            _remedy(precision),
        )
    if precision != EXACT:
        _test_readings(bundle, given, expected)
    for name, tensor in given.items():
        yield _deviation(golden_name(role, name), tensor, expected[name], tolerance, precision)


def _test_readings(
    bundle: Bundle, given: Mapping[str, Array], expected: Mapping[str, NDArray[np.float32]]
) -> None:
    """What a reader sees of a graph that computes with fewer bits."""
    faults: list[str] = []
    if "phenotypes" in given:
        faults += reader_faults(bundle.manifest, given["phenotypes"], expected["phenotypes"])
    if "frames" in given:
        offset, scale = (0.0, 1.0) if bundle.manifest.sampler is None else (1.0, 0.5)
        ours, theirs = (
            np.clip(scale * (each["frames"][0] + offset), 0.0, 1.0) for each in (given, expected)
        )
        fault = picture_fault(ours, theirs)
        faults += [fault] if fault else []
    if faults:
        raise bundle.fault(f"self-test: the golden ECG reads otherwise: {'; '.join(faults)}", FEWER)


def _test_drawing(
    bundle: Bundle,
    golden: Golden,
    sampler: CineSampler,
    sessions: Mapping[str, Session],
    precision: str,
) -> Iterator[Deviation]:
    latent = sampler.golden_latent(golden["condition"])
    expected = golden[golden_name("decoder", "latent")]
    if precision != EXACT:  # the first steps of a drawing magnify rounding: the picture decides
        frames = sessions["decoder"].run({"latent": latent})
        _test_readings(bundle, frames, {"frames": golden[golden_name("decoder", "frames")]})
        return
    tolerance = bundle.manifest.golden.drawn_tolerance
    if not _near(latent, expected, tolerance, precision):
        raise bundle.fault(
            f"self-test: the sampler draws another latent than {bundle.manifest.golden.file} has",
            REMEDY,
        )
    yield _deviation("drawn latent", latent, expected, tolerance, precision)


def _read_golden(bundle: Bundle) -> Golden:
    name = bundle.manifest.golden.file
    content = bundle.content(name)
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:  # np.load takes other formats too
            if sum(entry.file_size for entry in archive.infolist()) > MOST_BYTES:
                raise bundle.fault(f"{name} unpacks to more than {MOST_BYTES} bytes", REMEDY)
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except _NO_ARCHIVE as error:
        raise bundle.fault(f"{name} is not an archive of arrays", REMEDY) from error


def _near(given: Array, expected: NDArray[np.float32], tolerance: float, precision: str) -> bool:
    if given.shape != expected.shape:
        return False
    if precision != EXACT:
        return GATES[precision].passes(RelativeError.of(given, expected))
    found = _deviation("", given, expected, tolerance, precision)
    return found.largest <= found.allowed


def _deviation(
    output: str, given: Array, expected: NDArray[np.float32], tolerance: float, precision: str
) -> Deviation:
    scale = max(1.0, float(np.abs(expected).max()))
    of_scale = tolerance if precision == EXACT else GATES[precision].largest
    largest = float(np.abs(given.astype(np.float64) - expected).max())
    return Deviation(output=output, largest=largest, allowed=of_scale * scale)


def _remedy(precision: str) -> str:
    return REMEDY if precision == EXACT else FEWER
