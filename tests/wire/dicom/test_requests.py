"""What is answered to C-ECHO, C-STORE and others, by bytes and by other implementations."""

from __future__ import annotations

import shutil
import struct
import subprocess
import threading
from pathlib import Path

import pytest
from pynetdicom import AE, build_role
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from node.dicom import dimse
from node.dicom.part10 import IMPLEMENTATION_CLASS_UID
from node.domain.errors import OutOfSpace
from tests.conftest import absent
from tests.ecg_instances import instances
from tests.wire.dicom import raw_scu as raw
from tests.wire.dicom.listening import (
    CT,
    Listening,
    dataset,
)
from tests.wire.dicom.raw_scu import (
    EXPLICIT,
    TWELVE_LEAD_ECG,
    VERIFICATION,
    associate_request,
    command,
    value,
)


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
        value(1, asked[at : at + 7], is_command=True, is_last=at + 7 >= len(asked))
        for at in range(0, len(asked), 7)
    ] + [
        value(1, content[at : at + 31], is_command=False, is_last=at + 31 >= len(content))
        for at in range(0, len(content), 31)
    ]  # fmt: skip
    echo = value(3, command(0x30, message_id=2, sop_class=VERIFICATION), is_command=True)
    with listening.associated() as scu:
        scu.send(b"".join(raw.data(each) for each in values))
        assert scu.response().status == 0
        scu.send(raw.data(*values, echo, *values))
        answers = [scu.response() for _ in range(3)]
    assert [each.field for each in answers] == [0x8001, 0x8030, 0x8001]
    assert [each["bytes"] for each in listening.accepted] == [content] * 3


def test_a_request_in_very_many_small_fragments_is_aborted(listening: Listening) -> None:
    asked = command(1, with_dataset=True, sop_class=TWELVE_LEAD_ECG, sop_instance=b"1.2.3")
    crumb = raw.data(value(1, b"\0", is_command=False, is_last=False))
    with listening.associated() as scu:
        scu.send(raw.data(value(1, asked, is_command=True)) + crumb * 2000)
        assert scu.receive() == (0x07, bytes((0, 0, 2, 0)))
    assert listening.accepted == []
    reason = listening.said_soon("association aborted")["reason"]
    assert "64 fragments of at most 256 bytes" in reason


def test_an_empty_last_fragment_ends_a_data_set(listening: Listening) -> None:
    with listening.associated() as scu:
        scu.send(raw.mid_dataset(raw.data(value(1, b"abcd", is_command=False, is_last=False))))
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
