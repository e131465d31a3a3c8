"""Cores: those that the process is bound to, and no more than its control groups allow."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node import cores

BOUND = len(os.sched_getaffinity(0))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of the system's, of a process that is bound to sixteen cores."""
    monkeypatch.setattr(cores, "OWN", tmp_path / "own")
    monkeypatch.setattr(cores, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    return tmp_path


def write(machine: Path, own: str, **files: str) -> None:
    (machine / "own").write_text(own, encoding="utf-8")
    for name, content in files.items():
        path = machine / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def test_without_control_groups_all_that_it_is_bound_to(machine: Path) -> None:
    assert cores.available_cores() == 16


@pytest.mark.parametrize(
    ("limit", "found"),
    [("200000 100000", 2), ("150000 100000", 2), ("20000 100000", 1), ("max 100000", 16)],
)
def test_a_containers_limit_is_rounded_up(machine: Path, limit: str, found: int) -> None:
    write(machine, "0::/\n", **{"cpu.max": f"{limit}\n"})
    assert cores.available_cores() == found


def test_the_narrowest_of_the_groups_that_it_is_in_counts(machine: Path) -> None:
    write(
        machine,
        "0::/system.slice/cardionode.service\n",
        **{
            "system.slice/cardionode.service/cpu.max": "800000 100000\n",
            "system.slice/cpu.max": "400000 100000\n",
            "elsewhere/cpu.max": "100000 100000\n",
        },
    )
    assert cores.available_cores() == 4


def test_the_first_version_of_control_groups_counts_too(machine: Path) -> None:
    folder = "cpu/docker/abc"
    write(
        machine,
        "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/\n",
        **{
            f"{folder}/cpu.cfs_quota_us": "300000\n",
            f"{folder}/cpu.cfs_period_us": "100000\n",
            "cpu/cpu.cfs_quota_us": "-1\n",
            "cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert cores.available_cores() == 3


def test_a_path_that_leads_nowhere_or_out_limits_nothing(machine: Path) -> None:
    write(machine, "0::/../../of/the/host\n1:name=systemd:/\n", **{"a/cpu.max": "100000 100000\n"})
    (machine / "cpu.max").write_text("100000 100000\n", encoding="utf-8")
    assert cores.available_cores() == 16


def test_a_limit_is_never_more_than_what_it_is_bound_to(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 5})
    write(machine, "0::/\n", **{"cpu.max": "900000 100000\n"})
    assert cores.available_cores() == 2


def test_this_machine_has_some() -> None:
    assert 1 <= cores.available_cores() <= BOUND
