"""MLLP over TLS, in and out: mutual, refusals in plain words, nobody held up, renewed unnoticed."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator

import pytest

from node.configured import tls_of
from node.domain.errors import Unreachable
from node.hl7.listener import MllpListener
from node.hl7.message import AcknowledgementCode
from node.hl7.mllp import frame
from node.hl7.sender import Hl7Sender
from node.hl7.tls import Tls
from tests.certificates import HOST, Files
from tests.wire.dicom.listening import soon
from tests.wire.dicom.pki import Pki, at_most, credentials, make_pki, peer_context
from tests.wire.hl7.listening import Events, answers, connect, is_closed, listening
from tests.wire.hl7.receivers import ack, message, receiver, take

V1_2, V1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
REFUSED_WITHIN_S = 5
versions = pytest.mark.parametrize("version", [V1_2, V1_3])


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def events() -> Events:
    return []


@pytest.fixture
def listener(pki: Pki, events: Events) -> Iterator[MllpListener]:
    with listening(events=events, tls=tls_of(credentials(pki.node).server)) as made:
        yield made


def outwards(files: Files, version: ssl.TLSVersion = V1_3) -> Tls:
    return tls_of(at_most(version, credentials(files).client))


@contextlib.contextmanager
def sending(
    port: int | None, tls: Tls, *, server_name: str | None = None, timeout_s: float = 5.0
) -> Iterator[Hl7Sender]:
    carrier = Hl7Sender(
        HOST,
        port or 0,
        connect_timeout_s=timeout_s,
        answer_timeout_s=timeout_s,
        tls=tls,
        server_name=server_name,
    )
    try:
        yield carrier
    finally:
        carrier.close()


def raw(port: int | None) -> socket.socket:
    return socket.create_connection((HOST, port or 0), timeout=REFUSED_WITHIN_S)


def try_to_send(listener: MllpListener, context: ssl.SSLContext) -> None:
    """By TLS 1.3 a refusal comes only after the handshake."""
    with (
        contextlib.suppress(OSError),
        raw(listener.tls_port) as connection,
        context.wrap_socket(connection, server_hostname=HOST) as secured,
    ):
        secured.sendall(frame(message()))
        assert not answers(secured, 1), "it was let in"


def refusal(events: Events) -> str:
    assert soon(lambda: bool(events), within_s=REFUSED_WITHIN_S)
    (event,) = events
    assert event[0] == "hl7 connection refused: no TLS"
    assert event[1]["peer"] == HOST
    return str(event[1]["reason"])


@versions
def test_messages_are_answered_over_tls(
    pki: Pki, listener: MllpListener, version: ssl.TLSVersion
) -> None:
    with sending(listener.tls_port, outwards(pki.cart, version)) as carrier:
        carrier.probe()
        for control_id in ("C1", "C2"):
            answer = carrier.send(message(control_id))
            assert (answer.code, answer.control_id) == (AcknowledgementCode.AA, control_id)


def test_the_ports_with_and_without_tls_serve_side_by_side(
    pki: Pki, listener: MllpListener
) -> None:
    with (
        connect(listener) as plain,
        sending(listener.tls_port, outwards(pki.cart)) as secured,
    ):
        plain.sendall(frame(message("C1")))
        assert answers(plain, 1) == ["AA C1"]
        assert secured.send(message("C2")).control_id == "C2"


def test_a_listener_may_have_the_port_with_tls_alone(pki: Pki) -> None:
    made = MllpListener(
        HOST,
        None,
        lambda content, peer: (ack("AA")[1:-2],),
        limit_bytes=10_000,
        idle_timeout_s=5,
        maximum_connections=4,
        on_event=lambda name, fields: None,
        tls_port=0,
        tls=tls_of(credentials(pki.node).server),
    )
    made.start()
    try:
        assert made.port is None
        with sending(made.tls_port, outwards(pki.cart)) as carrier:
            assert carrier.send(message()).code is AcknowledgementCode.AA
    finally:
        made.stop()


@versions
def test_a_message_and_an_answer_longer_than_a_record_of_tls_arrive_whole(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    long = message() + b"OBX|" + b"x" * 300_000 + b"\r"
    taken: list[bytes] = []

    def handler(content: bytes, peer: str) -> tuple[bytes, ...]:
        taken.append(content)
        return (ack("AA", rest="|" + "y" * 300_000)[1:-2],)

    with (
        listening(
            handler, limit_bytes=400_000, tls=tls_of(credentials(pki.node).server)
        ) as listener,
        sending(listener.tls_port, outwards(pki.cart, version)) as carrier,
    ):
        assert len(carrier.send(long).text) == 300_000
    assert taken == [long]


@versions
@pytest.mark.parametrize(
    ("who", "reason"),
    [
        ("stranger", "issued by none of tls.authorities"),
        ("expired", "has expired"),
        ("nobody", "shows no certificate"),
    ],
)
def test_a_caller_whose_certificate_is_no_good_is_refused_told_of_and_holds_nobody_up(
    pki: Pki,
    listener: MllpListener,
    events: Events,
    version: ssl.TLSVersion,
    who: str,
    reason: str,
) -> None:
    context = peer_context(
        pki.cart if who == "nobody" else getattr(pki, who),
        shows_certificate=who != "nobody",
        maximum=version,
    )
    begun_s = time.monotonic()
    try_to_send(listener, context)
    assert reason in refusal(events)
    with sending(listener.tls_port, outwards(pki.cart)) as carrier:
        assert carrier.send(message()).code is AcknowledgementCode.AA
    assert time.monotonic() - begun_s < REFUSED_WITHIN_S


def test_a_caller_without_tls_is_refused_on_the_port_with_it(
    listener: MllpListener, events: Events
) -> None:
    with raw(listener.tls_port) as connection:
        connection.sendall(frame(message()))
        while not is_closed(connection):
            pass  # an alert, which means nothing to it
    assert "speaks no TLS" in refusal(events)


def test_a_caller_with_tls_is_told_of_on_the_port_without(
    pki: Pki, listener: MllpListener, events: Events
) -> None:
    with (
        sending(listener.port, outwards(pki.cart)) as carrier,
        pytest.raises(Unreachable, match="ended the TLS handshake without saying why"),
    ):
        carrier.send(message())
    ((name, fields),) = events
    assert name == "hl7 connection closed: not a message"
    assert "hl7.tls_port" in str(fields["reason"])


def test_whoever_never_ends_the_handshake_is_given_up_and_holds_up_only_itself(
    pki: Pki,
) -> None:
    events: Events = []
    with listening(
        events=events, tls=tls_of(credentials(pki.node).server), handshake_timeout_s=0.5
    ) as listener:
        raw(listener.tls_port).close()  # as a watchdog does: not worth a line
        with raw(listener.tls_port) as begun, raw(listener.tls_port) as silent:
            begun.sendall(b"\x16\x03\x01\x02\x00\x01")
            with sending(listener.tls_port, outwards(pki.cart)) as carrier:
                carrier.send(message())
            assert events == []
            assert is_closed(silent)
            assert is_closed(begun)
    assert [fields["reason"] for _, fields in events] == [
        "the peer did not end the TLS handshake in time: is TLS on there?"
    ] * 2


def test_connections_that_shake_hands_count(pki: Pki) -> None:
    events: Events = []
    with (
        listening(
            events=events, tls=tls_of(credentials(pki.node).server), maximum_connections=1
        ) as listener,
        raw(listener.tls_port),
        raw(listener.tls_port) as second,
    ):
        assert is_closed(second)
        assert events[0][0] == "hl7 connection refused: too many"


def test_a_renewed_certificate_is_shown_to_the_next_caller_and_ends_no_connection(
    pki: Pki,
) -> None:
    files = pki.authority.issue("renewed", days=10)
    loaded = credentials(files)

    def shown(listener: MllpListener) -> object:
        context = peer_context(pki.cart)
        with (
            raw(listener.tls_port) as connection,
            context.wrap_socket(connection, server_hostname=HOST) as secured,
        ):
            return (secured.getpeercert() or {})["serialNumber"]

    with (
        listening(tls=tls_of(loaded.server)) as listener,
        sending(listener.tls_port, outwards(pki.cart)) as carrier,
    ):
        carrier.send(message("C1"))
        before = shown(listener)
        pki.authority.issue("renewed", days=90)
        assert loaded.refresh()
        assert shown(listener) != before
        carrier.send(message("C2"))


@versions
def test_messages_share_one_connection_though_tls_has_more_to_say(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """By TLS 1.3 session tickets come first, unasked."""
    numbers: list[int] = []

    def behave(connection: socket.socket, number: int) -> None:
        while content := take(connection):
            numbers.append(number)
            connection.sendall(ack("AA", content.split(b"|")[9].decode()))

    context = peer_context(pki.node, is_server=True, maximum=version)
    with receiver(behave, context) as port, sending(port, outwards(pki.cart)) as carrier:
        for control_id in ("C1", "C2", "C3"):
            carrier.send(message(control_id))
    assert numbers == [0, 0, 0]


def hang_up(connection: socket.socket, number: int) -> None:
    take(connection)


@versions
@pytest.mark.parametrize(
    ("theirs", "ours", "reason"),
    [
        ("stranger", "cart", "issued by none of tls.authorities"),
        ("expired", "cart", "has expired"),
        ("elsewhere", "cart", "server_name"),
        ("node", "stranger", "does not trust the CA of this node"),
        ("node", "expired", "finds the certificate of this node expired"),
    ],
)
def test_a_sender_says_why_there_is_no_tls_with_a_receiver(
    pki: Pki, version: ssl.TLSVersion, theirs: str, ours: str, reason: str
) -> None:
    context = peer_context(getattr(pki, theirs), is_server=True, maximum=version)
    tls = outwards(getattr(pki, ours))
    begun_s = time.monotonic()
    with receiver(hang_up, context) as port, sending(port, tls) as carrier:
        with pytest.raises(Unreachable, match=reason):
            carrier.send(message())
        with pytest.raises(Unreachable, match=reason):
            carrier.probe()
    assert time.monotonic() - begun_s < REFUSED_WITHIN_S


@versions
def test_our_own_listener_tells_a_sender_why_it_is_refused(
    pki: Pki, listener: MllpListener, version: ssl.TLSVersion
) -> None:
    with (
        sending(listener.tls_port, outwards(pki.stranger, version)) as carrier,
        pytest.raises(Unreachable, match="does not trust the CA of this node"),
    ):
        carrier.send(message())


def test_a_sender_says_that_a_receiver_has_no_tls(pki: Pki) -> None:
    def behave(connection: socket.socket, number: int) -> None:
        connection.recv(1)
        connection.sendall(frame(b"MSH|what is this?"))
        connection.recv(65536)

    with (
        receiver(behave) as port,
        sending(port, outwards(pki.cart)) as carrier,
        pytest.raises(Unreachable, match="speaks no TLS"),
    ):
        carrier.send(message())


def test_a_receiver_that_never_ends_the_handshake_is_given_up(pki: Pki) -> None:
    def behave(connection: socket.socket, number: int) -> None:
        while connection.recv(65536):
            pass

    begun_s = time.monotonic()
    with (
        receiver(behave) as port,
        sending(port, outwards(pki.cart), timeout_s=0.3) as carrier,
        pytest.raises(Unreachable, match="did not end the TLS handshake in time"),
    ):
        carrier.send(message())
    assert time.monotonic() - begun_s < REFUSED_WITHIN_S


def test_a_certificate_may_name_another_host_than_the_address(pki: Pki) -> None:
    with (
        listening(tls=tls_of(credentials(pki.elsewhere).server)) as listener,
        sending(listener.tls_port, outwards(pki.cart), server_name="pacs.example") as carrier,
    ):
        assert carrier.send(message()).code is AcknowledgementCode.AA
