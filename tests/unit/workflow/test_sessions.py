"""Sessions by their own clock, without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from argon2 import PasswordHasher

from node.domain.audit import Action, Actor
from node.domain.errors import NotAllowed, StorageError
from node.domain.user import Role, User
from node.workflow.accounts import Accounts
from node.workflow.sessions import Sessions, form_token
from tests.fakes import SOMEBODY, Clock, MemoryUnitOfWork, Notes

PASSWORD = "correct horse battery"
IDLE = timedelta(minutes=10)


class Hall:
    """Sessions of one user, who is named as SOMEBODY."""

    def __init__(self) -> None:
        self.work, self.notes, self.clock = MemoryUnitOfWork(), Notes(), Clock()
        hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        accounts = Accounts(work=self.work, telemetry=self.notes, clock=self.clock, hasher=hasher)
        accounts.add(SOMEBODY.name, PASSWORD, role=Role.VIEWER, by=SOMEBODY)
        self.sessions = Sessions(accounts=accounts, work=self.work, clock=self.clock, idle=IDLE)

    def sign_in(self, password: str = PASSWORD) -> str:
        return self.sessions.sign_in(SOMEBODY.name, password, peer=SOMEBODY.peer)

    def is_in(self, token: str, *, is_attended: bool = True) -> bool:
        return self.sessions.user_of(token, is_attended=is_attended) is not None

    def done(self) -> list[Action]:
        with self.work.look() as transaction:
            found = [each.action for each in reversed(transaction.audit.latest(limit=99))]
        return [each for each in found if each is not Action.ADDED_USER]


@pytest.fixture
def hall() -> Iterator[Hall]:
    made = Hall()
    yield made
    made.work.close()


def test_each_sign_in_is_a_session_of_its_own(hall: Hall) -> None:
    one, other = hall.sign_in(), hall.sign_in()
    assert one != other
    hall.sessions.sign_out(one, SOMEBODY)
    assert not hall.is_in(one)
    assert hall.is_in(other)
    assert hall.done() == [Action.SIGNED_IN, Action.SIGNED_IN, Action.SIGNED_OUT]


@pytest.mark.parametrize("token", ["", "x", "0" * 64])
def test_what_is_no_token_is_nobodys(hall: Hall, token: str) -> None:
    hall.sign_in()
    assert not hall.is_in(token)


def test_a_wrong_password_begins_none_and_is_noted(hall: Hall) -> None:
    with pytest.raises(NotAllowed):
        hall.sign_in("wrong horse battery")
    with pytest.raises(NotAllowed):
        hall.sessions.sign_in("nobody", PASSWORD, peer="192.0.2.1")
    assert hall.done() == [Action.REFUSED]


def test_only_what_a_person_does_keeps_a_session_open(hall: Hall) -> None:
    token = hall.sign_in()
    for _ in range(3):
        hall.clock.move(IDLE.total_seconds() * 0.9)
        assert hall.is_in(token)
    hall.clock.move(IDLE.total_seconds() * 0.9)
    assert hall.is_in(token, is_attended=False)
    hall.clock.move(IDLE.total_seconds() * 0.2)
    assert not hall.is_in(token)


@pytest.mark.parametrize("seconds", [-1, -7200, 7200])
def test_a_clock_that_is_set_far_ends_a_session(hall: Hall, seconds: float) -> None:
    token = hall.sign_in()
    hall.clock.move(seconds)
    assert hall.is_in(token) == (abs(seconds) < IDLE.total_seconds())


def test_a_password_that_is_changed_while_it_is_looked_at_lets_nobody_in(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = hall.sessions.accounts
    authenticate = Accounts.authenticate

    def slow(self: Accounts, name: str, password: str) -> User:
        user = authenticate(self, name, password)
        accounts.set_password(name, f"another {password}", by=SOMEBODY)
        return user

    monkeypatch.setattr(Accounts, "authenticate", slow)
    with pytest.raises(NotAllowed):
        hall.sign_in()


def test_a_store_that_is_full_does_not_keep_a_person_from_looking(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = hall.sign_in()
    hall.clock.move(IDLE.total_seconds() / 2)

    def full(*_: object, **__: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr("node.store.sessions.SessionBook.note_seen", full)
    assert hall.is_in(token)


def test_sessions_that_ended_by_themselves_are_forgotten(hall: Hall) -> None:
    hall.sign_in()
    hall.clock.move(13 * 3600)
    hall.sign_in()
    with hall.work._engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM node_session").scalar() == 1


def test_a_form_token_follows_from_the_session_and_does_not_show_it() -> None:
    assert form_token("a") == form_token("a") != form_token("b")
    assert "secret" not in form_token("secret")


def test_an_actor_is_who_the_audit_names(hall: Hall) -> None:
    with hall.work.begin() as transaction:
        transaction.audit.note(
            Actor(name="root", peer="command line"), Action.RETRIED, at=hall.clock(), job_id=3
        )
        (entry,) = transaction.audit.latest(limit=9, job_id=3)
        assert transaction.audit.latest(limit=9, job_id=4) == []
    assert (entry.user_name, entry.peer, entry.action) == ("root", "command line", Action.RETRIED)
