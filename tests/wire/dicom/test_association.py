"""How an association ends: as asked, by what breaks PS3.8, by its deadlines, with the listener."""

from __future__ import annotations

import struct
import time

import pytest

from tests.wire.dicom import raw_scu as raw
from tests.wire.dicom.listening import (
    INVALID,
    PROVIDER,
    UNEXPECTED,
    UNEXPECTED_PARAMETER,
    UNRECOGNIZED,
    USER,
    Listening,
    aborted,
    soon,
    threads,
)
from tests.wire.dicom.raw_scu import (
    associate_request,
    command,
    value,
)

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
    "command within a data set": (raw.mid_dataset(raw.echo_request(1)), UNEXPECTED_PARAMETER),
    "data set of another context": (
        raw.mid_dataset(raw.data(value(3, b"other", is_command=False))), UNEXPECTED_PARAMETER,
    ),
    "command of another context": (
        raw.data(value(3, b"\x00", is_command=True, is_last=False)) + raw.echo_request(1),
        UNEXPECTED_PARAMETER,
    ),
    "command without end": (
        raw.data(value(3, bytes(512), is_command=True, is_last=False)) * 33, INVALID,
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
        scu.send(raw.mid_dataset(b""))
        scu.release()
    assert listening.accepted == listening.said("association aborted") == []


def test_a_fault_of_ours_ends_the_association_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a fault")

    with Listening() as listening:
        with monkeypatch.context() as faulty, listening.scu() as scu:
            faulty.setattr("node.dicom.association.agree", fail)
            scu.send(associate_request())
            assert scu.receive() == aborted(USER, 0)
        assert isinstance(listening.said_soon("association failed")["error"], RuntimeError)
        with listening.associated() as scu:
            assert scu.echo().status == 0


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
    "request": raw.mid_dataset(b""),
    "data set": raw.mid_dataset(raw.data(value(1, bytes(10), is_command=False, is_last=False))),
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


def test_stopping_ends_every_thread_within_a_second() -> None:
    listening = Listening()
    with listening:
        connections = [listening.associated() for _ in range(5)]
        connections += [listening.scu() for _ in range(5)]
        busy = listening.associated()
        busy.send(raw.mid_dataset(struct.pack(">BxI", 0x04, 1000)))
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
