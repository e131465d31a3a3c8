"""The parts of a multipart/related request, one by one, of which no more is kept than is asked for.

Source: RFC 2387, RFC 2046 §5.1, DICOM PS3.18 §8.6.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_BOUNDARY: Final = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_DICOM: Final = b"application/dicom"


def boundary_of(content_type: str) -> bytes:
    """Between the parts of multipart/related; type="application/dicom".

    Raises HTTPException 415 (another type), 400 (no boundary).
    """
    media_type, options = parse_options_header(content_type.encode("latin-1"))
    if media_type.lower() != b"multipart/related" or options.get(b"type", b"").lower() != _DICOM:
        raise HTTPException(415, 'send multipart/related; type="application/dicom"')
    boundary = options.get(b"boundary", b"")
    if not _BOUNDARY.fullmatch(boundary):
        raise HTTPException(400, "the Content-Type names no boundary between the parts")
    return boundary


class PartReader:
    """Takes a request's body in portions and gives its parts.

    Raises HTTPException: 400 (no multipart), 413 (too large or too many), 415 (not DICOM).
    """

    def __init__(self, boundary: bytes, *, maximum_part_bytes: int, maximum_parts: int) -> None:
        self.is_whole = False
        """Whether the last boundary came."""
        self._maximum_part_bytes = maximum_part_bytes
        self._parts_left = maximum_parts
        self._ended: list[bytes] = []
        self._content = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._name = b""
        self._value = b""
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin,
            "on_header_field": self._add_to_name,
            "on_header_value": self._add_to_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._check_headers,
            "on_part_data": self._add,
            "on_part_end": self._end,
            "on_end": self._end_all,
        }
        self._parser = MultipartParser(boundary, callbacks)

    def feed(self, portion: bytes) -> list[bytes]:
        """The contents of the parts that have ended with it."""
        try:
            self._parser.write(portion)
        except FormParserError:
            raise HTTPException(400, "the body is no multipart of that boundary") from None
        ended, self._ended = self._ended, []
        return ended

    def _begin(self) -> None:
        if self._parts_left == 0:
            raise HTTPException(413, "more parts than web.stow.maximum_parts")
        self._parts_left -= 1
        self._headers = {}

    def _add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _check_headers(self) -> None:
        media_type, _ = parse_options_header(self._headers.get(b"content-type", b""))
        encoding = self._headers.get(b"content-transfer-encoding", b"binary").strip().lower()
        if media_type.lower() != _DICOM or encoding not in (b"binary", b"8bit"):
            raise HTTPException(415, "a part is not application/dicom, unencoded")

    def _add(self, data: bytes, start: int, end: int) -> None:
        if len(self._content) + end - start > self._maximum_part_bytes:
            raise HTTPException(413, "an instance is larger than dicom.maximum_instance_mb")
        self._content += data[start:end]

    def _end(self) -> None:
        self._ended.append(bytes(self._content))
        self._content = bytearray()

    def _end_all(self) -> None:
        self.is_whole = True
