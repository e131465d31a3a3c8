"""What systemd hears."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.service_manager import ServiceManager


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """Who waits for word, and what it is called."""
    name = str(tmp_path / "notify") if request.param == "file" else f"@{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0"))
        listening.settimeout(5.0)
        yield listening, name


def test_it_is_told_that_the_node_is_ready_starts_anew_and_stops(
    manager: tuple[socket.socket, str],
) -> None:
    listening, name = manager
    said = ServiceManager({"NOTIFY_SOCKET": name})
    said.ready("dicom:104")
    said.starting_anew()
    said.stopping()
    heard = [listening.recv(999).decode().split("\n") for _ in range(3)]
    assert [each[0] for each in heard] == ["READY=1", "RELOADING=1", "STOPPING=1"]
    assert heard[0][1] == "STATUS=dicom:104"


def test_it_is_told_that_the_process_lives_where_it_asks(
    manager: tuple[socket.socket, str],
) -> None:
    listening, name = manager
    ServiceManager({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "600000"}).watch()
    assert [listening.recv(99) for _ in range(3)] == [b"WATCHDOG=1"] * 3


@pytest.mark.parametrize(
    "asked",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "600000", "WATCHDOG_PID": "1"}],
    ids=["nobody", "never", "another process"],
)
def test_nobody_hears_what_nobody_asked_for(
    manager: tuple[socket.socket, str], asked: dict[str, str]
) -> None:
    listening, name = manager
    listening.settimeout(0.2)
    ServiceManager({"NOTIFY_SOCKET": name, **asked}).watch()
    with pytest.raises(TimeoutError):
        listening.recv(99)


def test_without_a_manager_nothing_happens(tmp_path: Path) -> None:
    ServiceManager({}).ready("")
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready("")
