"""People who work with the node, and their word for a result."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final

_PARTS: Final = 5
"""Family, given and middle name, prefix, suffix. Source: DICOM PS3.5 §6.2.1.1."""


class Role(Enum):
    """What a person may do; each may what those before it may."""

    VIEWER = "viewer"
    """Look."""
    OPERATOR = "operator"
    """Retry, release, correct and withdraw too."""
    ADMIN = "admin"
    """Change the configuration and the users too."""

    def may(self, needed: Role) -> bool:
        """Whether it may what needs that role."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One of them."""

    name: str
    """By which they sign in."""
    role: Role
    person_name: str
    """As DICOM writes names; empty where they do not sign results."""
    password_hash: str = field(repr=False)
    """Empty for one whom an identity provider vouches for: no password is theirs."""
    added_at: datetime
    failures: int
    """Wrong passwords since the last right one."""
    failed_at: datetime | None

    @property
    def is_vouched(self) -> bool:
        """Whether they sign in at an identity provider alone."""
        return not self.password_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """That a person is signed in, in one browser."""

    user: User
    signed_in_at: datetime
    seen_at: datetime
    """When the person last did something, to the minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """That a person has reviewed a result, and answers for it."""

    user_name: str
    person_name: str
    """As DICOM writes names."""
    organization: str
    """For which they sign."""
    signed_at: datetime
    """Aware UTC."""

    @property
    def readable_name(self) -> str:
        """As people write it."""
        family, given, middle, prefix, suffix = name_parts(self.person_name)
        return " ".join(filter(None, (prefix, given, middle, family, suffix)))


def name_parts(person_name: str) -> tuple[str, str, str, str, str]:
    """Family, given and middle name, prefix, suffix."""
    parts = [part.strip() for part in person_name.split("^")][:_PARTS]
    family, given, middle, prefix, suffix = parts + [""] * (_PARTS - len(parts))
    return family, given, middle, prefix, suffix
