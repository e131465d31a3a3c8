"""The node as systemd starts it: by the unit's own ExecStart, and what the unit lets it do.

There is no systemd here: mounts, capabilities and calls of the system are kept from it as the unit
says, the calls by strace, which answers those outside SystemCallFilter with EPERM.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from node.dicom.scu import StorageScu
from node.domain.errors import CardioNodeError
from tests.conftest import absent
from tests.ecg_instances import instances
from tests.end_to_end.node_process import NodeProcess

UNIT = Path(__file__).parents[2] / "systemd" / "cardionode.service"
STATE = Path("/var/lib/cardionode")
ECGS = 40
WATCHDOG_S = 3
BIND_LOW_PORTS = 1 << 10
"""CAP_NET_BIND_SERVICE. Source: capabilities(7)."""
CONFINED = r"""
set -e
state="$1"; shift
mount --make-rprivate /
mount -t tmpfs tmpfs /var/lib
mkdir /var/lib/cardionode
mount --bind "$state" /var/lib/cardionode
mount -t tmpfs tmpfs /var/tmp
mkdir /var/tmp/dev
for each in null zero full random urandom; do
    touch /var/tmp/dev/$each
    mount --bind /dev/$each /var/tmp/dev/$each
done
mkdir /var/tmp/dev/shm
mount -t tmpfs tmpfs /var/tmp/dev/shm
mount --rbind /var/tmp/dev /dev
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -o remount,bind,ro /sys
mount -o remount,bind,ro /
cd /
umask 0077
exec env -i PATH=/usr/bin:/bin TMPDIR=/var/tmp \
    NOTIFY_SOCKET="$NOTIFY_SOCKET" WATCHDOG_USEC="$WATCHDOG_USEC" \
    setpriv --no-new-privs --bounding-set=-all,+net_bind_service \
    --inh-caps=-all,+net_bind_service --ambient-caps=-all,+net_bind_service "$@"
"""


def said_in_unit(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)


@cache
def calls_of(group: str) -> frozenset[str]:
    """What is in a group of SystemCallFilter."""
    told = subprocess.run(
        ["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True
    )
    names = {line.strip() for line in told.stdout.splitlines()[1:]} - {""}
    calls = {name for name in names if name[0] not in "@#"}
    return frozenset(calls).union(*(calls_of(name) for name in names if name[0] == "@"))


def allowed_calls() -> list[str]:
    allowed = set(calls_of("@default"))
    for said in said_in_unit("SystemCallFilter"):
        if said.startswith("~"):
            allowed -= calls_of(said[1:])
        else:
            allowed |= calls_of(said)
    return sorted(allowed)


class ServiceNode(NodeProcess):
    """A node under the unit's restrictions; `confined` is put to False to start it without."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.confined = True
        self.home.mkdir(mode=0o700)
        shutil.copy(self.configuration, self.home / "node.toml")
        self.said = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.said.bind(f"\0cardionode-test-{os.getpid()}")
        self.said.settimeout(30.0)

    def _serve(self) -> subprocess.Popen[bytes]:
        if not self.confined:
            return super()._serve()
        (started,) = said_in_unit("ExecStart")
        program = Path(sys.executable).with_name("cardionode")
        words = shlex.split(
            started.replace("/opt/cardionode/bin/cardionode", str(program)).replace(
                "/etc/cardionode", str(STATE)
            )
        )
        others = "!" + ",".join(f"?{call}" for call in allowed_calls())
        strace = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "signal=none"]
        strace += ["-e", f"trace={others}", "-e", f"inject={others}:error=EPERM"]
        inside = ["unshare", "--mount", "--ipc", "--", "sh", "-c", CONFINED, "sh", str(self.home)]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*inside, *strace, "-o", str(STATE / "refused-calls"), *words],
                stdin=subprocess.DEVNULL,
                stderr=log,
                env={
                    **os.environ,
                    "NOTIFY_SOCKET": f"@cardionode-test-{os.getpid()}",
                    "WATCHDOG_USEC": str(WATCHDOG_S * 1_000_000),
                },
            )

    @property
    def main_pid(self) -> int:
        """Of the node: strace started it."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return int(children.read_text(encoding="ascii").split()[0])

    def hear(self, *words: str) -> str:
        """Wait until the service manager is told all of that; the last of what was said."""
        missing, said = set(words), ""
        while missing:
            said = self.said.recv(4096).decode("utf-8")
            missing -= {word for word in missing if word in said}
        return said

    def close(self) -> None:
        if self.confined and self._process is not None and self._process.poll() is None:
            os.kill(self.main_pid, signal.SIGKILL)
        super().close()
        self.said.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ServiceNode]:
    for program in ("systemd-analyze", "strace", "setpriv", "unshare"):
        if shutil.which(program) is None:
            absent(f"{program} is not installed")
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        absent("no right to make a mount namespace")
    made = ServiceNode(tmp_path)
    yield made
    made.close()


def test_the_unit_s_own_start_works_says_so_and_a_stop_under_load_loses_nothing(
    node: ServiceNode,
) -> None:
    node.start()
    assert f"dicom:{node.dicom_port}" in node.hear("READY=1")
    for _ in range(2):
        node.hear("WATCHDOG=1")
    status = Path(f"/proc/{node.main_pid}/status").read_text(encoding="ascii")
    assert "NoNewPrivs:\t1" in status
    for kind in ("Prm", "Eff", "Bnd", "Amb"):
        assert f"Cap{kind}:\t{BIND_LOW_PORTS:016x}" in status, status
    pid, acknowledged, told = node.main_pid, list[str](), threading.Event()

    def cart() -> None:
        scu = StorageScu(
            calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
        )
        for uid, content in instances(ECGS):
            while uid not in acknowledged:
                try:
                    scu.send(content)
                    acknowledged.append(uid)
                except CardioNodeError:
                    if told.is_set():
                        return
                    time.sleep(0.1)

    sending = threading.Thread(target=cart, daemon=True)
    sending.start()
    while len(acknowledged) < 3:
        time.sleep(0.05)
    os.kill(pid, signal.SIGHUP)
    node.hear("RELOADING=1")
    node.hear("READY=1")
    assert node.main_pid == pid
    reached = len(acknowledged)
    while len(acknowledged) < reached + 3:
        time.sleep(0.05)
    told.set()
    asked_s = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    node.hear("STOPPING=1")
    assert node._process is not None
    assert node._process.wait(timeout=60) == 0
    took_s = time.monotonic() - asked_s
    (limit,) = said_in_unit("TimeoutStopSec")
    print(f"stopped in {took_s:.1f} of {limit} s, {len(acknowledged)} ECGs acknowledged")
    assert took_s < float(limit)
    sending.join(60)
    refused = (node.home / "refused-calls").read_text(encoding="utf-8", errors="replace")
    assert set(re.findall(r"^\d+ +(\w+)\(", refused, re.MULTILINE)) <= {"fchown"}, (
        "SQLite gives its files to root where root runs it, and does without"
    )
    assert "Traceback" not in node.text()

    node.confined = False
    node.start()
    jobs = node.wait_for_jobs(
        lambda jobs: all(job["state"] == "completed" for job in jobs), within_s=120.0
    )
    assert {job["sop_instance_uid"] for job in jobs} >= set(acknowledged)
    assert node.stop() == 0


def test_what_is_outside_the_filter_is_refused_here_too() -> None:
    """The judge itself: a node that mounts or changes owners would be found out."""
    allowed = allowed_calls()
    assert {"openat", "execve", "setpriority", "sched_setaffinity"} <= set(allowed)
    assert not {"mount", "ptrace", "chown", "setuid", "bpf", "reboot"} & set(allowed)
