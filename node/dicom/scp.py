"""The DICOM listener: Verification, Storage of ECG waveforms, reports of Storage Commitment."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Event, Lock, Semaphore, Thread
from typing import Final

from node.dicom import dimse
from node.dicom.association import Acceptor, Association, ListenerLimits
from node.dicom.commitment_service import CommitmentService
from node.dicom.negotiation import Peer
from node.dicom.pdu_stream import PduStream
from node.dicom.places import WITHOUT_ASSOCIATION, Places
from node.dicom.refusals import Note, Refusals
from node.dicom.service import Report, Service
from node.dicom.storage_service import Accept, StorageService
from node.domain.errors import ConfigurationError

__all__ = ["Accept", "ListenerLimits", "Note", "Peer", "Report", "StorageScp"]

_BACKLOG: Final = 128
_LOOK_AGAIN_S: Final = 0.1
_SEND_BUFFER_BYTES: Final = 65536
"""Answers are small; who does not take them is not to have megabytes of them kept."""
_STOP_WITHIN_S: Final = 0.6
_CUT_WITHIN_S: Final = 0.15


@dataclass(slots=True, kw_only=True)
class _Entrance:
    """A port, open or not yet."""

    key: str
    port: int
    context: Callable[[], ssl.SSLContext] | None
    """That of now, for the next connection; None without TLS."""
    listening: socket.socket | None = None
    listener: Thread | None = None


class StorageScp:
    """Listens, admits peers, and answers C-STORE with success only after `accept` returned.

    A thread a port takes connections; each has one of its own, which shakes hands where the port is
    the one with TLS, and sleeps while its peer is silent.
    """

    def __init__(
        self,
        *,
        ae_titles: Sequence[str],
        host: str,
        port: int | None,
        peers: Sequence[Peer],
        limits: ListenerLimits,
        accept: Accept,
        commitment: CommitmentService,
        report: Report,
        warn: Report,
        note: Note,
        tls_port: int | None = None,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        """port and tls_port: 0 has one chosen, None is not to listen there.

        report: of what happens; warn: of what somebody should look at; note: of refusals.
        tls: gives the context for the next connection to tls_port.
        """
        storage = StorageService(accept=accept, report=warn)
        services: dict[str, Service] = dict.fromkeys(dimse.ECG_STORAGE, storage)
        services[dimse.STORAGE_COMMITMENT] = commitment
        self._host = host
        self._entrances: list[_Entrance] = []
        if port is not None:
            self._entrances.append(_Entrance(key="dicom.port", port=port, context=None))
        if tls_port is not None:
            self._entrances.append(_Entrance(key="dicom.tls_port", port=tls_port, context=tls))
        self._refusals = Refusals(warn, note)
        self._places = Places(limits.maximum_associations)
        self._acceptor = Acceptor(
            ae_titles=tuple(ae_titles),
            peers=tuple(peers),
            limits=limits,
            services=services,
            report=report,
            warn=warn,
            refusals=self._refusals,
            places=self._places,
        )
        self._stopping = Event()
        self._lock = Lock()
        self._threads: dict[PduStream, Thread] = {}
        self._free_threads = Semaphore(limits.maximum_associations + WITHOUT_ASSOCIATION)

    @property
    def port(self) -> int | None:
        """The port without TLS: the one given, the one chosen for 0, or None."""
        return self._port_of("dicom.port")

    @property
    def tls_port(self) -> int | None:
        """The port with TLS, likewise."""
        return self._port_of("dicom.tls_port")

    def start(self) -> None:
        """Listen. Raises ConfigurationError when an address cannot be had."""
        self._stopping.clear()
        try:
            for entrance in self._entrances:
                self._open(entrance)
        except ConfigurationError:
            self.stop()
            raise

    def stop(self) -> None:
        """Take no new association and end the open ones, within a second.

        A request that is being answered is answered, if that takes no longer.
        """
        self._stopping.set()
        for entrance in self._entrances:
            if entrance.listening is not None and entrance.listener is not None:
                with contextlib.suppress(OSError):
                    entrance.listening.shutdown(socket.SHUT_RDWR)  # wakes accept
                entrance.listening.close()
                entrance.listener.join(_CUT_WITHIN_S)
                entrance.listening = entrance.listener = None
        with self._lock:
            open_now = dict(self._threads)
        for stream in open_now:
            stream.end("the node is stopping")
        _join(open_now.values(), _STOP_WITHIN_S)
        for stream, thread in open_now.items():
            if thread.is_alive():
                stream.cut()
        _join(open_now.values(), _CUT_WITHIN_S)

    def _port_of(self, key: str) -> int | None:
        for entrance in self._entrances:
            if entrance.key == key:
                listening = entrance.listening
                return entrance.port if listening is None else int(listening.getsockname()[1])
        return None

    def _open(self, entrance: _Entrance) -> None:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            listening = socket.create_server(
                (self._host, entrance.port), family=family, backlog=_BACKLOG
            )
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen for DICOM on {self._host}:{entrance.port}: "
                f"{error.strerror}; choose another {entrance.key} or stop what holds it"
            ) from error
        entrance.listening = listening
        entrance.listener = Thread(
            target=self._listen,
            args=(listening, entrance.context),
            name="dicom-listener",
            daemon=True,
        )
        entrance.listener.start()

    def _listen(
        self, listening: socket.socket, context: Callable[[], ssl.SSLContext] | None
    ) -> None:
        while not self._stopping.is_set():
            try:
                connection, address = listening.accept()
            except OSError as error:
                if not self._stopping.is_set():  # no file descriptors left: some will be given back
                    self._refuse("", error.strerror or "the connection failed")
                    self._stopping.wait(_LOOK_AGAIN_S)
                continue
            host = address[0].partition("%")[0]
            try:
                if context is not None:
                    connection = _with_tls(connection, context())
            except OSError:
                connection.close()
                self._refuse(host, "it has ended before it was taken")
                continue
            self._take(connection, host, address[1])

    def _take(self, connection: socket.socket, address: str, port: int) -> None:
        """Start the thread of a connection. A TLS handshake is that thread's first work.

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


def _with_tls(connection: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Waits for nothing: the handshake is yet to come."""
    return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)


def _join(threads: Iterable[Thread], within_s: float) -> None:
    deadline_s = time.monotonic() + within_s
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))
