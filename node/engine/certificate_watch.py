"""Looks after the certificates while the node runs: new files are taken up, expiry is told of."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from node.dicom.credentials import WARN_FROM_DAYS, Credentials, Expiry
from node.domain.errors import ConfigurationError
from node.workflow.ports import Clock, Level, Telemetry

_LOOK_EVERY_S: Final = 2.0
_TELL_EVERY: Final = timedelta(days=1)


@dataclass(kw_only=True)
class CertificateWatch:
    """`look` is done every two seconds by a thread of its own."""

    credentials: Credentials
    telemetry: Telemetry
    clock: Clock
    _told_at: datetime | None = field(default=None, init=False)
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)

    def start(self) -> None:
        self.look()
        threading.Thread(target=self._keep_looking, name="certificates", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def look(self) -> None:
        """Take up files that have changed, and tell once a day of what expires."""
        try:
            if self.credentials.refresh():
                self.telemetry.event("certificates loaded again")
                self._told_at = None
        except ConfigurationError as error:
            self.telemetry.event(
                "certificates kept",
                level=Level.ERROR,
                error_code=error.code,
                reason=f"{error.message}; until then those loaded before serve",
            )
        now = self.clock()
        if self._told_at is None or now - self._told_at >= _TELL_EVERY:
            self._told_at = now
            for expiry in self.credentials.expiries:
                self._tell(expiry, now)

    def _tell(self, expiry: Expiry, now: datetime) -> None:
        days_left = expiry.days_left(now)
        if days_left > WARN_FROM_DAYS:
            return
        expired = days_left <= 0
        self.telemetry.event(
            "certificate expired" if expired else "certificate expires",
            level=Level.ERROR if expired else Level.WARNING,
            path=str(expiry.file),
            reason=expiry.sentence(now),
        )

    def _keep_looking(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY_S):
            try:
                self.look()
            except Exception as error:  # the thread's boundary: it looks again
                self.telemetry.event("certificates not read", level=Level.ERROR, error=error)
