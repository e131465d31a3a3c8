"""The people who work with the node, and everybody's own password."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from node.domain.errors import NotAllowed, NotPossible
from node.domain.user import Role, User
from node.web.console.gate import Gate, Visit, number_of
from node.web.console.pages import HEADERS, Pages
from node.workflow.accounts import Accounts

_ROLES: Final = {role.value: role for role in Role}


@dataclass(frozen=True, slots=True, kw_only=True)
class UsersPage:
    """Whoever is signed in came over https, or from the node's machine: so may passwords."""

    accounts: Accounts
    pages: Pages
    gate: Gate

    @property
    def routes(self) -> list[Route]:
        return [
            self.gate.get("/users", self.show, needs=Role.ADMIN),
            self.gate.post("/users", self.add, needs=Role.ADMIN),
            self.gate.post("/users/{number}/password", self.set_password, needs=Role.ADMIN),
            self.gate.post("/users/{number}/remove", self.remove, needs=Role.ADMIN),
            self.gate.get("/account", self.show_own),
            self.gate.post("/account", self.change_own),
        ]

    def show(self, visit: Visit) -> Response:
        return self.pages.render(
            "users.html", user=visit.user, form_token=visit.form_token, users=self.accounts.all()
        )

    def add(self, visit: Visit) -> Response:
        """Raises NotPossible."""
        role = _ROLES.get(visit.form.get("role", ""))
        if role is None:
            raise NotPossible(f"a role is one of {', '.join(_ROLES)}")
        self.accounts.add(
            visit.form.get("name", "").strip(),
            _new_password(visit.form),
            role=role,
            by=visit.actor,
            person_name=visit.form.get("signs_as", "").strip(),
        )
        return _to("/users")

    def set_password(self, visit: Visit) -> Response:
        """Raises NotPossible."""
        name = self._named(visit).name
        self.accounts.set_password(name, _new_password(visit.form), by=visit.actor)
        return _to("/users")

    def remove(self, visit: Visit) -> Response:
        """Raises NotPossible."""
        name = self._named(visit).name
        if name == visit.user.name:
            raise NotPossible("nobody removes themselves: another administrator does")
        self.accounts.remove(name, by=visit.actor)
        return _to("/users")

    def show_own(self, visit: Visit) -> Response:
        return self.pages.render("account.html", user=visit.user, form_token=visit.form_token)

    def change_own(self, visit: Visit) -> Response:
        """Of who knows the present one; they sign in anew, everywhere.

        Raises NotAllowed, NotPossible.
        """
        new = _new_password(visit.form)
        try:
            self.accounts.authenticate(visit.user.name, visit.form.get("present", ""))
        except NotAllowed as refusal:
            said = refusal.message if "too many" in refusal.message else "it is another password"
            raise NotAllowed(f"the present password: {said}") from None
        self.accounts.set_password(visit.user.name, new, by=visit.actor)
        return _to("/sign-in")

    def _named(self, visit: Visit) -> User:
        """The user of that place in the list, of whom the page knew. Raises HTTPException."""
        users: Sequence[User] = self.accounts.all()
        number = number_of(visit.path["number"])
        if not 1 <= number <= len(users) or users[number - 1].name != visit.form.get("name"):
            raise HTTPException(409, "the users have changed; look at the list again")
        return users[number - 1]


def _new_password(form: Mapping[str, str]) -> str:
    """Raises NotPossible."""
    password = form.get("password", "")
    if password != form.get("again", ""):
        raise NotPossible("the two new passwords differ")
    return password


def _to(path: str) -> Response:
    return RedirectResponse(path, 303, HEADERS)
