"""Bytes on disk, named by their SHA-256, durable before anybody is told so.

Several processes, and machines that share the folder, may use one at a time.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from node.domain.errors import OutOfSpace, StorageError
from node.domain.identifiers import sha256
from node.store.cipher import Cipher
from node.store.objects import PROOF, is_digest, proof, read, written

_FULL = {errno.ENOSPC, errno.EDQUOT}


class Spool:
    """A folder of write-once files.

    Resource handling: a file appears under its final name only after its bytes were fsynced; the
    folder entry is fsynced before `put` returns, so what `put` named survives power loss.
    """

    def __init__(
        self, folder: Path, *, minimum_free_bytes: int = 0, cipher: Cipher | None = None
    ) -> None:
        """Below `minimum_free_bytes` of free disk `put` refuses, while the system still works.

        Raises StorageError (the folder cannot be made).
        """
        self._folder = folder
        self._cipher = cipher
        self._minimum_free_bytes = minimum_free_bytes
        self._refused_bytes = 0
        """Size of what was refused last."""
        try:
            _make_folder(folder)
            for first in range(256):
                (folder / f"{first:02x}").mkdir(mode=0o700, exist_ok=True)
            _fsync_folder(folder)
        except OSError as error:
            raise StorageError(
                f"the folder of the objects, {folder}, cannot be used: {error.strerror}"
            ) from error

    def put(self, content: bytes) -> str:
        """Keep the bytes and give their SHA-256. Raises OutOfSpace, StorageError.

        Where they are kept already but were altered, they are kept anew.
        """
        digest = sha256(content)
        path = self._path(digest)
        try:
            with suppress(FileNotFoundError):
                os.utime(path)
                # Whoever wrote it may not have come to this yet.
                _fsync_folder(path.parent)
                if self._is_whole(digest):
                    return digest
        except OSError as error:
            raise StorageError(f"the spool did not keep the bytes: {error.strerror}") from error
        if self.free_bytes() < self._minimum_free_bytes + len(content):
            self._refused_bytes = len(content)
            raise OutOfSpace(
                "the disk of the spool is nearly full; free space or move the node's home folder"
            )
        try:
            _write_durably(path, written(digest, content, self._cipher))
        except OSError as error:
            if error.errno in _FULL:
                raise OutOfSpace("the disk of the spool is full; free space") from error
            raise StorageError(f"the spool did not take the bytes: {error.strerror}") from error
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes with that SHA-256, checked. Raises StorageError when lost or altered."""
        path = self._path(digest)
        try:
            try:
                kept = path.read_bytes()
            except FileNotFoundError:  # perhaps who looked whether it is old ended meanwhile
                _aside(path).rename(path)
                kept = path.read_bytes()
        except OSError as error:
            raise StorageError(
                f"the spool cannot read {digest[:12]}…: {error.strerror}; restore it from a backup"
            ) from error
        return read(digest, kept, self._cipher)

    def remove_if_older(self, digest: str, *, than: datetime) -> bool:
        """Remove bytes that nobody kept anew since; whether they were removed.

        They are put aside first: who keeps them anew then writes them, and who did so just before
        is seen to have.
        """
        path = self._path(digest)
        aside = _aside(path)
        try:
            if path.stat().st_mtime >= than.timestamp():
                return False
            path.rename(aside)
            if aside.stat().st_mtime >= than.timestamp():
                aside.rename(path)
                return False
            aside.unlink()
        except FileNotFoundError:  # another host was faster
            return False
        return True

    def has(self, digest: str) -> bool:
        """Whether something is kept by that name; `get` says whether it is that."""
        return self._path(digest).exists()

    def digests(self, *, older_than: datetime) -> set[str]:
        """All that is kept, but for what was kept anew since. Raises StorageError."""
        found = set()
        try:
            for folder in sorted(self._folder.iterdir()):
                for file in folder.iterdir() if folder.is_dir() else ():
                    name = folder.name + file.name
                    if is_digest(name) and file.stat().st_mtime < older_than.timestamp():
                        found.add(name)
        except OSError as error:
            raise StorageError(f"the spool cannot be read: {error.strerror}") from error
        return found

    def sweep(self, *, older_than: datetime) -> int:
        """Remove what a kill left of bytes that were never said to be kept; how many.

        Bytes that it left put aside get their names again, so that they are looked at anew.
        """
        self._take_back(older_than)
        count = 0
        for file in self._folder.glob("*/.writing-*"):
            with suppress(FileNotFoundError):
                if file.stat().st_mtime < older_than.timestamp():
                    file.unlink()
                    count += 1
        return count

    @property
    def identity(self) -> str:
        """Which store of objects it is, wherever it is mounted. Raises StorageError."""
        file = self._folder / "identity"
        try:
            if not file.exists():
                _create(file, secrets.token_hex(16).encode("ascii"))
            return file.read_text(encoding="ascii")
        except OSError as error:
            raise StorageError(f"the spool cannot be used: {error.strerror}") from error

    def prove_keys(self) -> None:
        """Pass where these keys are those of all who use it.

        Raises ConfigurationError, StorageError.
        """
        file = self._folder / PROOF
        try:
            while True:
                kept = file.read_bytes() if file.exists() else None
                new = proof(kept, self._cipher)
                if new is None:
                    return
                if kept is not None:
                    _write_durably(file, new)
                elif not _create(file, new):
                    continue  # another host was faster: perhaps with other keys
                return
        except OSError as error:
            raise StorageError(f"the spool cannot be used: {error.strerror}") from error

    def has_room(self) -> bool:
        """Whether anything is kept, that too which was refused last."""
        return self.free_bytes() >= self._minimum_free_bytes + self._refused_bytes

    def free_bytes(self) -> int:
        """Free disk space where the spool lies."""
        return shutil.disk_usage(self._folder).free

    def _is_whole(self, digest: str) -> bool:
        try:
            self.get(digest)
        except StorageError:
            return False
        return True

    def _take_back(self, older_than: datetime) -> None:
        for aside in self._folder.glob("*/.removing-*"):
            with suppress(FileNotFoundError):
                if aside.stat().st_mtime < older_than.timestamp():
                    with suppress(FileExistsError):  # the same bytes were kept anew
                        os.link(aside, aside.with_name(aside.name.removeprefix(".removing-")))
                    aside.unlink()

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest[2:]


def _aside(path: Path) -> Path:
    return path.with_name(f".removing-{path.name}")


def _write_durably(path: Path, content: bytes) -> None:
    """The name comes last: after an fsync that failed the next one tells of no fault any more."""
    temporary = path.with_name(f".writing-{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    _fsync_folder(path.parent)


def _create(file: Path, content: bytes) -> bool:
    """Make a file, whole and durable, at once; False where there is one."""
    own = file.with_name(f".{file.name}-{secrets.token_hex(8)}")
    _write_durably(own, content)
    try:
        os.link(own, file)
    except FileExistsError:
        return False
    finally:
        own.unlink()
        _fsync_folder(file.parent)
    return True


def _make_folder(folder: Path) -> None:
    """Make the folder and the ones above it, each entry durable."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    _fsync_folder(folder.parent)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
