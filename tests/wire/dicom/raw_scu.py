"""An SCU of hand-made bytes: says what no library would, and costs next to nothing.

Written from PS3.7 and PS3.8 alone; nothing of node.dicom is used.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

VERIFICATION = "1.2.840.10008.1.1"
TWELVE_LEAD_ECG = "1.2.840.10008.5.1.4.1.1.9.1.1"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
ECG_CONTEXT, ECHO_CONTEXT = 1, 3
RELEASE = b"\x05\x00\x00\x00\x00\x04" + bytes(4)
ABORT = b"\x07\x00\x00\x00\x00\x04" + bytes(4)


def item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxI", kind, len(body)) + body


def context(number: int, abstract_syntax: str, *transfer_syntaxes: str) -> bytes:
    syntaxes = b"".join(item(0x40, each.encode()) for each in transfer_syntaxes)
    return item(0x20, bytes((number, 0, 0, 0)) + item(0x30, abstract_syntax.encode()) + syntaxes)


USUAL_CONTEXTS = (
    context(ECG_CONTEXT, TWELVE_LEAD_ECG, IMPLICIT, EXPLICIT)
    + context(ECHO_CONTEXT, VERIFICATION, IMPLICIT)
)  # fmt: skip


def associate_request(
    *,
    called: bytes = b"CARDIONODE",
    calling: bytes = b"CART",
    contexts: bytes = USUAL_CONTEXTS,
    application: bytes = b"1.2.840.10008.3.1.1.1",
    version: int = 1,
    maximum_length: int = 16384,
    user_items: bytes = b"",
) -> bytes:
    user = item(0x51, struct.pack(">I", maximum_length)) + item(0x52, b"1.2.3") + user_items
    return pdu(
        0x01,
        struct.pack(">HH", version, 0) + called.ljust(16) + calling.ljust(16) + bytes(32)
        + item(0x10, application) + contexts + item(0x50, user),
    )  # fmt: skip


def element(number: int, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHI", 0, number, len(value)) + value


def command(
    field: int,
    *,
    message_id: int | None = 1,
    with_dataset: bool = False,
    sop_class: str = "",
    sop_instance: bytes = b"",
) -> bytes:
    elements = b"".join(
        (
            element(0x0002, sop_class.encode()) if sop_class else b"",
            element(0x0100, struct.pack("<H", field)),
            b"" if message_id is None else element(0x0110, struct.pack("<H", message_id)),
            element(0x0700, struct.pack("<H", 0)),
            element(0x0800, struct.pack("<H", 1 if with_dataset else 0x0101)),
            element(0x1000, sop_instance) if sop_instance else b"",
        )
    )
    return element(0x0000, struct.pack("<I", len(elements))) + elements


def value(number: int, fragment: bytes, *, is_command: bool, is_last: bool = True) -> bytes:
    control = is_command | is_last << 1
    return struct.pack(">IBB", len(fragment) + 2, number, control) + fragment


def data(*values: bytes) -> bytes:
    return pdu(0x04, b"".join(values))


def echo_request(number: int = ECHO_CONTEXT) -> bytes:
    return data(value(number, command(0x30, sop_class=VERIFICATION), is_command=True))


def store_request(
    dataset: bytes,
    *,
    sop_class: str = TWELVE_LEAD_ECG,
    sop_instance: bytes = b"1.2.3.4",
    largest: int = 131072,
    number: int = ECG_CONTEXT,
) -> bytes:
    """The command set in a PDU of its own, the data set in PDUs as large as may be."""
    asked = command(0x01, with_dataset=True, sop_class=sop_class, sop_instance=sop_instance)
    portion = largest - 6
    pdus = [data(value(number, asked, is_command=True))]
    for start in range(0, len(dataset), portion):
        is_last = start + portion >= len(dataset)
        fragment = dataset[start : start + portion]
        pdus.append(data(value(number, fragment, is_command=False, is_last=is_last)))
    return b"".join(pdus)


@dataclass(frozen=True)
class Response:
    context_id: int
    elements: dict[int, bytes]

    @property
    def status(self) -> int:
        return int.from_bytes(self.elements[0x0900], "little")

    @property
    def field(self) -> int:
        return int.from_bytes(self.elements[0x0100], "little")

    def uid(self, number: int) -> bytes:
        return self.elements.get(number, b"").rstrip(b"\0")


class RawScu:
    """One connection. `address` is where it comes from: all of 127.0.0.0/8 is this machine."""

    def __init__(self, port: int, *, address: str = "127.0.0.1", timeout_s: float = 10) -> None:
        self.socket = socket.create_connection(
            ("127.0.0.1", port), timeout=timeout_s, source_address=(address, 0)
        )
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> RawScu:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, content: bytes) -> None:
        self.socket.sendall(content)

    def receive(self) -> tuple[int, bytes]:
        """Type and body of the next PDU; (0, b"") when the connection has ended."""
        header = self._exactly(6)
        if len(header) < 6:
            return 0, b""
        kind, length = struct.unpack(">BxI", header)
        return kind, self._exactly(length)

    def associate(self, request: bytes | None = None) -> bytes:
        """The acceptance's body."""
        self.send(request or associate_request())
        kind, body = self.receive()
        assert kind == 0x02, (kind, body)
        return body

    def response(self) -> Response:
        """The next response, put together of its fragments."""
        encoded, number, is_last = b"", 0, False
        while not is_last:
            kind, body = self.receive()
            assert kind == 0x04, (kind, body)
            length, number, control = struct.unpack_from(">IBB", body)
            assert length == len(body) - 4
            encoded, is_last = encoded + body[6:], bool(control & 2)
        elements, start = {}, 0
        while start < len(encoded):
            group, element_number, length = struct.unpack_from("<HHI", encoded, start)
            assert group == 0
            elements[element_number] = encoded[start + 8 : start + 8 + length]
            start += 8 + length
        assert int.from_bytes(elements[0], "little") == len(encoded) - 12
        return Response(number, elements)

    def store(self, dataset: bytes, **options: object) -> Response:
        self.send(store_request(dataset, **options))  # type: ignore[arg-type]
        return self.response()

    def echo(self) -> Response:
        self.send(echo_request())
        return self.response()

    def release(self) -> None:
        self.send(RELEASE)
        assert self.receive() == (0x06, bytes(4))

    def _exactly(self, count: int) -> bytes:
        portions: list[bytes] = []
        while count:
            portion = self.socket.recv(count)
            if not portion:
                break
            portions.append(portion)
            count -= len(portion)
        return b"".join(portions)


def items_of(body: bytes) -> Iterable[tuple[int, bytes]]:
    """Type and value of each item."""
    while body:
        kind, length = struct.unpack_from(">BxH", body)
        yield kind, body[4 : 4 + length]
        body = body[4 + length :]


def mid_dataset(then: bytes) -> bytes:
    """A C-STORE request whose data set is due, and then this."""
    asked = command(1, with_dataset=True, sop_class=TWELVE_LEAD_ECG, sop_instance=b"1.2")
    return data(value(1, asked, is_command=True)) + then
