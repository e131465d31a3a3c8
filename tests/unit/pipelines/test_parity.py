"""The gates of fewer bits: what passes, what does not, and where a reader would see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from node.domain.errors import BundleError
from pipelines.bundle import Bundle, read_bundle
from pipelines.catalog import load_pipeline, shipped_bundles
from pipelines.graph_spec import Sizes
from pipelines.parity import GATES, RelativeError, picture_fault, reader_faults
from pipelines.runtime import Array, Feed, Session, Tensor
from pipelines.runtime.onnx import OnnxRuntime

CHANCE = np.random.Generator(np.random.Philox(5))


@dataclass(frozen=True, kw_only=True)
class Noisy:
    """A session whose outputs are off by this share of their size, or by this much."""

    session: Session
    share: float = 0.0
    offset: dict[str, float] = field(default_factory=dict)

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return self.session.inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        return self.session.outputs

    def run(self, inputs: Feed) -> dict[str, Array]:
        noise = np.random.Generator(np.random.Philox(7))
        return {
            name: value
            + np.float32(self.share * value.std()) * noise.standard_normal(value.shape, np.float32)
            + np.float32(self.offset.get(name, 0.0))
            for name, value in self.session.run(inputs).items()
        }


@dataclass(frozen=True, kw_only=True)
class FewerBits:
    """A runtime that is wrong by as much as it is told."""

    precision: str
    share: float = 0.0
    offset: dict[str, float] = field(default_factory=dict)
    name: str = "fewer bits"

    def load(self, path: Path, sizes: Sizes) -> Session:
        session = OnnxRuntime(threads=1).load(path, sizes)
        return Noisy(session=session, share=self.share, offset=self.offset)


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return read_bundle(shipped_bundles() / "simulated-4ch")


@pytest.mark.parametrize(("precision", "share"), [("fp16", 5e-4), ("bf16", 5e-4), ("int8", 5e-4)])
def test_rounding_of_its_bits_passes(shipped: Bundle, precision: str, share: float) -> None:
    identity = load_pipeline(shipped, FewerBits(precision=precision, share=share)).identity
    assert identity.precision == precision


@pytest.mark.parametrize(("precision", "share"), [("fp16", 1e-2), ("bf16", 8e-2), ("int8", 8e-2)])
def test_more_than_that_is_refused_with_the_setting_that_helps(
    shipped: Bundle, precision: str, share: float
) -> None:
    with pytest.raises(BundleError, match=r'self-test: .*model\.precision = "fp32"'):
        load_pipeline(shipped, FewerBits(precision=precision, share=share))


def test_what_fewer_bits_may_is_not_what_fp32_may(shipped: Bundle) -> None:
    with pytest.raises(BundleError, match="self-test: ecg graph gives other phenotypes"):
        load_pipeline(shipped, FewerBits(precision="fp32", share=2e-3))


def test_a_volume_that_a_reader_would_see_move_is_refused_by_name(shipped: Bundle) -> None:
    with pytest.raises(BundleError, match=r"reads otherwise: LV end diastolic volume by 1\.50 mL"):
        load_pipeline(shipped, FewerBits(precision="bf16", offset={"phenotypes": 1.5}))


def test_an_ejection_fraction_follows_from_its_volumes(shipped: Bundle) -> None:
    """EDV 100, ESV 40: EF 60. ESV 40.9 stays within 1 mL and moves EF by 0.9."""
    expected = np.full((1, len(shipped.manifest.phenotypes)), 10.0, np.float32)
    place = {spec.field_id: index for index, spec in enumerate(shipped.manifest.phenotypes)}
    expected[0, place["24100"]], expected[0, place["24101"]] = 100.0, 40.0
    given = expected.copy()
    given[0, place["24101"]] = 40.9
    assert list(reader_faults(shipped.manifest, expected, expected)) == []
    assert list(reader_faults(shipped.manifest, given, expected)) == [
        "LV ejection fraction by 0.90 %"
    ]


def test_an_ejection_fraction_that_is_estimated_directly_has_the_same_limit(
    edited: Callable[[Callable[[dict[str, Any]], Any]], Path],
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        (fraction,) = (each for each in manifest["phenotypes"] if each["field_id"] == "24103")
        fraction["derivation"] = None

    manifest = read_bundle(edited(change)).manifest
    place = [spec.field_id for spec in manifest.phenotypes].index("24103")
    expected = np.full((1, len(manifest.phenotypes)), 50.0, np.float32)
    given = expected.copy()
    given[0, place] += 0.6
    assert list(reader_faults(manifest, given, expected)) == ["LV ejection fraction by 0.60 %"]


def test_one_frame_that_looks_otherwise_is_enough() -> None:
    cine = CHANCE.random((4, 32, 32), dtype=np.float32)
    other = cine.copy()
    other[2] = CHANCE.random((32, 32), dtype=np.float32)
    assert picture_fault(cine, cine) is None
    fault = picture_fault(other, cine)
    assert fault is not None
    assert fault.startswith("a frame's SSIM is 0.")


def test_the_gate_is_of_the_mean_and_of_the_worst() -> None:
    expected = CHANCE.standard_normal(10_000, np.float32)
    gate = GATES["fp16"]
    assert gate.passes(RelativeError.of(expected * np.float32(1.002), expected))
    assert not gate.passes(RelativeError.of(expected * np.float32(1.004), expected))
    spike = expected.copy()
    spike[0] += 0.03 * np.abs(expected).max()
    assert not gate.passes(RelativeError.of(spike, expected))
