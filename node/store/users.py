"""Users, and which results they signed."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

import sqlalchemy as sa

from node.domain.user import Role, Signature, User
from node.store.tables import signature, user


class Users:
    """Reads and writes users inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, new: User) -> bool:
        """False where there is one of that name; the transaction is then to be given up."""
        values = asdict(new) | {"role": new.role.value}
        try:
            self._connection.execute(user.insert().values(values))
        except sa.exc.IntegrityError:  # its own words hold the values
            return False
        return True

    def lock(self, name: str) -> User | None:
        """The user, whom others who ask for this wait for until the transaction ends."""
        query = user.select().where(user.c.name == name).with_for_update()
        row = self._connection.execute(query).one_or_none()
        return None if row is None else read_user(row)

    def all(self) -> list[User]:
        """By name."""
        query = user.select().order_by(user.c.name)
        return [read_user(row) for row in self._connection.execute(query)]

    def set_password(self, name: str, password_hash: str) -> bool:
        """False where there is none of that name."""
        return self._change(name, password_hash=password_hash, failures=0, failed_at=None)

    def set_role(self, name: str, role: Role) -> None:
        self._change(name, role=role.value)

    def note_failure(self, name: str, *, at: datetime) -> None:
        self._change(name, failures=user.c.failures + 1, failed_at=at)

    def note_success(self, name: str) -> None:
        self._change(name, failures=0, failed_at=None)

    def remove(self, name: str) -> bool:
        """False where there is none of that name. What they signed stays signed."""
        return self._connection.execute(user.delete().where(user.c.name == name)).rowcount == 1

    def sign(self, job_id: int, signed: Signature, *, revision: int) -> None:
        """Note who signed the results of a revision of a job."""
        self._connection.execute(
            signature.insert().values(
                job_id=job_id,
                revision=revision,
                user_name=signed.user_name,
                person_name=signed.person_name,
                organization=signed.organization,
                signed_at=signed.signed_at,
            )
        )

    def is_signed(self, job_id: int, *, revision: int) -> bool:
        """Whether a person has signed the results of that revision."""
        query = sa.select(signature.c.signature_id).where(
            signature.c.job_id == job_id, signature.c.revision == revision
        )
        return self._connection.execute(query.limit(1)).first() is not None

    def signatures_of(self, job_id: int) -> list[tuple[int, Signature]]:
        """Each with the revision that it is for, the first signed first."""
        query = signature.select().where(signature.c.job_id == job_id)
        return [
            (
                row.revision,
                Signature(
                    user_name=row.user_name,
                    person_name=row.person_name,
                    organization=row.organization,
                    signed_at=row.signed_at,
                ),
            )
            for row in self._connection.execute(query.order_by(signature.c.signature_id))
        ]

    def _change(self, name: str, **values: object) -> bool:
        changed = self._connection.execute(
            user.update().where(user.c.name == name).values(**values)
        )
        return changed.rowcount == 1


def read_user(row: sa.Row[tuple[object, ...]]) -> User:
    """Of a row that has all columns of the user, and perhaps others."""
    values = {column.name: row._mapping[column.name] for column in user.c}
    return User(**(values | {"role": Role(values["role"])}))
