"""Bytes in a bucket of an S3-compatible store, named by their SHA-256.

What is kept is never written again: each time bytes are kept they get a key of their own below
their name, and who removes what is old removes the keys that it saw. So no host can take away what
another keeps at that moment. Of the store that takes put, get, list and delete, and once a put that
is taken only where nothing is (If-None-Match).
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from node.domain.errors import ConfigurationError, OutOfSpace, StorageError
from node.domain.identifiers import sha256
from node.store.cipher import Cipher
from node.store.objects import PROOF, is_digest, proof, read, written

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store

CONNECT_TIMEOUT_S: Final = 5
ANSWER_TIMEOUT_S: Final = 20
"""Who sends an ECG waits for it."""
RETRIES: Final = 2
FULL_FOR_S: Final = 60.0
"""So long a store that refused something is told of."""
_IDENTITY: Final = "identity"
_FULL: Final = ("QuotaExceeded", "StorageFull", "InsufficientCapacity", "507 Insufficient Storage")
"""What S3-compatible stores say that have no room."""


class Bucket:
    """The objects below one prefix of a bucket.

    Resource handling: a store answers a put when the bytes are durable, and what it has answered is
    seen by everyone who asks afterwards (so Amazon S3 since December 2020, and Ceph and MinIO).
    """

    def __init__(
        self,
        url: str,
        *,
        endpoint_url: str | None = None,
        region: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        cipher: Cipher | None = None,
    ) -> None:
        """url: "s3://BUCKET/PREFIX". The environment or the machine's role tell what is not said.

        Raises ConfigurationError (the library is not installed, or these name no store).
        """
        try:
            import obstore
        except ImportError as error:
            raise ConfigurationError(
                f'storage.objects = "{url}" takes a library that is not installed: '
                'pip install "cardionode[s3]"'
            ) from error
        self._obstore = obstore
        self._url = url
        try:
            self._store = _open(url, endpoint_url, region, access_key, secret_key)
        except (obstore.exceptions.BaseError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise ConfigurationError(f"{url} with [storage.s3] names no store: {reason}") from error
        self._cipher = cipher
        self._full_at: float | None = None

    @property
    def identity(self) -> str:
        """Which store of objects it is, however it is reached. Raises StorageError."""
        with self._asking():
            if (found := self._read_if_any(_IDENTITY)) is None:
                self._create(_IDENTITY, secrets.token_hex(16).encode("ascii"))
                found = self._read(_IDENTITY)
            return found.decode("ascii")

    def prove_keys(self) -> None:
        """Pass where these keys are those of all who use it.

        Raises ConfigurationError, StorageError.
        """
        with self._asking():
            while True:
                kept = self._read_if_any(PROOF)
                new = proof(kept, self._cipher)
                if new is None:
                    return
                if kept is not None:
                    self._obstore.put(self._store, PROOF, new)
                elif not self._create(PROOF, new):
                    continue  # another host was faster: perhaps with other keys
                return

    def put(self, content: bytes) -> str:
        """Keep the bytes and give their SHA-256. Raises OutOfSpace, StorageError."""
        digest = sha256(content)
        key = f"{_folder(digest)}/{secrets.token_hex(8)}"
        try:
            with self._asking():
                self._obstore.put(self._store, key, written(digest, content, self._cipher))
        except OutOfSpace:
            self._full_at = time.monotonic()
            raise
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes with that SHA-256, checked. Raises StorageError when lost or altered."""
        lost = StorageError(f"object {digest[:12]}… is not in {self._url}; {_RESTORE}")
        with self._asking():
            for key, _ in self._keys(digest):
                try:
                    return read(digest, self._read(key), self._cipher)
                except FileNotFoundError:  # who removes what is old was here meanwhile
                    continue
                except StorageError as error:  # it may be whole under another key
                    lost = error
        raise lost

    def digests(self, *, older_than: datetime) -> set[str]:
        """All that is kept, but for what was kept anew since. Raises StorageError."""
        old, new = set[str](), set[str]()
        with self._asking():
            for key, kept_at in self._below(None):
                digest = key.split("/")[-2] if "/" in key else ""
                if is_digest(digest):
                    (old if kept_at < older_than else new).add(digest)
        return old - new

    def remove_if_older(self, digest: str, *, than: datetime) -> bool:
        """Remove bytes that nobody kept anew since; whether they were removed.

        Raises StorageError.
        """
        with self._asking():
            keys = self._keys(digest)
            if not keys or any(kept_at >= than for _, kept_at in keys):
                return False
            for key, _ in keys:  # not all stores take several at once
                self._obstore.delete(self._store, key)
        return True

    def sweep(self, *, older_than: datetime) -> int:
        """Nothing: what was not kept whole is not there."""
        return 0

    def has_room(self) -> bool:
        """Whether nothing was refused a moment ago: only the store knows its room."""
        return self._full_at is None or time.monotonic() - self._full_at > FULL_FOR_S

    def free_bytes(self) -> None:
        """Nobody can say."""

    def _keys(self, digest: str) -> list[tuple[str, datetime]]:
        """Under what the bytes are kept, and since when."""
        return list(self._below(_folder(digest)))

    def _below(self, prefix: str | None) -> Iterator[tuple[str, datetime]]:
        for batch in self._obstore.list(self._store, prefix):
            for found in batch:
                yield found["path"], found["last_modified"]

    def _read(self, key: str) -> bytes:
        return bytes(self._obstore.get(self._store, key).bytes())

    def _read_if_any(self, key: str) -> bytes | None:
        try:
            return self._read(key)
        except FileNotFoundError:
            return None

    def _create(self, key: str, content: bytes) -> bool:
        """False where there is something."""
        try:
            self._obstore.put(self._store, key, content, mode="create")
        except self._obstore.exceptions.AlreadyExistsError:
            return False
        return True

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turns errors of the store, of several classes, into ours."""
        try:
            yield
        except (self._obstore.exceptions.BaseError, OSError) as error:
            said = _CODE.search(str(error))
            reason = said[1] if said else str(error).partition("\n")[0]
            if any(word in str(error) for word in _FULL):
                raise OutOfSpace(f"{self._url} is full ({reason}); free space") from error
            raise StorageError(
                f"{self._url} does not do what is asked of it: {reason}; see [storage.s3]"
            ) from error


def _open(
    url: str,
    endpoint_url: str | None,
    region: str | None,
    access_key: str | None,
    secret_key: str | None,
) -> S3Store:
    from obstore.store import S3Store

    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    config: S3Config = {}
    if endpoint_url is not None:
        config["endpoint"] = endpoint_url
    if region is not None:
        config["region"] = region
    if access_key is not None and secret_key is not None:
        config["access_key_id"], config["secret_access_key"] = access_key, secret_key
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=config,
        client_options={
            "allow_http": (endpoint_url or "").startswith("http:"),
            "connect_timeout": f"{CONNECT_TIMEOUT_S}s",
            "timeout": f"{ANSWER_TIMEOUT_S}s",
        },
        retry_config={
            "max_retries": RETRIES,
            "retry_timeout": timedelta(seconds=ANSWER_TIMEOUT_S),
        },
    )


def _folder(digest: str) -> str:
    return f"{digest[:2]}/{digest}"


_CODE: Final = re.compile(r"<Code>([^<]+)</Code>")
_RESTORE: Final = "restore it from a backup"
