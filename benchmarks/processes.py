"""New processes: how long until they are ready, and how much memory they hold at most."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.request import urlopen

import torch

from benchmarks.effort import Effort
from benchmarks.machine import peak_memory_beside_mb, peak_memory_mb
from benchmarks.networks import Networks
from benchmarks.timing import Wall
from benchmarks.torch_session import TorchSession
from node.dicom.scu import StorageScu

ROOT: Final = Path(__file__).parents[1]
PATIENCE_S: Final = 120.0
AS_INSTALLED: Final = {
    name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
}
"""Environment of a process: what is installed has been compiled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """New processes of one kind."""

    ready: Wall
    """From the start of the process to a pipeline that has proved itself."""
    peak_mb: float
    """The most that one of them held, after a few answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingNode:
    """`cardionode serve`, which has answered ECGs that came over DICOM."""

    ready_s: float
    peak_mb: float
    beside_mb: float
    """Of the processes that compose results."""
    answered: int


def start_processes(
    networks: Networks, ecgs: Sequence[bytes], effort: Effort
) -> dict[str, Started]:
    """Those of "onnx" and of "torch", in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        saved = folder / "networks.pt"
        torch.save(sessions_of(networks), saved)
        files = []
        for number, content in enumerate(ecgs):
            files.append(folder / f"{number}.dcm")
            files[-1].write_bytes(content)
        words = {"onnx": ["onnx", *files], "torch": ["torch", saved, *files]}
        ready: dict[str, list[float]] = {way: [] for way in words}
        peak = dict.fromkeys(words, 0.0)
        for _ in range(effort.starts):
            for way, given in words.items():
                seconds, mb = _start([str(word) for word in given])
                ready[way].append(seconds)
                peak[way] = max(peak[way], mb)
    return {way: Started(ready=Wall.of(ready[way]), peak_mb=peak[way]) for way in words}


def sessions_of(networks: Networks) -> dict[str, TorchSession]:
    """What `torch_pipeline` takes."""
    found = {"ecg": networks.ecg(), "layout": networks.layout(), "decoder": networks.decoder()}
    return {
        role: TorchSession(module=each.peer, takes=tuple(each.inputs), gives=each.outputs)
        for role, each in found.items()
    }


def _start(words: Sequence[str]) -> tuple[float, float]:
    """Seconds until ready, and the peak of memory in MB."""
    began = time.monotonic()
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.child", *words],
        cwd=ROOT, env=AS_INSTALLED, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    told: dict[str, float] = {}
    for line in found.stdout.splitlines():
        told |= json.loads(line)
    return told["ready_at"] - began, told["peak_mb"]


def serve(ecgs: Sequence[bytes]) -> ServingNode:
    """Start a node with the default configuration on free ports, and send it the ECGs."""
    with tempfile.TemporaryDirectory() as home, _Node.started(Path(home)) as node:
        for content in ecgs:
            node.pacs.send(content)
        node.wait_for(len(ecgs))
        return ServingNode(
            ready_s=node.ready_s,
            peak_mb=peak_memory_mb(node.pid),
            beside_mb=peak_memory_beside_mb(node.pid),
            answered=len(ecgs),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    process: subprocess.Popen[str]
    ready_s: float
    ports: dict[str, int]

    @classmethod
    def started(cls, home: Path) -> Self:
        """On ports of its own choice, which its log tells. Raises AssertionError (it ended)."""
        ports = [word for name in ("dicom", "hl7", "web") for word in ("--set", f"{name}.port=0")]
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "node", "serve", "--home", str(home), *ports,
             "--set", "log.form=json"],
            cwd=ROOT, env=AS_INSTALLED, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            if "node ready" in line:
                found = {key: int(port) for key, port in re.findall(r"(\w+):(\d+)", line)}
                return cls(process=process, ready_s=time.monotonic() - began, ports=found)
        raise AssertionError("the node ended before it was ready: run `cardionode check`")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.communicate(timeout=PATIENCE_S)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def pacs(self) -> StorageScu:
        """One that sends to the node."""
        return StorageScu(
            calling_ae="BENCHMARK", called_ae="CARDIONODE", host="127.0.0.1",
            port=self.ports["dicom"],
        )  # fmt: skip

    def wait_for(self, jobs: int) -> None:
        """Until so many are completed. Raises AssertionError (not in time)."""
        address = f"http://127.0.0.1:{self.ports['web']}/metrics"
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            with urlopen(address) as page:
                told = page.read().decode()
            done = re.search(r'cardionode_jobs\{state="completed"\} (\d+)', told)
            if done and int(done.group(1)) == jobs:
                return
            time.sleep(0.2)
        raise AssertionError(f"the node has not answered {jobs} ECGs in {PATIENCE_S:g} s")
