"""Processes that compose results: the same bytes, clear errors, and none left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from node.dicom.template import load_templates
from node.domain.errors import BundleError, DeviceError, Interrupted
from node.side_processes import SideProcesses
from node.workflow.ports import Run, here
from node.workflow.process import Answer, answer
from pipelines.bundle import read_bundle
from pipelines.catalog import load_pipeline
from pipelines.runtime.onnx import OnnxRuntime
from tests.ecg_instances import instances

QUICK = Path(__file__).parents[1] / "data" / "bundles" / "quick"
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def side() -> Iterator[SideProcesses]:
    processes = SideProcesses(2)
    processes.start()
    yield processes
    processes.stop()


def refuse() -> None:
    raise BundleError("field x has no code; use another bundle")


def end_at_once() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def _gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"  # ended; whoever adopted it has not asked yet


def test_what_is_composed_beside_is_the_same_to_the_byte(side: SideProcesses) -> None:
    pipeline = load_pipeline(read_bundle(QUICK), OnnxRuntime(threads=1))
    (_, content) = next(instances(1))

    def answered(run: Run) -> Answer:
        return answer(content, pipeline=pipeline, templates=load_templates(), run=run)

    objects = answered(here).objects
    assert objects
    assert answered(side).objects == objects


def test_an_error_comes_back_as_what_it_is(side: SideProcesses) -> None:
    with pytest.raises(BundleError) as raised:
        side(refuse)
    assert raised.value.message == "field x has no code; use another bundle"


def test_a_process_that_is_killed_is_replaced(side: SideProcesses) -> None:
    with pytest.raises(DeviceError, match="was killed; the work is done again"):
        side(end_at_once)
    assert side(partial(max, 1), 2) == 2


@pytest.mark.parametrize("main", ["-c", "-m"])
def test_a_process_holds_what_composes_and_no_model(main: str, tmp_path: Path) -> None:
    """Whatever started the node: the command's file is imported again in every process."""
    code = (
        "import sys; from node.side_processes import SideProcesses; side = SideProcesses(1); "
        "print(*side(eval, 'list(__import__(\"sys\").modules)')); side.stop()"
    )
    if main == "-m":  # as `python -m node` and the installed command: by node/__main__.py
        code = f"import node.cli; node.cli.main = lambda: exec({code!r})\n" + (
            "import runpy; runpy.run_module('node', run_name='__main__', alter_sys=True)"
        )
    said = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    modules = set(said.split())
    assert "node.workflow.compose" in modules
    assert not modules & {"onnxruntime", "dbos", "node.app", "node.cli"}


def test_after_the_end_work_is_interrupted() -> None:
    processes = SideProcesses(1)
    processes.stop()
    with pytest.raises(Interrupted):
        processes(os.getpid)


def test_they_end_with_a_node_that_is_killed() -> None:
    code = (
        "import os, sys; from node.side_processes import SideProcesses; side = SideProcesses(1); "
        "print(side(os.getpid), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, signal.SIGTERM)  # as a service manager tells all: the node alone ends
        assert not _gone(child)
        parent.kill()
    _until(partial(_gone, child))
