"""How many connections and associations there may be, and who gives way when there are more."""

from __future__ import annotations

import time
from collections import Counter
from threading import Lock
from typing import Final

from node.dicom.pdu_stream import PduStream

WITHOUT_ASSOCIATION: Final = 128
_SHARE: Final = 64
"""Connections that have no association yet or no more, and those of them of one address.

A gateway may open as many at once as it has modalities behind it: none of those is to give way.
"""

GAVE_WAY: Final = "gave way to a newer connection: this address had the most when all were taken"


class Places:
    """Bounds the connections without an association, and the associations.

    Without an association, where nothing is known of a caller, the newest is let in: the oldest of
    the address that has most gives way. An association gives way only while it is silent, and only
    to an address that has fewer. So no address can keep another out.
    """

    def __init__(self, maximum_associations: int) -> None:
        self._maximum_associations = maximum_associations
        self._lock = Lock()
        self._waiting: dict[PduStream, None] = {}
        self._associated: dict[PduStream, None] = {}
        """Both from the first to give way to the last."""

    def enter(self, stream: PduStream) -> None:
        """Take a new connection in."""
        with self._lock:
            held = Counter(each.address for each in self._waiting)
            if held[stream.address] >= _SHARE:
                self._end_oldest(stream.address)
            elif len(self._waiting) >= WITHOUT_ASSOCIATION:
                ((most, _),) = held.most_common(1)
                self._end_oldest(most)
            self._waiting[stream] = None

    def associate(self, stream: PduStream) -> bool:
        """Give a connection the place of an association, if there is one."""
        with self._lock:
            if len(self._associated) >= self._maximum_associations:
                silent = self._silent(stream.address)
                if silent is None:
                    return False
                del self._associated[silent]
                silent.end(GAVE_WAY)
            self._waiting.pop(stream, None)
            self._associated[stream] = None
            return True

    def dissociate(self, stream: PduStream) -> None:
        """The association has ended, the connection not yet: the peer has to close it."""
        with self._lock:
            if stream in self._associated:
                del self._associated[stream]
                self._waiting = {stream: None, **self._waiting}  # the first to give way

    def leave(self, stream: PduStream) -> None:
        """The connection has ended."""
        with self._lock:
            self._waiting.pop(stream, None)
            self._associated.pop(stream, None)

    def _end_oldest(self, address: str) -> None:
        oldest = next(each for each in self._waiting if each.address == address)
        del self._waiting[oldest]
        oldest.end(GAVE_WAY)

    def _silent(self, newcomer: str) -> PduStream | None:
        """The association that has been silent for longest, of an address that has most.

        One that has no more than the newcomer would then have does not count.
        """
        held = Counter(each.address for each in self._associated)
        most = max(held.values(), default=0)
        if most <= held[newcomer] + 1:
            return None
        longest, since_s = None, time.monotonic()
        for each in self._associated:
            waiting_since_s = each.waiting_since_s or since_s  # None: at work
            if held[each.address] == most and waiting_since_s < since_s:
                longest, since_s = each, waiting_since_s
        return longest
