"""Identifiers that follow from content, so that the same work always has the same name."""

from __future__ import annotations

import hashlib
import re
import uuid

NAMESPACE = uuid.UUID("8f1d1c3e-5b0a-5c7e-9d34-0c41c9a1b2d7")
"""Our own UUID namespace (RFC 9562 §5.5); changing it renames every result ever made."""

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


def sha256(content: bytes) -> str:
    """Lower-case hexadecimal SHA-256 of the bytes."""
    return hashlib.sha256(content).hexdigest()


def digest_of(*parts: str) -> str:
    """SHA-256 of the parts, each closed by its length, so that no two lists of parts collide."""
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    return sha256(joined.encode())


def derived_uid(*parts: str) -> str:
    """A DICOM UID that follows from the parts alone.

    Form "2.25." + a UUID as an integer, at most 44 characters.
    Source: DICOM PS3.5 B.2; RFC 9562 §5.5 (version 5).
    """
    return f"2.25.{uuid.uuid5(NAMESPACE, digest_of('uid', *parts)).int}"


def derived_control_id(*parts: str) -> str:
    """An HL7 message control id (MSH-10) that follows from the parts: 20 characters, A–Z and 0–9.

    Source: HL7 v2.5.1 chapter 2, MSH-10 is ST(20).
    """
    return "CN" + digest_of("control-id", *parts)[:18].upper()


def derived_uuid(*parts: str) -> str:
    """A UUID that follows from the parts, as text. Source: RFC 9562 §5.5 (version 5)."""
    return str(uuid.uuid5(NAMESPACE, digest_of("uuid", *parts)))


def is_valid_uid(text: str) -> bool:
    """Whether the text can stand as a UID on the wire: digits and dots, at most 64 characters.

    Leading zeros of a component are let pass: devices write them.
    Source: DICOM PS3.5 §9.1.
    """
    return len(text) <= 64 and _UID.fullmatch(text) is not None
