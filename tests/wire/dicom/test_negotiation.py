"""Whom the listener takes an association with, and on what, held against PS3.8 §9.3 by bytes."""

from __future__ import annotations

import struct
import time

import pytest

from node.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.dicom.scp import Peer
from node.domain.caller import Permission, Refusal
from tests.wire.dicom import raw_scu as raw
from tests.wire.dicom.listening import (
    CT,
    LOOPBACK,
    USER,
    Listening,
    aborted,
    dataset,
    soon,
    threads,
)
from tests.wire.dicom.raw_scu import (
    EXPLICIT,
    IMPLICIT,
    TWELVE_LEAD_ECG,
    VERIFICATION,
    associate_request,
    context,
)


def results(acceptance: bytes) -> dict[int, tuple[int, bytes]]:
    """Result and transfer syntax by presentation context ID."""
    found = {}
    for kind, item in raw.items_of(acceptance[68:]):
        if kind == 0x21:
            ((syntax_kind, syntax),) = raw.items_of(item[4:])
            assert syntax_kind == 0x40
            found[item[0]] = (item[2], syntax)
    return found


def user_items(acceptance: bytes) -> dict[int, bytes]:
    return dict(raw.items_of(dict(raw.items_of(acceptance[68:]))[0x50]))


def test_an_acceptance_says_who_we_are_and_repeats_what_it_must(listening: Listening) -> None:
    request = associate_request()
    with listening.scu() as scu:
        acceptance = scu.associate(request)
    assert acceptance[:4] == b"\x00\x01\x00\x00"
    assert acceptance[4:68] == request[10:74]
    items = user_items(acceptance)
    assert items[0x51] == struct.pack(">I", 131072)
    assert items[0x52].decode() == IMPLEMENTATION_CLASS_UID
    assert items[0x55].decode() == IMPLEMENTATION_VERSION_NAME
    assert dict(raw.items_of(acceptance[68:]))[0x10] == b"1.2.840.10008.3.1.1.1"


def test_each_context_is_judged_and_our_order_of_transfer_syntaxes_decides(
    listening: Listening,
) -> None:
    contexts = (
        context(1, TWELVE_LEAD_ECG, IMPLICIT, EXPLICIT)
        + context(3, TWELVE_LEAD_ECG, IMPLICIT)
        + context(255, TWELVE_LEAD_ECG, raw.BIG_ENDIAN)
        + context(7, CT, EXPLICIT)
        + context(9, VERIFICATION, EXPLICIT, IMPLICIT)
        + context(11, TWELVE_LEAD_ECG)
    )
    with listening.scu() as scu:
        found = results(scu.associate(associate_request(contexts=contexts)))
    assert found[1] == (0, EXPLICIT.encode())
    assert found[3] == (0, IMPLICIT.encode())
    assert found[255][0] == 4
    assert found[7][0] == 3
    assert found[9] == (0, IMPLICIT.encode())
    assert found[11][0] == 4
    assert {each["sop_class_uid"] for each in listening.said("presentation context refused")} == {
        TWELVE_LEAD_ECG,
        CT,
    }


def role(sop_class: str, scu: int, scp: int) -> bytes:
    uid = sop_class.encode()
    return raw.item(0x54, struct.pack(">H", len(uid)) + uid + bytes((scu, scp)))


def test_we_take_the_role_of_the_scp_alone(listening: Listening) -> None:
    with listening.scu() as scu:
        proposed = role(TWELVE_LEAD_ECG, 1, 1) + role(CT, 1, 1)
        acceptance = scu.associate(associate_request(user_items=proposed))
        assert results(acceptance)[1][0] == 0
        assert user_items(acceptance)[0x54] == role(TWELVE_LEAD_ECG, 1, 0)[4:]
    with listening.scu() as scu:
        proposed = role(TWELVE_LEAD_ECG, 0, 1)
        acceptance = scu.associate(associate_request(user_items=proposed))
        assert results(acceptance)[1][0] == 1
        assert "SCP" in listening.said("presentation context refused")[0]["reason"]
        assert 0x54 not in user_items(acceptance)


def test_identity_windows_and_unknown_items_are_passed_over(listening: Listening) -> None:
    identity = raw.item(0x58, b"\x02\x01\x00\x04jane\x00\x04pass")  # a response is asked for
    extras = identity + raw.item(0x53, b"\x00\x05\x00\x05") + raw.item(0x7E, b"?")
    contexts = raw.USUAL_CONTEXTS + raw.item(0x33, b"unknown")
    with listening.scu() as scu:
        acceptance = scu.associate(associate_request(user_items=extras, contexts=contexts))
        assert set(user_items(acceptance)) == {0x51, 0x52, 0x55}
        assert scu.echo().status == 0


@pytest.mark.parametrize(
    ("changes", "answer", "said"),
    [
        ({"called": b"SOMEONE"}, (1, 1, 7), "dicom.ae_titles"),
        ({"calling": b"MRI"}, (1, 1, 3), "dicom.peers"),
        ({"calling": b"CART\xc4\x01"}, (1, 1, 3), "characters"),
        ({"application": b"1.2.840.10008.3.1.1.2"}, (1, 1, 2), "another application"),
        ({"application": b""}, (1, 1, 2), "another application"),
        ({"version": 2}, (1, 2, 2), "another version"),
    ],
)
def test_a_rejection_says_why(
    changes: dict[str, bytes], answer: tuple[int, int, int], said: str
) -> None:
    with Listening(calling_ae="CART*") as listening, listening.scu() as scu:
        scu.send(associate_request(**changes))  # type: ignore[arg-type]
        assert scu.receive() == (0x03, bytes((0, *answer)))
        assert scu.receive() == (0, b"")
        (rejection,) = listening.said("association rejected")
        assert said in rejection["reason"]
        assert rejection["calling_ae"].isprintable()
        assert len(rejection["calling_ae"]) <= 64


MAY_ECHO = frozenset({Permission.ECHO})
MAY_STORE = frozenset({Permission.STORE})


def test_a_peer_gets_contexts_for_what_it_may_ask_alone() -> None:
    monitor = Peer(ae_title="CART", networks=LOOPBACK, may=MAY_ECHO)
    with Listening(peers=[monitor]) as listening, listening.scu() as scu:
        found = results(scu.associate())
        assert (found[raw.ECG_CONTEXT][0], found[raw.ECHO_CONTEXT][0]) == (1, 0)
        assert scu.echo().status == 0
        (line,) = listening.said("permission refused")
        assert '"store"' in line["reason"]
        assert listening.refusals == [
            Refusal(
                calling_ae="CART", called_ae="CARDIONODE", peer="127.0.0.1", reason=line["reason"]
            )
        ]


def test_a_verification_on_a_context_for_storage_is_not_authorised_either() -> None:
    sender = Peer(ae_title="CART", networks=LOOPBACK, may=MAY_STORE)
    with Listening(peers=[sender]) as listening, listening.scu() as scu:
        found = results(scu.associate())
        assert (found[raw.ECG_CONTEXT][0], found[raw.ECHO_CONTEXT][0]) == (0, 1)
        assert scu.store(dataset()).status == 0
        scu.send(raw.echo_request(raw.ECG_CONTEXT))
        assert scu.response().status == 0x0124


def test_what_a_peer_may_follows_from_all_entries_that_admit_it() -> None:
    peers = [
        Peer(ae_title="CA*", networks=LOOPBACK, may=MAY_ECHO),
        Peer(ae_title="CART", networks=LOOPBACK, called_ae="SECOND", may=MAY_STORE),
    ]
    with Listening(peers=peers) as listening:
        with listening.associated() as scu:
            assert scu.echo().status == 0
        assert listening.said("permission refused")
        with listening.associated(associate_request(called=b"SECOND")) as scu:
            assert scu.echo().status == 0
            assert scu.store(dataset()).status == 0


def test_a_peer_may_be_admitted_to_one_called_ae_title_alone() -> None:
    only = Peer(ae_title="*", networks=LOOPBACK, called_ae="SEC*")
    with Listening(peers=[only]) as listening:
        with listening.scu() as scu:
            scu.send(associate_request())
            assert scu.receive() == (0x03, bytes((0, 1, 1, 3)))
        with listening.associated(associate_request(called=b"SECOND")) as scu:
            assert scu.echo().status == 0
    (refusal,) = listening.refusals
    assert (refusal.calling_ae, refusal.called_ae) == ("CART", "CARDIONODE")
    assert "peers refused" in refusal.reason


def test_of_very_many_refused_contexts_the_log_names_some_and_counts_the_rest(
    listening: Listening,
) -> None:
    many = b"".join(context(number, f"1.2.{number}", EXPLICIT) for number in range(1, 256, 2))
    with listening.scu() as scu:
        found = results(scu.associate(associate_request(contexts=many)))
    assert {result for result, _ in found.values()} == {3}
    assert len(found) == 128
    lines = listening.said("presentation context refused")
    assert len(lines) == 17
    assert lines[-1]["count"] == 112


def test_ae_titles_padded_with_nul_are_known(listening: Listening) -> None:
    request = associate_request(called=b"CARDIONODE".ljust(16, b"\0"), calling=b"CART\0")
    with listening.associated(request) as scu:
        assert scu.store(dataset()).status == 0
    assert listening.accepted[0]["origin"].calling_ae == "CART"


def test_a_version_that_includes_ours_is_spoken(listening: Listening) -> None:
    with listening.associated(associate_request(version=3)) as scu:
        assert scu.echo().status == 0


NO_REQUESTS = {
    "no context": associate_request(contexts=b""),
    "even context ID": associate_request(contexts=context(2, VERIFICATION, IMPLICIT)),
    "context ID twice": associate_request(contexts=context(1, VERIFICATION, IMPLICIT) * 2),
    "context cut short": associate_request(contexts=raw.item(0x20, b"\x01")),
    "item beyond the end": associate_request(contexts=struct.pack(">BxH", 0x20, 60000)),
    "maximum length that carries nothing": associate_request(maximum_length=4),
    "role selection cut short": associate_request(user_items=raw.item(0x54, b"\x00\x40")),
    "cut short": raw.pdu(0x01, bytes(20)),
    "empty": raw.pdu(0x01, b""),
    "P-DATA-TF": raw.echo_request(),
    "A-RELEASE-RQ": raw.RELEASE,
    "A-ASSOCIATE-AC": raw.pdu(0x02, bytes(70)),
    "unknown type": raw.pdu(0x42, b""),
    "200 MB announced": struct.pack(">BxI", 0x01, 200_000_000),
    "a byte more than 64 KiB announced": struct.pack(">BxI", 0x01, 65537),
}


@pytest.mark.parametrize("request_bytes", NO_REQUESTS.values(), ids=NO_REQUESTS)
def test_what_is_no_request_for_an_association_is_aborted_by_the_service_user(
    listening: Listening, request_bytes: bytes
) -> None:
    """PS3.8 table 9-10, Sta2: AA-1."""
    with listening.scu() as scu:
        scu.send(request_bytes)
        assert scu.receive() == aborted(USER, 0)
        assert scu.receive() == (0, b"")
    assert listening.said_soon("connection refused")["reason"]


def test_when_all_places_are_taken_one_more_is_asked_to_come_later() -> None:
    with Listening(maximum_associations=2) as listening:
        with listening.associated(), listening.associated(), listening.scu() as scu:
            scu.send(associate_request())
            assert scu.receive() == (0x03, bytes((0, 2, 3, 2)))
            assert "maximum_associations" in listening.said("association rejected")[0]["reason"]
        assert soon(lambda: len(threads()) == 1)


def test_a_gateway_may_open_all_its_associations_at_once() -> None:
    with Listening(maximum_associations=50) as listening:
        connections = [listening.scu() for _ in range(50)]
        for each in connections:
            each.send(associate_request())
        assert {each.receive()[0] for each in connections} == {0x02}
        for each in connections:
            each.socket.close()


def test_whoever_releases_has_given_its_place_back_when_it_is_told_so() -> None:
    with Listening(maximum_associations=1) as listening:
        for _ in range(50):
            with listening.associated() as scu:
                scu.release()


def test_a_silent_association_gives_way_to_an_address_that_has_fewer() -> None:
    with Listening(maximum_associations=3) as listening:
        held = []
        for _ in range(3):
            held.append(listening.associated(address="127.0.0.2"))
            time.sleep(0.4)  # each is in a thread of its own, and silent since that one waits
        assert held[0].echo().status == 0  # so the second has now been silent for longest
        with listening.associated(address="127.0.0.3") as other:
            assert other.echo().status == 0
            assert held[1].receive() == aborted(USER, 0)
            assert held[0].echo().status == held[2].echo().status == 0
        for scu in held:
            scu.socket.close()
