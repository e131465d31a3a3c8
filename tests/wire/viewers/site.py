"""A site on loopback that a browser opens: folders, single files, Orthanc's DICOMweb behind it."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath

TYPES = {
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".json": "application/json",
    ".wasm": "application/wasm",
}
PASSED_ON = ("Accept", "Content-Type", "Host")
"""By the host Orthanc knows the origin that its links have to have."""


class Site:
    """Serves until it is closed.

    folders: path prefix -> folder; a path that no folder has is that of a page of a one-page
    application, whose index.html is served. files: path -> content. upstream: where paths below
    /dicom-web are asked.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        files: Mapping[str, bytes],
        *,
        upstream: str | None = None,
    ) -> None:
        self.folders = folders
        self.files = dict(files)
        self.upstream = upstream
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(timeout=10)
        self._server.server_close()

    def find(self, path: str) -> tuple[str, bytes] | None:
        """Media type and content."""
        if path in self.files:
            kind = TYPES.get(PurePosixPath(path).suffix, "application/octet-stream")
            return kind, self.files[path]
        for prefix, folder in self.folders.items():
            if not path.startswith(prefix):
                continue
            file = (folder / path.removeprefix(prefix)).resolve()
            if not file.is_file() or folder.resolve() not in file.parents:
                file = folder / "index.html"
            if file.is_file():
                return TYPES.get(file.suffix, "application/octet-stream"), file.read_bytes()
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if site.upstream is not None and path.startswith("/dicom-web"):
                    self._answer(*_asked(site.upstream + self.path, dict(self.headers)))
                    return
                found = site.find(path)
                if found is None:
                    self._answer(404, "text/plain", b"")
                else:
                    self._answer(200, *found)

            def _answer(self, status: int, kind: str, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        return Handler


def _asked(url: str, headers: Mapping[str, str]) -> tuple[int, str, bytes]:
    passed = {name: headers[name] for name in PASSED_ON if name in headers}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=passed)) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        with error:
            kind = error.headers.get("Content-Type", "text/plain")
            return error.code, kind, error.read()
