"""The node's certificate, its key and the authorities it trusts: read, judged, and read again."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509 import Certificate, load_pem_x509_certificates

from node.dicom.tls import CredentialFiles, client_context, server_context, web_context
from node.domain.errors import ConfigurationError

WARN_FROM_DAYS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """When the first certificate of a file expires."""

    file: Path
    at: datetime

    def days_left(self, now: datetime) -> float:
        """Negative when it is over."""
        return (self.at - now) / timedelta(days=1)

    def sentence(self, now: datetime) -> str:
        """What there is to know and to do."""
        days, on = self.days_left(now), f"{self.at:%Y-%m-%d}"
        if days <= 0:
            return f"{self.file} expired on {on}: peers refuse it; renew it, no restart is needed"
        when = f"{self.file} expires on {on}, in {days:.0f} days"
        return f"{when}: renew it" if days <= WARN_FROM_DAYS else when


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    server: ssl.SSLContext
    web: ssl.SSLContext
    client: ssl.SSLContext
    expiries: tuple[Expiry, ...]


class Credentials:
    """What the files say; `refresh` reads them again when they have changed."""

    def __init__(self, files: CredentialFiles) -> None:
        """Raises ConfigurationError."""
        self._files = files
        self._stamp = _stamp(files)
        self._loaded = _load(files)

    def server(self) -> ssl.SSLContext:
        """For a connection that was taken."""
        return self._loaded.server

    def web(self) -> ssl.SSLContext:
        """For a connection that a browser made."""
        return self._loaded.web

    def client(self) -> ssl.SSLContext:
        """For a connection to be made."""
        return self._loaded.client

    @property
    def expiries(self) -> tuple[Expiry, ...]:
        """Of the node's certificates, and of the authorities'."""
        return self._loaded.expiries

    def refresh(self) -> bool:
        """Whether the files have changed and are in use now.

        Raises ConfigurationError, once a change, when what they hold now cannot be used: what they
        held before stays in use.
        """
        stamp = _stamp(self._files)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        self._loaded = _load(self._files)
        return True


def _stamp(files: CredentialFiles) -> tuple[object, ...]:
    """Another one when a file was written, replaced, or taken away."""
    found: list[object] = []
    for file in (files.certificate, files.key, files.authorities):
        try:
            status = file.stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)


def _load(files: CredentialFiles) -> _Loaded:
    own = _certificates(files.certificate, "tls.certificate")
    authorities = _certificates(files.authorities, "tls.authorities")
    if _encoded(own[0].public_key()) != _encoded(_public_key(files.key)):
        raise ConfigurationError(
            f"the key in tls.key {files.key} does not fit the first certificate in "
            f"tls.certificate {files.certificate}; name the two that were made together"
        )
    try:
        return _Loaded(
            server=server_context(files),
            web=web_context(files),
            client=client_context(files),
            expiries=(
                _first_to_expire(files.certificate, own),
                _first_to_expire(files.authorities, authorities),
            ),
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or "unreadable"
        raise ConfigurationError(
            f"TLS cannot use {files.certificate} with {files.authorities} "
            f"({str(reason).lower().replace('_', ' ')}); have certificates issued with RSA keys of "
            "2048 bits or more, or EC keys, and SHA-256"
        ) from error


def _certificates(file: Path, key: str) -> list[Certificate]:
    try:
        return load_pem_x509_certificates(_content(file, key))
    except ValueError as error:
        raise ConfigurationError(
            f"{key} {file} holds no certificate that can be read; it has to be PEM "
            "(-----BEGIN CERTIFICATE-----)"
        ) from error


def _public_key(file: Path) -> PublicKeyTypes:
    """That of a private key."""
    content = _content(file, "tls.key")
    try:
        return load_pem_private_key(content, password=None).public_key()
    except TypeError as error:
        raise ConfigurationError(
            f"tls.key {file} is encrypted; give the node one without, in a file that only "
            "its user can read"
        ) from error
    except Exception as error:  # ValueError, UnsupportedAlgorithm: their texts are not to be shown
        raise ConfigurationError(
            f"tls.key {file} holds no private key that can be read; it has to be PEM, RSA or EC"
        ) from error


def _content(file: Path, key: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {key} {file}: {error.strerror}; correct the path, or let the node's user "
            "read it"
        ) from error


def _encoded(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _first_to_expire(file: Path, certificates: list[Certificate]) -> Expiry:
    return Expiry(file=file, at=min(each.not_valid_after_utc for each in certificates))
