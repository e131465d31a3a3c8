"""Who is signed in: rows that only the digest of a browser's token finds."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from node.domain.user import Session
from node.store.tables import session, user
from node.store.users import read_user


class SessionBook:
    """Reads and writes sessions inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, token_digest: str, user_name: str, *, at: datetime) -> None:
        self._connection.execute(
            session.insert().values(
                token_digest=token_digest, user_name=user_name, signed_in_at=at, seen_at=at
            )
        )

    def find(self, token_digest: str) -> Session | None:
        """With its user as he is now."""
        query = sa.select(session.c.signed_in_at, session.c.seen_at, user).join_from(session, user)
        row = self._connection.execute(
            query.where(session.c.token_digest == token_digest)
        ).one_or_none()
        if row is None:
            return None
        return Session(user=read_user(row), signed_in_at=row.signed_in_at, seen_at=row.seen_at)

    def note_seen(self, token_digest: str, *, at: datetime) -> None:
        self._connection.execute(
            session.update().where(session.c.token_digest == token_digest).values(seen_at=at)
        )

    def remove(self, token_digest: str) -> None:
        self._connection.execute(session.delete().where(session.c.token_digest == token_digest))

    def remove_of(self, user_name: str) -> None:
        """All of a user."""
        self._connection.execute(session.delete().where(session.c.user_name == user_name))

    def remove_unseen_since(self, at: datetime) -> None:
        self._connection.execute(session.delete().where(session.c.seen_at < at))
