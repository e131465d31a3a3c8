"""Processes that compose results: the same bytes, clear errors, and none left behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import active_children
from pathlib import Path
from unittest import mock

import pytest

from node.dicom.template import load_templates
from node.domain.errors import BundleError, ConfigurationError, DeviceError, Interrupted
from node.domain.form import DEFAULT_FORM
from node.logs import Journal, set_up_logging
from node.metrics import Metrics
from node.shared_memory import Place, SharedMemory
from node.side_processes import SideProcesses
from node.workflow.answer import answer, compose
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


def break_off() -> None:
    raise KeyError("Doe^Jane")


def end_at_once() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def make_much(seconds: float) -> bytes:
    """More than a pipe holds: whoever writes it waits for a reader."""
    time.sleep(seconds)
    return bytes(2_000_000)


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

    found = answer(content, pipeline=pipeline)
    objects = compose(found, load_templates(), DEFAULT_FORM)
    assert objects
    assert compose(found, load_templates(), DEFAULT_FORM, side) == objects


def test_the_log_says_where_in_the_other_process_and_not_what(
    side: SideProcesses, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = Journal(set_up_logging(form="text", level="info"), Metrics())
    with pytest.raises(KeyError) as raised:
        side(break_off)
    journal.event("a fault", error=raised.value)
    said = capsys.readouterr().err
    assert f"{Path(__file__).name}" in said
    assert "break_off" in said
    assert "Doe" not in said


def make_parts(sizes: list[int]) -> list[object]:
    return [bytes([number]) * size for number, size in enumerate(sizes)]


def test_parts_large_and_small_come_back_as_they_were(side: SideProcesses) -> None:
    sizes = [3_000_000, 0, 65_536, 65_535, 12_000_001]
    assert side(make_parts, sizes) == make_parts(sizes)


def test_no_memory_is_left_open(side: SideProcesses) -> None:
    side(make_parts, [100_000])
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        side(make_parts, [100_000])
        with pytest.raises(BundleError):
            side(refuse)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_where_memory_cannot_be_shared_the_work_is_done_again(side: SideProcesses) -> None:
    nowhere = Place(path=Path("/proc/self/nothing/there"), device=0, inode=0)
    with (
        mock.patch.object(SharedMemory, "place", nowhere),
        pytest.raises(DeviceError, match=r"cannot share memory .*No such file.* done again"),
    ):
        side(make_parts, [100_000])
    with (
        mock.patch("os.memfd_create", side_effect=OSError(errno.EMFILE, "Too many open files")),
        pytest.raises(DeviceError, match=r"Too many open files.*allow the node more open files"),
    ):
        side(make_parts, [100_000])


def test_another_file_under_the_number_of_memory_that_is_gone_is_left_as_it_is(
    side: SideProcesses, tmp_path: Path
) -> None:
    kept = tmp_path / "spool"
    kept.write_bytes(b"acknowledged")
    memory = SharedMemory()
    place = memory.place
    with memory:
        pass
    with kept.open("rb") as file:
        assert place.path.name == str(file.fileno()), "it has the number"
        with (
            mock.patch.object(SharedMemory, "place", place),
            pytest.raises(DeviceError, match="No such file"),
        ):
            side(make_parts, [100_000])
    assert kept.read_bytes() == b"acknowledged"


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
        "side.start(); print(*side(eval, 'list(__import__(\"sys\").modules)')); side.stop()"
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


def test_when_one_is_killed_those_that_compose_end_too() -> None:
    processes = SideProcesses(2)
    processes.start()
    with ThreadPoolExecutor(1) as thread:
        composing = thread.submit(processes, make_much, PATIENCE_S)
        others = {processes(os.getpid) for _ in range(2)}  # both have begun
        with pytest.raises(DeviceError):
            processes(end_at_once)
        with pytest.raises(DeviceError):
            composing.result()
    assert processes(partial(max, 1), 2) == 2
    _until(lambda: all(_gone(pid) for pid in others))
    processes.stop()


def test_an_idle_one_that_is_killed_holds_up_no_stop() -> None:
    """It held the lock on what the others wait for."""
    processes = SideProcesses(3)
    processes.start()
    _until(lambda: len(children()) >= 3)
    processes(os.getpid)
    time.sleep(0.5)
    for pid in children()[:2]:
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    stopping = threading.Thread(target=processes.stop, daemon=True)
    stopping.start()
    stopping.join(PATIENCE_S)
    assert not stopping.is_alive()


def children() -> list[int]:
    return [child.pid for child in active_children() if child.pid is not None]


def test_without_a_process_to_start_the_work_is_done_again() -> None:
    def no_process(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    processes = SideProcesses(1)
    processes.start()
    assert processes._executor is not None
    with (
        mock.patch.object(processes._executor, "submit", no_process),
        pytest.raises(DeviceError, match=r"no process can be started .*Resource temporarily"),
    ):
        processes(os.getpid)
    processes.stop()
    with (
        mock.patch("node.side_processes.ProcessPoolExecutor", no_process),
        pytest.raises(ConfigurationError, match=r"set model\.at_once = 1"),
    ):
        SideProcesses(1).start()


def test_after_the_end_work_is_interrupted() -> None:
    processes = SideProcesses(1)
    processes.start()
    processes.stop()
    with pytest.raises(Interrupted):
        processes(os.getpid)


def test_they_end_with_a_node_that_is_killed() -> None:
    code = (
        "import os, sys; from node.side_processes import SideProcesses; side = SideProcesses(1); "
        "side.start(); print(side(os.getpid), flush=True); sys.stdin.read()"
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
