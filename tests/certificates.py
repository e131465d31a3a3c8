"""Certificates for tests: made when needed, for 127.0.0.1, kept nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Files:
    """What one side shows, and whom it trusts."""

    certificate: Path
    key: Path
    authorities: Path

    def toml(self, minimum_version: str = "1.2") -> str:
        return (
            f'[tls]\ncertificate = "{self.certificate}"\nkey = "{self.key}"\n'
            f'authorities = "{self.authorities}"\nminimum_version = "{minimum_version}"\n'
        )


class Authority:
    """A CA of its own."""

    def __init__(self, folder: Path, name: str = "CA") -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.file = folder / f"{name}.pem"
        now = datetime.now(UTC)
        certificate = (
            _builder(self._name, self._name, self._key, now + timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue(
        self, name: str, *, host: str = HOST, days: float = 90, key_bits: int = 2048
    ) -> Files:
        """A certificate with the common name, and the host as alternative name."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=key_bits)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        expires = datetime.now(UTC) + timedelta(days=days)
        alternative: x509.GeneralName = (
            x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
        )
        certificate = (
            _builder(subject, self._name, key, expires)
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        files = Files(self._folder / f"{name}.pem", self._folder / f"{name}.key", self.file)
        files.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        files.key.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        )
        return files


def _builder(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey, expires: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(expires - timedelta(days=366))
        .not_valid_after(expires)
    )
