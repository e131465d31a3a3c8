"""The HTTP server: health, readiness and metrics for the machines that watch the node, STOW-RS."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from node.domain.errors import ConfigurationError
from node.web.connection import BoundedConnection
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
    ) -> None:
        """stow: where instances are taken; None: nowhere."""
        self._address = (host, port)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

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
            ]
        )

    def start(self) -> int:
        """Listen; gives the port. Raises ConfigurationError when the address cannot be had."""
        host, port = self._address
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(self._address)
            listener.listen(128)
        except OSError as error:
            listener.close()
            raise ConfigurationError(
                f"cannot listen for HTTP on {host}:{port}: {error.strerror}; "
                "choose another web.port or stop what holds it"
            ) from error
        config = uvicorn.Config(
            self._app,
            http=BoundedConnection,
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=_END_WITHIN_S,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="web", daemon=True
        )
        self._thread.start()
        return int(listener.getsockname()[1])

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=_END_WITHIN_S + 2)
