"""The RIS stand-in as our own sender meets it."""

from __future__ import annotations

import socket
import threading

import pytest

from node.domain.errors import Unreachable
from node.hl7.message import AcknowledgementCode
from node.hl7.sender import Hl7Sender
from node.hl7.stand_in import RisStandIn


def message(control_id: str) -> bytes:
    return (
        f"MSH|^~\\&|CARDIONODE||RIS||20240229235958||ORU^R01^ORU_R01|{control_id}|P|2.5.1\r"
        "PID|1||P-1\r"
    ).encode()


def test_it_keeps_each_message_and_lists_resends() -> None:
    ris = RisStandIn()
    sender = Hl7Sender("127.0.0.1", ris.start())
    try:
        codes = [sender.send(message(control_id)).code for control_id in ("A", "B", "A")]
    finally:
        sender.close()
        ris.stop()
    assert codes == [AcknowledgementCode.AA] * 3
    assert ris.messages == ["A", "B", "A"]
    assert ris.received == {"A": message("A"), "B": message("B")}


def test_it_goes_down_and_comes_back_on_its_port_with_what_it_kept() -> None:
    ris = RisStandIn()
    port = ris.start()
    sender = Hl7Sender("127.0.0.1", port)
    try:
        for control_id in ("A", "B", "C"):
            sender.send(message(control_id))
            ris.stop()
            with pytest.raises(Unreachable):
                sender.send(message("LOST"))
            assert ris.start() == port
    finally:
        sender.close()
        ris.stop()
    assert ris.messages == ["A", "B", "C"]


def test_waiting_ends_when_enough_different_messages_have_come() -> None:
    ris = RisStandIn()
    sender = Hl7Sender("127.0.0.1", ris.start())
    try:
        assert not ris.wait_for(1, timeout_s=0.05)
        sender.send(message("A"))
        sender.send(message("A"))
        assert not ris.wait_for(2, timeout_s=0.05)
        later = threading.Timer(0.05, sender.send, [message("B")])
        later.start()
        assert ris.wait_for(2, timeout_s=5)
        later.join()
    finally:
        sender.close()
        ris.stop()


def test_it_can_stop_while_a_connection_is_being_accepted() -> None:
    """An unclosed socket would warn, and warnings fail."""
    for _ in range(20):
        ris = RisStandIn()
        port = ris.start()
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        ris.stop()
