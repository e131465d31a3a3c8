"""Where the time of an answer goes: the functions of the real path, each with a clock around it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final
from unittest import mock

from pipelines.ecg_to_cmr import EcgToCmr
from pipelines.layout_sampler import LayoutSampler
from pipelines.runtime import Array, Feed, Session, Tensor

FUNCTIONS: Final = {
    "reading": (
        "node.workflow.answer.read_part10",
        "node.workflow.answer.read_study",
        "node.workflow.answer.source_digest",
        "node.workflow.answer.read_subject",
        "node.workflow.answer.read_ecg",
    ),
    "quality gate": (
        "node.workflow.answer.assess",
        "node.workflow.answer.trim_calibration_pulse",
    ),
    "conditioning": ("pipelines.ecg_to_cmr.heart_rate_bpm", "pipelines.ecg_to_cmr.condition"),
    "DICOM objects": ("node.workflow.answer.compose_objects",),
    "HL7 message": ("node.workflow.export.compose_message",),
    "pictures": (
        "node.workflow.export.animate",
        "node.workflow.export.contact_sheet",
        "node.workflow.export.draw_ecg",
    ),
    "report as text": ("node.workflow.export.report_text",),
}
"""Part -> where the path finds its functions; none of them calls another."""
GRAPHS: Final = {"ecg": "graph ecg", "layout": "graph layout", "decoder": "graph decoder"}
REST: Final = "the rest"
PARTS: Final = (
    "reading", "quality gate", "conditioning", *GRAPHS.values(), "DICOM objects", "HL7 message",
    "pictures", "report as text", REST,
)  # fmt: skip
"""In the order of the work."""


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Seconds of each part so far."""

    spent: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def running(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.spent[part] += time.perf_counter() - began

    def around(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **named: Any) -> Any:
            with self.running(part):
                return function(*args, **named)

        return timed

    @contextmanager
    def watching(self) -> Iterator[None]:
        """The functions of the path are timed while this lasts."""
        with ExitStack() as patches:
            for part, names in FUNCTIONS.items():
                for name in names:
                    real = _find(name)
                    patches.enter_context(mock.patch(name, self.around(part, real)))
            yield

    def timed(self, pipeline: EcgToCmr) -> EcgToCmr:
        """The pipeline with a clock around each of its graphs."""
        sampler = pipeline.sampler
        assert isinstance(sampler, LayoutSampler)  # of the shipped bundle
        return replace(
            pipeline,
            ecg=_TimedSession(pipeline.ecg, GRAPHS["ecg"], self),
            sampler=replace(
                sampler,
                layout=_TimedSession(sampler.layout, GRAPHS["layout"], self),
                decoder=_TimedSession(sampler.decoder, GRAPHS["decoder"], self),
            ),
        )


@dataclass(frozen=True, slots=True)
class _TimedSession:
    session: Session
    part: str
    stopwatch: Stopwatch

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return self.session.inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        return self.session.outputs

    def run(self, inputs: Feed) -> dict[str, Array]:
        with self.stopwatch.running(self.part):
            return self.session.run(inputs)


def _find(name: str) -> Callable[..., Any]:
    """What the path finds under the name. Raises AttributeError where the path has changed."""
    import importlib

    module, _, function = name.rpartition(".")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found
