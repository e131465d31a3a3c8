"""Users: who is one, and what a wrong password costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher

from node.domain.errors import NotAllowed, NotPossible
from node.domain.user import Role
from node.workflow.accounts import FREE_FAILURES, Accounts
from tests.fakes import SOMEBODY, MemoryUnitOfWork, Notes

RIGHT, WRONG = "correct horse battery", "incorrect horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass
class Desk:
    """Accounts, with a clock that a test turns."""

    work: MemoryUnitOfWork = field(default_factory=MemoryUnitOfWork)
    notes: Notes = field(default_factory=Notes)
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    @property
    def accounts(self) -> Accounts:
        return Accounts(work=self.work, telemetry=self.notes, clock=lambda: self.at, hasher=CHEAP)

    def knows(self, password: str, name: str = "curie") -> bool:
        try:
            return self.accounts.authenticate(name, password).name == name
        except NotAllowed:
            return False


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    made.accounts.add("curie", RIGHT, role=Role.OPERATOR, by=SOMEBODY, person_name="Curie^Marie")
    yield made
    made.work.close()


def test_a_user_is_known_by_the_password_alone(desk: Desk) -> None:
    user = desk.accounts.authenticate("curie", RIGHT)
    assert (user.role, user.person_name) == (Role.OPERATOR, "Curie^Marie")
    assert not desk.knows(WRONG)
    assert not desk.knows(RIGHT, "joliot")
    assert not desk.knows("")


def test_neither_the_answer_nor_the_log_tells_an_unknown_user_from_a_wrong_password(
    desk: Desk,
) -> None:
    answers = set()
    for name, password in (("curie", WRONG), ("joliot", RIGHT), (RIGHT, RIGHT)):
        with pytest.raises(NotAllowed) as caught:
            desk.accounts.authenticate(name, password)
        answers.add(caught.value.message)
    assert len(answers) == 1
    told = f"{desk.notes.events} {answers}"
    assert "horse" not in told and "joliot" not in told


def test_passwords_are_kept_as_argon2id_hashes_and_shown_to_nobody(desk: Desk) -> None:
    (user,) = desk.accounts.all()
    assert user.password_hash.startswith("$argon2id$")
    assert "argon2" not in repr(user) and RIGHT not in f"{user.password_hash} {desk.notes.events}"
    desk.accounts.add("pierre", RIGHT, role=Role.VIEWER, by=SOMEBODY)
    assert len({each.password_hash for each in desk.accounts.all()}) == 2  # salted
    strong = Accounts(work=desk.work, telemetry=desk.notes, clock=lambda: desk.at).hasher
    assert strong.memory_cost >= 64 * 1024 and strong.time_cost >= 3  # RFC 9106 §4


def test_guessing_gets_slower_and_a_right_password_has_to_wait_too(desk: Desk) -> None:
    for _ in range(FREE_FAILURES):
        assert not desk.knows(WRONG)
    assert not desk.knows(RIGHT)
    with pytest.raises(NotAllowed, match="try again in 2 seconds"):
        desk.accounts.authenticate("curie", RIGHT)
    desk.at += timedelta(seconds=2)
    assert not desk.knows(WRONG)
    desk.at += timedelta(seconds=3)
    assert not desk.knows(RIGHT)  # 4 s now
    desk.at += timedelta(seconds=1)
    assert desk.knows(RIGHT)
    assert not desk.knows(WRONG) and desk.knows(RIGHT)  # counted anew
    for _ in range(200):
        desk.knows(WRONG)
        desk.at += timedelta(seconds=901)  # the longest wait
    assert desk.knows(RIGHT)


def test_a_clock_that_is_put_back_locks_nobody_out(desk: Desk) -> None:
    desk.at += timedelta(days=3650)
    for _ in range(FREE_FAILURES):
        desk.knows(WRONG)
    desk.at -= timedelta(days=3650)
    with pytest.raises(NotAllowed, match="try again in 2 seconds"):
        desk.accounts.authenticate("curie", RIGHT)


@pytest.mark.parametrize("typed", ["c\udcff", "curie\x00", "CURIE"])
def test_what_is_no_name_is_nobodys(desk: Desk, typed: str) -> None:
    assert not desk.knows(RIGHT, typed)


def test_a_password_is_the_same_however_its_letters_are_composed(desk: Desk) -> None:
    desk.accounts.add("ciel", "d\u00e9j\u00e0 vu, d\u00e9j\u00e0 vu", role=Role.VIEWER, by=SOMEBODY)
    assert desk.knows("de\u0301ja\u0300 vu, de\u0301ja\u0300 vu", "ciel")
    assert not desk.knows("deja vu, deja vu\udcff", "ciel")


def test_another_password_takes_the_place_of_the_first_and_ends_the_waiting(desk: Desk) -> None:
    for _ in range(FREE_FAILURES):
        desk.knows(WRONG)
    desk.accounts.set_password("curie", "another horse battery", by=SOMEBODY)
    assert desk.knows("another horse battery") and not desk.knows(RIGHT)
    desk.accounts.remove("curie", by=SOMEBODY)
    assert not desk.knows("another horse battery")
    for change in (lambda: desk.accounts.remove("curie", by=SOMEBODY),
                   lambda: desk.accounts.set_password("curie", RIGHT, by=SOMEBODY)):  # fmt: skip
        with pytest.raises(NotPossible, match="no user 'curie'"):
            change()


@pytest.mark.parametrize(
    ("name", "password", "person_name", "wrong"),
    [
        ("curie", RIGHT, "", "already"),
        ("Curie", RIGHT, "", "a user's name"),
        ("", RIGHT, "", "a user's name"),
        ("a" * 65, RIGHT, "", "a user's name"),
        ("new", "short", "", "12 to 256"),
        ("new", "x" * 257, "", "12 to 256"),
        ("new", RIGHT, "^Marie", "as DICOM does"),
        ("new", RIGHT, "Curie\\Joliot", "as DICOM does"),
        ("new", RIGHT, "Curie=Kyuri", "as DICOM does"),
        ("new", RIGHT, "C" * 65, "as DICOM does"),
        ("new", RIGHT, "A^B^C^D^E^F", "as DICOM does"),
        ("new", RIGHT, "Curie\u202e^Marie", "as DICOM does"),
        ("new", RIGHT, "Curie\udcff", "as DICOM does"),
    ],
)
def test_what_does_not_do_is_said(
    desk: Desk, name: str, password: str, person_name: str, wrong: str
) -> None:
    with pytest.raises(NotPossible, match=wrong):
        desk.accounts.add(name, password, role=Role.ADMIN, by=SOMEBODY, person_name=person_name)
    assert [each.name for each in desk.accounts.all()] == ["curie"]
