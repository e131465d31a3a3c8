"""Carries results to a DICOMweb server: one instance, one STOW-RS request.

Source: DICOM PS3.18 §10.5.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from node.dicom import dimse, response_status
from node.dicom.origin_server import Answer, OriginServer
from node.dicom.part10 import identify_part10
from node.dicom.store_response import MEDIA_TYPE, decode_store_response
from node.domain.errors import (
    ConfigurationError,
    DeliveryError,
    Refused,
    TemporarilyRefused,
    Unanswered,
)

Authorization = Callable[[], str]
"""Gives the value of the header of that name; empty: none. May raise ConfigurationError."""

_ALREADY_THERE: Final = frozenset({0x0111, 0xB00E})
"""Duplicate SOP instance: of PS3.7 annex C, and of Azure's DICOM service (45070)."""

_SAYS_OF_INSTANCES: Final = frozenset({200, 202, 409})
"""Source: DICOM PS3.18 table 10.5.3-1."""
_NOT_NOW: Final = frozenset({408, 413, 425, 429})

_TO_DO: Final = {
    401: "check the destination's token, or user and password",
    403: "let these credentials store there",
    404: "is the destination's url the root of its DICOMweb services, without /studies?",
    405: "is the destination's url the root of its DICOMweb services, without /studies?",
    406: "it does not answer in application/dicom+json",
    415: "it takes no application/dicom in multipart/related",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """What https is checked and done with; read at each connection, so that it can be renewed."""

    authorities: Path | None = None
    """PEM; None: those the system trusts."""
    certificate: Path | None = None
    key: Path | None = None
    """PEM, of a client certificate."""

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer, server and its name checked. Raises ConfigurationError."""
        try:
            context = ssl.create_default_context(cafile=self.authorities)
            if self.certificate is not None:
                # The password keeps OpenSSL from asking for one on the terminal.
                context.load_cert_chain(self.certificate, self.key, password="")
        except OSError:  # which names no file; an SSLError is one too
            named = ", ".join(
                str(file) for file in (self.authorities, self.certificate, self.key) if file
            )
            raise ConfigurationError(
                f"{named}: a file cannot be read, is not PEM, or the key is not the certificate's"
            ) from None
        return context


class StowClient:
    """Stores instances at one origin server.

    Raises Unreachable, TemporarilyRefused or Refused (the server said so), Unanswered (sent, and
    nothing says what became of it).
    """

    def __init__(
        self,
        *,
        url: str,
        authorization: Authorization,
        tls: TlsFiles,
        connect_timeout_s: float,
        answer_timeout_s: float,
    ) -> None:
        """url: http or https, of the root of the DICOMweb services."""
        self._url = url.rstrip("/")
        self._path = f"{urlsplit(url).path.rstrip('/')}/studies"
        self._authorization = authorization
        self._server = OriginServer.of(
            url,
            tls=tls.context,
            connect_timeout_s=connect_timeout_s,
            answer_timeout_s=answer_timeout_s,
        )

    def send(self, content: bytes) -> None:
        """Send one PS3.10 file as it is; returns when the server has it."""
        sop_instance_uid = identify_part10(content)[0].sop_instance_uid
        # Follows from the content, in which it cannot stand.
        boundary = hashlib.sha256(content).hexdigest()
        body = b"".join(
            (
                f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode("ascii"),
                content,
                f"\r\n--{boundary}--\r\n".encode("ascii"),
            )
        )
        answer = self._post(body, boundary)
        error = self._error_of(answer, sop_instance_uid)
        if error is not None:
            raise error

    def probe(self) -> None:
        """Ask to store nothing: who offers STOW-RS to us finds fault with that alone."""
        answer = self._post(b"--nothing--\r\n", "nothing")
        if answer.status not in (200, 202, 204, 400, 409):
            raise self._refusal(answer)

    def _post(self, body: bytes, boundary: str) -> Answer:
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Accept": MEDIA_TYPE,
        }
        authorization = self._authorization()
        if authorization:
            headers["Authorization"] = authorization
        return self._server.post(self._path, headers, body)

    def _error_of(self, answer: Answer, sop_instance_uid: str) -> DeliveryError | None:
        """What an answer means for a delivery; None when the server has the instance."""
        if answer.status not in _SAYS_OF_INSTANCES:
            return self._refusal(answer)
        for outcome in decode_store_response(answer.body):
            if outcome.sop_instance_uid in (sop_instance_uid, ""):
                if outcome.failure_reason is not None:
                    return error_of(outcome.failure_reason)
                if outcome.sop_instance_uid:
                    return None
        if answer.status == 409:
            return Refused(f"{self._url} refused the object (409) without a reason; see its log")
        return Unanswered(
            f"{self._url} answered {answer.status}, but not that it has the object; it is sent "
            "again as it is"
        )

    def _refusal(self, answer: Answer) -> DeliveryError:
        said = f"{self._url} answered {answer.status}"
        if answer.status in _NOT_NOW or answer.status >= 500:
            return TemporarilyRefused(
                f"{said}; it is tried again", retry_after_s=answer.retry_after_s
            )
        if 300 <= answer.status < 400:
            return Refused(f"{said}: it has moved; write the new address into the url")
        if 200 <= answer.status < 300:
            return Unanswered(
                f"{said}, which says nothing of the object; it is sent again as it is"
            )
        return Refused(f"{said}; {_TO_DO.get(answer.status, 'see its log')}")


def error_of(failure_reason: int) -> DeliveryError | None:
    """What a Failure Reason means for a delivery; None when the server has the instance already.

    Our UIDs follow from the content, so what is there is what was sent.
    Source: DICOM PS3.18 table I.2-2, whose codes are those of C-STORE.
    """
    if failure_reason in _ALREADY_THERE:
        return None
    error = response_status.error_of(failure_reason, dimse.STORE_RESPONSES)
    return error or TemporarilyRefused(
        f"the peer did not store the object and gives no reason (0x{failure_reason:04X})"
    )
