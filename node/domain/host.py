"""The processes that are one node together, on one machine or many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final


class HostRole(StrEnum):
    """What a process does for the node; one may do several."""

    RECEIVE = "receive"
    """Takes ECGs and messages: DICOM, HL7, STOW-RS."""
    INFER = "infer"
    """Makes results of ECGs."""
    SEND = "send"
    """Carries results to their destinations."""
    WEB = "web"
    """Serves the console."""


ALL_ROLES: Final = frozenset(HostRole)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One that said that it lives."""

    executor_id: str
    """Its name to the engine; another at every start."""
    machine: str
    home: str
    store: str
    """Identity of the store of objects that it uses: one for all."""
    roles: frozenset[HostRole]
    configuration: str
    """SHA-256 of the file that it was started by; empty where by none, or it does not say."""
    not_taken_up: str = ""
    """Why it goes on by that though it was asked to take the file up; else empty."""
    beats: int
    """How often it said so: what changes is alive, whatever the clocks of the machines say."""
    started_at: datetime
    beat_at: datetime
    """By its own clock."""


def speaks_for_all(hosts: Sequence[Host], executor_id: str) -> bool:
    """Whether that host does what one is to do for all: the first of those like it.

    hosts: those that are alive, the first started first. One that runs by another configuration, or
    is of an earlier version, may not do it at all; so one of each kind does.
    """
    own = next((host for host in hosts if host.executor_id == executor_id), None)
    if own is None:
        return False
    alike = next(host for host in hosts if host.configuration == own.configuration)
    return alike.executor_id == executor_id
