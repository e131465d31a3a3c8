"""A StorageScp on port 0 that notes what it was given and what it reported."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

from node.dicom.commitment_service import CommitmentService
from node.dicom.scp import Accept, ListenerLimits, Peer, StorageScp
from node.domain.caller import Refusal
from node.domain.commitment import CommitmentReport
from node.domain.instance import Origin
from tests.ecg_instances import instances
from tests.wire.dicom.raw_scu import RawScu

LIMITS = ListenerLimits(
    maximum_associations=10,
    maximum_pdu_bytes=131072,
    acse_timeout_s=5,
    dimse_timeout_s=5,
    network_timeout_s=5,
    maximum_instance_bytes=64_000_000,
)


USER, PROVIDER = 0, 2
"""Who aborts. Source: DICOM PS3.8 table 9-26."""
UNRECOGNIZED, UNEXPECTED, UNEXPECTED_PARAMETER, INVALID = 1, 2, 5, 6
LOOPBACK = (ip_network("127.0.0.0/8"),)
CT = "1.2.840.10008.5.1.4.1.1.2"


def aborted(source: int, reason: int) -> tuple[int, bytes]:
    """What a caller then receives."""
    return 0x07, bytes((0, 0, source, reason))


class Listening:
    """A listener for CARDIONODE that admits everybody of this machine.

    tls: the context of its port with TLS. certificate: what its peers are bound to.
    """

    def __init__(
        self,
        *,
        calling_ae: str = "*",
        certificate: str | None = None,
        peers: Sequence[Peer] | None = None,
        accept: Accept | None = None,
        tls: Callable[[], ssl.SSLContext] | None = None,
        **limits: float,
    ) -> None:
        self.accepted: list[dict[str, Any]] = []
        self.committed: list[tuple[CommitmentReport, Origin]] = []
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.refusals: list[Refusal] = []
        self.before_accepting: Callable[[], None] = lambda: None
        self.scp = StorageScp(
            ae_titles=["CARDIONODE", "SECOND"],
            host="127.0.0.1",
            port=0,
            peers=peers or [Peer(ae_title=calling_ae, networks=LOOPBACK, certificate=certificate)],
            limits=replace(LIMITS, **limits),  # type: ignore[arg-type]
            accept=accept or self._accept,
            commitment=CommitmentService(take=self._take_commitment, report=self._report),
            report=self._report,
            warn=self._report,
            note=self.refusals.append,
            tls_port=0 if tls else None,
            tls=tls,
        )

    def __enter__(self) -> Listening:
        self.scp.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.scp.stop()

    def _accept(self, dataset_bytes: bytes, **fields: Any) -> None:
        self.before_accepting()
        self.accepted.append({"bytes": dataset_bytes, **fields})

    def _take_commitment(self, report: CommitmentReport, origin: Origin) -> None:
        self.before_accepting()
        self.committed.append((report, origin))

    def _report(self, message: str, **fields: Any) -> None:
        self.reports.append((message, fields))

    def scu(self, **options: Any) -> RawScu:
        return RawScu(self.scp.port, **options)

    def associated(self, request: bytes | None = None, **options: Any) -> RawScu:
        scu = self.scu(**options)
        scu.associate(request)
        return scu

    def said(self, message: str) -> list[dict[str, Any]]:
        return [fields for text, fields in self.reports if text == message]

    def said_soon(self, message: str) -> dict[str, Any]:
        """The first such report, which may have yet to come."""
        assert soon(lambda: bool(self.said(message))), self.reports
        return self.said(message)[0]


def threads() -> list[str]:
    """Names of the listener's threads."""
    return [each.name for each in threading.enumerate() if each.name.startswith("dicom-")]


def soon(condition: Callable[[], bool], within_s: float = 5) -> bool:
    """Whether it comes true."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.005)
    return True


def dataset() -> bytes:
    """A real ECG as a data set in Explicit VR Little Endian."""
    _, file = next(instances(1))
    meta_bytes = int.from_bytes(file[140:144], "little")
    return file[144 + meta_bytes :]
