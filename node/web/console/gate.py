"""The console's door: who is signed in, what they may, and whether a form is one of ours."""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from node.domain.audit import Action, Actor
from node.domain.errors import (
    CardioNodeError,
    ConfigurationError,
    InputError,
    NotAllowed,
    NotPossible,
    StorageError,
)
from node.domain.identifiers import digest_of
from node.domain.user import Role, User
from node.web.console.pages import HEADERS, Pages
from node.workflow.ports import Clock, Level, Telemetry, UnitOfWork
from node.workflow.sessions import Sessions, form_token

FORM_BYTES: Final = 64_000
_FORM_FIELDS: Final = 50
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_OUR_PAGE: Final = re.compile(r"/[a-z0-9-]+(/[a-z0-9.-]+)*(\?[a-z0-9=&-]*)?|/")
DIGITS: Final = 9
"""At most, of a number that every database holds."""
COOKIES: Final = ("cardionode", "__Host-cardionode")
"""Without and with https."""
_BODY_WITHIN_S: Final = 10.0
_FILE_WITHIN_S: Final = 60.0
_FORM_TOKEN: Final = "X-Form-Token"
UNATTENDED: Final = "X-Unattended"
"""Header of what a page asks for by itself: it keeps nobody signed in."""
_STATUSES: Final = {
    NotPossible: 409,
    NotAllowed: 403,
    StorageError: 503,
    ConfigurationError: 409,
    InputError: 422,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request of somebody who is signed in."""

    user: User
    token: str = field(repr=False)
    peer: str
    path: Mapping[str, str]
    """The parts of the URL that the route names."""
    query: Mapping[str, str]
    form: Mapping[str, str] = field(default_factory=dict, repr=False)
    file: bytes = field(default=b"", repr=False)

    @property
    def actor(self) -> Actor:
        return Actor(name=self.user.name, peer=self.peer)

    def picture_token(self, job_id: int) -> str:
        """What a study's page has of it: its pictures are seen by who was noted to look."""
        return digest_of("pictures", self.token, str(job_id))

    @property
    def form_token(self) -> str:
        return form_token(self.token)


_Sent = dict[str, Any]
"""`form` or `file` of a visit."""
_Read = Callable[[Request, str], Awaitable[_Sent]]
"""Reads what came with a request of the session with that token. Raises HTTPException."""
View = Callable[[Visit], Response]
"""Answers a visit. Raises CardioNodeError, HTTPException: both are shown as a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Makes routes of views that only who is signed in reaches, and notes who did."""

    sessions: Sessions
    pages: Pages
    work: UnitOfWork
    telemetry: Telemetry
    clock: Clock

    def get(self, path: str, view: View, *, needs: Role = Role.VIEWER) -> Route:
        """A page, or what it shows."""

        async def read(request: Request, token: str) -> _Sent:
            return {}

        return self._route("GET", path, view, needs, read)

    def post(
        self,
        path: str,
        view: View,
        *,
        needs: Role = Role.VIEWER,
        maximum_bytes: int = FORM_BYTES,
    ) -> Route:
        """What a form does."""

        async def read(request: Request, token: str) -> _Sent:
            form = await read_form(request, maximum_bytes)
            _check_form_token(form.get("form_token", ""), token)
            return {"form": form}

        return self._route("POST", path, view, needs, read)

    def post_file(self, path: str, view: View, *, maximum_bytes: int, needs: Role) -> Route:
        """What is done with a file, which a page sends as it is."""

        async def read(request: Request, token: str) -> _Sent:
            _check_form_token(request.headers.get(_FORM_TOKEN, ""), token)
            _check_length(request, maximum_bytes)
            try:
                async with asyncio.timeout(_FILE_WITHIN_S):
                    return {"file": await request.body()}
            except TimeoutError:
                raise HTTPException(408, "the file did not come in time") from None

        return self._route("POST", path, view, needs, read)

    def open(self, method: str, path: str, view: Callable[[Request], Awaitable[Response]]) -> Route:
        """A page that asks for no session."""

        async def endpoint(request: Request) -> Response:
            try:
                return await view(request)
            except ClientDisconnect:
                return Response(status_code=400)
            except Exception as fault:  # the request's boundary
                return self._fail(fault, path)

        return Route(path, endpoint, methods=[method])

    def note(
        self, visit: Visit, action: Action, *, job_id: int | None = None, said: str = ""
    ) -> None:
        """Keep who saw or did what; durable when it returns. Raises StorageError."""
        with self.work.begin() as transaction:
            transaction.audit.note(visit.actor, action, at=self.clock(), job_id=job_id, said=said)

    def _route(self, method: str, path: str, view: View, needs: Role, read: _Read) -> Route:
        async def endpoint(request: Request) -> Response:
            token = request.cookies.get(cookie_name(request), "")
            user = None
            try:
                if token:
                    attended = UNATTENDED not in request.headers
                    user = await run_in_threadpool(
                        self.sessions.user_of, token, is_attended=attended
                    )
                if user is None:
                    return _sign_in_first(request)
                if not user.role.may(needs):
                    raise HTTPException(403, f"this needs the role {needs.value}")
                visit = Visit(
                    user=user,
                    token=token,
                    peer=peer_of(request),
                    path=request.path_params,
                    query=request.query_params,
                    **await read(request, token),
                )
                return await run_in_threadpool(view, visit)
            except (CardioNodeError, HTTPException) as error:
                return self._say(error, user, token)
            except ClientDisconnect:
                return Response(status_code=400)
            except Exception as fault:  # the request's boundary
                return self._fail(fault, path)

        return Route(path, endpoint, methods=[method])

    def _fail(self, fault: Exception, path: str) -> Response:
        self.telemetry.event("page failed", level=Level.ERROR, error=fault, path=path)
        return self._say(HTTPException(500, _FAULT), None, "")

    def _say(
        self, error: CardioNodeError | HTTPException, user: User | None, token: str
    ) -> Response:
        if isinstance(error, HTTPException):
            status, said = error.status_code, error.detail
        else:
            found = (code for kind, code in _STATUSES.items() if isinstance(error, kind))
            status, said = next(found, 500), error.message
        return self.pages.render(
            "said.html",
            user=user,
            form_token=form_token(token) if user is not None else "",
            status_code=status,
            said=said,
        )


_FAULT: Final = "the node could not make this page; its log says why"


def cookie_name(request: Request) -> str:
    """With https no other site of the same name can set it. Source: RFC 6265bis §4.1.3.2."""
    return COOKIES[is_secure(request)]


def is_secure(request: Request) -> bool:
    """Whether the browser's connection is encrypted."""
    return request.url.scheme == "https"


def peer_of(request: Request) -> str:
    """The browser's address; nothing where a proxy says what is none."""
    try:
        return str(ip_address(request.client.host)) if request.client is not None else ""
    except ValueError:
        return ""


def number_of(text: str) -> int:
    """Of a part of a URL. Raises HTTPException 404."""
    if not text.isdecimal() or len(text) > DIGITS:
        raise HTTPException(404, "no such page")
    return int(text)


def our_page(path: str) -> str:
    """The path where it is one of the console's, else that of its first page."""
    return path if _OUR_PAGE.fullmatch(path) else "/"


async def read_form(request: Request, maximum_bytes: int = FORM_BYTES) -> Mapping[str, str]:
    """Its fields. Raises HTTPException 408, 411, 413, 415, ClientDisconnect."""
    _check_length(request, maximum_bytes)
    if request.headers.get("Content-Type", "").partition(";")[0].strip() != _FORM_TYPE:
        raise HTTPException(415, f"a form is {_FORM_TYPE}")
    try:
        async with (
            asyncio.timeout(_BODY_WITHIN_S),
            request.form(max_files=0, max_fields=_FORM_FIELDS) as form,
        ):
            return {name: value for name, value in form.items() if isinstance(value, str)}
    except TimeoutError:
        raise HTTPException(408, "the form did not come in time") from None


def _check_length(request: Request, maximum_bytes: int) -> None:
    """Raises HTTPException 411, 413."""
    if "Transfer-Encoding" in request.headers:  # which would go before the length
        raise HTTPException(411, "what was sent does not say how long it is")
    length = request.headers.get("Content-Length")
    if length is None:
        raise HTTPException(411, "what was sent does not say how long it is")
    if int(length) > maximum_bytes:
        raise HTTPException(413, f"what was sent is longer than {maximum_bytes} bytes")


def _check_form_token(given: str, token: str) -> None:
    """Pass where a page of this session had it. Raises HTTPException 403."""
    if not hmac.compare_digest(given.encode(), form_token(token).encode()):
        raise HTTPException(403, "the form is not of a page that you have open; load it again")


def _sign_in_first(request: Request) -> Response:
    """What a browser shows is led to the sign-in; what a page loads by itself is told 401."""
    if request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate" or (
        "HX-Request" in request.headers
    ):
        return Response(status_code=401, headers=HEADERS)
    to = request.url.path
    back = f"?to={to}" if request.method == "GET" and our_page(to) == to != "/" else ""
    return RedirectResponse(f"/sign-in{back}", 303, HEADERS)
