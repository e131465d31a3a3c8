"""A RIS that does wrong at random, and remembers what came and what it acknowledged."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable

from tests.wire.hl7.receivers import ack, take


class HostileRis:
    """Takes messages over MLLP; half of them it answers as it should."""

    def __init__(self, chance: random.Random, *, patience_s: float) -> None:
        """patience_s: how long the sender waits for an answer."""
        self.arrived: list[tuple[str, bytes]] = []
        """MSH-10 and content of every whole message, in order."""
        self.acknowledged: list[str] = []
        """MSH-10 of each that was answered AA, perhaps too late."""
        self.settled: dict[str, int] = {}
        """MSH-10 of each whose AA was surely in time -> how many had arrived by then."""
        self.misdeeds: Counter[str] = Counter()
        self._chance = chance
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._serving = threading.Thread(target=self._serve, name="hostile-ris")
        self._conversations: list[threading.Thread] = []
        self._stopping = threading.Event()

    def start(self) -> int:
        """Listen; gives the port."""
        self._serving.start()
        return int(self._listening.getsockname()[1])

    def stop(self) -> None:
        self._stopping.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in (self._serving, *self._conversations):
            if thread.ident is not None:
                thread.join(timeout=10)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._converse, args=(connection,))
            self._conversations.append(thread)
            thread.start()

    def _converse(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while not self._stopping.is_set():
                if self._chance.random() < 0.1:
                    self._closes_in_the_middle_of_a_message(connection)
                    return
                content = take(connection)
                if not content:
                    return
                arrived_s = time.monotonic()
                control_id = content.split(b"|")[9].decode()
                with self._lock:
                    self.arrived.append((control_id, content))
                if self._chance.random() < 0.5:
                    self._answer(connection, control_id, arrived_s)
                else:
                    misdeed = self._chance.choice(_MISDEEDS)
                    self.misdeeds[misdeed.__name__.strip("_")] += 1
                    misdeed(self, connection, control_id)

    def _answer(self, connection: socket.socket, control_id: str, arrived_s: float) -> None:
        with self._lock:
            connection.sendall(ack("AA", control_id))
            self.acknowledged.append(control_id)
            if time.monotonic() - arrived_s < 0.5 * self._patience_s:
                self.settled.setdefault(control_id, len(self.arrived))

    def _closes_in_the_middle_of_a_message(self, connection: socket.socket) -> None:
        if connection.recv(10):
            self.misdeeds["closes_in_the_middle_of_a_message"] += 1

    def _does_not_answer(self, connection: socket.socket, control_id: str) -> None:
        pass

    def _answers_another_message(self, connection: socket.socket, control_id: str) -> None:
        connection.sendall(ack("AA", f"{control_id}X"))

    def _answers_too_late(self, connection: socket.socket, control_id: str) -> None:
        time.sleep(1.5 * self._patience_s)
        connection.sendall(ack("AA", control_id))
        self.acknowledged.append(control_id)

    def _answers_half_and_closes(self, connection: socket.socket, control_id: str) -> None:
        connection.sendall(ack("AA", control_id)[:20])
        connection.close()

    def _answers_with_noise(self, connection: socket.socket, control_id: str) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)

    def _fails(self, connection: socket.socket, control_id: str) -> None:
        connection.sendall(ack("AE", control_id, "|no room|||207"))

    def _closes_without_an_answer(self, connection: socket.socket, control_id: str) -> None:
        connection.close()


_MISDEEDS: tuple[Callable[[HostileRis, socket.socket, str], None], ...] = (
    HostileRis._does_not_answer,
    HostileRis._answers_another_message,
    HostileRis._answers_too_late,
    HostileRis._answers_half_and_closes,
    HostileRis._answers_with_noise,
    HostileRis._fails,
    HostileRis._closes_without_an_answer,
)
