"""Which runtime serves: in which order they are tried, and what is said of those passed over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from node.domain.errors import BundleError, ConfigurationError, DeviceError
from pipelines.bundle import Bundle, read_bundle
from pipelines.catalog import load_pipeline, serve_bundle
from pipelines.ecg_to_cmr import EcgToCmr
from pipelines.graph_spec import Sizes
from pipelines.runtime import Session, selection
from pipelines.runtime.onnx import OnnxRuntime
from pipelines.runtime.selection import PRECISIONS, Wish, candidates
from pipelines.standby import WithStandby


class Accelerator:
    """A runtime that computes on the CPU and has a name of its own."""

    name = "Accelerator 1"

    def __init__(self, precision: str, *, fails: bool = False) -> None:
        self.precision = precision
        self.fails = fails

    def load(self, path: Path, sizes: Sizes) -> Session:
        if self.fails:
            raise DeviceError("the accelerator has no memory left; free some")
        return OnnxRuntime(threads=1).load(path, sizes)


def _wish(runtime: str = "auto", precision: str = "auto") -> Wish:
    return Wish(runtime=runtime, precision=precision, threads=1, engines=Path("unused"))


def _order(wish: Wish) -> list[str]:
    return [str(each) for each in candidates(wish)]


def _silent(reason: str) -> None:
    raise AssertionError(reason)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A machine with an accelerator of these precisions in place of TensorRT, or with none."""

    def install(*served: str, fails: tuple[str, ...] = ()) -> None:
        def make(name: str, precision: str, wish: Wish) -> Accelerator:
            if name != "tensorrt" or precision not in (*served, *fails):
                raise DeviceError(f"{name} is not installed")
            return Accelerator(precision, fails=precision in fails)

        monkeypatch.setattr(selection, "_tensorrt", make)

    return install


def test_auto_tries_a_gpu_first_and_the_cpu_at_last() -> None:
    assert _order(_wish()) == [
        "tensorrt fp16", "tensorrt fp32", "tensorrt-rtx fp16", "tensorrt-rtx fp32", "onnx fp32",
    ]  # fmt: skip


@pytest.mark.parametrize("runtime", PRECISIONS)
def test_a_runtime_that_is_named_is_the_only_one(runtime: str) -> None:
    assert {each.name for each in candidates(_wish(runtime))} == {runtime}


def test_a_cpu_takes_fewer_bits_only_where_they_are_asked_for() -> None:
    assert _order(_wish("openvino")) == ["openvino fp32"]
    assert _order(_wish("openvino", "bf16")) == ["openvino bf16"]
    assert _order(_wish("onnx")) == ["onnx fp32"]
    assert _order(_wish("onnx", "int8")) == ["onnx int8"]


@pytest.mark.parametrize(
    ("runtime", "precision", "offered"),
    [
        ("onnx", "fp16", "onnx fp32, onnx int8"),
        ("auto", "bf16", "tensorrt fp16"),
        ("tensorrt", "bf16", "fp16"),
    ],
)
def test_a_precision_that_nobody_offers_is_a_setting_to_change(
    runtime: str, precision: str, offered: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"{precision} is not offered .*{offered}"):
        list(candidates(_wish(runtime, precision)))


def test_without_a_gpu_the_cpu_serves_and_says_why(
    machine: Callable[..., None], quick: Bundle
) -> None:
    machine()
    served = serve_bundle(quick, _wish(), said=_silent)
    assert served.pipeline.identity.runtime == OnnxRuntime(threads=1).name
    assert not served.fell_back
    assert served.reason == (
        "not tensorrt: tensorrt is not installed; not tensorrt-rtx: tensorrt-rtx is not installed"
    )


def test_a_gpu_that_proves_itself_serves(machine: Callable[..., None], quick: Bundle) -> None:
    machine("fp16")
    served = serve_bundle(quick, _wish(), said=_silent)
    identity = served.pipeline.identity
    assert (identity.runtime, identity.precision) == ("Accelerator 1", "fp16")
    assert (served.reason, served.fell_back) == ("", False)


def test_a_gpu_that_fails_at_the_start_is_passed_over_and_that_is_said(
    machine: Callable[..., None], quick: Bundle
) -> None:
    machine("fp32", fails=("fp16",))
    served = serve_bundle(quick, _wish(), said=_silent)
    assert (served.pipeline.identity.runtime, served.pipeline.identity.precision) == (
        "Accelerator 1", "fp32",
    )  # fmt: skip
    assert served.fell_back
    assert "not tensorrt fp16: the accelerator has no memory left" in served.reason


def test_a_runtime_asked_for_by_name_is_never_replaced(
    machine: Callable[..., None], quick: Bundle
) -> None:
    machine()
    with pytest.raises(DeviceError, match="tensorrt is not installed"):
        serve_bundle(quick, _wish("tensorrt"), said=_silent)
    machine("fp16")
    served = serve_bundle(quick, _wish("tensorrt"), said=_silent)
    assert isinstance(served.pipeline, EcgToCmr)


def test_a_bundle_that_is_wrong_is_refused_whatever_there_is(
    machine: Callable[..., None],
    edited: Callable[[Callable[[dict[str, object]], object]], Path],
) -> None:
    machine("fp16", "fp32")
    folder = edited(lambda manifest: manifest.update(preprocessing="unheard-of"))
    with pytest.raises(BundleError, match="unheard-of"):
        serve_bundle(read_bundle(folder), _wish(), said=_silent)


def test_the_pipeline_of_a_gpu_has_a_standby(machine: Callable[..., None], quick: Bundle) -> None:
    machine("fp16")
    served = serve_bundle(quick, _wish(), said=_silent)
    assert isinstance(served.pipeline, WithStandby)
    assert served.pipeline.input_spec == load_pipeline(quick, OnnxRuntime(threads=1)).input_spec


def test_where_a_precision_is_named_no_other_takes_its_place(
    machine: Callable[..., None], quick: Bundle
) -> None:
    """Not even in service: TensorRT for RTX would be no standby for a GPU that has failed."""
    machine("fp16")
    served = serve_bundle(quick, _wish(precision="fp16"), said=_silent)
    assert isinstance(served.pipeline, EcgToCmr)
