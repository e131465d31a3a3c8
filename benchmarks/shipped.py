"""The bundle that comes with cardionode, loaded and asked as a node does."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.dicom.template import Templates, load_templates
from node.domain.delivery import ResultObject
from node.domain.form import DEFAULT_FORM
from node.hl7.profile import shipped_profile
from node.workflow.answer import Answer, answer, compose
from node.workflow.export import export
from node.workflow.ports import Run, here
from pipelines.bundle import Bundle, read_bundle
from pipelines.catalog import load_pipeline, shipped_bundles
from pipelines.ecg_to_cmr import EcgToCmr
from pipelines.runtime.onnx import OnnxRuntime

NAME: Final = "simulated-4ch"


def shipped_bundle() -> Bundle:
    return read_bundle(shipped_bundles() / NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A pipeline with what is needed to answer."""

    pipeline: EcgToCmr
    templates: Templates = field(default_factory=load_templates, repr=False)

    @classmethod
    def with_threads(cls, threads: int) -> Served:
        """The shipped bundle on ONNX Runtime."""
        return cls(pipeline=load_pipeline(shipped_bundle(), OnnxRuntime(threads=threads)))

    def ask(self, content: bytes) -> Answer:
        """What the ECG comes to, before it is made into objects."""
        return answer(content, pipeline=self.pipeline)

    def answer(self, content: bytes, run: Run = here) -> tuple[ResultObject, ...]:
        """As a node answers one ECG: its DICOM results."""
        return compose(self.ask(content), self.templates, DEFAULT_FORM, run)

    def process(self, content: bytes, folder: Path) -> Path:
        """As `cardionode process` does one ECG, with all files and pictures."""
        return export(
            self.ask(content), folder, profile=shipped_profile(), templates=self.templates
        )
