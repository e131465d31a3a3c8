"""The DICOM listener against real peers: pynetdicom's and DCMTK's SCUs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from node.dicom import dimse
from node.dicom.commitment_service import CommitmentService
from node.dicom.response_status import error_of
from node.dicom.scp import ListenerLimits, Peer, StorageScp
from node.dicom.scu import StorageScu
from node.domain.errors import (
    ConfigurationError,
    MalformedInstance,
    OutOfSpace,
    Refused,
    TemporarilyRefused,
    Unreachable,
)
from tests.conftest import absent
from tests.ecg_instances import instances

LIMITS = ListenerLimits(
    maximum_associations=10,
    maximum_pdu_bytes=131072,
    acse_timeout_s=5,
    dimse_timeout_s=5,
    network_timeout_s=5,
    maximum_instance_bytes=64_000_000,
)
STORESCU = "/usr/bin/storescu"
NO_REPORTS = CommitmentService(take=lambda *_: None, report=lambda *_, **__: None)


class Listener:
    """A listener that notes what it was given and fails on demand."""

    def __init__(self, peers: str = "*", network: str = "127.0.0.0/8") -> None:
        self.accepted: list[dict[str, Any]] = []
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.error: Exception | None = None
        self.scp = StorageScp(
            ae_titles=["CARDIONODE", "SECOND"],
            host="127.0.0.1",
            port=0,
            peers=[Peer(ae_title=peers, networks=(ip_network(network),))],
            limits=LIMITS,
            accept=self._accept,
            commitment=NO_REPORTS,
            report=self._report,
            warn=self._report,
            note=lambda _: None,
        )

    def _report(self, message: str, **fields: Any) -> None:
        self.reports.append((message, fields))

    def _accept(self, dataset_bytes: bytes, **fields: Any) -> None:
        if self.error is not None:
            raise self.error
        self.accepted.append({"bytes": dataset_bytes, **fields})

    def scu(self, called_ae: str = "CARDIONODE") -> StorageScu:
        return StorageScu(
            calling_ae="CART", called_ae=called_ae, host="127.0.0.1", port=self.scp.port
        )

    def said(self, message: str) -> list[dict[str, Any]]:
        return [fields for text, fields in self.reports if text == message]


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    listeners: list[Listener] = []

    def start(**settings: Any) -> Listener:
        listener = Listener(**settings)
        listeners.append(listener)
        listener.scp.start()
        return listener

    yield start
    for listener in listeners:
        listener.scp.stop()


def an_ecg() -> bytes:
    return next(instances(1))[1]


def test_echo_is_answered_under_each_of_our_ae_titles(listen: Callable[..., Listener]) -> None:
    listener = listen()
    listener.scu().echo()
    listener.scu("SECOND").echo()


def test_the_bytes_handed_over_are_the_bytes_sent(listen: Callable[..., Listener]) -> None:
    listener = listen()
    content = an_ecg()
    listener.scu().send(content)
    (taken,) = listener.accepted
    assert content.endswith(taken["bytes"])
    assert taken["origin"].calling_ae == "CART"
    assert taken["origin"].called_ae == "CARDIONODE"
    assert taken["origin"].peer == "127.0.0.1"


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OutOfSpace("full"), TemporarilyRefused),  # 0xA700
        (MalformedInstance("garbage"), Refused),  # 0xC000
        (RuntimeError("a fault"), TemporarilyRefused),  # 0x0110
    ],
)
def test_an_instance_that_is_not_durable_is_never_a_success(
    listen: Callable[..., Listener], error: Exception, raised: type[Exception]
) -> None:
    listener = listen()
    listener.error = error
    with pytest.raises(raised):
        listener.scu().send(an_ecg())
    assert listener.said("instance refused")
    listener.error = None
    listener.scu().send(an_ecg())


def test_an_unknown_called_ae_title_is_rejected_and_the_log_says_why(
    listen: Callable[..., Listener],
) -> None:
    listener = listen()
    with pytest.raises(TemporarilyRefused, match="rejected the association"):
        listener.scu("SOMEONE").echo()
    (rejection,) = listener.said("association rejected")
    assert rejection["called_ae"] == "SOMEONE"
    assert "dicom.ae_titles" in rejection["reason"]


@pytest.mark.parametrize("settings", [{"peers": "MRI*"}, {"network": "192.0.2.0/24"}])
def test_a_caller_that_no_peer_entry_admits_is_rejected(
    listen: Callable[..., Listener], settings: dict[str, str]
) -> None:
    listener = listen(**settings)
    with pytest.raises(TemporarilyRefused):
        listener.scu().echo()
    assert "dicom.peers" in listener.said("association rejected")[0]["reason"]


def test_a_sop_class_we_do_not_take_is_refused_at_negotiation_and_named(
    listen: Callable[..., Listener], shared: Path
) -> None:
    listener = listen()
    hemodynamic = shared / "data/ecg_dicom/ge_maclab_hemodynamic_240hz.dcm"
    with pytest.raises(Refused, match="does not take SOP class"):
        listener.scu().send(hemodynamic.read_bytes())
    (refusal,) = listener.said("presentation context refused")
    assert refusal["sop_class_uid"] == "1.2.840.10008.5.1.4.1.1.9.2.1"
    assert listener.accepted == []


def test_nobody_there_is_unreachable() -> None:
    scu = StorageScu(
        calling_ae="CART", called_ae="X", host="127.0.0.1", port=9, connect_timeout_s=1
    )
    with pytest.raises(Unreachable):
        scu.echo()


def test_a_port_that_is_taken_is_a_configuration_error(listen: Callable[..., Listener]) -> None:
    port = listen().scp.port
    second = StorageScp(
        ae_titles=["X"], host="127.0.0.1", port=port, peers=[], limits=LIMITS,
        accept=Listener()._accept, commitment=NO_REPORTS, report=print, warn=print, note=print,
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match=r"dicom\.port"):
        second.start()


def test_dcmtk_storescu_is_served(listen: Callable[..., Listener], tmp_path: Path) -> None:
    if not shutil.which(STORESCU):
        absent("no DCMTK: apt-get install dcmtk")
    listener = listen()
    file = tmp_path / "ecg.dcm"
    file.write_bytes(an_ecg())
    address = ["127.0.0.1", str(listener.scp.port)]
    sent = subprocess.run(
        [STORESCU, "-aec", "CARDIONODE", "-R", *address, file],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert sent.returncode == 0, sent.stderr
    assert listener.accepted[0]["sop_class_uid"] == dimse.TWELVE_LEAD_ECG


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0x0000, None), (0xB000, None), (0xB007, None), (0x0111, None),
        (0xA700, TemporarilyRefused), (0xA7FF, TemporarilyRefused), (0x0110, TemporarilyRefused),
        (0xA900, Refused), (0xC001, Refused), (0x0122, Refused), (0x0124, Refused),
    ],
)  # fmt: skip
def test_a_peers_status_decides_about_the_retry(
    status: int, expected: type[Exception] | None
) -> None:
    error = error_of(status, dimse.STORE_RESPONSES)
    assert (type(error) if error else None) is expected
