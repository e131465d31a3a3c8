"""DIMSE requests, put together of the fragments they come in.

Source: DICOM PS3.7 §6.3 and annex F, PS3.8 annex E.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from node.dicom.associate_pdu import ProposedContext
from node.dicom.command_set import Command, CommandField, decode_command
from node.dicom.pdu import AbortReason, DataValue, ProtocolViolation

_LARGEST_COMMAND_BYTES: Final = 16384
"""A C-STORE request is some 300 bytes; an N-GET with every attribute of a large IOD, 4 kB."""
_SMALL_BYTES: Final = 256
_MOST_SMALL: Final = 64
"""Fragments that small in one request: each costs as much as a large one, and Python serves one
sender at a time. Usual are one or two. A thousand were allowed once: who sent them on a few
associations had the node take ten times as long for everybody else."""
_LARGEST_EVENT_BYTES: Final = 1 << 20
"""Of a commitment report: some 150 bytes an instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A whole request."""

    context: ProposedContext
    """As accepted: with one transfer syntax."""
    command: Command
    dataset_bytes: bytes
    is_oversized: bool
    """More than may be kept came: dataset_bytes is empty."""


class RequestAssembler:
    """Takes presentation data values of one association in the order they come.

    Holds no more than one command set and one data set: a C-STORE's up to maximum_bytes, an
    N-EVENT-REPORT's up to a megabyte. What is not kept, and any other, is passed over.
    """

    def __init__(self, contexts: Mapping[int, ProposedContext], maximum_bytes: int) -> None:
        """contexts: those accepted, by their IDs."""
        self._contexts = contexts
        self._largest = {
            CommandField.C_STORE: maximum_bytes,
            CommandField.N_EVENT_REPORT: _LARGEST_EVENT_BYTES,
        }
        self._context: ProposedContext | None = None
        self._command_set = bytearray()
        self._command: Command | None = None
        self._dataset = bytearray()
        self._is_oversized = False
        self._small = 0

    @property
    def is_inside(self) -> bool:
        """Whether a request has begun and not ended."""
        return self._context is not None

    def take(self, value: DataValue) -> Request | None:
        """The request that this value completes.

        Raises ProtocolViolation (a context that was not accepted, or another one within a request;
        a data set where a command set is due, or the reverse; a command set that is none; a request
        in very many very small fragments).
        """
        self._small += len(value.fragment) <= _SMALL_BYTES
        if self._small > _MOST_SMALL:
            raise ProtocolViolation(
                AbortReason.NOT_SPECIFIED,
                f"a request in more than {_MOST_SMALL} fragments of at most {_SMALL_BYTES} bytes",
            )
        context = self._contexts.get(value.context_id)
        if context is None:
            raise ProtocolViolation(
                AbortReason.INVALID_PARAMETER, "a presentation context that was not accepted"
            )
        if self._context not in (None, context) or value.is_command == bool(self._command):
            raise ProtocolViolation(
                AbortReason.UNEXPECTED_PARAMETER, "fragments of a request out of their order"
            )
        self._context = context
        if self._command is None:
            return self._take_command(context, value)
        self._keep(self._command, value.fragment)
        return self._finish(context, self._command) if value.is_last else None

    def _take_command(self, context: ProposedContext, value: DataValue) -> Request | None:
        if len(self._command_set) + len(value.fragment) > _LARGEST_COMMAND_BYTES:
            raise ProtocolViolation(AbortReason.INVALID_PARAMETER, "a command set without end")
        self._command_set += value.fragment
        if not value.is_last:
            return None
        command = decode_command(bytes(self._command_set))
        if command.has_data_set:
            self._command = command
            return None
        return self._finish(context, command)

    def _keep(self, command: Command, fragment: memoryview) -> None:
        largest = self._largest.get(command.field)
        if largest is None or self._is_oversized:
            return
        if len(self._dataset) + len(fragment) > largest:
            self._is_oversized = True
            self._dataset = bytearray()
        else:
            self._dataset += fragment

    def _finish(self, context: ProposedContext, command: Command) -> Request:
        dataset = self._dataset
        request_is_oversized = self._is_oversized
        self._context = self._command = None
        self._command_set, self._dataset, self._is_oversized = bytearray(), bytearray(), False
        self._small = 0
        return Request(
            context=context,
            command=command,
            dataset_bytes=bytes(dataset),
            is_oversized=request_is_oversized,
        )
