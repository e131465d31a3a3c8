"""A small hospital's certificates, and TLS as its machines speak it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from node.dicom.credentials import Credentials
from node.dicom.tls import CredentialFiles
from tests.certificates import HOST, Authority, Files
from tests.wire.dicom.raw_scu import RawScu


@dataclass(frozen=True)
class Pki:
    folder: Path
    authority: Authority
    node: Files
    cart: Files
    stranger: Files
    """Of another CA, trusting the node's."""
    expired: Files
    elsewhere: Files
    """For another host."""


def make_pki(folder: Path) -> Pki:
    authority, other = Authority(folder), Authority(folder, "other")
    return Pki(
        folder=folder,
        authority=authority,
        node=authority.issue("node"),
        cart=authority.issue("cart-1"),
        stranger=replace(other.issue("stranger"), authorities=authority.file),
        expired=authority.issue("expired", days=-1),
        elsewhere=authority.issue("elsewhere", host="pacs.example"),
    )


def credentials(files: Files, minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> Credentials:
    return Credentials(
        CredentialFiles(
            certificate=files.certificate,
            key=files.key,
            authorities=files.authorities,
            minimum_version=minimum,
        )
    )


def peer_context(
    files: Files,
    *,
    is_server: bool = False,
    shows_certificate: bool = True,
    maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> ssl.SSLContext:
    """Another machine's, made by nothing of ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(files.authorities)
    context.verify_mode = ssl.CERT_REQUIRED
    if shows_certificate:
        context.load_cert_chain(files.certificate, files.key)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = maximum
    return context


def at_most(
    maximum: ssl.TLSVersion, context: Callable[[], ssl.SSLContext]
) -> Callable[[], ssl.SSLContext]:
    """The same context, without newer versions."""
    capped = context()
    capped.maximum_version = maximum
    return lambda: capped


class SecureScu(RawScu):
    """A raw SCU behind a handshake. Raises OSError where that fails."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        super().__init__(port)
        self.socket = context.wrap_socket(self.socket, server_hostname=HOST)
