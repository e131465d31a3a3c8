"""TLS as the BCP 195 profiles of DICOM want it: mutual, 1.2 or newer, and failures in plain words.

Source: DICOM PS3.15 B.12 (BCP 195, RFC 9325).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

CIPHER_SUITES: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)
"""Of TLS 1.2. Source: RFC 9325 §4.2."""
_SECURITY_LEVEL: Final = "@SECLEVEL=2"
"""No key below 112 bits (RSA 2048), no SHA-1. Source: RFC 9325 §4.5."""
_HANDSHAKE: Final = 0x16
"""The first byte of whoever speaks TLS. Source: RFC 8446 §5.1."""
_ANSWER_WITHIN_S: Final = 2.0

NO_TLS: Final = "the peer speaks no TLS on this port: turn TLS on there, or use the port without"
_UNTRUSTED: Final = (
    "the peer's certificate was issued by none of tls.authorities: add its CA's certificate there"
)
_WRONG_NAME: Final = (
    "the peer's certificate is for another name than the destination's host: give the name it has "
    "as server_name, or have it issued for that host"
)
_TOO_OLD: Final = (
    "the peer and this node have no version of TLS in common: enable 1.2 or 1.3 there "
    "(see tls.minimum_version)"
)
_NO_CIPHER: Final = (
    "the peer and this node have no cipher suite in common: enable ECDHE with AES-GCM there"
)
_REFUSED_OURS: Final = "the peer refuses the certificate of this node: see the reason in its log"
_WITHOUT_A_WORD: Final = (
    "the peer ended the TLS handshake without saying why: see its log; it may not trust the "
    "certificate of this node"
)
_CERTIFICATES: Final = {
    2: _UNTRUSTED,
    9: "the peer's certificate is not valid yet: correct its clock or that of this machine",
    10: "the peer's certificate, or that of its CA, has expired: renew it there",
    18: _UNTRUSTED,
    19: _UNTRUSTED,
    20: _UNTRUSTED,
    21: _UNTRUSTED,
    26: "the peer's certificate is not for this use: it needs extended key usage clientAuth to "
    "call and serverAuth to be called",
    62: _WRONG_NAME,
    64: _WRONG_NAME,
}
"""By OpenSSL's X509_V_ERR number."""
_REASONS: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the peer shows no certificate: configure one there",
    "WRONG_VERSION_NUMBER": NO_TLS,
    "HTTP_REQUEST": NO_TLS,
    "UNKNOWN_PROTOCOL": NO_TLS,
    "UNSUPPORTED_PROTOCOL": _TOO_OLD,
    "TLSV1_ALERT_PROTOCOL_VERSION": _TOO_OLD,
    "NO_SHARED_CIPHER": _NO_CIPHER,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _NO_CIPHER,
    "TLSV1_ALERT_UNKNOWN_CA": (
        "the peer does not trust the CA of this node's certificate: add that CA there"
    ),
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": (
        "the peer finds the certificate of this node expired: renew tls.certificate, or correct "
        "the peer's clock"
    ),
    "SSLV3_ALERT_BAD_CERTIFICATE": _REFUSED_OURS,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": _REFUSED_OURS,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _REFUSED_OURS,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _REFUSED_OURS,
    "TLSV1_ALERT_ACCESS_DENIED": _REFUSED_OURS,
}
"""By OpenSSL's name; an ALERT is what the peer said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialFiles:
    """Where they lie, in PEM."""

    certificate: Path
    """The node's own first, then those between it and its authority."""
    key: Path
    authorities: Path
    """Who may have issued the certificates of peers."""
    minimum_version: ssl.TLSVersion


def server_context(files: CredentialFiles) -> ssl.SSLContext:
    """For connections that are taken. Raises OSError (SSLError among them), ValueError."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, files)
    context.verify_mode = ssl.CERT_REQUIRED
    # No resumption: each connection shows its certificate, which may have expired meanwhile.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    return context


def web_context(files: CredentialFiles) -> ssl.SSLContext:
    """For browsers, which show no certificate. Raises as server_context."""
    return _context(ssl.PROTOCOL_TLS_SERVER, files)


def client_context(files: CredentialFiles) -> ssl.SSLContext:
    """For connections that are made; the server's name is checked. Raises as server_context."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, files)


def _context(protocol: int, files: CredentialFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = files.minimum_version
    context.set_ciphers(":".join([*CIPHER_SUITES, _SECURITY_LEVEL]))
    # A PDU says its own length and an association how it ends, so nothing can be cut off unseen;
    # and after an end of reading something may yet be sent.
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    # The password keeps OpenSSL from asking for one on the terminal.
    context.load_cert_chain(files.certificate, files.key, password="")
    context.load_verify_locations(files.authorities)
    return context


def speaks_tls(connection: socket.socket) -> bool | None:
    """Whether the first byte that came is TLS; None when the connection ended before it."""
    first = socket.socket.recv(connection, 1, socket.MSG_PEEK)
    return first[0] == _HANDSHAKE if first else None


def peer_names(connection: ssl.SSLSocket) -> tuple[str, ...]:
    """Common and alternative names in the certificate that the peer has shown."""
    certificate: dict[str, Any] = connection.getpeercert() or {}
    subject = [pair for each in certificate.get("subject", ()) for pair in each]
    names = [value for key, value in subject if key == "commonName"]
    names += [value for _, value in certificate.get("subjectAltName", ()) if isinstance(value, str)]
    return tuple(dict.fromkeys(names))


def explanation(error: OSError) -> str:
    """Why a handshake failed and what to do, for an administrator."""
    if isinstance(error, ssl.SSLCertVerificationError):
        known = _CERTIFICATES.get(error.verify_code)
        return known or f"the peer's certificate is refused: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "the peer did not end the TLS handshake in time: is TLS on there?"
    reason = getattr(error, "reason", None)
    if not reason or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return _WITHOUT_A_WORD
    words = str(reason).lower().replace("_", " ")
    return _REASONS.get(reason, f"the TLS handshake failed: {words}")


def try_handshake(
    context: ssl.SSLContext, host: str, port: int, *, server_name: str, within_s: float
) -> str | None:
    """Why TLS with a server fails; None when it does not, or nobody is there at all."""
    try:
        connection = socket.create_connection((host, port), timeout=within_s)
    except OSError:
        return None
    with connection:
        try:
            with context.wrap_socket(connection, server_hostname=server_name) as secured:
                # By TLS 1.3 a server refuses our certificate only after the handshake.
                secured.settimeout(_ANSWER_WITHIN_S)
                with contextlib.suppress(TimeoutError):
                    secured.recv(1)
        except OSError as error:
            return explanation(error)
    return None
