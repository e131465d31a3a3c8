"""Power loss: no success is said before the bytes and the row are where it does not reach them.

What the system was asked for, and in which order, is what `strace` saw of a real node: a file's
bytes are on the disk after its fsync, its name after that of its folder, a transaction after that
of the write-ahead log.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.dicom.scu import StorageScu
from node.hl7.sender import Hl7Sender
from tests.conftest import absent
from tests.ecg_instances import instances
from tests.end_to_end.node_process import NodeProcess

ECGS = 5
BYTES = re.compile(r"fsync\(\d+<.*/spool/[0-9a-f]{2}/\.writing-")
NAMED = re.compile(r'rename\(".*/\.writing-[^"]*", ".*/spool/[0-9a-f]{2}/[0-9a-f]{62}"')
FOLDER = re.compile(r"fsync\(\d+<.*/spool/[0-9a-f]{2}>")
ROW = re.compile(r"(fsync|fdatasync)\(\d+<.*/node\.db-wal>")
SUCCESS = re.compile(r"send(to|msg)\(\d+<TCP.*\"\\4\\0")
"""P-DATA-TF: the node sends no other than responses to the C-STOREs of this test."""
ACKNOWLEDGED = re.compile(r"(send(to|msg)|write)\(\d+<TCP.*\"\\vMSH")
STEPS = {"bytes": BYTES, "named": NAMED, "folder": FOLDER, "row": ROW, "said": SUCCESS}
ADMITTED = "\r".join(
    (
        "MSH|^~\\&|RIS|S|N|S|20261127||ADT^A08|C1|P|2.5",
        "EVN|A08|20261127",
        "PID|1||P1^^^A||D^J",
        "PV1|1|O\r",
    )
)


class TracedNode(NodeProcess):
    """One whose requests to the system are written down."""

    @property
    def trace(self) -> Path:
        return self.log.with_name("trace")

    @property
    def command(self) -> list[str]:
        calls = "trace=fsync,fdatasync,rename,renameat,renameat2,sendto,sendmsg,write"
        strace = ["strace", "-f", "-yy", "-s", "8", "-e", calls, "-e", "signal=none"]
        return [*strace, "-o", str(self.trace), sys.executable, "-m", "node"]

    def close(self) -> None:
        """The node itself: without it strace ends, and not the other way round."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        with contextlib.suppress(OSError):
            for child in children.read_text(encoding="ascii").split():
                os.kill(int(child), signal.SIGKILL)
        super().close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TracedNode]:
    if shutil.which("strace") is None:
        absent("strace is not installed")
    process = TracedNode(tmp_path, role="receive")
    process.start()
    yield process
    process.close()


def steps(trace: str, wanted: dict[str, re.Pattern[str]]) -> list[str]:
    """What was asked for, in order; what was begun and not ended on one line, where it ended."""
    begun: dict[str, str] = {}
    found = []
    for line in trace.splitlines():
        process, _, call = line.partition(" ")
        call = call.lstrip()
        if call.endswith("<unfinished ...>"):
            begun[process] = call
            continue
        if "resumed>" in call:
            call = begun.pop(process, "") + call
        found += [name for name, pattern in wanted.items() if pattern.match(call)]
    return found


def steps_of(node: TracedNode, wanted: dict[str, re.Pattern[str]], *, said: int) -> list[str]:
    """Once so many successes are written down."""
    until = time.monotonic() + 20
    while True:
        found = steps(node.trace.read_text(encoding="utf-8", errors="replace"), wanted)
        if found.count("said") >= said:
            return found
        assert time.monotonic() < until, found
        time.sleep(0.2)


def test_a_success_is_said_after_the_disk_has_bytes_name_and_row(node: TracedNode) -> None:
    scu = StorageScu(
        calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
    )
    for _, content in instances(ECGS):
        scu.send(content)
    found = steps_of(node, STEPS, said=ECGS)
    for said in "".join(f"{step} " for step in found).split("said ")[:ECGS]:
        assert re.search(r"bytes .*named .*folder .*row ", said), said


def test_an_hl7_message_is_acknowledged_after_the_disk_has_it(node: TracedNode) -> None:
    sender = Hl7Sender("127.0.0.1", node.hl7_port, connect_timeout_s=5, answer_timeout_s=20)
    sender.send(ADMITTED.encode())
    sender.close()
    found = steps_of(node, STEPS | {"said": ACKNOWLEDGED}, said=1)
    before = "".join(f"{step} " for step in found[: found.index("said")])
    assert re.search(r"bytes .*named .*folder .*row ", before), before


def test_an_answer_that_comes_too_early_is_seen() -> None:
    """The judge itself: with the steps out of order it says no."""
    trace = (
        '7 sendto(9<TCP:[127.0.0.1:1]>, "\\4\\0\\0", 3, 0, NULL, 0) = 3\n'
        "8 fsync(3</h/spool/ab/.writing-1> <unfinished ...>\n"
        '7 rename("/h/spool/ab/.writing-1", "/h/spool/ab/' + "0" * 62 + '") = 0\n'
        "8 <... fsync resumed>) = 0\n"
        "8 fdatasync(5</h/node.db-wal>) = 0\n"
    )
    assert steps(trace, STEPS) == ["said", "named", "bytes", "row"]
