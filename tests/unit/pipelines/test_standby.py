"""A device that fails in service: the CPU answers, and every result says so."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest

from node.domain.ecg import ECGRecord, Subject
from node.domain.errors import BundleError, DeviceError, PredictionError
from node.domain.prediction import Prediction
from pipelines.ecg_to_cmr import EcgToCmr
from pipelines.standby import WithStandby


class Failing:
    """A pipeline on a device, until that fails."""

    def __init__(self, pipeline: EcgToCmr, error: Exception, barrier: Barrier | None = None):
        self.identity = replace(pipeline.identity, runtime="Accelerator 1", precision="fp16")
        self.input_spec = pipeline.input_spec
        self.error = error
        self.barrier = barrier

    def predict(self, *_: Any, **__: Any) -> Prediction:
        if self.barrier is not None:
            self.barrier.wait(timeout=10)
        raise self.error


DEAD = DeviceError("cudaGraphLaunch: cudaErrorIllegalAddress")


def test_the_standby_answers_for_good_and_it_is_said_once(
    pipeline: EcgToCmr, make_ecg: Callable[..., ECGRecord]
) -> None:
    said: list[str] = []
    both = Barrier(2)
    served = WithStandby(Failing(pipeline, DEAD, both), lambda: pipeline, said.append)
    assert served.identity.runtime == "Accelerator 1"

    def ask(source: str) -> Prediction:
        return served.predict(make_ecg(), Subject(), source_digest=source)

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(ask, ["a", "a"])
    alone = pipeline.predict(make_ecg(), Subject(), source_digest="a")
    assert first.model == second.model == pipeline.identity == served.identity
    assert first.estimates == second.estimates == alone.estimates
    assert len(said) == 1
    assert said[0].startswith("Accelerator 1 failed (cudaGraphLaunch: cudaErrorIllegalAddress)")


def test_an_ecg_without_an_answer_is_not_the_fault_of_the_device(
    pipeline: EcgToCmr, make_ecg: Callable[..., ECGRecord]
) -> None:
    def standby() -> EcgToCmr:
        raise AssertionError("not needed")

    served = WithStandby(Failing(pipeline, PredictionError("NaN")), standby, pytest.fail)
    with pytest.raises(PredictionError, match="NaN"):
        served.predict(make_ecg(), Subject(), source_digest="a")


def test_a_standby_that_fails_too_leaves_the_job_for_later(
    pipeline: EcgToCmr, make_ecg: Callable[..., ECGRecord]
) -> None:
    served = WithStandby(
        Failing(pipeline, DEAD), lambda: Failing(pipeline, DEAD), lambda reason: None
    )
    with pytest.raises(DeviceError, match="IllegalAddress"):
        served.predict(make_ecg(), Subject(), source_digest="a")


def test_a_bundle_that_is_spoilt_on_the_disk_leaves_the_job_for_later(
    pipeline: EcgToCmr, make_ecg: Callable[..., ECGRecord]
) -> None:
    """It is no fault of the ECG, which must not fail for good."""

    def standby() -> EcgToCmr:
        raise BundleError("bundle quick: graphs/ecg.onnx differs from its checksum; copy it again")

    served = WithStandby(Failing(pipeline, DEAD), standby, pytest.fail)
    with pytest.raises(DeviceError, match=r"IllegalAddress.*nor can the CPU answer: bundle quick"):
        served.predict(make_ecg(), Subject(), source_digest="a")
