"""A disk that fills: refused in time, said so, and taken again once there is room.

The node's home is a small file system of its own (tmpfs in a mount namespace).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from node.dicom.stand_in import PacsStandIn
from node.hl7.stand_in import RisStandIn
from tests.conftest import absent
from tests.ecg_instances import instances
from tests.end_to_end.node_process import NodeProcess, destinations
from tests.postgresql import Server, server
from tests.wire.dicom.raw_scu import RawScu

DISK_MB, FILLER_MB, MINIMUM_FREE_MB = 64, 16, 24
SERVER_DISK_MB = 192
OUT_OF_RESOURCES = 0xA700
FULL_S = 4.0
"""So long nothing can be written, while work is in flight."""
IN_FLIGHT = 12
"""ECGs sent at once before the disk is full: the node has done few of them by then."""


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


@contextlib.contextmanager
def small_disk(folder: Path, extra: str) -> Iterator[NodeOnSmallDisk]:
    """A node that has started on one."""
    process = NodeOnSmallDisk(folder, extra=extra)
    process.home.mkdir()
    trial = [*own_mounts(), "mount", "-t", "tmpfs", "tmpfs", str(process.home)]
    if subprocess.run(trial, capture_output=True, check=False).returncode:
        absent("no right to mount a file system of one's own")
    process.start()
    try:
        yield process
    finally:
        process.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeOnSmallDisk]:
    with small_disk(tmp_path, f"storage.minimum_free_mb = {MINIMUM_FREE_MB}") as process:
        yield process


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


def test_the_database_s_disk_fills_while_work_is_in_flight_and_nothing_acknowledged_is_lost(
    tmp_path: Path, outside: tuple[PacsStandIn, RisStandIn]
) -> None:
    """The objects are on another disk, which has room: it is the rows that have none."""
    pacs, ris = outside
    extra = f'storage.objects = "{tmp_path / "objects"}"\n' + destinations(
        pacs.start(), ris.start()
    )
    with small_disk(tmp_path, extra) as node:
        go_through_full_disk(node, node.disk, outside)
    assert node.events("association failed") == []


def test_postgresql_s_disk_fills_while_work_is_in_flight_and_nothing_acknowledged_is_lost(
    tmp_path: Path, outside: tuple[PacsStandIn, RisStandIn]
) -> None:
    """It may end by itself: then the administrator starts it again."""
    pacs, ris = outside
    with small_file_system() as disk, server(disk) as running:
        with psycopg.connect(running.url.format(name="postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE node")
        url = running.url.format(name="node")
        extra = f'storage.database_url = "{url}"\n' + destinations(pacs.start(), ris.start())
        node = NodeProcess(tmp_path, extra=extra)
        try:
            node.start()
            go_through_full_disk(node, disk, outside, running)
        finally:
            node.close()


@contextlib.contextmanager
def small_file_system() -> Iterator[Path]:
    """One of its own for a server, whose sockets' paths are to be short."""
    folder = Path(tempfile.mkdtemp(prefix="small-", dir="/tmp"))
    folder.chmod(0o755)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SERVER_DISK_MB}m,mode=0755", "tmpfs", folder]
    try:
        if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
            absent("no right to mount a file system")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True, timeout=20)
    finally:
        folder.rmdir()


def go_through_full_disk(
    node: NodeProcess,
    disk: Path,
    outside: tuple[PacsStandIn, RisStandIn],
    running: Server | None = None,
) -> None:
    """Fill the disk of the database while ECGs come, make room, and see all of them answered."""
    pacs, ris = outside
    with RawScu(node.dicom_port) as scu:
        scu.associate()
        kept, refused, filler = [], [], None
        for number, (uid, file) in enumerate(instances(300)):
            if number == IN_FLIGHT:
                filler = fill(disk)
            dataset = file[144 + int.from_bytes(file[140:144], "little") :]
            status = scu.store(dataset, sop_instance=uid.encode()).status
            (refused if status else kept).append((uid, dataset, status))
            if len(refused) == 3:
                break
        assert [status for _, _, status in refused] == [OUT_OF_RESOURCES] * 3
        reason = node.events("instance refused")[0]["reason"]
        assert reason == "the database did not take it: its disk is full; free space there"
        time.sleep(FULL_S)
        assert scu.echo().status == 0
        assert filler is not None
        filler.unlink()
        if running is not None and not running.runs():
            running.start()
        for uid, dataset, _ in refused:
            assert scu.store(dataset, sop_instance=uid.encode()).status == 0
        scu.release()
    count = len(kept) + len(refused)
    assert pacs.wait_for(3 * count, timeout_s=120), node.text()[-3000:]
    assert ris.wait_for(count, timeout_s=30), node.text()[-3000:]
    assert node.stop() == 0
    assert IN_FLIGHT <= len(kept) < 100
    assert len(pacs.received) == 3 * count
    assert len(ris.received) == count


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return filler
