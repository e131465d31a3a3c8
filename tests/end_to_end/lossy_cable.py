"""A cable between two network devices that loses some of what is sent, in either direction."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import select
import struct
import threading
from typing import Final

_SET_INTERFACE: Final = 0x400454CA
_ETHERNET, _BARE = 0x0002, 0x1000
_LONGEST_FRAME: Final = 65536
_LOOK_EVERY_S: Final = 0.2


class LossyCable:
    """Two TAP devices; a thread carries the frames from one to the other."""

    def __init__(self, one: str, other: str, *, loss: float, seed: int) -> None:
        """loss: the share of frames that is dropped."""
        self.carried = self.lost = 0
        self._ends = (_tap(one), _tap(other))
        self._loss = loss
        self._chance = random.Random(seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._carry, name="cable", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Both devices are gone."""
        self._stopping.set()
        self._thread.join()
        for end in self._ends:
            os.close(end)

    def _carry(self) -> None:
        one, other = self._ends
        across = {one: other, other: one}
        while not self._stopping.is_set():
            ready, _, _ = select.select(self._ends, [], [], _LOOK_EVERY_S)
            for end in ready:
                with contextlib.suppress(OSError):  # a device that is down takes nothing
                    frame = os.read(end, _LONGEST_FRAME)
                    if self._chance.random() < self._loss:
                        self.lost += 1
                    else:
                        os.write(across[end], frame)
                        self.carried += 1


def _tap(name: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(
        descriptor, _SET_INTERFACE, struct.pack("16sH22x", name.encode(), _ETHERNET | _BARE)
    )
    return descriptor
