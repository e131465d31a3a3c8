"""Sign-in and sign-out."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from node.domain.errors import NotAllowed, StorageError
from node.engine.niceness import step_back
from node.web.console.gate import (
    COOKIES,
    Gate,
    Visit,
    cookie_name,
    is_secure,
    our_page,
    peer_of,
    read_form,
)
from node.web.console.pages import HEADERS, Pages
from node.workflow.sessions import Sessions

_AT_ONCE: Final = 2
_WITHIN_S: Final = 30.0
"""On a machine that computes results on all its cores: waiting beats being told to try again."""


class SignIn:
    """The only pages that ask for no session."""

    def __init__(self, *, sessions: Sessions, pages: Pages, gate: Gate) -> None:
        self._sessions = sessions
        self._pages = pages
        self._gate = gate
        self._looks_at = ThreadPoolExecutor(
            _AT_ONCE, thread_name_prefix="sign-in", initializer=step_back
        )
        """A password takes 64 MiB and the processor to look at: ECGs go first."""

    @property
    def routes(self) -> list[Route]:
        return [
            self._gate.open("GET", "/sign-in", self.show),
            self._gate.open("POST", "/sign-in", self.sign_in),
            self._gate.post("/sign-out", self.sign_out),
        ]

    async def show(self, request: Request) -> Response:
        """The form, or why there is none."""
        to = our_page(request.query_params.get("to", "/"))
        try:
            _check(request)
        except HTTPException as refusal:
            return self._form(said=refusal.detail, status_code=refusal.status_code)
        return self._form(to=to)

    async def sign_in(self, request: Request) -> Response:
        """A new session, under a new token, whatever token the browser had."""
        name, to = "", "/"
        try:
            _check(request)
            form = await read_form(request)
            name, to = form.get("name", "").strip(), our_page(form.get("to", "/"))
            token = await self._begin(name, form.get("password", ""), peer_of(request))
        except HTTPException as refusal:
            said, status_code = refusal.detail, refusal.status_code
            return self._form(to=to, name=name, said=said, status_code=status_code)
        response = RedirectResponse(to, 303, HEADERS)
        response.set_cookie(
            cookie_name(request),
            token,
            path="/",
            secure=is_secure(request),
            httponly=True,
            samesite="lax",
        )
        return response

    async def _begin(self, name: str, password: str, peer: str) -> str:
        """The token of a new session. Raises HTTPException 403, 503."""
        begin = partial(self._sessions.sign_in, name, password, peer=peer)
        try:
            async with asyncio.timeout(_WITHIN_S):
                return await asyncio.get_running_loop().run_in_executor(self._looks_at, begin)
        except TimeoutError:
            raise HTTPException(503, "many sign in at this moment; try again") from None
        except NotAllowed as refusal:
            raise HTTPException(403, refusal.message) from None
        except StorageError as error:
            raise HTTPException(503, error.message) from None

    def sign_out(self, visit: Visit) -> Response:
        """The session ends, whoever else holds its token."""
        self._sessions.sign_out(visit.token, visit.actor)
        response = RedirectResponse("/sign-in", 303, HEADERS)
        for name in COOKIES:
            response.delete_cookie(name, path="/", secure=name.startswith("__"), httponly=True)
        return response

    def _form(
        self, *, to: str = "/", name: str = "", said: str = "", status_code: int = 200
    ) -> Response:
        return self._pages.render(
            "sign-in.html", to=to, name=name, said=said, status_code=status_code
        )


_OVERHEARD: Final = (
    "passwords are taken over https alone, or on the node's own machine: set web.tls_port, or put "
    "a proxy with https before it and its address into web.console.proxies"
)


def _check(request: Request) -> None:
    """Pass where a person may sign in. Raises HTTPException 403.

    Another site's page cannot sign them in: browsers say which site's page asks.
    """
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none") and (
        request.method == "POST"
    ):
        raise HTTPException(403, "sign in on this page")
    # A proxy that does not say for whom it asks comes from here too: the page's own address tells.
    origin = _host_of(request.headers.get("Origin", "http://127.0.0.1"))
    if not is_secure(request) and not (_is_here(peer_of(request)) and _is_here(origin)):
        raise HTTPException(403, _OVERHEARD)


def _host_of(origin: str) -> str:
    """Empty where it names none."""
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""


def _is_here(host: str) -> bool:
    """Whether it is this machine: what it sends crosses no network."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
