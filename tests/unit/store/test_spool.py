"""The spool keeps what it was given, and says so when it cannot."""

from __future__ import annotations

import errno
import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from node.domain.errors import OutOfSpace, StorageError
from node.store.spool import Spool


def test_bytes_come_back_under_their_sha256(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    digest = spool.put(b"an ECG")
    assert digest == hashlib.sha256(b"an ECG").hexdigest()
    assert spool.get(digest) == b"an ECG"


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="file/spool, cannot be used: "):
        Spool(tmp_path / "file" / "spool")


def test_the_same_bytes_are_kept_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert spool.put(b"twice") == spool.put(b"twice")
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 1


def test_altered_bytes_are_refused_when_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    digest = spool.put(b"right")
    (tmp_path / digest[:2] / digest[2:]).write_bytes(b"wrong")
    with pytest.raises(StorageError, match="not what was written"):
        spool.get(digest)


def test_altered_bytes_that_come_again_are_kept_anew(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    digest = spool.put(b"right")
    (tmp_path / digest[:2] / digest[2:]).write_bytes(b"wrong")
    assert spool.get(spool.put(b"right")) == b"right"


def test_bytes_whose_fsync_failed_are_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system tells of a failed write once; a second fsync of the same pages succeeds."""
    spool = Spool(tmp_path)
    spool.put(b"another")
    synced, written = os.fsync, os.write
    writes: list[int] = []

    def failing(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", synced)
        raise OSError(errno.EIO, "Input/output error")

    def counted(descriptor: int, content: bytes) -> int:
        writes.append(len(content))
        return written(descriptor, content)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StorageError):
        spool.put(b"an ECG")
    assert not [
        path for path in tmp_path.rglob("*") if path.is_file() and b"ECG" in path.read_bytes()
    ]
    monkeypatch.setattr(os, "write", counted)
    assert spool.get(spool.put(b"an ECG")) == b"an ECG"
    assert writes == [len(b"an ECG")]


def test_a_disk_below_the_watermark_refuses_new_bytes_but_gives_old_ones(tmp_path: Path) -> None:
    digest = Spool(tmp_path).put(b"old")
    spool = Spool(tmp_path, minimum_free_bytes=1 << 60)
    with pytest.raises(OutOfSpace):
        spool.put(b"new")
    assert spool.get(digest) == b"old"


def test_bytes_kept_again_are_not_removed_as_old(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    digest = spool.put(b"bytes")
    before = datetime.now(UTC) - timedelta(seconds=5)
    assert not spool.remove_if_older(digest, than=before)
    assert spool.remove_if_older(digest, than=datetime.now(UTC) + timedelta(seconds=5))
    with pytest.raises(StorageError):
        spool.get(digest)


def test_no_half_written_file_stays_behind(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(b"x" * 100_000)
    assert not list(tmp_path.rglob(".writing-*"))


def aside(folder: Path, digest: str) -> Path:
    return folder / digest[:2] / f".removing-{digest[2:]}"


def test_bytes_kept_anew_while_they_are_looked_at_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host keeps them between the look at their age and the removal."""
    spool, other = Spool(tmp_path), Spool(tmp_path)
    digest = spool.put(b"bytes")
    path = tmp_path / digest[:2] / digest[2:]
    os.utime(path, (1, 1))
    renamed = Path.rename

    def kept_first(own: Path, to: Path) -> Path:
        if own == path:
            other.put(b"bytes")
        return renamed(own, to)

    monkeypatch.setattr(Path, "rename", kept_first)
    assert not spool.remove_if_older(digest, than=datetime(2026, 1, 1, tzinfo=UTC))
    assert spool.get(digest) == b"bytes"


def test_bytes_kept_anew_once_they_are_put_aside_are_written_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    digest = spool.put(b"bytes")
    (tmp_path / digest[:2] / digest[2:]).rename(aside(tmp_path, digest))
    assert spool.put(b"bytes") == digest
    assert spool.get(digest) == b"bytes"


def test_bytes_that_a_kill_left_aside_come_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    digest = spool.put(b"bytes")
    (tmp_path / digest[:2] / digest[2:]).rename(aside(tmp_path, digest))
    assert spool.get(digest) == b"bytes"
    assert not aside(tmp_path, digest).exists()


def test_a_store_is_the_same_from_every_host_and_another_is_not(tmp_path: Path) -> None:
    one = Spool(tmp_path / "one")
    assert one.identity == Spool(tmp_path / "one").identity
    assert one.identity != Spool(tmp_path / "other").identity
    assert len(one.identity) == 32
