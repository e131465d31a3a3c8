"""Who released a bundle: an Ed25519 signature of its checksums, and so of every byte in it.

The signature is the file SHA256SUMS.sig beside them, as `openssl pkeyutl -sign -rawin` writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from node.domain.errors import ConfigurationError
from node.domain.identifiers import sha256
from pipelines.bundle import CHECKSUMS, SIGNATURE, Bundle

ASK: Final = "ask whoever released it, and do not use it until then"


def read_keys(files: Iterable[Path]) -> tuple[Ed25519PublicKey, ...]:
    """The public keys of those who may release bundles.

    Raises ConfigurationError (a file that cannot be read, or is no Ed25519 public key in PEM).
    """
    return tuple(map(_read_key, files))


def check_signature(bundle: Bundle, keys: Sequence[Ed25519PublicKey]) -> None:
    """Raise BundleError unless one of these keys signed the bundle; without keys all may be used.

    The files are compared with the checksums elsewhere (`Bundle.verify`).
    """
    if not keys:
        return
    if bundle.signature is None:
        raise bundle.fault(
            f"{SIGNATURE} is missing, and model.trusted_keys asks for a signature", ASK
        )
    signed = (bundle.folder / CHECKSUMS).read_bytes()
    if sha256(signed) != bundle.digest:
        raise bundle.fault(f"{CHECKSUMS} has changed since it was read", ASK)
    if not any(_signed(key, bundle.signature, signed) for key in keys):
        raise bundle.fault(f"{SIGNATURE} is of none of model.trusted_keys", ASK)


def _read_key(file: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(file.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"model.trusted_keys: cannot read {file}: {error.strerror}"
        ) from error
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigurationError(
            f"model.trusted_keys: {file} is no Ed25519 public key in PEM; "
            "`openssl pkey -in KEY -pubout` writes one"
        )
    return key


def _signed(key: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True
