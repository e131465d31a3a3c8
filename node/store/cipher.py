"""Objects encrypted at rest: AES-256-GCM its name sealed with the bytes."""

from __future__ import annotations

import base64
import binascii
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from node.domain.errors import ConfigurationError, StorageError

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
"""Random: 2**32 objects may be sealed under one key. Source: NIST SP 800-38D 8.3."""


class Cipher:
    """Seals with the first of its keys and opens with any, so that keys can be changed."""

    def __init__(self, keys: list[bytes]) -> None:
        """keys: KEY_BYTES each, one or more."""
        self._keys = [AESGCM(key) for key in keys]

    def seal(self, digest: str, content: bytes) -> bytes:
        """What is kept of the bytes with that name: another each time."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._keys[0].encrypt(nonce, content, digest.encode("ascii"))

    def open(self, digest: str, sealed: bytes) -> bytes:
        """The bytes again. Raises StorageError (under no key of ours, or altered)."""
        return self._open(digest, sealed)[1]

    def needs_sealing(self, digest: str, sealed: bytes) -> bool:
        """Whether it is under another key than the first. Raises StorageError like `open`."""
        return self._open(digest, sealed)[0] > 0

    def _open(self, digest: str, sealed: bytes) -> tuple[int, bytes]:
        """Which key opens it, and the bytes."""
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        for number, key in enumerate(self._keys):
            try:
                return number, key.decrypt(nonce, rest, digest.encode("ascii"))
            except (InvalidTag, ValueError):  # too short is another kind
                continue
        raise StorageError(
            f"object {digest[:12]}… opens with no key of storage.keys, or was altered; name the "
            "key it was written under there too, or restore it from a backup"
        )


def read_key(written: str) -> bytes:
    """A key in base64, as the configuration refers to it. Raises ConfigurationError."""
    try:
        key = base64.b64decode(written, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigurationError(f"a key of storage.keys is not base64; {_MAKE}") from error
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"a key of storage.keys has {len(key)} bytes, not {KEY_BYTES}; {_MAKE}"
        )
    return key


_MAKE: Final = "make one with: openssl rand -base64 32"
