"""The DICOM listener and the SCU with TLS: mutual, refusals in plain words, renewed unnoticed."""

from __future__ import annotations

import contextlib
import gc
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from node.dicom.scu import StorageScu
from node.domain.errors import TemporarilyRefused, Unreachable
from tests.certificates import HOST
from tests.ecg_instances import instances
from tests.wire.dicom.listening import USER, Listening, aborted, dataset, soon, threads
from tests.wire.dicom.pki import Pki, SecureScu, at_most, credentials, make_pki, peer_context
from tests.wire.dicom.raw_scu import RawScu, associate_request

V1_1, V1_2, V1_3 = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
REFUSED_WITHIN_S = 5
FLOOR_S = 0.25
"""Below it no time is too long: two cores are shared with whatever else runs."""


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def listening(pki: Pki) -> Iterator[Listening]:
    with Listening(tls=credentials(pki.node).server, acse_timeout_s=3) as listener:
        yield listener
        assert listener.said("association failed") == []


def sender(listening: Listening, tls: Callable[[], ssl.SSLContext], **options: Any) -> StorageScu:
    return StorageScu(
        calling_ae="CART",
        called_ae="CARDIONODE",
        host=HOST,
        port=listening.scp.tls_port or 0,
        tls=tls,
        **options,
    )


def secure(listening: Listening, context: ssl.SSLContext) -> SecureScu:
    return SecureScu(listening.scp.tls_port or 0, context)


def attempt(listening: Listening, context: ssl.SSLContext) -> None:
    """Try to associate; by TLS 1.3 a refusal comes only after the handshake."""
    with contextlib.suppress(OSError), secure(listening, context) as scu:
        scu.send(associate_request())
        kind, _ = scu.receive()
        assert kind == 0, "it was let in"


def refusal(listening: Listening, since_s: float) -> str:
    reason = str(listening.said_soon("connection refused")["reason"])
    assert time.monotonic() - since_s < REFUSED_WITHIN_S
    assert listening.accepted == []
    return reason


@pytest.mark.parametrize("version", [V1_2, V1_3])
def test_an_ecg_arrives_over_tls(pki: Pki, listening: Listening, version: ssl.TLSVersion) -> None:
    _, content = next(instances(1))
    scu = sender(listening, at_most(version, credentials(pki.cart).client))
    scu.echo()
    scu.send(content)
    (taken,) = listening.accepted
    assert content.endswith(taken["bytes"])
    assert listening.said("association accepted")[0]["certificate"] == "cart-1 127.0.0.1"


def test_the_ports_with_and_without_tls_serve_side_by_side(pki: Pki, listening: Listening) -> None:
    with listening.associated() as plain, secure(listening, peer_context(pki.cart)) as secured:
        secured.associate()
        assert plain.store(dataset()).status == 0
        assert secured.store(dataset()).status == 0
        secured.release()
        plain.release()


@pytest.mark.parametrize("version", [V1_2, V1_3])
@pytest.mark.parametrize(
    ("who", "reason"),
    [
        ("stranger", "issued by none of tls.authorities"),
        ("expired", "has expired"),
    ],
)
def test_a_caller_whose_certificate_is_no_good_is_refused_and_told_of(
    pki: Pki, listening: Listening, version: ssl.TLSVersion, who: str, reason: str
) -> None:
    begun_s = time.monotonic()
    attempt(listening, peer_context(getattr(pki, who), maximum=version))
    assert reason in refusal(listening, begun_s)


@pytest.mark.parametrize("version", [V1_2, V1_3])
def test_a_caller_without_a_certificate_is_refused_and_told_of(
    pki: Pki, listening: Listening, version: ssl.TLSVersion
) -> None:
    begun_s = time.monotonic()
    context = peer_context(pki.cart, shows_certificate=False, maximum=version)
    attempt(listening, context)
    assert "shows no certificate" in refusal(listening, begun_s)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_a_caller_with_an_old_version_is_refused_and_told_of(
    pki: Pki, listening: Listening
) -> None:
    begun_s = time.monotonic()
    context = peer_context(pki.cart, maximum=V1_1)
    context.set_ciphers("ALL:@SECLEVEL=0")
    attempt(listening, context)
    assert "no version of TLS in common" in refusal(listening, begun_s)


def test_tls_1_2_is_too_old_where_1_3_is_the_minimum(pki: Pki) -> None:
    with Listening(tls=credentials(pki.node, V1_3).server) as listening:
        begun_s = time.monotonic()
        attempt(listening, peer_context(pki.cart, maximum=V1_2))
        assert "no version of TLS in common" in refusal(listening, begun_s)
        sender(listening, credentials(pki.cart).client).echo()


def test_a_cipher_suite_that_bcp_195_does_not_name_is_refused(
    pki: Pki, listening: Listening
) -> None:
    begun_s = time.monotonic()
    context = peer_context(pki.cart, maximum=V1_2)
    context.set_ciphers("AES128-SHA")
    attempt(listening, context)
    assert "no cipher suite in common" in refusal(listening, begun_s)


def test_a_caller_without_tls_is_refused_on_the_port_with_it(
    pki: Pki, listening: Listening
) -> None:
    begun_s = time.monotonic()
    with RawScu(listening.scp.tls_port or 0) as scu:
        scu.send(associate_request())
        with contextlib.suppress(ConnectionResetError):
            assert scu.receive() == (0, b"")
    assert "speaks no TLS" in refusal(listening, begun_s)


def test_a_caller_with_tls_is_refused_on_the_port_without(pki: Pki, listening: Listening) -> None:
    begun_s = time.monotonic()
    scu = StorageScu(
        calling_ae="CART", called_ae="CARDIONODE", host=HOST, port=listening.scp.port or 0,
        tls=credentials(pki.cart).client,
    )  # fmt: skip
    with pytest.raises(Unreachable, match="speaks no TLS on this port"):
        scu.echo()
    assert "dicom.tls_port" in refusal(listening, begun_s)


def test_whoever_ends_the_handshake_or_never_begins_it_is_given_up(
    pki: Pki, listening: Listening
) -> None:
    port = listening.scp.tls_port or 0
    RawScu(port).socket.close()  # as a watchdog does: not worth a line
    with RawScu(port) as begun, RawScu(port):
        begun.send(b"\x16\x03\x01\x02\x00\x01")
        assert soon(lambda: len(listening.said("connection refused")) == 2, within_s=5)
    assert sorted(each["reason"] for each in listening.said("connection refused")) == [
        "nothing was sent in time",
        "the peer did not end the TLS handshake in time: is TLS on there?",
    ]


@pytest.mark.parametrize("shown", ["another", "none"])
def test_a_caller_is_bound_to_a_name_in_its_certificate(pki: Pki, shown: str) -> None:
    with Listening(tls=credentials(pki.node).server, certificate="CART-*") as listening:
        sender(listening, credentials(pki.cart).client).echo()
        scu = sender(listening, credentials(pki.elsewhere).client)
        if shown == "none":
            scu = StorageScu(
                calling_ae="CART", called_ae="CARDIONODE", host=HOST, port=listening.scp.port or 0
            )
        with pytest.raises(TemporarilyRefused, match="rejected"):
            scu.echo()
        (rejected,) = listening.said("association rejected")
        assert "with another certificate only" in rejected["reason"]
        names = {"another": "elsewhere pacs.example", "none": None}
        assert rejected["certificate"] == names[shown]


@contextmanager
def peer(context: ssl.SSLContext | None, *, stays_s: float = 0) -> Iterator[int]:
    """A peer that shakes hands, if at all, reads so long or until it has read, and says nothing."""
    listener = socket.create_server((HOST, 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(5)
                    if context is None:
                        connection.recv(1)
                        connection.sendall(b"\x07\x00\x00\x00\x00\x04" + bytes(4))
                    else:
                        with context.wrap_socket(connection, server_side=True) as secured:
                            secured.settimeout(stays_s or 5)
                            while secured.recv(4096) and stays_s:
                                pass

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.mark.parametrize("version", [V1_2, V1_3])
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
def test_a_sender_says_why_there_is_no_tls_with_a_peer(
    pki: Pki, version: ssl.TLSVersion, theirs: str, ours: str, reason: str
) -> None:
    context = peer_context(getattr(pki, theirs), is_server=True, maximum=version)
    begun_s = time.monotonic()
    with peer(context) as port:
        scu = StorageScu(
            calling_ae="CART", called_ae="PACS", host=HOST, port=port,
            tls=credentials(getattr(pki, ours)).client,
        )  # fmt: skip
        with pytest.raises(Unreachable, match=reason):
            scu.echo()
    assert time.monotonic() - begun_s < REFUSED_WITHIN_S


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
@pytest.mark.parametrize("context", ["none", "old"])
def test_a_sender_says_that_a_peer_has_no_tls_or_too_old_a_one(pki: Pki, context: str) -> None:
    old = peer_context(pki.node, is_server=True, maximum=V1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with peer(None if context == "none" else old) as port:
        scu = StorageScu(
            calling_ae="CART", called_ae="PACS", host=HOST, port=port,
            tls=credentials(pki.cart).client,
        )  # fmt: skip
        reasons = {"none": "speaks no TLS", "old": "no version of TLS in common"}
        with pytest.raises(Unreachable, match=reasons[context]):
            scu.echo()


@pytest.mark.parametrize("version", [V1_2, V1_3])
def test_a_peer_that_shakes_hands_and_says_no_more_is_given_up(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    with peer(peer_context(pki.node, is_server=True, maximum=version), stays_s=8) as port:
        scu = StorageScu(
            calling_ae="CART", called_ae="PACS", host=HOST, port=port,
            tls=credentials(pki.cart).client, answer_timeout_s=0.5,
        )  # fmt: skip
        begun_s = time.monotonic()
        with pytest.raises(Unreachable, match="no association"):
            scu.echo()
        assert time.monotonic() - begun_s < REFUSED_WITHIN_S


def test_nobody_there_is_no_matter_of_tls(pki: Pki) -> None:
    scu = StorageScu(
        calling_ae="CART", called_ae="PACS", host=HOST, port=1, tls=credentials(pki.cart).client
    )
    with pytest.raises(Unreachable, match="is it running"):
        scu.echo()


def test_a_certificate_may_name_another_host_than_the_address(pki: Pki) -> None:
    with Listening(tls=credentials(pki.elsewhere).server) as listening:
        sender(listening, credentials(pki.cart).client, server_name="pacs.example").echo()


def store_p95_s(scu: RawScu, content: bytes, count: int = 40) -> float:
    seconds = []
    for _ in range(count):
        begun_s = time.monotonic()
        assert scu.store(content).status == 0
        seconds.append(time.monotonic() - begun_s)
    return sorted(seconds)[int(count * 0.95)]


def test_idle_tls_connections_stall_nobody_and_cost_sleeping_threads(pki: Pki) -> None:
    context, content = peer_context(pki.cart), dataset()
    with Listening(tls=credentials(pki.node).server, maximum_associations=50) as listening:
        before = len(threads())
        with secure(listening, context) as friend:
            friend.associate()
            quiet_s = store_p95_s(friend, content)
            silent = [RawScu(listening.scp.tls_port or 0) for _ in range(40)]
            idle = [secure(listening, context) for _ in range(40)]
            for each in idle:
                each.associate()
            with secure(listening, context) as newcomer:
                newcomer.associate()
                assert store_p95_s(newcomer, content) < max(3 * quiet_s, FLOOR_S)
                newcomer.release()
            assert store_p95_s(friend, content) < max(3 * quiet_s, FLOOR_S)
            gc.collect()
            begun_s, cpu_s = time.monotonic(), time.process_time()
            time.sleep(2)
            share = (time.process_time() - cpu_s) / (time.monotonic() - begun_s)
            friend.release()
        for scu in (*silent, *idle):
            scu.socket.close()
        assert share < 0.05
        assert soon(lambda: len(threads()) == before), threads()


def test_connections_that_shake_no_hands_give_way_like_others_without_an_association(
    pki: Pki, listening: Listening
) -> None:
    port = listening.scp.tls_port or 0
    silent = [RawScu(port) for _ in range(80)]
    assert soon(lambda: bool(listening.said("connection refused")))
    assert "gave way" in listening.said("connection refused")[0]["reason"]
    with secure(listening, peer_context(pki.cart)) as scu:
        scu.associate()
        scu.release()
    for each in silent:
        each.socket.close()


def test_a_silent_tls_association_is_aborted_in_words_that_are_still_encrypted(pki: Pki) -> None:
    with (
        Listening(tls=credentials(pki.node).server, network_timeout_s=0.3) as listening,
        secure(listening, peer_context(pki.cart)) as scu,
    ):
        scu.associate()
        assert scu.receive() == aborted(USER, 0)
        assert scu.receive() == (0, b"")  # an end that TLS says, no cut
    assert len(listening.said("association aborted")) == 1


def test_a_tls_association_that_has_to_end_is_told_so(pki: Pki) -> None:
    listening = Listening(tls=credentials(pki.node).server)
    listening.scp.start()
    with secure(listening, peer_context(pki.cart)) as scu:
        scu.associate()
        stopping = threading.Thread(target=listening.scp.stop)
        begun_s = time.monotonic()
        stopping.start()
        assert scu.receive()[0] == 0x07
        scu.socket.close()
        stopping.join()
        assert time.monotonic() - begun_s < 1.5
    assert listening.said("association aborted")[0]["reason"] == "the node is stopping"
    assert threads() == []


def serial(scu: SecureScu) -> object:
    assert isinstance(scu.socket, ssl.SSLSocket)
    return scu.socket.getpeercert()["serialNumber"]  # type: ignore[index]


def test_a_renewed_certificate_is_shown_without_a_restart_and_ends_nothing(pki: Pki) -> None:
    files = pki.authority.issue("renewed")
    shown = credentials(files)
    context = peer_context(pki.cart)
    with Listening(tls=shown.server) as listening, secure(listening, context) as old:
        old.associate()
        pki.authority.issue("renewed")  # into the same files
        assert shown.refresh()
        assert not shown.refresh()
        with secure(listening, context) as new:
            assert serial(new) != serial(old)
            new.associate()
            new.release()
        assert old.store(dataset()).status == 0
        old.release()
