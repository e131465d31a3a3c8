"""Every object that a row names is read, what none names is found, and a copy is whole."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from node.domain.errors import ConfigurationError, StorageError
from node.domain.instance import Origin, ReceivedInstance
from node.store.backup import back_up, check_is_folder_of_its_own, restore
from node.store.cipher import Cipher
from node.store.database import Database, sqlite_url
from node.store.inspection import inspect_store
from node.store.received import Jobs
from node.store.spool import Spool

NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=1)


def keep(database: Database, spool: Spool, uid: str, content: bytes) -> str:
    """A job, and the bytes that it names."""
    instance = ReceivedInstance(
        sop_class_uid="1.2", sop_instance_uid=uid, transfer_syntax_uid="1.2.840.10008.1.2.1",
        origin=Origin(calling_ae="CART", called_ae="NODE", peer="127.0.0.1"),
        content_digest=spool.put(content), size_bytes=9, received_at=NOW, content=b"",
    )  # fmt: skip
    with database.write() as connection:
        Jobs(connection).add(instance)
    return instance.content_digest


def quiet(done: int, total: int) -> None:
    """Nobody looks."""


def restored(backup: Path, home: Path, cipher: Cipher | None = None) -> int:
    return restore(backup, home, Spool(home / "spool"), cipher=cipher, tick=quiet)


def path_of(spool: Path, digest: str) -> Path:
    return spool / digest[:2] / digest[2:]


def test_what_is_lost_altered_or_named_by_nobody_is_found(
    database: Database, tmp_path: Path
) -> None:
    database.prepare()
    spool = Spool(tmp_path / "spool")
    keep(database, spool, "1.1", b"sound")
    lost, altered = keep(database, spool, "1.2", b"lost"), keep(database, spool, "1.3", b"altered")
    orphan, recent = spool.put(b"orphan"), spool.put(b"recent")
    path_of(tmp_path / "spool", lost).unlink()
    path_of(tmp_path / "spool", altered).write_bytes(b"ALTERED")
    os.utime(path_of(tmp_path / "spool", recent), (LATER.timestamp() + 9,) * 2)
    said: list[tuple[int, int]] = []

    found = inspect_store(
        database, spool, older_than=LATER, tick=lambda done, total: said.append((done, total))
    )

    assert {each.digest: each.named_by for each in found.lost} == {
        lost: ("the ECG of job 2",),
        altered: ("the ECG of job 3",),
    }
    assert all("restore it from a backup" in each.reason for each in found.lost)
    assert found.orphans == (orphan,)
    assert (found.checked, said) == (3, [(1, 3), (2, 3), (3, 3)])


def test_fragments_of_a_kill_are_swept_when_they_are_old(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    digest = spool.put(b"whole")
    fragment = tmp_path / digest[:2] / ".writing-0123"
    fragment.write_bytes(b"who")
    assert spool.sweep(older_than=NOW - timedelta(days=1)) == 0
    assert spool.sweep(older_than=LATER) == 1
    assert (fragment.exists(), spool.get(digest)) == (False, b"whole")
    assert spool.digests(older_than=LATER) == {digest}


def test_what_a_kill_left_put_aside_is_looked_at_anew_when_it_is_old(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    left, twice = spool.put(b"left"), spool.put(b"twice")
    asides = []
    for digest in (left, twice):
        path = path_of(tmp_path, digest)
        asides.append(path.rename(path.with_name(f".removing-{path.name}")))
    spool.put(b"twice")
    kept = path_of(tmp_path, twice).stat().st_ino
    spool.sweep(older_than=NOW - timedelta(days=1))
    assert all(each.exists() for each in asides)
    spool.sweep(older_than=LATER)
    assert not any(each.exists() for each in asides)
    assert spool.digests(older_than=LATER) == {left, twice}
    assert path_of(tmp_path, twice).stat().st_ino == kept


@pytest.fixture
def node(tmp_path: Path) -> tuple[Database, Spool]:
    database = Database(sqlite_url(tmp_path / "node.db"))
    database.prepare()
    spool = Spool(tmp_path / "spool")
    for number in range(3):
        keep(database, spool, f"1.{number}", b"ECG %d" % number)
    return database, spool


def test_a_backup_becomes_a_home_with_all_of_it(
    node: tuple[Database, Spool], tmp_path: Path
) -> None:
    database, spool = node
    backup, home = tmp_path / "backup", tmp_path / "restored"
    assert back_up(database, spool, backup, tick=quiet) == 3
    keep(database, spool, "1.9", b"ECG since")
    assert restored(backup, home) == 3
    made = Database(sqlite_url(home / "node.db"))
    made.check()
    with made.read() as connection:
        jobs = Jobs(connection).latest(limit=9)
    assert [job.sop_instance_uid for job in jobs] == ["1.2", "1.1", "1.0"]
    assert Spool(home / "spool").get(jobs[0].content_digest) == b"ECG 2"
    assert (home / "node.db").stat().st_mode & 0o077 == 0
    made.close()

    assert back_up(database, spool, backup, tick=quiet) == 4  # brought up to date
    shutil.rmtree(home)
    assert restored(backup, home) == 4


def test_a_backup_that_fails_leaves_the_one_before_it(
    node: tuple[Database, Spool], tmp_path: Path
) -> None:
    database, spool = node
    backup = tmp_path / "backup"
    back_up(database, spool, backup, tick=quiet)
    path_of(tmp_path / "spool", keep(database, spool, "1.9", b"lost since")).unlink()
    with pytest.raises(StorageError):
        back_up(database, spool, backup, tick=quiet)
    assert restored(backup, tmp_path / "restored") == 3


def test_a_backup_with_an_altered_object_is_not_restored(
    node: tuple[Database, Spool], tmp_path: Path
) -> None:
    database, spool = node
    backup = tmp_path / "backup"
    back_up(database, spool, backup, tick=quiet)
    (file,) = [path for path in backup.glob("spool/*/*") if path.read_bytes() == b"ECG 1"]
    file.write_bytes(b"ECG 7")
    with pytest.raises(StorageError, match="not what was written"):
        restored(backup, tmp_path / "restored")
    assert not (tmp_path / "restored" / "node.db").exists()


def test_a_lost_object_is_told_of_and_one_removed_meanwhile_is_not(
    node: tuple[Database, Spool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, spool = node
    with database.read() as connection:
        lost = Jobs(connection).latest(limit=1)[0]
    path_of(tmp_path / "spool", lost.content_digest).unlink()
    with pytest.raises(StorageError, match="restore it from a backup"):
        back_up(database, spool, tmp_path / "backup", tick=quiet)

    original = database.copy_to

    def copy_and_remove(copy: Path) -> Path | None:
        made = original(copy)
        with database.write() as connection:
            Jobs(connection).remove(lost.job_id)
        return made

    monkeypatch.setattr(database, "copy_to", copy_and_remove)
    assert back_up(database, spool, tmp_path / "other", tick=quiet) == 2
    assert restored(tmp_path / "other", tmp_path / "restored") == 2


def test_a_backup_is_encrypted_as_its_node_is(node: tuple[Database, Spool], tmp_path: Path) -> None:
    database, spool = node
    backup, cipher = tmp_path / "backup", Cipher([bytes(32)])
    back_up(database, spool, backup, cipher=cipher, tick=quiet)
    assert not any(b"ECG" in path.read_bytes() for path in backup.glob("spool/*/*"))
    with pytest.raises(StorageError, match=r"storage\.keys"):
        restored(backup, tmp_path / "without")
    assert restored(backup, tmp_path / "restored", cipher) == 3


def test_folders_that_are_no_backup_or_no_new_home_are_refused(
    node: tuple[Database, Spool], tmp_path: Path
) -> None:
    database, spool = node
    with pytest.raises(ConfigurationError, match="holds no backup"):
        restored(tmp_path / "nothing", tmp_path / "home")
    back_up(database, spool, tmp_path / "backup", tick=quiet)
    with pytest.raises(ConfigurationError, match="a node has run in"):
        restored(tmp_path / "backup", tmp_path)
    with pytest.raises(ConfigurationError, match="would be lost with it"):
        check_is_folder_of_its_own(tmp_path / "home" / "backup", tmp_path / "home")
    check_is_folder_of_its_own(tmp_path / "backup", tmp_path / "home")
