"""The DICOM listener: Verification, Storage of ECG waveforms, reports of Storage Commitment."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterable, Sequence
from threading import Event, Lock, Semaphore, Thread
from typing import Final

from node.dicom import dimse
from node.dicom.association import Acceptor, Association, ListenerLimits
from node.dicom.commitment_service import CommitmentService
from node.dicom.negotiation import Peer
from node.dicom.pdu_stream import PduStream
from node.dicom.places import WITHOUT_ASSOCIATION, Places
from node.dicom.refusals import Refusals
from node.dicom.service import Report, Service
from node.dicom.storage_service import Accept, StorageService
from node.domain.errors import ConfigurationError

__all__ = ["Accept", "ListenerLimits", "Peer", "Report", "StorageScp"]

_BACKLOG: Final = 128
_LOOK_AGAIN_S: Final = 0.1
_SEND_BUFFER_BYTES: Final = 65536
"""Answers are small; who does not take them is not to have megabytes of them kept."""
_STOP_WITHIN_S: Final = 0.6
_CUT_WITHIN_S: Final = 0.15


class StorageScp:
    """Listens, admits peers, and answers C-STORE with success only after `accept` returned.

    A thread takes connections; each has one of its own, which sleeps while its peer is silent.
    """

    def __init__(
        self,
        *,
        ae_titles: Sequence[str],
        host: str,
        port: int,
        peers: Sequence[Peer],
        limits: ListenerLimits,
        accept: Accept,
        commitment: CommitmentService,
        report: Report,
    ) -> None:
        storage = StorageService(accept=accept, report=report)
        services: dict[str, Service] = dict.fromkeys(dimse.ECG_STORAGE, storage)
        services[dimse.STORAGE_COMMITMENT] = commitment
        self._address = (host, port)
        self._refusals = Refusals(report)
        self._places = Places(limits.maximum_associations)
        self._acceptor = Acceptor(
            ae_titles=tuple(ae_titles),
            peers=tuple(peers),
            limits=limits,
            services=services,
            report=report,
            refusals=self._refusals,
            places=self._places,
        )
        self._listening: socket.socket | None = None
        self._listener: Thread | None = None
        self._stopping = Event()
        self._lock = Lock()
        self._threads: dict[PduStream, Thread] = {}
        self._free_threads = Semaphore(limits.maximum_associations + WITHOUT_ASSOCIATION)

    @property
    def port(self) -> int:
        """The port it listens on; the one given, or the one chosen for 0."""
        if self._listening is None:
            return self._address[1]
        return int(self._listening.getsockname()[1])

    def start(self) -> None:
        """Listen. Raises ConfigurationError when the address cannot be had."""
        host, port = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen for DICOM on {host}:{port}: "
                f"{error.strerror}; choose another dicom.port or stop what holds it"
            ) from error
        self._listening = listening
        self._stopping.clear()
        self._listener = Thread(
            target=self._listen, args=(listening,), name="dicom-listener", daemon=True
        )
        self._listener.start()

    def stop(self) -> None:
        """Take no new association and end the open ones, within a second.

        A request that is being answered is answered, if that takes no longer.
        """
        if self._listening is None or self._listener is None:
            return
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._listening.close()
        self._listener.join(_CUT_WITHIN_S)
        self._listening = self._listener = None
        with self._lock:
            open_now = dict(self._threads)
        for stream in open_now:
            stream.end("the node is stopping")
        _join(open_now.values(), _STOP_WITHIN_S)
        for stream, thread in open_now.items():
            if thread.is_alive():
                stream.cut()
        _join(open_now.values(), _CUT_WITHIN_S)

    def _listen(self, listening: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                connection, address = listening.accept()
            except OSError as error:
                if not self._stopping.is_set():  # no file descriptors left: some will be given back
                    self._refuse("", error.strerror or "the connection failed")
                    self._stopping.wait(_LOOK_AGAIN_S)
                continue
            self._take(connection, address[0].partition("%")[0], address[1])

    def _take(self, connection: socket.socket, address: str, port: int) -> None:
        """Start the thread of a connection. A TLS handshake would be that thread's first work.

        Whoever gave way for it may yet have to end: it waits for that thread, and those that come
        after it wait in the backlog.
        """
        stream = PduStream(connection, address)
        thread = Thread(
            target=self._serve, args=(stream,), name=f"dicom-{address}:{port}", daemon=True
        )
        self._places.enter(stream)
        self._free_threads.acquire()  # whoever gave way ends within two seconds, when stopping too
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            with self._lock:
                if not self._stopping.is_set():
                    thread.start()
                    self._threads[stream] = thread
                    return
        except (OSError, RuntimeError):
            self._refuse(address, "it has ended, or no thread can be started for it")
        self._forget(stream)

    def _serve(self, stream: PduStream) -> None:
        try:
            Association(stream, self._acceptor).run()
        finally:
            self._forget(stream)

    def _forget(self, stream: PduStream) -> None:
        self._places.leave(stream)
        stream.close()
        with self._lock:
            self._threads.pop(stream, None)
        self._free_threads.release()

    def _refuse(self, address: str, reason: str) -> None:
        self._refusals.tell("connection refused", peer=address, reason=reason)


def _join(threads: Iterable[Thread], within_s: float) -> None:
    deadline_s = time.monotonic() + within_s
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))
