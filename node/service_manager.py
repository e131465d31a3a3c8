"""What systemd is told of the node: that it is ready, that it lives, that it stops.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

_BEATS: Final = 3
"""So many in the time after which silence means death."""


class ServiceManager:
    """Of this process; where none waits for word, nothing is said."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        asked = environment.get("WATCHDOG_USEC", "")
        is_meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._beat_s = int(asked) / 1e6 / _BEATS if asked.isdecimal() and is_meant else 0.0

    def watch(self) -> None:
        """From now on say that the process lives: that its threads get their turns, and no more.

        A database or a PACS that is away is no reason to be killed.
        """
        if self._address and self._beat_s:
            threading.Thread(target=self._beat_on, name="alive", daemon=True).start()

    def ready(self, status: str) -> None:
        """It works; `status` is what `systemctl status` shows."""
        self._say(f"READY=1\nSTATUS={status}")

    def stopping(self) -> None:
        """It was told to end, and finishes what it cannot leave."""
        self._say("STOPPING=1\nSTATUS=stopping")

    def starting_anew(self) -> None:
        """It ends, and goes on as a new program in the same process."""
        self._say("RELOADING=1\nSTATUS=starting anew")

    def _beat_on(self) -> None:
        while True:
            self._say("WATCHDOG=1")
            time.sleep(self._beat_s)

    def _say(self, words: str) -> None:
        if not self._address:
            return
        # A name that begins with @ is of no file: source: unix(7), abstract sockets.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.sendto(words.encode("utf-8"), address)
