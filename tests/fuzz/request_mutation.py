"""HTTP requests as no browser sends them, for every route that a server has."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from starlette.routing import BaseRoute, Route

from node.web.console.connections import WHERE
from tests.fuzz.byte_mutation import mutated

FORM: Final = b"application/x-www-form-urlencoded"
TEXTS: Final = (
    "", "0", "1", "2", "-1", "007", "1e9", "999999999", "9999999999", "9" * 400, "٢", "²", "1\0",
    "a\0b", "\r\nSet-Cookie: a=b", "../../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%00", "%",
    "<script>alert(1)</script>", "'; DROP TABLE job; --", "{{7*7}}", "\ud800", "\U0001f9e1", "é",
    "x" * 5000, "null", "true", "[]", "file:///etc/shadow", "//elsewhere.example/", "PACS",
    "completed", "retry", "correct", "cancel", "127.0.0.1", "104", "65536", "dicom", "hl7",
    "[dicom]\nport = 1", "[[rules", "a = '''", "check", "save",
)  # fmt: skip
_NAMES: Final = re.compile(r"""(?:query|form|params)(?:\.get\(|\[)"([a-z_]+)\"""")
_COMPOSED: Final = (*WHERE, "calling_ae", "called_ae", "sop_class_uid", "result-cine", "to-PACS")
"""Names that no line reads by themselves."""
_SOURCES: Final = Path(__file__).parents[2] / "node" / "web" / "console"
_METHODS: Final = (
    "HEAD",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "TRACE",
    "PROPFIND",
    "get",
    "G\x7fT",
)
_HEADERS: Final = (
    "Accept", "Accept-Encoding", "Authorization", "Cookie", "Expect", "Host", "HX-Request",
    "If-Modified-Since", "If-None-Match", "Origin", "Range", "Referer", "Sec-Fetch-Mode",
    "Sec-Fetch-Site", "X-Form-Token", "X-Forwarded-For", "X-Forwarded-Proto", "X-Unattended",
)  # fmt: skip
_HEADER_TEXTS: Final = (
    "", "*/*", "a", "x" * 5000, "bytes=0-", "bytes=9-1,,-", "http://[", "http://[::1", "null",
    "https://[v1.x]:99999", "cross-site", "navigate", "cors", "1", "https", "192.0.2.1", "a, b, c",
    "\xff\xfe", "cardionode=a; cardionode=b", "Basic !!!", "Bearer ", "W/\"x\"", "::1%eth0",
    "Mon, 99 Foo 2026 00:00:00 GMT", "q=0;q=x", "100-continue",
)  # fmt: skip
_KINDS: Final = (
    b"", b"text/plain", b"application/json", b"multipart/form-data; boundary=x",
    b"multipart/form-data", b"application/x-www-form-urlencoded; charset=utf-16", b"/", b"\xff",
)  # fmt: skip


def field_names() -> Sequence[str]:
    """Those that the console's pages read of queries and forms."""
    sources = (file.read_text(encoding="utf-8") for file in sorted(_SOURCES.glob("*.py")))
    return sorted({*_COMPOSED, *(name for source in sources for name in _NAMES.findall(source))})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A way into the server."""

    method: str
    path: str
    """With its parts in braces."""


def targets(routes: Sequence[BaseRoute]) -> Sequence[Target]:
    """Each route with each of its methods, in a steady order."""
    return [
        Target(method=method, path=route.path)
        for route in routes
        if isinstance(route, Route)
        for method in sorted(route.methods or ())
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One of them, as it goes over the wire."""

    target: Target
    is_plain: bool
    """The method and the path of the route, and nothing that HTTP forbids."""
    is_whole: bool
    """What it says of its own length is true."""
    stream: bytes


class Requests:
    """Makes requests by chance, of names that the pages know."""

    def __init__(self, chance: random.Random, known: Sequence[Target]) -> None:
        self._chance = chance
        self._known = known
        self._names = field_names()

    def make(self, cookie: str, form_token: str) -> Request:
        """One by whom has the cookie and a page's token, each of which may be empty."""
        chance, target = self._chance, self._chance.choice(self._known)
        is_plain = chance.random() < 0.8
        method = target.method if is_plain else chance.choice(_METHODS)
        path = self._path(target.path)
        if not chance.randrange(3):
            path += f"?{self._fields(form_token)}"
        body, kind = self._body(form_token) if method == "POST" or not is_plain else (b"", b"")
        head = [f"{method} {path} HTTP/1.1".encode("latin-1")]
        head += [b"Host: 127.0.0.1", b"Connection: close"]
        if cookie:
            head.append(f"Cookie: cardionode={cookie}".encode())
        if form_token:
            head.append(f"X-Form-Token: {form_token}".encode())
        if kind:
            head.append(b"Content-Type: " + kind)
        for _ in range(chance.choice((0, 0, 0, 1, 2))):
            head.append(self._header())
        if body or method == "POST":
            head.append(b"Content-Length: %d" % len(body))
        stream = b"\r\n".join([*head, b"", body])
        is_whole = is_plain or bool(chance.randrange(3))
        if not is_whole:
            stream = mutated(chance, stream)
        return Request(target=target, is_plain=is_plain, is_whole=is_whole, stream=stream)

    def _path(self, template: str) -> str:
        chance = self._chance

        def part(_match: re.Match[str]) -> str:
            text = chance.choice(("1", "1", "2", chance.choice(TEXTS)))
            return quote(text, safe="" if chance.random() < 0.7 else "/%", errors="replace")

        return re.sub(r"\{[^}]+\}", part, template)

    def _fields(self, form_token: str) -> str:
        chance = self._chance
        names = chance.sample(self._names, chance.choice((1, 2, 3, len(self._names))))
        fields = {name: chance.choice(TEXTS) for name in names}
        fields["form_token"] = form_token
        return urlencode(fields, errors="replace")

    def _body(self, form_token: str) -> tuple[bytes, bytes]:
        chance = self._chance
        body = self._fields(form_token).encode()
        if not chance.randrange(8):
            body = mutated(chance, body)
        return body, FORM if chance.random() < 0.9 else chance.choice(_KINDS)

    def _header(self) -> bytes:
        chance = self._chance
        text = chance.choice(_HEADER_TEXTS)
        return f"{chance.choice(_HEADERS)}: {text}".encode("latin-1", errors="replace")
