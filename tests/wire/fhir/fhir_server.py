"""A FHIR server of a few resources, which takes transactions of conditional updates by identifier.

Read by fhirclient, whose models are those of R4 (4.0.1): what is not R4 is refused.
Source: FHIR R4, http.html#trules, #cond-update.
"""

from __future__ import annotations

import contextlib
import copy
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from fhirclient.models.bundle import Bundle
from fhirclient.models.fhirabstractbase import FHIRValidationError

BASE = "/fhir"


class FhirServer:
    """`resources` holds what it has, by type and id; `requests` the bodies that came."""

    def __init__(self, port: int = 0) -> None:
        self.resources: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, int] = {}
        self.requests: list[bytes] = []
        self.loses_answers = 0
        """So many transactions are done without a word."""
        self.is_busy = 0
        """So many requests are put off."""
        self._turn = threading.Lock()
        handler = type("Handler", (_Handler,), {"desk": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}{BASE}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [each for name, each in self.resources.items() if name.startswith(f"{kind}/")]

    def take(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and answer of one request."""
        with self._turn:
            self.requests.append(body)
            if path != BASE:
                return 404, _outcome("not-found")
            try:
                told = json.loads(body)
                bundle = Bundle(told)
            except (ValueError, FHIRValidationError):
                return 400, _outcome("structure")
            if bundle.type != "transaction":
                return 400, _outcome("not-supported")
            return self._transact(told.get("entry", []))

    def _transact(self, entries: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        """All of it or nothing."""
        named: dict[str, str] = {}
        statuses = []
        for entry in entries:
            kind, matches = self._matching(entry["request"])
            if entry["request"]["method"] != "PUT" or len(matches) > 1:
                return 412, _outcome("multiple-matches")
            statuses.append("200 OK" if matches else "201 Created")
            new = f"{kind}/{len(self.resources) + len(named) + 1}"
            named[entry["fullUrl"]] = matches[0] if matches else new
        for asked in sorted(_conditional(entries)):
            _, matches = self._matching({"url": asked})
            if len(matches) != 1:
                return 412, _outcome("multiple-matches" if matches else "not-found")
            named[asked] = matches[0]
        for entry in entries:
            name = named[entry["fullUrl"]]
            resource = _resolved(copy.deepcopy(entry["resource"]), named)
            self.resources[name] = resource | {"id": name.rpartition("/")[2]}
            self.versions[name] = self.versions.get(name, 0) + 1
        return 200, {
            "resourceType": "Bundle",
            "type": "transaction-response",
            "entry": [
                {"response": {"status": status, "location": named[entry["fullUrl"]]}}
                for status, entry in zip(statuses, entries, strict=True)
            ],
        }

    def _matching(self, request: dict[str, Any]) -> tuple[str, list[str]]:
        asked = urlsplit(request["url"])
        (token,) = parse_qs(asked.query)["identifier"]
        system, _, value = token.partition("|")
        return asked.path, [
            name
            for name, each in self.resources.items()
            if name.startswith(f"{asked.path}/")
            and any(
                (known.get("system"), known.get("value")) == (system, value)
                for known in each.get("identifier", ())
            )
        ]


class _Handler(BaseHTTPRequestHandler):
    desk: ClassVar[FhirServer]

    def do_POST(self) -> None:
        desk = self.desk
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if desk.is_busy:
            desk.is_busy -= 1
            self.send_response(503)
            self.send_header("Retry-After", "1")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        status, answer = desk.take(self.path, body)
        if status == 200 and desk.loses_answers:
            desk.loses_answers -= 1
            self.close_connection = True
            return
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/fhir+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def _resolved(value: Any, named: dict[str, str]) -> Any:
    """References to other entries, as the server's own."""
    if isinstance(value, dict):
        return {
            key: named.get(each, each) if key == "reference" else _resolved(each, named)
            for key, each in value.items()
        }
    return [_resolved(each, named) for each in value] if isinstance(value, list) else value


def _conditional(value: Any) -> set[str]:
    """References that say what to look for."""
    if isinstance(value, list):
        return {asked for each in value for asked in _conditional(each)}
    if not isinstance(value, dict):
        return set()
    own = {value["reference"]} if "?" in value.get("reference", "") else set()
    return own | _conditional(list(value.values()))


def _outcome(code: str) -> dict[str, Any]:
    issue = {"severity": "error", "code": code, "diagnostics": "Doe^Jane is not welcome"}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


@contextlib.contextmanager
def serving_fhir(port: int = 0) -> Iterator[FhirServer]:
    server = FhirServer(port)
    try:
        yield server
    finally:
        server.close()
