"""The HTTP server: health and metrics for machines that watch the node, STOW-RS, the console."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from node.domain.errors import ConfigurationError
from node.web.connection import BoundedConnection, Handshake
from node.web.stow import StowEndpoint

_END_WITHIN_S: Final = 3
"""For requests that are being answered when the node stops."""

Problems = Callable[[], Sequence[str]]
"""What is wrong now, one plain sentence each; empty when all is well."""


class WebServer:
    """Serves from a thread of its own."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        health: Problems,
        readiness: Problems,
        metrics: Callable[[], bytes],
        stow: StowEndpoint | None = None,
        pages: Sequence[BaseRoute] = (),
        proxies: Sequence[str] = (),
        tls_port: int | None = None,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        """stow: where instances are taken; None: nowhere.

        pages: of the console. proxies: addresses that are believed for whom they forward.
        tls_port: one more, with the context that `tls` gives at each connection; None: without.
        """
        self._host = host
        self._port = port
        self._proxies = list(proxies)
        self._tls_port = tls_port
        self._tls = tls
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.tls_port: int | None = None
        """That of the started one."""

        def answer(problems: Problems) -> Callable[[Request], Response]:
            def endpoint(_request: Request) -> Response:
                found = list(problems())
                return JSONResponse(
                    {"status": "failing" if found else "ok", "problems": found},
                    status_code=503 if found else 200,
                )

            return endpoint

        def exposition(_request: Request) -> Response:
            return Response(metrics(), media_type="text/plain; version=0.0.4")

        self._app = Starlette(
            routes=[
                Route("/healthz", answer(health)),
                Route("/readyz", answer(readiness)),
                Route("/metrics", exposition),
                *(stow.routes if stow is not None else ()),
                *pages,
            ]
        )

    def start(self) -> int:
        """Listen; gives the port. Raises ConfigurationError when an address cannot be had."""
        plain = self._listener("web.port", self._port)
        secured: socket.socket | None = None
        if self._tls_port is not None and self._tls is not None:
            try:
                secured = self._listener("web.tls_port", self._tls_port)
            except ConfigurationError:
                plain.close()
                raise
            self.tls_port = int(secured.getsockname()[1])
        config = uvicorn.Config(
            self._app,
            http=BoundedConnection,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            forwarded_allow_ips=self._proxies,
            lifespan="off",
            timeout_graceful_shutdown=_END_WITHIN_S,
        )
        self._server = _TwoPorts(config, secured, self._tls)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [plain]}, name="web", daemon=True
        )
        self._thread.start()
        return int(plain.getsockname()[1])

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=_END_WITHIN_S + 2)

    def _listener(self, key: str, port: int) -> socket.socket:
        listener = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, port))
            listener.listen(128)
        except OSError as error:
            listener.close()
            raise ConfigurationError(
                f"cannot listen for HTTP on {self._host}:{port}: {error.strerror}; "
                f"choose another {key} or stop what holds it"
            ) from error
        return listener


class _TwoPorts(uvicorn.Server):
    """Listens on one more socket, with TLS; both have the connections and the loop in common."""

    def __init__(
        self,
        config: uvicorn.Config,
        secured: socket.socket | None,
        tls: Callable[[], ssl.SSLContext] | None,
    ) -> None:
        super().__init__(config)
        self._secured = secured
        self._tls = tls

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self._secured is None or self._tls is None:
            return
        config, state, tls = self.config, self.server_state, self._tls
        under_way: set[asyncio.Task[None]] = set()

        def make() -> asyncio.Protocol:
            return BoundedConnection(config=config, server_state=state, app_state={})

        listening = await asyncio.get_running_loop().create_server(
            lambda: Handshake(under_way, tls, make), sock=self._secured
        )
        self.servers.append(listening)
