"""What answers the requests of an association: one service a SOP class."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from node.dicom import dimse
from node.dicom.command_set import CommandField, encode_response
from node.dicom.message import Request
from node.dicom.pdu import printable
from node.domain.caller import Permission
from node.domain.errors import CardioNodeError
from node.domain.instance import Origin

Report = Callable[..., None]
"""Gets (message, **fields) for each thing worth a log line; never patient data."""

UNRECOGNIZED_OPERATION: Final = 0x0211
"""Source: DICOM PS3.7 annex C."""
_UID: Final = re.compile(rb"[0-9](?:[0-9.]{0,62}[0-9])?")
"""Leading zeros and empty components pass: real devices send them, and nothing depends on it."""


class Service(Protocol):
    """Serves one command of the SOP classes it is entered for."""

    @property
    def operation(self) -> CommandField: ...

    def answer(self, request: Request, origin: Origin) -> int:
        """The status, success only once what was asked for is durable. Raises nothing."""
        ...


Services = Mapping[str, Service]
"""By abstract syntax."""


def answer(
    request: Request, services: Services, may: frozenset[Permission], origin: Origin
) -> bytes:
    """The response's command set."""
    command = request.command
    service = services.get(request.context.abstract_syntax)
    if command.field is CommandField.C_ECHO:  # on a context of whatever SOP class
        status = dimse.SUCCESS if Permission.ECHO in may else dimse.NOT_AUTHORISED
    elif service is not None and command.field is service.operation:
        status = service.answer(request, origin)
    else:
        status = UNRECOGNIZED_OPERATION
    return encode_response(
        command,
        status,
        sop_class_uid=_repeatable(command.affected_sop_class_uid),
        sop_instance_uid=_repeatable(command.affected_sop_instance_uid),
    )


def report_refusal(
    report: Report,
    message: str,
    *,
    origin: Origin,
    status: int,
    error: Exception | None,
    sop_class_uid: bytes | None = None,
) -> None:
    """Tell why a request was not done; of a fault of ours with its traceback."""
    known = error if isinstance(error, CardioNodeError) else None
    code = known.code if known else "internal" if error else None
    report(
        message,
        error=None if known else error,
        calling_ae=origin.calling_ae,
        called_ae=origin.called_ae,
        peer=origin.peer,
        sop_class_uid=None if sop_class_uid is None else printable(sop_class_uid),
        error_code=code,
        reason=known.message if known else None,
        status=f"0x{status:04X}",
    )


def is_uid(value: bytes) -> bool:
    """Whether what a sender names can stand as a UID."""
    return _UID.fullmatch(value) is not None


def _repeatable(uid: bytes) -> str:
    """A UID for the response, which repeats the request's; empty when it is none."""
    return uid.decode("ascii") if is_uid(uid) else ""
