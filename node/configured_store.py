"""Where the settings have things kept: the database, and the objects with what encrypts them."""

from __future__ import annotations

from pathlib import Path

from node.settings import Settings, StorageSettings
from node.store.bucket import Bucket
from node.store.cipher import Cipher, read_key
from node.store.database import Database, sqlite_url
from node.store.objects import Objects
from node.store.spool import Spool


def open_database(settings: Settings, home: Path) -> Database:
    """The database the settings name; by default SQLite in the home folder."""
    return Database(settings.storage.database_url or sqlite_url(home / "node.db"))


def open_objects(settings: Settings, home: Path) -> Objects:
    """The store of objects that the settings name; by default a folder in the home folder.

    Raises ConfigurationError (among others where its keys are not those it is used with),
    StorageError.
    """
    opened = _open(settings.storage, home, build_cipher(settings))
    opened.prove_keys()
    return opened


def build_cipher(settings: Settings) -> Cipher | None:
    """What encrypts the objects; None where nothing does. Raises ConfigurationError."""
    keys = [read_key(key.read()) for key in settings.storage.keys]
    return Cipher(keys) if keys else None


def _open(storage: StorageSettings, home: Path, cipher: Cipher | None) -> Objects:
    if not storage.is_bucket:
        folder = Path(storage.objects) if storage.objects else home / "spool"
        minimum_free_bytes = storage.minimum_free_mb * 1_000_000
        return Spool(folder, minimum_free_bytes=minimum_free_bytes, cipher=cipher)
    s3 = storage.s3
    return Bucket(
        storage.objects,
        endpoint_url=s3.endpoint_url,
        region=s3.region,
        access_key=None if s3.access_key is None else s3.access_key.read(),
        secret_key=None if s3.secret_key is None else s3.secret_key.read(),
        cipher=cipher,
    )
