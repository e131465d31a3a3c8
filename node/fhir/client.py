"""Carries transactions to a FHIR server: one result, one request.

Source: FHIR R4, http.html#transaction, #rejecting-updates, #ops (Prefer).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol
from urllib.parse import urlsplit

from node.domain.errors import (
    DeliveryError,
    Refused,
    TemporarilyRefused,
    Unanswered,
    Unavailable,
)
from node.fhir.answer import issue_codes, statuses

MEDIA_TYPE: Final = "application/fhir+json"
LONGEST_ANSWER_BYTES: Final = 16_000_000
"""A server may repeat all that it was sent, asked or not: with the summary a megabyte or two."""
_NOTHING: Final = b'{"resourceType":"Bundle","type":"transaction"}'
_BUSY: Final = frozenset({408, 425, 429, 502, 503, 504, 507})
"""Said of the server, not of the transaction: it is tried again as long as when nobody answers."""
_CONFLICT: Final = 409
"""Others were writing what we were; the same transaction may pass later."""
_NEVER: Final = frozenset({501, 505})
"""Of those from 500 on: it says that it cannot do this at all."""
_TO_DO: Final = {
    400: "see its log for what it does not accept",
    401: "check the destination's token, or user and password",
    403: "let these credentials write DiagnosticReport and Observation there, by transaction",
    404: "is the destination's url the base of its FHIR services?",
    405: "does it take transactions at the destination's url?",
    406: "it does not answer in application/fhir+json",
    410: "it is no longer there; write the new address into the url",
    412: (
        "it has not one resource with a number that is asked for, but none or several: is the "
        "patient admitted there, once? Has it one report with each identifier?"
    ),
    413: "let it take larger requests, or set pdf = false",
    415: "it takes no application/fhir+json",
    422: "see its log for the rule or profile that is broken",
    501: "it takes no transactions, or no conditional updates",
}


class Answer(Protocol):
    """What a server said."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...
    @property
    def retry_after_s(self) -> float: ...


class Server(Protocol):
    """Where requests go. Raises Unreachable, Unanswered."""

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer: ...


class FhirClient:
    """Posts transactions to one server.

    Raises what the server's connection does, Unavailable, TemporarilyRefused or Refused (the server
    said so), Unanswered (it answered, but not what became of it). What an OperationOutcome says in
    words is never repeated: it may quote the patient.
    """

    def __init__(self, *, url: str, server: Server, authorization: Callable[[], str]) -> None:
        """url: of the base of the FHIR services. authorization: as that header, or empty."""
        self._url = url.rstrip("/")
        self._path = urlsplit(self._url).path or "/"
        self._server = server
        self._authorization = authorization

    def send(self, content: bytes) -> None:
        """Post one transaction as it is; returns when the server has done all of it."""
        error = self._error_of(self._post(content))
        if error is not None:
            raise error

    def probe(self) -> None:
        """Ask to do nothing: who takes transactions does it, or finds fault with that alone."""
        answer = self._post(_NOTHING)
        if statuses(answer.body) is not None and 200 <= answer.status < 300:
            return
        if not (answer.status in (400, 422) and issue_codes(answer.body) is not None):
            raise self._refusal(answer.status, answer)

    def _post(self, body: bytes) -> Answer:
        headers = {
            "Content-Type": MEDIA_TYPE,
            "Accept": MEDIA_TYPE,
            "Prefer": "return=minimal",
        }
        authorization = self._authorization()
        if authorization:
            headers["Authorization"] = authorization
        return self._server.post(self._path, headers, body)

    def _error_of(self, answer: Answer) -> DeliveryError | None:
        """What an answer means for a delivery; None when the server has done it."""
        if not 200 <= answer.status < 300:
            return self._refusal(answer.status, answer)
        done = statuses(answer.body)
        if not done:
            return self._refusal(answer.status, answer)
        # A transaction is done whole or not at all; who tells otherwise is taken at its word.
        failed = next((status for status in done if not 200 <= status < 300), None)
        return None if failed is None else self._refusal(failed or answer.status, answer)

    def _refusal(self, status: int, answer: Answer) -> DeliveryError:
        said = f"{self._url} answered {status}{_named(issue_codes(answer.body) or ())}"
        if status in _BUSY:
            return Unavailable(f"{said}; it is tried again", retry_after_s=answer.retry_after_s)
        if status == _CONFLICT or (status >= 500 and status not in _NEVER):
            return TemporarilyRefused(
                f"{said}; it is tried again", retry_after_s=answer.retry_after_s
            )
        if 300 <= status < 400:
            return Refused(f"{said}: it has moved; write the new address into the url")
        if status < 300:
            return Unanswered(
                f"{said}, which does not say that the transaction was done; it is sent again as "
                "it is"
            )
        return Refused(f"{said}; {_TO_DO.get(status, 'see its log')}")


def _named(codes: tuple[str, ...]) -> str:
    return f" ({', '.join(codes)})" if codes else ""
