"""A PACS that is slow, full, or goes away in the middle, at random."""

from __future__ import annotations

import random
import time
from collections import Counter

from pynetdicom import evt

from node.dicom.stand_in import PacsStandIn

OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000


class HostilePacs(PacsStandIn):
    """Half of what it is sent it stores and acknowledges as it should."""

    def __init__(self, chance: random.Random, *, ae_title: str, slow_s: float) -> None:
        """slow_s: how long it takes to answer now and then, more than its senders wait."""
        super().__init__(ae_title=ae_title)
        self.misdeeds: Counter[str] = Counter()
        self.changed: set[str] = set()
        """SOP Instance UIDs that came again with other content."""
        self._chance = chance
        self._slow_s = slow_s

    def _on_store(self, event: evt.Event) -> int:
        misdeed = "none"
        if self._chance.random() < 0.5:
            misdeed = self._chance.choice(
                ("is slow", "is full", "goes away", "stores and goes away")
            )
            self.misdeeds[misdeed] += 1
        if misdeed == "is full":
            return OUT_OF_RESOURCES
        if misdeed == "goes away":
            event.assoc.abort()
            return CANNOT_UNDERSTAND
        before = self.instances()
        status = super()._on_store(event)
        uid = str(event.request.AffectedSOPInstanceUID)  # type: ignore[union-attr]
        if before.get(uid, self.received[uid]) != self.received[uid]:
            self.changed.add(uid)
        if misdeed == "is slow":
            time.sleep(self._slow_s)
        if misdeed == "stores and goes away":
            event.assoc.abort()
        return status
