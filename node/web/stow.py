"""STOW-RS: instances posted to the web server, kept as those of C-STORE are.

Source: DICOM PS3.18 §10.5.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from node.dicom import dimse
from node.dicom.refusals import Refusals
from node.dicom.service import Report
from node.dicom.store_response import MEDIA_TYPE, StoreOutcome, encode_store_response
from node.dicom.stow_service import StowService
from node.domain.errors import ConfigurationError
from node.domain.instance import Origin
from node.web.bearer import BearerTokens
from node.web.multipart import PartReader, boundary_of

_LET_OUT_BYTES: Final = 4_000_000
_LET_OUT_S: Final = 2.0
"""What is still taken of a refused request: a sender cut off while it sends may not see why."""
_ACCEPTED_ANSWERS: Final = frozenset({"*/*", "application/*", MEDIA_TYPE})
_NO_QUALITY: Final = re.compile(r"q=0(\.0*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class StowLimits:
    maximum_request_bytes: int
    maximum_instance_bytes: int
    maximum_parts: int
    maximum_requests: int
    """At one time; the memory they take is that times four instances."""
    timeout_s: float
    """For a whole request."""


class _Body:
    """Of a request, portion by portion. Raises ClientDisconnect."""

    def __init__(self, request: Request) -> None:
        self._receive = request.receive
        # Who waits to be asked for the body has not sent it.
        self._waits = request.headers.get("Expect", "").lower() == "100-continue"
        self._has_ended = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._waits = False
        while not self._has_ended:
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientDisconnect
            self._has_ended = not message.get("more_body", False)
            yield message.get("body", b"")

    async def let_out(self) -> None:
        """Take some of what is still being sent, for a while, so that the answer is read."""
        if self._waits:
            return
        size_bytes = 0
        with contextlib.suppress(ClientDisconnect, TimeoutError):
            async with asyncio.timeout(_LET_OUT_S):
                async for portion in self:
                    size_bytes += len(portion)
                    if size_bytes > _LET_OUT_BYTES:
                        return


class StowEndpoint:
    """Takes studies; says "stored" of an instance only once it is durable."""

    def __init__(
        self,
        *,
        service: StowService,
        called_ae: str,
        tokens: BearerTokens,
        limits: StowLimits,
        report: Report,
    ) -> None:
        """called_ae: the AE title that what comes this way is taken to have called."""
        self._service = service
        self._called_ae = called_ae
        self._tokens = tokens
        self._limits = limits
        self._report = report
        self._refusals = Refusals(report)
        self._requests = 0

    @property
    def routes(self) -> Sequence[Route]:
        return [
            Route("/dicom-web/studies", self.post, methods=["POST"]),
            Route("/dicom-web/studies/{study}", self.post, methods=["POST"]),
        ]

    async def post(self, request: Request) -> Response:
        """The Store Instances Response, or why the request was not taken."""
        peer = request.client.host if request.client else ""
        body = _Body(request)
        caller: dict[str, str] = {}
        try:
            caller["calling_ae"] = self._caller(request)
            origin = Origin(**caller, called_ae=self._called_ae, peer=peer)
            outcomes = await self._take(request, body, origin)
        except HTTPException as refusal:
            status = str(refusal.status_code)
            self._refusals.tell(
                "request refused", peer=peer, reason=refusal.detail, status=status, **caller
            )
            await body.let_out()
            headers = {"Connection": "close", **(refusal.headers or {})}
            return PlainTextResponse(f"{refusal.detail}\n", refusal.status_code, headers)
        except ClientDisconnect:
            self._refusals.tell(
                "request broken off", peer=peer, reason="its connection ended", **caller
            )
            return Response(status_code=400)
        except Exception as fault:  # the request's boundary: nothing may pass as stored
            self._report("request failed", error=fault, peer=peer, **caller)
            return Response(status_code=500)
        answer = _status_of(outcomes)
        wait = {"Retry-After": "60"} if answer == 503 else None
        return Response(encode_store_response(outcomes), answer, wait, media_type=MEDIA_TYPE)

    def _caller(self, request: Request) -> str:
        """The name of whoever posts. Raises HTTPException 401, 503."""
        try:
            name = self._tokens.name_of(request.headers.get("Authorization", ""))
        except ConfigurationError as error:
            self._refusals.tell("tokens not readable", peer="", reason=error.message)
            raise HTTPException(503, "the node cannot tell who may store; see its log") from None
        if name is None:
            raise HTTPException(
                401, "no token known here; see web.stow.tokens", {"WWW-Authenticate": "Bearer"}
            )
        return name

    async def _take(self, request: Request, body: _Body, origin: Origin) -> list[StoreOutcome]:
        boundary = _boundary(request, self._limits.maximum_request_bytes)
        if self._requests >= self._limits.maximum_requests:
            raise HTTPException(
                503, "more requests at once than web.stow.maximum_requests", {"Retry-After": "1"}
            )
        self._requests += 1
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                study = request.path_params.get("study", "")
                return await self._store_parts(body, boundary, study, origin)
        except TimeoutError:
            raise HTTPException(408, "the request took longer than web.stow.timeout_s") from None
        finally:
            self._requests -= 1

    async def _store_parts(
        self, body: _Body, boundary: bytes, study_instance_uid: str, origin: Origin
    ) -> list[StoreOutcome]:
        reader = PartReader(
            boundary,
            maximum_part_bytes=self._limits.maximum_instance_bytes,
            maximum_parts=self._limits.maximum_parts,
        )
        outcomes: list[StoreOutcome] = []
        size_bytes = 0
        async for portion in body:
            size_bytes += len(portion)
            if size_bytes > self._limits.maximum_request_bytes:
                raise _too_large()
            for content in reader.feed(portion):
                outcomes.append(
                    await run_in_threadpool(
                        self._service.store,
                        content,
                        study_instance_uid=study_instance_uid,
                        origin=origin,
                    )
                )
        if not reader.is_whole:
            raise HTTPException(400, "the body ends before its last boundary; send it again")
        if not outcomes:
            raise HTTPException(400, "the request has no instance")
        return outcomes


def _boundary(request: Request, maximum_bytes: int) -> bytes:
    """Of a request whose head is in order. Raises HTTPException 400, 406, 411, 413, 415."""
    headers = request.headers
    if not _accepts_json(headers.getlist("Accept")):
        raise HTTPException(406, f"the answer is {MEDIA_TYPE}")
    length = headers.get("Content-Length")
    if length is None and "Transfer-Encoding" not in headers:
        raise HTTPException(411, "the request has no Content-Length and is not chunked")
    if length is not None and int(length) > maximum_bytes:
        raise _too_large()
    if headers.get("Content-Encoding", "identity") != "identity":
        raise HTTPException(415, "the body is compressed; send it as it is")
    return boundary_of(headers.get("Content-Type", ""))


def _accepts_json(accept: Sequence[str]) -> bool:
    ranges = [each.strip() for each in ",".join(accept).lower().split(",") if each.strip()]
    for each in ranges:
        media_type, *parameters = (word.strip() for word in each.split(";"))
        refused = any(_NO_QUALITY.fullmatch(parameter) for parameter in parameters)
        if media_type in _ACCEPTED_ANSWERS and not refused:
            return True
    return not ranges


def _too_large() -> HTTPException:
    return HTTPException(413, "the request is larger than web.stow.maximum_request_mb")


def _status_of(outcomes: Sequence[StoreOutcome]) -> int:
    """Source: DICOM PS3.18 table 10.5.3-1; 503 where waiting may help."""
    failures = [each.failure_reason for each in outcomes if each.failure_reason is not None]
    if not failures:
        return 200
    if len(failures) < len(outcomes):
        return 202
    return 503 if dimse.OUT_OF_RESOURCES in failures else 409
