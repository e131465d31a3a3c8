"""Which subjects train, which validate, which test: by subject, and for good.

A subject's place follows from a hash of its id and the split's name alone, so that a cohort can
grow, or be read in another order, and nobody changes sides.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from node.domain.errors import UnusableData


class Part(Enum):
    """What a subject is for."""

    TRAIN = "train"
    VALIDATION = "validation"
    """Chooses settings and checkpoints."""
    TEST = "test"
    """Looked at once, at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Expected shares of the subjects; the test set has the rest."""

    train: float = 0.8
    validation: float = 0.1

    def __post_init__(self) -> None:
        if min(self.train, self.validation) < 0 or self.train + self.validation > 1:
            raise ValueError("shares must not be below 0 and together not above 1")


def part_of(subject_id: str, salt: str, shares: Shares) -> Part:
    """The part of a subject. salt: the split's name; another name is another, independent split."""
    place = _place(subject_id, salt)
    if place < shares.train:
        return Part.TRAIN
    return Part.VALIDATION if place < shares.train + shares.validation else Part.TEST


def fold_of(subject_id: str, salt: str, n_folds: int) -> int:
    """The fold of a subject, 0 to n_folds - 1."""
    if n_folds < 2:
        raise ValueError("at least two folds")
    return math.floor(_place(subject_id, salt) * n_folds)


def part_of_ptb_xl(fold: int) -> Part:
    """The part that PTB-XL's authors recommend for their fold: 1 to 8, 9, 10 (human-validated)."""
    if not 1 <= fold <= 10:
        raise ValueError("PTB-XL has folds 1 to 10")
    return {9: Part.VALIDATION, 10: Part.TEST}.get(fold, Part.TRAIN)


def check_disjoint(subjects: Mapping[Part, Iterable[str]]) -> None:
    """Raise UnusableData when a subject is in two parts: its other recordings would leak."""
    seen: dict[str, Part] = {}
    shared: set[tuple[str, str]] = set()
    twice: set[str] = set()
    for part, ids in subjects.items():
        for subject_id in ids:
            other = seen.setdefault(subject_id, part)
            if other is not part:
                twice.add(subject_id)
                shared.add((other.value, part.value))
    if twice:
        between = "; ".join(f"{first} and {second}" for first, second in sorted(shared))
        raise UnusableData(f"{len(twice)} subjects are in two parts ({between}); split by subject")


def _place(subject_id: str, salt: str) -> float:
    """Where a hash puts the subject, uniform in [0, 1)."""
    # Lengths keep ("ab", "c") and ("a", "bc") apart. 53 bits are exact in a float.
    text = f"{len(salt)}:{salt}{subject_id}".encode()
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53
