"""Whom the listener turned away: whoever knocks without end fills no log."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Final

from node.dicom.service import Report
from node.domain.caller import Refusal

_EVERY_S: Final = 1.0
_REMEMBERED: Final = 1024

Note = Callable[[Refusal], None]
"""Gets each refusal, floods too: takes next to no time."""


class Refusals:
    """Reports at most one line a second for each address and reason, with a count of those before.

    The count stands on the next line. When a thousand addresses knock within a second, further
    ones are not named. Each is noted too, whether it has a line or not.
    """

    def __init__(self, report: Report, note: Note | None = None) -> None:
        self._report = report
        self._note = note
        self._lock = Lock()
        self._told: dict[tuple[str, str, str], tuple[float, int]] = {}
        """When, and how many since then; from the oldest to the newest."""

    def tell(
        self,
        message: str,
        *,
        peer: str,
        reason: str,
        calling_ae: str = "",
        called_ae: str = "",
        **fields: str | None,
    ) -> None:
        """Report a refusal, or count it. No AE titles: the caller had not come so far."""
        if self._note is not None:
            refusal = Refusal(calling_ae=calling_ae, called_ae=called_ae, peer=peer, reason=reason)
            self._note(refusal)
        count = self._due((message, peer, reason))
        if count:
            self._report(
                message,
                calling_ae=calling_ae or None,
                called_ae=called_ae or None,
                peer=peer,
                reason=reason,
                count=count if count > 1 else None,
                **fields,
            )

    def _due(self, key: tuple[str, str, str]) -> int:
        """How many are to be told of now; 0 for none."""
        now_s = time.monotonic()
        with self._lock:
            told_at_s, since = self._told.get(key, (float("-inf"), 0))
            if now_s - told_at_s < _EVERY_S:
                self._told[key] = (told_at_s, since + 1)
                return 0
            self._told.pop(key, None)
            if len(self._told) >= _REMEMBERED:
                oldest = next(iter(self._told))
                if now_s - self._told[oldest][0] < _EVERY_S:
                    return 0
                del self._told[oldest]
            self._told[key] = (now_s, 0)
            return since + 1
