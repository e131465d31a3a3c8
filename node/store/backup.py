"""A copy of all that a node keeps, taken while it runs, and a home made of one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from node.domain.errors import ConfigurationError, StorageError
from node.store.cipher import Cipher
from node.store.database import Database, sqlite_url, sync
from node.store.inspection import Tick
from node.store.objects import Objects
from node.store.received import Jobs
from node.store.spool import Spool

DATABASE: Final = "node.db"
OBJECTS: Final = "spool"
"""In a backup."""


def back_up(
    database: Database, objects: Objects, folder: Path, *, tick: Tick, cipher: Cipher | None = None
) -> int:
    """Copy the database, then every object it names; how many objects there are.

    cipher: what encrypts the copies of objects; the database is copied as it is.

    A folder that holds an earlier backup gets what is new, and is that one until it has all of it.
    PostgreSQL is left to its own tools, which are to run before this.
    Raises StorageError (an object is lost, or there is no room).
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = Spool(folder / OBJECTS, cipher=cipher)
    while True:
        copy = database.copy_to(folder / f"{DATABASE}.new")
        named = _named_by(copy) if copy is not None else _named_in(database)
        if _copy_objects(database, named, objects, kept, tick):
            break
    if copy is not None:
        copy.replace(folder / DATABASE)
        sync(folder)
    return len(named)


def _copy_objects(
    database: Database, named: set[str], objects: Objects, kept: Spool, tick: Tick
) -> bool:
    """False where one was removed meanwhile with its rows: they were finished, and old."""
    for number, digest in enumerate(sorted(named), start=1):
        if not kept.has(digest):
            try:
                kept.put(objects.get(digest))
            except StorageError:
                if digest in _named_in(database):
                    raise
                return False
        tick(number, len(named))
    return True


def restore(
    folder: Path, home: Path, objects: Objects, *, tick: Tick, cipher: Cipher | None = None
) -> int:
    """Make a home folder of a backup with its database; how many objects it holds.

    objects: where those go. cipher: what opens those of the backup.

    Raises ConfigurationError (it is no backup, or a node has run in the home folder), StorageError
    (an object of the backup is lost or altered).
    """
    if not (folder / DATABASE).is_file() or not (folder / OBJECTS).is_dir():
        raise ConfigurationError(f"{folder} holds no backup of a node with its SQLite database")
    if (home / DATABASE).exists():
        raise ConfigurationError(f"a node has run in {home} already; restore into another folder")
    named = _named_by(folder / DATABASE)
    kept = Spool(folder / OBJECTS, cipher=cipher)
    for number, digest in enumerate(sorted(named), start=1):
        objects.put(kept.get(digest))
        tick(number, len(named))
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    source = Database(sqlite_url(folder / DATABASE))
    try:
        source.copy_to(home / DATABASE)
    finally:
        source.close()
    return len(named)


def _named_by(file: Path) -> set[str]:
    source = Database(sqlite_url(file))
    try:
        return _named_in(source)
    finally:
        source.close()


def _named_in(database: Database) -> set[str]:
    with database.read() as connection:
        return Jobs(connection).digests()


def check_is_folder_of_its_own(folder: Path, home: Path) -> None:
    """A backup beside what it is of would go with it. Raises ConfigurationError."""
    if os.path.commonpath([folder.absolute(), home.absolute()]) == str(home.absolute()):
        raise ConfigurationError(f"a backup in the home folder {home} would be lost with it")
