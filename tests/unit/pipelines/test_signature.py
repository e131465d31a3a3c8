"""A bundle is of whoever signed its checksums, or it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from node.domain.errors import BundleError, ConfigurationError
from pipelines.bundle import CHECKSUMS, SIGNATURE, read_bundle
from pipelines.catalog import load_pipeline, shipped_bundles
from pipelines.runtime.onnx import OnnxRuntime
from pipelines.signature import check_signature, read_keys

OWN, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))


def _sign(folder: Path, key: Ed25519PrivateKey) -> None:
    (folder / SIGNATURE).write_bytes(key.sign((folder / CHECKSUMS).read_bytes()))


def test_one_of_the_trusted_keys_is_enough(copied: Path) -> None:
    _sign(copied, OWN)
    check_signature(read_bundle(copied), [OTHER.public_key(), OWN.public_key()])
    assert load_pipeline(read_bundle(copied), OnnxRuntime(threads=1), keys=[OWN.public_key()])


def test_an_unsigned_bundle_is_refused_where_a_signature_is_asked_for(copied: Path) -> None:
    with pytest.raises(BundleError, match=r"SHA256SUMS\.sig is missing, and model\.trusted_keys"):
        load_pipeline(read_bundle(copied), OnnxRuntime(threads=1), keys=[OWN.public_key()])


def test_a_signature_of_another_is_refused(copied: Path) -> None:
    _sign(copied, OTHER)
    with pytest.raises(BundleError, match=r"SHA256SUMS\.sig is of none of model\.trusted_keys"):
        load_pipeline(read_bundle(copied), OnnxRuntime(threads=1), keys=[OWN.public_key()])


def test_a_signature_does_not_outlive_a_change(copied: Path) -> None:
    _sign(copied, OWN)
    with (copied / CHECKSUMS).open("a", encoding="utf-8") as stream:
        stream.write(f"{'0' * 64}  more\n")
    (copied / "more").touch()
    with pytest.raises(BundleError, match="is of none of"):
        check_signature(read_bundle(copied), [OWN.public_key()])


def test_without_keys_nobody_asks_and_a_signature_does_not_disturb(copied: Path) -> None:
    (copied / SIGNATURE).write_bytes(b"whatever")
    bundle = read_bundle(copied)
    bundle.verify()
    check_signature(bundle, [])


def test_what_comes_with_cardionode_needs_none() -> None:
    shipped = read_bundle(shipped_bundles() / "simulated-4ch")
    assert shipped.signature is None
    assert load_pipeline(shipped, OnnxRuntime(threads=1), keys=[OWN.public_key()])


def test_keys_are_read_from_pem(tmp_path: Path) -> None:
    file = tmp_path / "release.pem"
    pem = OWN.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    file.write_bytes(pem)
    (key,) = read_keys([file])
    assert key.public_bytes_raw() == OWN.public_key().public_bytes_raw()


def test_what_is_no_key_of_this_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*absent\.pem: No such file"):
        read_keys([tmp_path / "absent.pem"])
    other = generate_private_key(SECP256R1()).public_key()
    for content in (
        b"no key", other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    ):  # fmt: skip
        (tmp_path / "key.pem").write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"key\.pem is no Ed25519 public key in PEM"):
            read_keys([tmp_path / "key.pem"])
