"""What a store of objects can do beyond keeping and giving bytes, and where it is."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Protocol

from node.domain.errors import ConfigurationError, StorageError
from node.domain.identifiers import sha256
from node.store.cipher import Cipher

_HEX: Final = frozenset("0123456789abcdef")


class Objects(Protocol):
    """A folder (`Spool`) or a bucket (`Bucket`); several hosts may use one at a time."""

    def put(self, content: bytes) -> str:
        """Keep the bytes and give their SHA-256; durable then. Raises OutOfSpace, StorageError."""
        ...

    def get(self, digest: str) -> bytes:
        """The bytes with that SHA-256, checked. Raises StorageError when lost or altered."""
        ...

    @property
    def identity(self) -> str:
        """Which store of objects it is, however it is reached. Raises StorageError."""
        ...

    def prove_keys(self) -> None:
        """Pass where these keys are those of all who use it, and remember them where they are new.

        Raises ConfigurationError (what is there was encrypted under another), StorageError.
        """
        ...

    def digests(self, *, older_than: datetime) -> set[str]:
        """All that is kept, but for what was kept anew since. Raises StorageError."""
        ...

    def remove_if_older(self, digest: str, *, than: datetime) -> bool:
        """Remove bytes that nobody kept anew since; whether they were removed."""
        ...

    def sweep(self, *, older_than: datetime) -> int:
        """Tidy what a kill left: bytes that were never said to be kept; how many."""
        ...

    def has_room(self) -> bool:
        """Whether anything is kept, that too which was refused last."""
        ...

    def free_bytes(self) -> int | None:
        """Free space where the objects lie; None where nobody can say."""
        ...


PROOF: Final = "keys"
"""Name of what `proof` tells of."""


def proof(kept: bytes | None, cipher: Cipher | None) -> bytes | None:
    """What is to be kept beside the objects, so that all who use them name the same keys.

    kept: what is there. None: that may stay. Raises ConfigurationError (it opens with no key).
    """
    if cipher is None:
        if kept is None:
            return None
        raise ConfigurationError(f"the objects are encrypted, storage.keys is empty; {_SAME}")
    try:
        if kept is not None and not cipher.needs_sealing(PROOF, kept):
            return None
    except StorageError as error:
        raise ConfigurationError(
            f"the objects are encrypted under a key that storage.keys does not name; {_SAME}"
        ) from error
    return cipher.seal(PROOF, b"")


_SAME: Final = "all hosts name the same, also older ones under which something was written"


def is_digest(name: str) -> bool:
    """Whether it can be the name of an object."""
    return len(name) == 64 and set(name) <= _HEX


def written(digest: str, content: bytes, cipher: Cipher | None) -> bytes:
    """What is kept of the bytes with that SHA-256."""
    return content if cipher is None else cipher.seal(digest, content)


def read(digest: str, kept: bytes, cipher: Cipher | None) -> bytes:
    """The bytes with that SHA-256, out of what was kept: before there was a key, as they are.

    Raises StorageError (altered, or written under another key).
    """
    if sha256(kept) == digest:
        return kept
    content = None if cipher is None else cipher.open(digest, kept)
    if content is None or sha256(content) != digest:
        raise StorageError(
            f"object {digest[:12]}… is not what was written, or was written under a key "
            "that storage.keys does not name; restore it from a backup"
        )
    return content
