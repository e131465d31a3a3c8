"""Expiry is told of once a day, new files are taken up, broken ones are told of once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from node.dicom.credentials import Expiry
from node.domain.errors import ConfigurationError
from node.engine.certificate_watch import CertificateWatch
from tests.fakes import Clock, Notes


class Shown:
    """Credentials whose files do what a test says."""

    def __init__(self, clock: Clock, days: float) -> None:
        self.expiries = (Expiry(file=Path("/etc/node.pem"), at=clock.now + timedelta(days=days)),)
        self.changes: list[ConfigurationError | None] = []

    def refresh(self) -> bool:
        if not self.changes:
            return False
        change = self.changes.pop()
        if change is not None:
            raise change
        return True


def watching(days: float) -> tuple[CertificateWatch, Shown, Clock, Notes]:
    clock, notes = Clock(), Notes()
    shown = Shown(clock, days)
    watch = CertificateWatch(credentials=shown, telemetry=notes, clock=clock)  # type: ignore[arg-type]
    return watch, shown, clock, notes


def test_expiry_is_told_of_daily_from_thirty_days_before_and_as_expired_after() -> None:
    watch, _, clock, notes = watching(31.5)
    said = []
    for _ in range(34 * 24):  # every hour
        watch.look()
        said += notes.events
        notes.events.clear()
        clock.move(3600)
    messages = [message for message, _ in said]
    assert messages == ["certificate expires"] * 30 + ["certificate expired"] * 2
    assert said[0][1]["path"] == "/etc/node.pem"
    assert "2026-02-02, in 30 days: renew it" in said[0][1]["reason"]


def test_what_expires_soon_is_told_of_at_the_start() -> None:
    watch, _, _, notes = watching(3)
    watch.look()
    assert len(notes.said("certificate expires")) == 1


def test_a_certificate_with_time_left_is_not_worth_a_line() -> None:
    watch, _, clock, notes = watching(365)
    watch.look()
    clock.move(86400)
    watch.look()
    assert notes.events == []


def test_new_files_are_told_of_and_their_expiry_at_once() -> None:
    watch, shown, _, notes = watching(365)
    watch.look()
    shown.expiries = (Expiry(file=Path("/etc/node.pem"), at=watch.clock()),)
    shown.changes = [None]
    watch.look()
    assert [message for message, _ in notes.events] == [
        "certificates loaded again",
        "certificate expired",
    ]


def test_files_that_cannot_be_used_are_told_of_with_what_serves_meanwhile() -> None:
    watch, shown, _, notes = watching(365)
    shown.changes = [ConfigurationError("tls.key does not fit")]
    watch.look()
    watch.look()
    ((message, fields),) = notes.events
    assert message == "certificates kept"
    assert fields["reason"] == "tls.key does not fit; until then those loaded before serve"
