"""What a running node's log tells of the ECGs it was given."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Final

RESULTS: Final = 4
"""Of an ECG: cine, summary and report to the PACS, the ORU message to the RIS."""


class NodeLog:
    """Read from where it was read to last."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._at = 0
        self._uid_of: dict[str, str] = {}
        self._delivered_s: dict[str, list[float]] = {}

    def answered(self) -> dict[str, float]:
        """When the last result of an ECG was acknowledged, by the ECG's SOP Instance UID.

        Seconds of the epoch. Without those that lack a result yet.
        """
        for line in self._new_lines():
            if line["message"] == "instance accepted":
                self._uid_of[line["job_id"]] = line["sop_instance_uid"]
            elif line["message"] == "delivery attempted" and line["state"] == "delivered":
                at_s = datetime.fromisoformat(line["at"]).timestamp()
                self._delivered_s.setdefault(line["job_id"], []).append(at_s)
        return {
            self._uid_of[job_id]: max(times)
            for job_id, times in self._delivered_s.items()
            if len(times) == RESULTS
        }

    def _new_lines(self) -> list[dict[str, str]]:
        with self._file.open("rb") as log:
            log.seek(self._at)
            lines = log.read().rpartition(b"\n")[0]
        self._at += len(lines) + bool(lines)
        return [json.loads(line) for line in lines.split(b"\n") if line.startswith(b"{")]
