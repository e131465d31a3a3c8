"""A process of its own, to see what starting and holding it costs.

    python -m benchmarks.child onnx FILE…             the shipped bundle, as configured by default
    python -m benchmarks.child torch NETWORKS FILE…   the same networks in torch, from one file

Prints two lines: {"ready_at": …} on the monotonic clock, which all processes of a machine share,
and after answering the ECG files {"peak_mb": …}.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from unittest import mock

from benchmarks.machine import peak_memory_mb


def main(way: str, *names: str) -> None:
    if way == "torch":  # it has no use for ONNX Runtime, and shall not pay for it
        sys.modules |= {name: mock.MagicMock() for name in ("onnxruntime", "onnxruntime.capi")}

    import node.cli  # what the command `cardionode process` imports
    from node.dicom.template import load_templates
    from node.domain.form import DEFAULT_FORM
    from node.workflow.answer import answer, compose
    from pipelines.contract import Pipeline

    assert node.cli.app
    templates = load_templates()
    files = [Path(name) for name in names]
    pipeline: Pipeline
    if way == "onnx":
        from node.models import load_models
        from node.settings import read_settings

        pipeline = load_models(read_settings().model, templates, sys.exit).pipeline_for("")
    else:
        import torch

        from benchmarks.shipped import shipped_bundle
        from benchmarks.torch_session import torch_pipeline

        # The parent wrote it a moment ago.
        pipeline = torch_pipeline(shipped_bundle(), torch.load(files.pop(0), weights_only=False))
    _say({"ready_at": time.monotonic()})
    for file in files:
        compose(answer(file.read_bytes(), pipeline=pipeline), templates, DEFAULT_FORM)
    _say({"peak_mb": peak_memory_mb()})


def _say(told: dict[str, float]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
