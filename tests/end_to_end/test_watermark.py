"""A disk that fills: refused before it is full, said so, and taken again once there is room.

The node's home is a small file system of its own (tmpfs in a mount namespace).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import absent
from tests.ecg_instances import instances
from tests.end_to_end.node_process import NodeProcess
from tests.wire.dicom.raw_scu import RawScu

DISK_MB, FILLER_MB, MINIMUM_FREE_MB = 64, 16, 24
OUT_OF_RESOURCES = 0xA700


class NodeOnSmallDisk(NodeProcess):
    """A node that sees a small file system where its home is."""

    @property
    def command(self) -> list[str]:
        mounted = f'mount -t tmpfs -o size={DISK_MB}m tmpfs "$0" && exec "$@"'
        cardionode = [sys.executable, "-m", "node"]
        return [*own_mounts(), "sh", "-c", mounted, str(self.home), *cardionode]

    @property
    def disk(self) -> Path:
        """The home as the node sees it."""
        return Path(f"/proc/{self.pid}/root{self.home}")


def own_mounts() -> list[str]:
    return ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--"]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeOnSmallDisk]:
    process = NodeOnSmallDisk(tmp_path, extra=f"storage.minimum_free_mb = {MINIMUM_FREE_MB}")
    process.home.mkdir()
    trial = [*own_mounts(), "mount", "-t", "tmpfs", "tmpfs", str(process.home)]
    if subprocess.run(trial, capture_output=True, check=False).returncode:
        absent("no right to mount a file system of one's own")
    process.start()
    yield process
    process.close()


def readiness(node: NodeProcess) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.web_port}/readyz") as answer:
            return int(answer.status), str(json.load(answer)["problems"])
    except urllib.error.HTTPError as failing:
        with failing:
            return failing.code, str(json.load(failing)["problems"])


def free_mb(folder: Path) -> float:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize / 1e6


def test_a_disk_that_fills_is_refused_in_time_said_and_taken_again(node: NodeOnSmallDisk) -> None:
    filler = node.disk / "filler"
    filler.write_bytes(bytes(FILLER_MB << 20))
    assert readiness(node) == (200, "[]")
    stored = 0
    with RawScu(node.dicom_port) as scu:
        scu.associate()
        for uid, file in instances(200):
            dataset = file[144 + int.from_bytes(file[140:144], "little") :]
            status = scu.store(dataset, sop_instance=uid.encode()).status
            if status:
                break
            stored += 1
        assert status == OUT_OF_RESOURCES
        assert stored >= 10
        assert free_mb(node.disk) > MINIMUM_FREE_MB / 2
        code, problems = readiness(node)
        assert code == 503
        assert "nearly full" in problems
        refused = node.events("instance refused")[-1]
        assert (refused["level"], refused["error_code"]) == ("warning", "out-of-space")
        assert "free space" in refused["reason"]

        filler.unlink()
        assert scu.store(dataset, sop_instance=uid.encode()).status == 0
        scu.release()
    assert readiness(node) == (200, "[]")
    accepted = {event["sop_instance_uid"] for event in node.events("instance accepted")}
    assert len(accepted) == stored + 1
