"""An SCU that is no bottleneck: every PDU is made beforehand, only the SOP Instance UID changes.

    python -m benchmarks.receiving.driver PORT CALLED_AE ASSOCIATIONS SECONDS FIRST

Stores new instances over so many associations at once, each waiting for its answer; numbers them
from FIRST. Prints one line: {"stored": …, "seconds": …, "cpu_s": …, "waits_s": […]}.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
import threading
import time
from io import BytesIO
from typing import Final

from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import UID
from pynetdicom import build_context
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.pdu import P_DATA_TF

ROOT: Final = "1.2.826.0.1.3680043.8.498.77.9."
UID_OF: Final = ROOT + "1{:011d}"
MAXIMUM_PDU: Final = 131072
"""What every peer here is told to take."""
CONTEXT_ID: Final = 1
PATIENCE_S: Final = 60.0
_STATUS: Final = struct.pack("<HHI", 0x0000, 0x0900, 2)


class Storing:
    """One association that stores one instance after the other."""

    def __init__(self, port: int, called_ae: str) -> None:
        """Associate. Raises AssertionError (the peer does not take ECGs)."""
        self._request, self._places = _store_request()
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(_associate_request(called_ae))
        kind, accepted = self._receive()
        # Of the context's item in the A-ASSOCIATE-AC: ID and result, and the transfer syntax's
        # type. PS3.8 §9.3.3.2.
        assert kind == 0x02 and bytes((CONTEXT_ID, 0, 0, 0, 0x40)) in accepted, (
            f"{called_ae} takes no ECG"
        )

    def store(self, number: int) -> None:
        """Raises AssertionError (the peer did not answer with success)."""
        uid = UID_OF.format(number).encode("ascii")
        for place in self._places:
            self._request[place : place + len(uid)] = uid
        self._socket.sendall(self._request)
        kind, answer = self._receive()
        status = answer.find(_STATUS) + len(_STATUS)
        assert kind == 0x04 and answer[status : status + 2] == b"\0\0", "not stored"

    def release(self) -> None:
        """What was answered counts: a peer that resets or keeps the connection is let go."""
        with self._socket, contextlib.suppress(OSError):
            self._socket.sendall(struct.pack(">BxI4x", 0x05, 4))
            self._receive()

    def _receive(self) -> tuple[int, bytes]:
        head = self._exactly(6)
        kind, length = struct.unpack(">BxI", head)
        return kind, self._exactly(length)

    def _exactly(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            more = self._socket.recv(size - len(received))
            if not more:
                raise ConnectionError("the peer closed the connection")
            received += more
        return received


def data_set_bytes() -> int:
    """Size of the ECG that is stored."""
    return len(_encoded_ecg()[0])


def _encoded_ecg() -> tuple[bytes, str, str]:
    """The real recording that pydicom ships, its SOP class and its transfer syntax."""
    path = get_testdata_file("waveform_ecg.dcm", download=False)
    assert path is not None  # it comes with pydicom
    dataset = dcmread(path)
    dataset.SOPInstanceUID = UID(UID_OF.format(0))
    syntax = dataset.file_meta.TransferSyntaxUID
    encoded = encode(dataset, syntax.is_implicit_VR, syntax.is_little_endian)
    assert encoded is not None
    return encoded, str(dataset.SOPClassUID), str(syntax)


def _store_request() -> tuple[bytearray, list[int]]:
    """The PDUs of a C-STORE request, and where the SOP Instance UID stands in them."""
    encoded, sop_class_uid, _ = _encoded_ecg()
    primitive = C_STORE()
    primitive.MessageID = 1
    primitive.AffectedSOPClassUID = UID(sop_class_uid)
    primitive.AffectedSOPInstanceUID = UID(UID_OF.format(0))
    primitive.Priority = 0x02
    primitive.DataSet = BytesIO(encoded)
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    request = bytearray()
    for portion in message.encode_msg(CONTEXT_ID, MAXIMUM_PDU):
        data = P_DATA_TF()
        data.from_primitive(portion)
        request += data.encode()
    uid, places = UID_OF.format(0).encode("ascii"), []
    at = request.find(uid)
    while at >= 0:
        places.append(at)
        at = request.find(uid, at + 1)
    assert len(places) == 2, "once in the command set, once in the data set"
    return request, places


def _associate_request(called_ae: str) -> bytes:
    _, sop_class_uid, transfer_syntax_uid = _encoded_ecg()
    context = build_context(sop_class_uid, transfer_syntax_uid)

    def item(kind: int, value: bytes) -> bytes:
        return struct.pack(">BxH", kind, len(value)) + value

    syntaxes = item(0x30, str(context.abstract_syntax).encode("ascii")) + item(
        0x40, str(context.transfer_syntax[0]).encode("ascii")
    )
    user = item(0x51, struct.pack(">I", MAXIMUM_PDU)) + item(0x52, b"1.2.826.0.1.3680043.8.498.77")
    body = (
        struct.pack(">H2x16s16s32x", 1, called_ae.encode("ascii").ljust(16), b"BENCHMARK".ljust(16))
        + item(0x10, b"1.2.840.10008.3.1.1.1")
        + item(0x20, bytes((CONTEXT_ID, 0, 0, 0)) + syntaxes)
        + item(0x50, user)
    )
    return struct.pack(">BxI", 0x01, len(body)) + body


def main(port: int, called_ae: str, associations: int, seconds: float, first: int) -> None:
    opened = [Storing(port, called_ae) for _ in range(associations)]
    numbers = iter(range(first, sys.maxsize))
    taking = threading.Lock()
    waits: list[float] = []
    until = time.perf_counter() + seconds

    def work(association: Storing) -> None:
        while (began := time.perf_counter()) < until:
            with taking:
                number = next(numbers)
            association.store(number)
            waits.append(time.perf_counter() - began)

    began, cpu = time.perf_counter(), time.process_time()
    threads = [threading.Thread(target=work, args=(each,)) for each in opened]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = {
        "stored": len(waits),
        "seconds": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
        "waits_s": [round(wait, 6) for wait in waits],
    }
    for association in opened:
        association.release()
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
