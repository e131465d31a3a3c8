"""The machine and the software that the figures are of."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

PACKAGES: Final = ("cardionode", "numpy", "onnxruntime", "openvino", "torch")
FEATURES: Final = (
    "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx_vnni", "amx_tile",
)  # fmt: skip
"""Of the instruction set, that make a difference to matrix products."""
QUIET: Final = 0.3
"""Load average up to which nothing else is working."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What ran the benchmarks."""

    processor: str
    cores: int
    """That this process may use."""
    features: tuple[str, ...]
    memory_gib: float
    system: str
    python: str
    packages: dict[str, str]
    load_before: float
    """Runnable processes on average over the minute before the run."""

    @property
    def contended(self) -> bool:
        """Whether others were working: then the figures are of nothing."""
        return self.load_before > QUIET


def this_machine() -> Machine:
    """The machine that this runs on; ask before any work."""
    told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    flags = _told(told, "flags").split()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        processor=_processor(told),
        cores=len(os.sched_getaffinity(0)),
        features=tuple(feature for feature in FEATURES if feature in flags),
        memory_gib=round(memory / 2**30, 1),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        packages={name: _version(name) for name in PACKAGES},
        load_before=round(os.getloadavg()[0], 2),
    )


def peak_memory_mb(pid: int | None = None) -> float:
    """Most memory that a process has held at once; this one without a pid."""
    return _memory_mb(pid, "VmHWM")


def peak_memory_beside_mb(pid: int) -> float:
    """Most memory of the processes that a process has started, each at its own moment."""
    return round(sum(map(peak_memory_mb, _children(pid))), 1)


def held_memory_mb(pid: int | None = None) -> float:
    """That a process holds now; this one without a pid."""
    return _memory_mb(pid, "VmRSS")


def family(pid: int) -> Iterator[int]:
    """A process and all that it and they have started, as long as they run."""
    yield pid
    for child in _children(pid):
        yield from family(child)


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and of those it has started, ended or not.

    User and system time. Source: proc(5), /proc/[pid]/stat fields 14 to 17.
    """
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    own = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return own + sum(map(cpu_s, _children(pid)))


def _children(pid: int) -> set[int]:
    found: set[int] = set()
    for each in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread has just ended
            found.update(map(int, each.read_text(encoding="ascii").split()))
    return found


def _memory_mb(pid: int | None, key: str) -> float:
    status = Path(f"/proc/{pid or 'self'}/status").read_text(encoding="utf-8")
    kibibytes = int(_told(status, key).split()[0])  # which the kernel calls kB
    return round(kibibytes * 1024 / 1e6, 1)


def _processor(told: str) -> str:
    """Name, family and model: a hypervisor may hide the first."""
    family, model = _told(told, "cpu family"), _told(told, "model")
    return f"{_told(told, 'model name') or platform.machine()} (family {family}, model {model})"


def _told(text: str, key: str) -> str:
    found = re.search(rf"^{re.escape(key)}\s*:\s*(.*)$", text, re.MULTILINE)
    return found.group(1) if found else ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
