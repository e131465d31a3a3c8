"""Memory of two processes, in which one gives the other what is too much for a pipe.

A pipe takes 64 KiB at a time, and Python copies each while none of its threads goes on.
"""

from __future__ import annotations

import errno
import io
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from node.domain.errors import DeviceError

_LARGE_BYTES: Final = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Of memory that another process of the same user has open."""

    path: Path
    device: int
    inode: int

    def open(self) -> io.FileIO:
        """To write. Raises OSError where it is not there any more.

        Its path may be another file's by then, of which nothing may be cut off.
        """
        memory = io.FileIO(os.open(self.path, os.O_WRONLY | os.O_NONBLOCK), "wb")
        found = os.fstat(memory.fileno())
        if (found.st_dev, found.st_ino) != (self.device, self.inode):
            memory.close()
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return memory


class SharedMemory:
    """A file without a name in memory: it is gone when its process has ended, however it ends."""

    def __init__(self) -> None:
        """Raises DeviceError (no file descriptor is left)."""
        try:
            self._descriptor = os.memfd_create("made-beside")
        except OSError as error:
            raise _not_shared(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)

    @property
    def place(self) -> Place:
        """Where another process finds it, while this object is open."""
        found = os.fstat(self._descriptor)
        path = Path(f"/proc/{os.getpid()}/fd/{self._descriptor}")
        return Place(path=path, device=found.st_dev, inode=found.st_ino)

    def load(self, packed: bytes) -> Any:
        """What `call` gave this memory and its answer."""
        return _Unpickler(packed, self._descriptor).load()


def call(place: Place, work: Callable[..., object], *given: object) -> bytes:
    """In the other process: do the work, leave large bytes of what it makes in that memory.

    Gives the rest, pickled. Raises what `work` raises, DeviceError (there is no such memory).
    """
    made = work(*given)
    packed = io.BytesIO()
    try:
        with place.open() as memory:
            _Pickler(packed, memory).dump(made)
    except OSError as error:
        raise _not_shared(error) from error
    return packed.getvalue()


def _not_shared(error: OSError) -> DeviceError:
    return DeviceError(
        "the processes that compose results cannot share memory with the node "
        f"({error.strerror}); the work is done again. If this comes back, allow the node more open "
        "files, memory and /proc, or set model.at_once = 1 to do without"
    )


class _Pickler(pickle.Pickler):
    def __init__(self, packed: io.BytesIO, memory: io.FileIO) -> None:
        super().__init__(packed, pickle.HIGHEST_PROTOCOL)
        self._memory = memory

    def persistent_id(self, part: object) -> tuple[int, int] | None:
        """Where it begins in the memory, and its length, of large bytes; None of all else."""
        if not isinstance(part, bytes) or len(part) < _LARGE_BYTES:
            return None
        begin, rest = self._memory.tell(), memoryview(part)
        while rest:
            rest = rest[self._memory.write(rest) :]
        return begin, len(part)


class _Unpickler(pickle.Unpickler):
    def __init__(self, packed: bytes, descriptor: int) -> None:
        super().__init__(io.BytesIO(packed))
        self._descriptor = descriptor

    def persistent_load(self, where: tuple[int, int]) -> bytes:
        begin, length = where
        part = os.pread(self._descriptor, length, begin)  # other threads go on meanwhile
        if len(part) != length:
            raise EOFError("the memory holds less than was said")
        return part
