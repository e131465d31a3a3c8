"""Who is signed in at the console: a token in the browser, of which the node keeps the digest."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol

from node.domain.audit import Action, Actor
from node.domain.errors import NotAllowed, StorageError
from node.domain.identifiers import digest_of
from node.domain.user import Role, User
from node.workflow.accounts import USER_NAME, WRONG, Accounts
from node.workflow.ports import Clock, UnitOfWork

_AT_MOST: Final = timedelta(hours=12)
"""However busy the person is: a shift."""
_NOTED_EVERY: Final = timedelta(minutes=1)
_TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A sign-in at an identity provider, on its way."""

    url: str
    """Of the provider's page."""
    kept: str = field(repr=False)
    """What the browser keeps until it is back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """Whom an identity provider says a person is, and what they may here."""

    name: str
    role: Role


class Provider(Protocol):
    """An identity provider. Raises NotAllowed, Unreachable."""

    def begin(self) -> Begun: ...

    def finish(self, kept: str, answer: Mapping[str, str]) -> Vouched:
        """answer: the query that the browser came back with."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Begins and ends them; each sign-in is a session of its own, under a new token."""

    accounts: Accounts
    work: UnitOfWork
    clock: Clock
    idle: timedelta
    """After so long without a sign of the person they have to sign in again."""

    def sign_in(self, name: str, password: str, *, peer: str) -> str:
        """The token of a new session. Raises NotAllowed."""
        try:
            user = self.accounts.authenticate(name, password)
        except NotAllowed as refusal:
            self._note_refusal(name, peer, refusal)
            raise
        return self._begin(user, peer)

    def sign_in_vouched(self, person: Vouched, *, peer: str) -> str:
        """The same of whom a provider vouches for. Raises NotAllowed."""
        return self._begin(self.accounts.admit(person.name, person.role), peer)

    def _begin(self, user: User, peer: str) -> str:
        at, token = self.clock(), secrets.token_urlsafe(_TOKEN_BYTES)
        with self.work.begin() as transaction:
            known = transaction.users.lock(user.name)
            if known is None or known.password_hash != user.password_hash:  # changed meanwhile
                raise NotAllowed(WRONG)
            transaction.sessions.remove_unseen_since(at - _AT_MOST)
            transaction.sessions.add(_digest(token), user.name, at=at)
            transaction.audit.note(Actor(name=user.name, peer=peer), Action.SIGNED_IN, at=at)
        return token

    def user_of(self, token: str, *, is_attended: bool = True) -> User | None:
        """Whose session it is; None where it is none, or none any more.

        is_attended: whether the person did something, or the page alone.
        """
        at, digest = self.clock(), _digest(token)
        with self.work.look() as transaction:
            found = transaction.sessions.find(digest)
        if found is None:
            return None
        unseen, signed_in = abs(at - found.seen_at), abs(at - found.signed_in_at)
        if unseen > self.idle or signed_in > _AT_MOST:
            return None
        if is_attended and unseen >= _NOTED_EVERY:
            # On a full disk the pages that say so are to be seen.
            with suppress(StorageError), self.work.begin() as transaction:
                transaction.sessions.note_seen(digest, at=at)
        return found.user

    def sign_out(self, token: str, by: Actor) -> None:
        """End the session, whoever else has its token."""
        with self.work.begin() as transaction:
            transaction.sessions.remove(_digest(token))
            transaction.audit.note(by, Action.SIGNED_OUT, at=self.clock())

    def _note_refusal(self, name: str, peer: str, refusal: NotAllowed) -> None:
        """Of a user; whoever tries names that nobody has is told of in the log alone."""
        if refusal.message != WRONG or not USER_NAME.fullmatch(name):
            return  # who is told to wait is not looked at: so many are as cheap as they like
        with self.work.begin() as transaction:
            if transaction.users.lock(name) is not None:
                by = Actor(name=name, peer=peer)
                transaction.audit.note(by, Action.REFUSED, at=self.clock(), said=refusal.message)


def form_token(token: str) -> str:
    """What a form of that session carries: nobody who does not have the token can make it."""
    return digest_of("form", token)


def _digest(token: str) -> str:
    return digest_of("session", token)
