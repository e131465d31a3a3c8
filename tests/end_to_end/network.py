"""A network between hosts of a test, each in a namespace of its own, whose cables can be pulled."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.conftest import absent
from tests.end_to_end.lossy_cable import LossyCable

ADDRESS = "10.77.0.1"
"""Of the test itself: database, PACS and RIS."""
NETWORK = "10.77.0.0/24"
_BRIDGE = "bridge"
_CLONE_NEWNET = 0x40000000


class Network:
    """Namespaces on one bridge."""

    def __init__(self, loss: float) -> None:
        self._loss = loss
        self._names: list[str] = []
        self._cables: list[LossyCable] = []

    def join(self, name: str) -> str:
        """A new namespace with that name; its address."""
        number = len(self._names) + 11
        address, inside, outside = f"10.77.0.{number}", f"in{number}", f"out{number}"
        _ip(f"netns add {_namespace(name)}")
        self._names.append(name)
        if self._loss:
            cable = LossyCable(inside, outside, loss=self._loss, seed=number)
            self._cables.append(cable)
            _ip(f"link set {inside} netns {_namespace(name)}")
        else:
            _ip(f"link add {outside} type veth peer name {inside} netns {_namespace(name)}")
        _ip(f"link set {outside} master {_BRIDGE} up")
        _ip(f"-n {_namespace(name)} address add {address}/24 dev {inside}")
        _ip(f"-n {_namespace(name)} link set {inside} up")
        _ip(f"-n {_namespace(name)} link set lo up")
        return address

    def cut(self, name: str) -> None:
        """Nothing comes through from now on, and nobody is told."""
        _ip(f"link set {self._outside(name)} down")

    def mend(self, name: str) -> None:
        _ip(f"link set {self._outside(name)} up")

    def frames(self) -> tuple[int, int]:
        """How many were lost, how many carried, where packets are lost."""
        return (
            sum(cable.lost for cable in self._cables),
            sum(cable.carried for cable in self._cables),
        )

    def _outside(self, name: str) -> str:
        return f"out{self._names.index(name) + 11}"

    def close(self) -> None:
        for cable in self._cables:
            cable.close()
        for name in self._names:
            _ip(f"netns delete {_namespace(name)}")


@contextmanager
def network(*, loss: float = 0.0) -> Iterator[Network]:
    """Within the network of the tests, which is their own too.

    loss: the share of packets to and from each namespace that does not arrive.
    """
    if os.environ.get("CARDIONODE_OWN_NETWORK") != "1" or os.geteuid() != 0:
        absent("network namespaces are made by root, in a network of the tests' own")
    _ip(f"link add {_BRIDGE} type bridge")
    made = Network(loss)
    try:
        _ip(f"address add {ADDRESS}/24 dev {_BRIDGE}")
        _ip(f"link set {_BRIDGE} up")
        yield made
    finally:
        made.close()
        _ip(f"link delete {_BRIDGE}")


def enter(name: str) -> None:
    """Have this process, and those it starts, be in that namespace."""
    descriptor = os.open(f"/run/netns/{_namespace(name)}", os.O_RDONLY)
    _set_namespace(descriptor)
    os.close(descriptor)


@contextmanager
def network_of(pid: int) -> Iterator[None]:
    """Have this thread, and those that it starts, be in the network that a process is in."""
    own, its = (os.open(f"/proc/{each}/ns/net", os.O_RDONLY) for each in ("thread-self", pid))
    _set_namespace(its)
    try:
        yield
    finally:
        _set_namespace(own)
        os.close(own)
        os.close(its)


def _set_namespace(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _namespace(name: str) -> str:
    return f"cardionode-{os.environ.get('PYTEST_XDIST_WORKER', 'one')}-{name}"


def _ip(words: str) -> None:
    done = subprocess.run(
        ["ip", *words.split()], capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 0, (words, done.stderr)
