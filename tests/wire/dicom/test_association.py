"""What the upper layer answers, held against PS3.7 and PS3.8 with bytes made by hand."""

from __future__ import annotations

import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import AE, build_role
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from node.dicom import dimse
from node.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.domain.errors import OutOfSpace
from tests.conftest import absent
from tests.ecg_instances import instances
from tests.wire.dicom import raw_scu as raw
from tests.wire.dicom.listening import Listening, dataset, soon, threads
from tests.wire.dicom.raw_scu import (
    EXPLICIT,
    IMPLICIT,
    TWELVE_LEAD_ECG,
    VERIFICATION,
    associate_request,
    command,
    context,
    value,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
USER, PROVIDER = 0, 2
UNRECOGNIZED, UNEXPECTED, UNEXPECTED_PARAMETER, INVALID = 1, 2, 5, 6


@pytest.fixture
def listening() -> Iterator[Listening]:
    with Listening() as listener:
        yield listener
        assert listener.said("association failed") == []


def aborted(source: int, reason: int) -> tuple[int, bytes]:
    return 0x07, bytes((0, 0, source, reason))


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


# ------------------------------------------------------------------------------ negotiation


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
        held = [listening.associated(address="127.0.0.2") for _ in range(3)]
        time.sleep(1.2)
        assert held[0].echo().status == 0  # so the second has now been silent for longest
        with listening.associated(address="127.0.0.3") as other:
            assert other.echo().status == 0
            assert held[1].receive() == aborted(USER, 0)
            assert held[0].echo().status == held[2].echo().status == 0
        for scu in held:
            scu.socket.close()


# ------------------------------------------------------------------------------ the association


def mid_dataset(then: bytes) -> bytes:
    asked = command(1, with_dataset=True, sop_class=TWELVE_LEAD_ECG, sop_instance=b"1.2")
    return raw.data(value(1, asked, is_command=True)) + then


VIOLATIONS = {
    "unknown type": (raw.pdu(0x42, b"?"), UNRECOGNIZED),
    "type 0": (raw.pdu(0x00, b""), UNRECOGNIZED),
    "A-ASSOCIATE-RQ": (associate_request(), UNEXPECTED),
    "A-ASSOCIATE-AC": (raw.pdu(0x02, bytes(70)), UNEXPECTED),
    "A-ASSOCIATE-RJ": (raw.pdu(0x03, bytes(4)), UNEXPECTED),
    "A-RELEASE-RP": (raw.pdu(0x06, bytes(4)), UNEXPECTED),
    "P-DATA-TF too long": (struct.pack(">BxI", 0x04, 131072 + 129), INVALID),
    "A-RELEASE-RQ too long": (struct.pack(">BxI", 0x05, 5), INVALID),
    "P-DATA-TF without a value": (raw.data(), INVALID),
    "PDV beyond its PDU": (raw.pdu(0x04, struct.pack(">I", 90) + b"\x01\x03"), INVALID),
    "PDV shorter than its header": (raw.pdu(0x04, struct.pack(">I", 1) + b"\x01\x03"), INVALID),
    "PDV header cut short": (raw.pdu(0x04, b"\x00\x00"), INVALID),
    "context not accepted": (raw.echo_request(5), INVALID),
    "data set first": (raw.data(value(1, b"data", is_command=False)), UNEXPECTED_PARAMETER),
    "command within a data set": (mid_dataset(raw.echo_request(1)), UNEXPECTED_PARAMETER),
    "data set of another context": (
        mid_dataset(raw.data(value(3, b"other", is_command=False))), UNEXPECTED_PARAMETER,
    ),
    "command of another context": (
        raw.data(value(3, b"\x00", is_command=True, is_last=False)) + raw.echo_request(1),
        UNEXPECTED_PARAMETER,
    ),
    "command without end": (
        raw.data(value(3, bytes(128), is_command=True, is_last=False)) * 129, INVALID,
    ),
    "no command set": (raw.data(value(3, b"no command set", is_command=True)), INVALID),
    "empty command set": (raw.data(value(3, b"", is_command=True)), INVALID),
    "a response": (raw.data(value(3, command(0x8030), is_command=True)), INVALID),
    "C-CANCEL": (raw.data(value(3, command(0x0FFF), is_command=True)), INVALID),
    "unknown command": (raw.data(value(3, command(0x7777), is_command=True)), INVALID),
    "no message ID": (
        raw.data(value(3, command(0x0030, message_id=None), is_command=True)), INVALID,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "reason"), VIOLATIONS.values(), ids=VIOLATIONS)
def test_what_breaks_the_protocol_is_aborted_by_the_service_provider(
    listening: Listening, sent: bytes, reason: int
) -> None:
    """PS3.8 table 9-10, Sta6: AA-8; reasons of table 9-26."""
    with listening.associated() as scu:
        scu.send(sent)
        assert scu.receive() == aborted(PROVIDER, reason)
        assert scu.receive() == (0, b"")
    assert listening.accepted == []
    assert listening.said_soon("association aborted")["reason"]


def test_an_abort_and_a_lost_connection_are_said(listening: Listening) -> None:
    with listening.associated() as scu:
        scu.send(raw.ABORT)
        assert scu.receive() == (0, b"")
    assert listening.said_soon("association aborted")["reason"] == "the peer aborted it"
    listening.associated().socket.close()
    assert soon(lambda: len(listening.said("association aborted")) == 2)


def test_a_connection_that_says_nothing_and_goes_leaves_no_line(listening: Listening) -> None:
    listening.scu().socket.close()
    assert soon(lambda: len(threads()) == 1)
    assert listening.reports == []


def test_a_release_is_answered_even_within_a_request(listening: Listening) -> None:
    with listening.associated() as scu:
        scu.send(mid_dataset(b""))
        scu.release()
    assert listening.accepted == listening.said("association aborted") == []


def test_a_fault_of_ours_ends_the_association_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_request: object) -> None:
        raise RuntimeError("a fault")

    with Listening() as listening:
        with monkeypatch.context() as faulty, listening.scu() as scu:
            faulty.setattr("node.dicom.association.agree", fail)
            scu.send(associate_request())
            assert scu.receive() == aborted(USER, 0)
        assert isinstance(listening.said_soon("association failed")["error"], RuntimeError)
        with listening.associated() as scu:
            assert scu.echo().status == 0


# ------------------------------------------------------------------------------ requests


def test_a_response_repeats_what_it_answers(listening: Listening) -> None:
    content = dataset()
    with listening.associated() as scu:
        asked = command(
            1, message_id=54321, with_dataset=True, sop_class=TWELVE_LEAD_ECG, sop_instance=b"1.2.3"
        )
        scu.send(raw.data(value(1, asked, is_command=True)))
        for start in range(0, len(content), 100_000):
            is_last = start + 100_000 >= len(content)
            fragment = content[start : start + 100_000]
            scu.send(raw.data(value(1, fragment, is_command=False, is_last=is_last)))
        response = scu.response()
    assert (response.context_id, response.field, response.status) == (1, 0x8001, 0)
    assert response.elements[0x0120] == struct.pack("<H", 54321)
    assert response.elements[0x0800] == b"\x01\x01"
    assert response.uid(0x0002) == TWELVE_LEAD_ECG.encode()
    assert response.uid(0x1000) == b"1.2.3"
    (taken,) = listening.accepted
    assert taken["bytes"] == content
    assert taken["transfer_syntax_uid"] == EXPLICIT


def test_fragments_may_be_cut_anywhere_and_pdus_hold_many(listening: Listening) -> None:
    asked = command(1, with_dataset=True, sop_class=TWELVE_LEAD_ECG, sop_instance=b"1.2.3")
    content = bytes(range(256)) * 4
    values = [
        value(1, asked[at : at + 1], is_command=True, is_last=at == len(asked) - 1)
        for at in range(len(asked))
    ] + [
        value(1, content[at : at + 3], is_command=False, is_last=at + 3 >= len(content))
        for at in range(0, len(content), 3)
    ]  # fmt: skip
    echo = value(3, command(0x30, message_id=2, sop_class=VERIFICATION), is_command=True)
    with listening.associated() as scu:
        scu.send(b"".join(raw.data(each) for each in values))
        assert scu.response().status == 0
        scu.send(raw.data(*values, echo, *values))
        answers = [scu.response() for _ in range(3)]
    assert [each.field for each in answers] == [0x8001, 0x8030, 0x8001]
    assert [each["bytes"] for each in listening.accepted] == [content] * 3


def test_an_empty_last_fragment_ends_a_data_set(listening: Listening) -> None:
    with listening.associated() as scu:
        scu.send(mid_dataset(raw.data(value(1, b"abcd", is_command=False, is_last=False))))
        scu.send(raw.data(value(1, b"", is_command=False)))
        assert scu.response().status == 0
    assert listening.accepted[0]["bytes"] == b"abcd"


def test_responses_keep_to_the_length_the_peer_receives(listening: Listening) -> None:
    with listening.associated(associate_request(maximum_length=16)) as scu:
        scu.send(raw.echo_request())
        encoded, control = b"", 0
        while not control & 2:
            kind, body = scu.receive()
            assert kind == 0x04
            assert len(body) <= 16
            control = body[5]
            encoded += body[6:]
        assert len(encoded) % 2 == 0
        assert encoded.startswith(raw.element(0, struct.pack("<I", len(encoded) - 12)))


@pytest.mark.parametrize(
    ("field", "number"),
    [(0x0020, 1), (0x0010, 1), (0x0021, 1), (0x0001, 3), (0x0110, 3), (0x0130, 1)],
)
@pytest.mark.parametrize("with_dataset", [True, False])
def test_an_operation_we_do_not_know_is_said_to_be_unrecognised(
    listening: Listening, field: int, number: int, with_dataset: bool
) -> None:
    with listening.associated() as scu:
        asked = command(field, with_dataset=with_dataset, sop_class=TWELVE_LEAD_ECG)
        scu.send(raw.data(value(number, asked, is_command=True)))
        if with_dataset:
            scu.send(raw.data(value(number, bytes(1000), is_command=False)))
        response = scu.response()
        assert (response.field, response.status) == (field | 0x8000, 0x0211)
        assert scu.echo().status == 0
    assert listening.accepted == []


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"sop_instance": b"1." + b"2" * 63}, 0x0117),
        ({"sop_instance": b"1." * 5000}, 0x0117),
        ({"sop_instance": b"../../etc/passwd"}, 0x0117),
        ({"sop_instance": b"1.2.3/4"}, 0x0117),
        ({"sop_instance": b".."}, 0x0117),
        ({"sop_instance": b"1.2\x003"}, 0x0117),
        ({"sop_instance": b"1.2.\xff"}, 0x0117),
        ({"sop_instance": b""}, 0x0117),
        ({"sop_class": ""}, 0x0122),
        ({"sop_class": CT}, 0x0122),
    ],
)
def test_an_instance_whose_names_are_wrong_is_refused_before_it_is_kept(
    listening: Listening, options: dict[str, object], status: int
) -> None:
    with listening.associated() as scu:
        response = scu.store(b"data", **options)
        assert response.status == status
        assert len(response.uid(0x1000)) <= 64
        assert response.uid(0x0002) == str(options.get("sop_class", TWELVE_LEAD_ECG)).encode()
        assert b"/" not in response.uid(0x1000)
        assert scu.store(b"data").status == 0
    (refusal,) = listening.said("instance refused")
    assert refusal["status"] == f"0x{status:04X}"
    assert refusal["reason"]
    assert len(listening.accepted) == 1


def test_names_that_recorders_send_are_taken(listening: Listening) -> None:
    with listening.associated() as scu:
        for uid in (b"1.2.826.0.1.34471.2.44.6.20021122091000..1", b"1.02.3", b"2." + b"5" * 62):
            response = scu.store(b"data", sop_instance=uid)
            assert (response.status, response.uid(0x1000)) == (0, uid)


@pytest.mark.parametrize("with_dataset", [True, False])
@pytest.mark.parametrize("number", [raw.ECG_CONTEXT, raw.ECHO_CONTEXT])
def test_an_echo_is_answered_on_every_context(
    listening: Listening, number: int, with_dataset: bool
) -> None:
    with listening.associated() as scu:
        asked = command(0x30, with_dataset=with_dataset, sop_class=VERIFICATION)
        scu.send(raw.data(value(number, asked, is_command=True)))
        if with_dataset:
            scu.send(raw.data(value(number, bytes(100), is_command=False)))
        response = scu.response()
        assert (response.context_id, response.field, response.status) == (number, 0x8030, 0)
        assert response.uid(0x0002) == VERIFICATION.encode()


def test_a_store_without_a_data_set_is_not_understood(listening: Listening) -> None:
    with listening.associated() as scu:
        asked = command(1, sop_class=TWELVE_LEAD_ECG, sop_instance=b"1.2.3")
        scu.send(raw.data(value(1, asked, is_command=True)))
        assert scu.response().status == dimse.CANNOT_UNDERSTAND
    assert listening.accepted == []


def test_an_instance_that_is_too_large_is_refused_and_the_next_is_taken() -> None:
    with Listening(maximum_instance_bytes=100_000) as listening, listening.associated() as scu:
        assert scu.store(bytes(100_000)).status == 0
        assert scu.store(bytes(100_001)).status == dimse.OUT_OF_RESOURCES
        assert scu.store(bytes(5_000_000)).status == dimse.OUT_OF_RESOURCES
        assert scu.store(bytes(100)).status == 0
        assert [len(each["bytes"]) for each in listening.accepted] == [100_000, 100]
        assert "maximum_instance_mb" in listening.said("instance refused")[0]["reason"]


def test_success_comes_after_the_instance_was_kept_and_never_before(listening: Listening) -> None:
    kept = threading.Event()
    listening.before_accepting = lambda: kept.wait(5) and None
    with listening.associated() as scu:
        scu.send(raw.store_request(dataset()))
        scu.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            scu.socket.recv(1)
        kept.set()
        scu.socket.settimeout(5)
        assert scu.response().status == 0
        assert len(listening.accepted) == 1


def test_what_cannot_be_kept_has_its_status_and_the_association_goes_on(
    listening: Listening,
) -> None:
    def fail() -> None:
        raise OutOfSpace("full")

    with listening.associated() as scu:
        listening.before_accepting = fail
        assert scu.store(b"data").status == dimse.OUT_OF_RESOURCES
        listening.before_accepting = lambda: None
        assert scu.store(b"data").status == 0


# ------------------------------------------------------------------------------ deadlines


def seconds_until_ended(scu: raw.RawScu) -> float:
    begun_s = time.monotonic()
    while scu.receive()[0]:
        pass
    return time.monotonic() - begun_s


def test_a_request_for_an_association_has_one_deadline_however_it_trickles() -> None:
    with Listening(acse_timeout_s=0.5) as listening:
        with listening.scu() as silent:
            assert 0.3 < seconds_until_ended(silent) < 2
        with listening.scu() as slow:
            begun_s = time.monotonic()
            with pytest.raises(OSError):
                for each in associate_request():
                    slow.send(bytes((each,)))
                    time.sleep(0.02)
            assert time.monotonic() - begun_s < 2
        assert "in time" in listening.said_soon("connection refused")["reason"]


BEGUN = {
    "header": b"\x04",
    "PDU": struct.pack(">BxI", 0x04, 1000) + bytes(500),
    "request": mid_dataset(b""),
    "data set": mid_dataset(raw.data(value(1, bytes(10), is_command=False, is_last=False))),
}


@pytest.mark.parametrize("sent", BEGUN.values(), ids=BEGUN)
def test_what_has_begun_must_go_on(sent: bytes) -> None:
    with Listening(dimse_timeout_s=0.4) as listening, listening.associated() as scu:
        scu.send(sent)
        assert scu.receive() == aborted(USER, 0)
        assert "in time" in listening.said_soon("association aborted")["reason"]


def test_an_idle_association_is_given_up_after_a_while() -> None:
    with Listening(network_timeout_s=0.5) as listening, listening.associated() as scu:
        for _ in range(4):
            time.sleep(0.25)
            assert scu.echo().status == 0
        assert scu.receive() == aborted(USER, 0)


def test_whoever_does_not_take_its_answers_is_given_up() -> None:
    with Listening(dimse_timeout_s=0.5) as listening, listening.associated() as scu:
        scu.socket.settimeout(10)
        with pytest.raises(OSError):
            while True:
                scu.send(raw.echo_request() * 1000)
        assert soon(lambda: bool(listening.said("association aborted")))
        assert soon(lambda: len(threads()) == 1)


# ------------------------------------------------------------------------------ stopping


def test_stopping_ends_every_thread_within_a_second() -> None:
    listening = Listening()
    with listening:
        connections = [listening.associated() for _ in range(5)]
        connections += [listening.scu() for _ in range(5)]
        busy = listening.associated()
        busy.send(mid_dataset(struct.pack(">BxI", 0x04, 1000)))
        begun_s = time.monotonic()
    assert time.monotonic() - begun_s < 1
    assert threads() == []
    assert connections[0].receive() == aborted(USER, 0)
    for each in (*connections, busy):
        each.socket.close()
    listening.scp.start()
    with listening.associated() as scu:
        assert scu.echo().status == 0
    listening.scp.stop()
    assert threads() == []


def test_an_instance_that_is_being_kept_is_answered_before_the_end() -> None:
    listening = Listening()
    listening.before_accepting = lambda: time.sleep(0.3)
    with listening:
        scu = listening.associated()
        scu.send(raw.store_request(b"data"))
        assert soon(lambda: "dicom-" in "".join(threads()))
        time.sleep(0.1)
    assert scu.response().status == 0
    assert scu.receive() == aborted(USER, 0)
    scu.socket.close()


# --------------------------------------------------------------------- other implementations


def test_pynetdicom_with_roles_and_an_identity_is_served(listening: Listening) -> None:
    ae = AE(ae_title="CART")
    ae.add_requested_context(TWELVE_LEAD_ECG)
    ae.add_requested_context(VERIFICATION)
    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.primary_field = 1, b"jane"
    identity.positive_response_requested = False
    association = ae.associate(
        "127.0.0.1",
        listening.scp.port,
        ae_title="SECOND",
        ext_neg=[build_role(TWELVE_LEAD_ECG, scu_role=True, scp_role=True), identity],
    )
    assert association.is_established
    assert association.acceptor.implementation_class_uid == IMPLEMENTATION_CLASS_UID
    (accepted,) = [
        each for each in association.accepted_contexts if each.abstract_syntax == TWELVE_LEAD_ECG
    ]
    assert accepted.transfer_syntax == [EXPLICIT]
    assert (accepted.as_scu, accepted.as_scp) == (True, False)
    assert association.send_c_echo().Status == 0
    association.release()


@pytest.mark.parametrize(
    "options", [[], ["-pdu", "4096"], ["-xi"], ["-R", "--max-send-pdu", "4096"]]
)
def test_dcmtk_stores_many_in_one_association(
    listening: Listening, tmp_path: Path, options: list[str]
) -> None:
    storescu = "/usr/bin/storescu"
    if not shutil.which(storescu):
        absent("no DCMTK: apt-get install dcmtk")
    files = []
    for uid, content in instances(3):
        files.append(tmp_path / f"{uid}.dcm")
        files[-1].write_bytes(content)
    sent = subprocess.run(
        [storescu, "-aec", "CARDIONODE", *options, "127.0.0.1", str(listening.scp.port), *files],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert sent.returncode == 0, sent.stderr
    assert len(listening.accepted) == 3
    assert len(listening.said("association accepted")) == 1
    assert listening.said("association aborted") == []


def test_dcmtk_aborts_and_is_noted(listening: Listening) -> None:
    echoscu = "/usr/bin/echoscu"
    if not shutil.which(echoscu):
        absent("no DCMTK: apt-get install dcmtk")
    asked = [echoscu, "-aec", "SECOND", "--abort", "127.0.0.1", str(listening.scp.port)]
    subprocess.run(asked, capture_output=True, check=True, timeout=30)
    assert listening.said_soon("association aborted")["reason"] == "the peer aborted it"
