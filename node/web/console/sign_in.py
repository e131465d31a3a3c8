"""Sign-in and sign-out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from typing import Final, TypeVar
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from node.domain.errors import ConfigurationError, NotAllowed, StorageError, Unreachable
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
from node.workflow.sessions import Provider, Sessions

Made = TypeVar("Made")
_AT_ONCE: Final = 2
_ASKED_AT_ONCE: Final = 4
_BEGUN_S: Final = 600
"""To sign in at a provider."""
_WITHIN_S: Final = 30.0
"""On a machine that computes results on all its cores: waiting beats being told to try again."""


class SignIn:
    """The only pages that ask for no session."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        pages: Pages,
        gate: Gate,
        provider: Provider | None = None,
        label: str = "",
    ) -> None:
        """provider: vouches for people, beside passwords. label: what its accounts are called."""
        self._sessions = sessions
        self._provider = provider
        self._label = label
        self._pages = pages
        self._gate = gate
        self._looks_at = ThreadPoolExecutor(
            _AT_ONCE, thread_name_prefix="sign-in", initializer=step_back
        )
        """A password takes 64 MiB and the processor to look at: ECGs go first."""
        self._asks = ThreadPoolExecutor(_ASKED_AT_ONCE, thread_name_prefix="provider")
        """A provider may be slow to answer, and holds up no password."""

    @property
    def routes(self) -> list[Route]:
        found = [
            self._gate.open("GET", "/sign-in/provider", self.lead_to_provider),
            self._gate.open("GET", "/sign-in/provider/back", self.come_back),
        ]
        return [
            *(found if self._provider is not None else ()),
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
            password, peer = form.get("password", ""), peer_of(request)
            begin = partial(self._sessions.sign_in, name, password, peer=peer)
            token = await _answer(self._looks_at, begin, _MANY)
        except HTTPException as refusal:
            said, status_code = refusal.detail, refusal.status_code
            return self._form(to=to, name=name, said=said, status_code=status_code)
        return _signed_in(request, token, to)

    async def lead_to_provider(self, request: Request) -> Response:
        """To the provider's own page, from which the browser comes back."""
        assert self._provider is not None
        try:
            _check(request)
            begun = await _answer(self._asks, self._provider.begin, _PROVIDER_IS_LATE)
        except HTTPException as refusal:
            return self._form(said=refusal.detail, status_code=refusal.status_code)
        to = our_page(request.query_params.get("to", "/"))
        response = RedirectResponse(begun.url, 303, HEADERS)
        _keep(request, response, _begun_name(request), f"{begun.kept}|{to}", _BEGUN_S)
        return response

    async def come_back(self, request: Request) -> Response:
        """A new session of whom the provider vouches for."""
        assert self._provider is not None
        kept, _, to = request.cookies.get(_begun_name(request), "").partition("|")
        try:
            _check(request)
            finish = partial(self._provider.finish, kept, dict(request.query_params))
            person = await _answer(self._asks, finish, _PROVIDER_IS_LATE)
            begin = partial(self._sessions.sign_in_vouched, person, peer=peer_of(request))
            token = await _answer(self._asks, begin, _PROVIDER_IS_LATE)
        except HTTPException as refusal:
            response = self._form(said=refusal.detail, status_code=refusal.status_code)
        else:
            response = _signed_in(request, token, our_page(to))
        name = _begun_name(request)
        response.delete_cookie(name, path="/", secure=is_secure(request), httponly=True)
        return response

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
            "sign-in.html",
            to=to,
            name=name,
            said=said,
            label=self._label if self._provider is not None else "",
            status_code=status_code,
        )


_OVERHEARD: Final = (
    "passwords are taken over https alone, or on the node's own machine: set web.tls_port, or put "
    "a proxy with https before it and its address into web.console.proxies"
)


_PROVIDER_IS_LATE: Final = "the identity provider does not answer in time"
_MANY: Final = "many sign in at this moment; try again"


async def _answer(pool: Executor, question: Callable[[], Made], late: str) -> Made:
    """Raises HTTPException 403, 503."""
    try:
        async with asyncio.timeout(_WITHIN_S):
            return await asyncio.get_running_loop().run_in_executor(pool, question)
    except TimeoutError:
        raise HTTPException(503, late) from None
    except NotAllowed as refusal:
        raise HTTPException(403, refusal.message) from None
    except (ConfigurationError, StorageError, Unreachable) as error:
        raise HTTPException(503, error.message) from None


def _signed_in(request: Request, token: str, to: str) -> Response:
    response = RedirectResponse(to, 303, HEADERS)
    _keep(request, response, cookie_name(request), token, None)
    return response


def _keep(request: Request, response: Response, name: str, value: str, seconds: int | None) -> None:
    """Have the browser keep it, for so long, or until it is closed."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        secure=is_secure(request),
        httponly=True,
        samesite="lax",
    )


def _begun_name(request: Request) -> str:
    """Of the cookie while the browser is at the provider."""
    return f"{cookie_name(request)}-begun"


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
