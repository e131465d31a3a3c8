"""Engines and timings kept in a folder of this machine: programs, so no one else may write there.

Nothing is ever taken from a bundle: NVIDIA's plans are executable code. What a library made for
another driver, GPU or release of it is deleted when an engine is kept, UNUSED_DAYS after its last
use; what it made for this machine stays, since another bundle may be served with it.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from node.domain.errors import DeviceError

UNUSED_DAYS: Final = 90
"""Long enough for a driver that is taken back, or for nodes of two releases beside each other."""
_SECONDS_OF_A_DAY: Final = 86_400
_DIGEST_BYTES = sha256().digest_size
_NAME: Final = re.compile(r"(\.?)([a-z-]+)\.([0-9a-f]+)\..+")
"""A dot where a kill cut its writing short, library, machine; then what the file is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCache:
    """Files that start with their own SHA-256: a power cut or a bad disk shows before they run."""

    folder: Path
    library: str
    """As in `model.runtime`."""
    machine: str
    """Hexadecimal digits, of all that the library's engines are bound to."""

    def path(self, name: str) -> Path:
        """Where it is kept."""
        return self.folder / f"{self.library}.{self.machine}.{name}"

    def read(self, name: str) -> bytes | None:
        """What was kept under this name; None where there is nothing, or it is damaged.

        Raises DeviceError (someone else can write the file or its folder, or the disk refuses).
        """
        path = self.path(name)
        try:
            _trust(self.folder, self.folder.stat())
            # A link would lead out of the folder that was looked at.
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                _trust(path, os.fstat(file.fileno()))
                content = file.read()
                with suppress(OSError):  # root's, or on a disk that is only read
                    os.utime(file.fileno())  # it is used
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _refused(self.folder, error) from error
        digest, kept = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        return kept if digest == sha256(kept).digest() else None

    def prepare(self) -> None:
        """Make the folder; whatever is wrong with it is known before an engine is built.

        Raises DeviceError (as `read`).
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _trust(self.folder, self.folder.stat())
            if not os.access(self.folder, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise _refused(self.folder, error) from error

    def keep(self, name: str, content: bytes) -> None:
        """Write it whole or not at all; it survives a power cut. What is out of use makes room.

        Raises DeviceError (as `read`).
        """
        self.prepare()
        path = self.path(name)
        try:
            with NamedTemporaryFile(dir=self.folder, prefix=f".{path.name}.", delete=False) as file:
                try:
                    file.write(sha256(content).digest() + content)
                    file.flush()
                    os.fsync(file.fileno())
                    Path(file.name).rename(path)
                except OSError:
                    Path(file.name).unlink(missing_ok=True)
                    raise
            _sync(self.folder)
            self._prune()
        except OSError as error:
            raise _refused(self.folder, error) from error

    def _prune(self) -> None:
        oldest = time.time() - UNUSED_DAYS * _SECONDS_OF_A_DAY
        for path in self.folder.iterdir():
            found = _NAME.fullmatch(path.name)
            if found is None or found[2] != self.library:
                continue
            if found[1] or found[3] != self.machine:
                with suppress(OSError):  # another process prunes too, or it cannot be deleted
                    if path.lstat().st_mtime < oldest:
                        path.unlink()

    def discard(self, name: str) -> None:
        """Delete it, if it is there. Raises DeviceError (the disk refuses)."""
        try:
            self.path(name).unlink(missing_ok=True)
        except OSError as error:
            raise _refused(self.folder, error) from error


def _trust(path: Path, status: os.stat_result) -> None:
    """Raises DeviceError unless this process's user, or root, alone can write it."""
    if status.st_uid not in (os.geteuid(), 0):
        raise DeviceError(
            f"{path} belongs to another user (uid {status.st_uid}), and engines are programs: "
            "let model.engines name a folder of the node's own user"
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise DeviceError(
            f"{path} can be written by other users, and engines are programs: "
            f"look who wrote there, then chmod go-w {path}"
        )


def _sync(folder: Path) -> None:
    """The names in a folder, to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refused(folder: Path, error: OSError) -> DeviceError:
    return DeviceError(
        f"the engines' folder {folder} cannot be used ({error.strerror}): look at its rights and "
        "the disk's space, or let model.engines name another"
    )
