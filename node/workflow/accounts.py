"""Who may work with the node: users with passwords, and whether a person is the one they say."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from node.domain.audit import Action, Actor
from node.domain.errors import NotAllowed, NotPossible
from node.domain.user import Role, User, name_parts
from node.workflow.ports import Clock, Level, Telemetry, UnitOfWork

SHORTEST_PASSWORD: Final = 12
"""Characters. Length is what counts; nothing is asked of which they are (NIST SP 800-63B)."""
LONGEST_PASSWORD: Final = 256
FREE_FAILURES: Final = 5
"""Wrong passwords in a row before the next has to wait: 2 s, and twice as long after each."""
_LONGEST_WAIT_S: Final = 900.0
USER_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_PERSON_NAME: Final = re.compile(r"[^\\=^]{1,64}(\^[^\\=^]*){0,4}")
_LONGEST_PERSON_NAME: Final = 64
"""Of the column; each group of a PN may have as many. Source: DICOM PS3.5 table 6.2-1."""
WRONG: Final = "the name or the password is wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Keeps the users; a password is kept as its Argon2id hash alone."""

    work: UnitOfWork
    telemetry: Telemetry
    clock: Clock
    hasher: PasswordHasher = field(default_factory=PasswordHasher)
    """By RFC 9106's second choice: 64 MiB a password."""

    def add(
        self, name: str, password: str, *, role: Role, by: Actor, person_name: str = ""
    ) -> None:
        """A new user. person_name: as DICOM writes names, for one who may sign results.

        Raises NotPossible (there is one, or one of these does not do).
        """
        if not USER_NAME.fullmatch(name):
            raise NotPossible(
                "a user's name has 1 to 64 of a-z, 0-9 and . _ @ -, a letter or digit first"
            )
        if person_name and not _can_sign(person_name):
            raise NotPossible(
                'write the name that results are signed by as DICOM does, "Family^Given^Middle^'
                'Prefix^Suffix", with 64 characters at most'
            )
        user = User(
            name=name,
            role=role,
            person_name=person_name,
            password_hash=self._hash(password),
            added_at=self.clock(),
            failures=0,
            failed_at=None,
        )
        with self.work.begin() as transaction:
            if not transaction.users.add(user):
                raise NotPossible(f"there is a user {name!r} already")
            said = f"{name}, {role.value}"
            transaction.audit.note(by, Action.ADDED_USER, at=self.clock(), said=said)
        self.telemetry.event("user added", user=name, role=role.value)

    def admit(self, name: str, role: Role) -> User:
        """Whom an identity provider vouches for, with the role that they have by it now.

        Raises NotAllowed (the name is none, or that of a user with a password here).
        """
        if not USER_NAME.fullmatch(name):
            raise NotAllowed(
                "the identity provider calls you by a name that none can have here: a user's name "
                "has 1 to 64 of a-z, 0-9 and . _ @ -"
            )
        at = self.clock()
        user = User(
            name=name, role=role, person_name="", password_hash="", added_at=at, failures=0,
            failed_at=None,
        )  # fmt: skip
        with self.work.begin() as transaction:
            known = transaction.users.lock(name)
            if known is None and not transaction.users.add(user):
                raise NotAllowed("somebody of that name signed in at the same moment; try again")
            if known is not None and not known.is_vouched:
                raise NotAllowed(
                    "there is a user of your name with a password here: sign in by that, or have "
                    "an administrator remove the user"
                )
            if known is not None and known.role is not role:
                transaction.users.set_role(name, role)
        return user

    def set_password(self, name: str, password: str, *, by: Actor) -> None:
        """Whoever is signed in by that name has to do so again. Raises NotPossible."""
        password_hash = self._hash(password)
        with self.work.begin() as transaction:
            known = transaction.users.lock(name)
            if known is not None and known.is_vouched:
                raise NotPossible(f"{name} signs in at the identity provider, by no password here")
            transaction.sessions.remove_of(name)
            if not transaction.users.set_password(name, password_hash):
                raise _unknown(name)
            transaction.audit.note(by, Action.CHANGED_PASSWORD, at=self.clock(), said=name)
        self.telemetry.event("password changed", user=name)

    def remove(self, name: str, *, by: Actor) -> None:
        """Raises NotPossible."""
        with self.work.begin() as transaction:
            transaction.users.lock(name)
            transaction.sessions.remove_of(name)
            if not transaction.users.remove(name):
                raise _unknown(name)
            transaction.audit.note(by, Action.REMOVED_USER, at=self.clock(), said=name)
        self.telemetry.event("user removed", user=name)

    def all(self) -> list[User]:
        with self.work.begin() as transaction:
            return transaction.users.all()

    def authenticate(self, name: str, password: str) -> User:
        """The user whose password this is; wrong ones slow the next down, right ones too.

        Raises NotAllowed, which does not tell an unknown user from a wrong password.
        """
        at = self.clock()
        with self.work.begin() as transaction:
            user = transaction.users.lock(name) if USER_NAME.fullmatch(name) else None
            wait_s = 0.0 if user is None else _wait_s(user, at)
            if user is not None and wait_s <= 0:
                # Counted before it is looked at: many at once are many.
                transaction.users.note_failure(name, at=at)
        if wait_s > 0:
            self._refused(name, "too many wrong passwords")
            raise NotAllowed(f"too many wrong passwords; try again in {wait_s:.0f} seconds")
        if user is None or user.is_vouched:
            self.hasher.hash(_normalized(password))  # takes as long
        if user is None or user.is_vouched or not self._is_right(user, password):
            self._refused(name if user is not None else None, "wrong name or password")
            raise NotAllowed(WRONG)
        with self.work.begin() as transaction:
            transaction.users.note_success(name)
        return user

    def _is_right(self, user: User, password: str) -> bool:
        try:
            return self.hasher.verify(user.password_hash, _normalized(password))
        except (Argon2Error, InvalidHashError):
            return False

    def _hash(self, password: str) -> str:
        if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
            raise NotPossible(
                f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters, any of them"
            )
        return self.hasher.hash(_normalized(password))

    def _refused(self, name: str | None, reason: str) -> None:
        """Without the name where nobody has it: some type a password there."""
        self.telemetry.event("sign-in refused", level=Level.WARNING, user=name, reason=reason)


def _wait_s(user: User, at: datetime) -> float:
    """Until the next attempt is looked at."""
    if user.failed_at is None or user.failures < FREE_FAILURES:
        return 0.0
    wait_s = min(2.0 ** min(user.failures - FREE_FAILURES + 1, 10), _LONGEST_WAIT_S)
    left_s = (user.failed_at + timedelta(seconds=wait_s) - at).total_seconds()
    return min(left_s, wait_s)  # the clock may have been put back


def _can_sign(person_name: str) -> bool:
    return (
        person_name.isprintable()
        and len(person_name) <= _LONGEST_PERSON_NAME
        and _PERSON_NAME.fullmatch(person_name) is not None
        and name_parts(person_name)[0] != ""
    )


def _normalized(password: str) -> bytes:
    """The same however a keyboard composes its letters. Source: NIST SP 800-63B, 5.1.1.2."""
    return unicodedata.normalize("NFKC", password[:LONGEST_PASSWORD]).encode("utf-8", "replace")


def _unknown(name: str) -> NotPossible:
    return NotPossible(f"there is no user {name!r}; `cardionode user list` shows them")
