"""Requests for Storage Commitment and the reports to them, against pynetdicom and by bytes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from node.dicom.commitment import CommitmentScu, offers_commitment
from node.dicom.commitment_service import CommitmentService
from node.dicom.scu import StorageScu
from node.domain.commitment import CommitmentReport
from node.domain.errors import (
    CardioNodeError,
    Refused,
    StorageError,
    TemporarilyRefused,
    Unanswered,
    UnknownTransaction,
    Unreachable,
)
from tests.committing_pacs import PUSH_MODEL, WELL_KNOWN, CommittingPacs, event_information
from tests.wire.dicom import raw_scu as raw
from tests.wire.dicom.listening import Listening, soon
from tests.wire.dicom.raw_scu import EXPLICIT, IMPLICIT, associate_request, context
from tests.wire.dicom.test_negotiation import results, role, user_items

CINE, SR = "1.2.840.10008.5.1.4.1.1.7.2", "1.2.840.10008.5.1.4.1.1.88.34"
INSTANCES = [(CINE, "2.25.1"), (SR, "2.25.2")]
CONTEXT = 5
CONTEXTS = raw.USUAL_CONTEXTS + context(CONTEXT, PUSH_MODEL, IMPLICIT, EXPLICIT)


def encoded(information: Any) -> bytes:
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, False
    write_dataset(file, information)
    return file.getvalue()


REPORT = encoded(event_information("1.2.3", INSTANCES[:1], [(*INSTANCES[1], 0x0112)]))


def event_report(
    content: bytes | None = REPORT,
    *,
    event_type: int | None = 2,
    sop_class: str = PUSH_MODEL,
    sop_instance: str = WELL_KNOWN,
) -> bytes:
    asked = raw.command(
        0x0100, with_dataset=content is not None, sop_class=sop_class,
        sop_instance=sop_instance.encode(),
    )  # fmt: skip
    if event_type is not None:
        asked += raw.element(0x1002, event_type.to_bytes(2, "little"))
    sent = raw.data(raw.value(CONTEXT, asked, is_command=True))
    portions = [content[at : at + 100_000] for at in range(0, len(content or b""), 100_000)]
    for number, portion in enumerate(portions if content else [b""] * (content is not None)):
        is_last = number >= len(portions) - 1
        sent += raw.data(raw.value(CONTEXT, portion, is_command=False, is_last=is_last))
    return sent


# ------------------------------------------------------------------ reports on a new association


@pytest.mark.parametrize("roles", [None, (False, True), (True, True)])
def test_reports_are_taken_whichever_way_the_role_is_selected(
    listening: Listening, roles: tuple[bool, bool] | None
) -> None:
    pacs = CommittingPacs()
    pacs.node_port = listening.scp.port
    pacs.held = {"2.25.1": CINE}
    pacs.report("1.2.3", INSTANCES, roles=roles)
    assert pacs.answers == [0x0000]
    ((report, origin),) = listening.committed
    assert (report.transaction_uid, report.committed) == ("1.2.3", {"2.25.1"})
    assert "0x0112" in report.failed["2.25.2"].message
    assert (origin.calling_ae, origin.called_ae) == ("PACS", "CARDIONODE")


@pytest.mark.parametrize(
    ("proposed", "result", "answered"),
    [((0, 1), 0, (0, 1)), ((1, 1), 0, (0, 1)), ((1, 0), 1, None), ((0, 0), 1, None)],
)
def test_of_commitment_we_take_the_role_of_the_scu_alone(
    listening: Listening,
    proposed: tuple[int, int],
    result: int,
    answered: tuple[int, int] | None,
) -> None:
    request = associate_request(contexts=CONTEXTS, user_items=role(PUSH_MODEL, *proposed))
    with listening.scu() as scu:
        acceptance = scu.associate(request)
    assert results(acceptance)[CONTEXT][0] == result
    expected = role(PUSH_MODEL, *answered)[4:] if answered else None
    assert user_items(acceptance).get(0x54) == expected
    assert len(listening.said("presentation context refused")) == (result != 0)


def test_the_answer_to_a_report_repeats_what_it_answers(listening: Listening) -> None:
    with listening.associated(associate_request(contexts=CONTEXTS)) as scu:
        scu.send(event_report())
        response = scu.response()
    assert (response.context_id, response.field, response.status) == (CONTEXT, 0x8100, 0)
    assert response.uid(0x0002) == PUSH_MODEL.encode()
    assert response.uid(0x1000) == WELL_KNOWN.encode()
    assert response.elements[0x1002] == b"\x02\x00"
    assert len(listening.committed) == 1


def test_success_comes_after_the_outcome_was_kept_and_never_before(listening: Listening) -> None:
    kept = threading.Event()
    listening.before_accepting = lambda: kept.wait(5) and None
    with listening.associated(associate_request(contexts=CONTEXTS)) as scu:
        scu.send(event_report())
        scu.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            scu.socket.recv(1)
        kept.set()
        scu.socket.settimeout(5)
        assert scu.response().status == 0
        assert len(listening.committed) == 1


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (event_report(None), 0x0115),
        (event_report(b""), 0x0115),
        (event_report(REPORT[:40]), 0x0115),
        (event_report(bytes(range(256))), 0x0115),
        (event_report(bytes(2_000_000)), 0x0213),
        (event_report(event_type=3), 0x0113),
        (event_report(event_type=None), 0x0113),
        (event_report(sop_class=raw.VERIFICATION), 0x0118),
        (event_report(sop_instance="1.2.3"), 0x0112),
    ],
    ids=["no data set", "empty", "cut short", "noise", "2 MB", "event 3", "no event", "class",
         "instance"],
)  # fmt: skip
def test_what_is_no_report_has_its_status_and_the_association_goes_on(
    listening: Listening, request_bytes: bytes, status: int
) -> None:
    with listening.associated(associate_request(contexts=CONTEXTS)) as scu:
        scu.send(request_bytes)
        assert scu.response().status == status
        assert listening.committed == []
        scu.send(event_report())
        assert scu.response().status == 0
    (refusal,) = listening.said("commitment report refused")
    assert refusal["status"] == f"0x{status:04X}"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnknownTransaction("nobody asked"), 0x0115),
        (StorageError("the database did not take it"), 0x0213),
        (RuntimeError("a fault"), 0x0110),
    ],
)
def test_a_report_that_cannot_be_used_is_no_success(
    listening: Listening, error: Exception, status: int
) -> None:
    def fail() -> None:
        raise error

    listening.before_accepting = fail
    with listening.associated(associate_request(contexts=CONTEXTS)) as scu:
        scu.send(event_report())
        assert scu.response().status == status
        assert scu.echo().status == 0
    (refusal,) = listening.said("commitment report refused")
    assert refusal["status"] == f"0x{status:04X}"


@pytest.mark.parametrize("field", [0x0001, 0x0130])
def test_nobody_is_committed_to_by_us(listening: Listening, field: int) -> None:
    with listening.associated(associate_request(contexts=CONTEXTS)) as scu:
        asked = raw.command(field, with_dataset=True, sop_class=PUSH_MODEL)
        scu.send(raw.data(raw.value(CONTEXT, asked, is_command=True)))
        scu.send(raw.data(raw.value(CONTEXT, REPORT, is_command=False)))
        assert scu.response().status == 0x0211
        scu.send(event_report(event_type=1))
        assert scu.response().status == 0


# ------------------------------------------------------------------------------ requests


class Asking:
    """Our SCU at a PACS, and what was reported on its associations."""

    def __init__(self, pacs: CommittingPacs, port: int) -> None:
        self.pacs = pacs
        self.reported: list[CommitmentReport] = []
        self.notes: list[tuple[str, dict[str, Any]]] = []
        self.error: CardioNodeError | None = None
        self.scu = StorageScu(
            calling_ae="CARDIONODE", called_ae="PACS", host="127.0.0.1", port=port,
            connect_timeout_s=2, answer_timeout_s=3,
        )  # fmt: skip
        service = CommitmentService(
            take=self._take, report=lambda message, **fields: self.notes.append((message, fields))
        )
        self.requester = CommitmentScu(self.scu, service, linger_s=0.8)

    def _take(self, report: CommitmentReport, _origin: Any) -> None:
        if self.error is not None:
            raise self.error
        self.reported.append(report)

    def ask(self, transaction_uid: str = "1.2.3") -> None:
        with self.requester.asked(transaction_uid, INSTANCES):
            pass


@pytest.fixture
def asking() -> Iterator[Asking]:
    pacs = CommittingPacs()
    pacs.held = {uid: name for name, uid in INSTANCES}
    yield Asking(pacs, pacs.start())
    pacs.stop()


def test_a_report_on_the_same_association_is_taken(asking: Asking) -> None:
    asking.pacs.on_request = lambda uid, instances, association: asking.pacs.report(
        uid, instances, on=association
    )
    asking.ask()
    assert asking.pacs.requests == [("1.2.3", INSTANCES)]
    (report,) = asking.reported
    assert (report.transaction_uid, report.committed) == ("1.2.3", {"2.25.1", "2.25.2"})
    assert soon(lambda: asking.pacs.answers == [0x0000])


def test_a_report_on_the_same_association_that_cannot_be_used_is_no_success(
    asking: Asking,
) -> None:
    asking.error = UnknownTransaction("nobody asked")
    asking.pacs.on_request = lambda uid, instances, association: asking.pacs.report(
        uid, instances, on=association
    )
    asking.ask()
    assert soon(lambda: asking.pacs.answers == [0x0115])
    assert asking.notes[0][0] == "commitment report refused"


def test_nobody_is_waited_for_longer_than_the_association_is_kept(asking: Asking) -> None:
    asking.pacs.on_request = lambda *_: None
    asking.ask()
    assert asking.reported == []
    assert len(asking.pacs.requests) == 1


def test_the_block_runs_only_when_the_request_was_taken(asking: Asking) -> None:
    asking.pacs.status = 0x0110
    with pytest.raises(TemporarilyRefused), asking.requester.asked("1.2.3", INSTANCES):
        pytest.fail("it was not taken")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (0x0110, TemporarilyRefused),
        (0x0213, TemporarilyRefused),
        (0x0124, Refused),
        (0x0117, Refused),
        (0x0211, Refused),
    ],
)
def test_the_status_of_a_request_says_whether_to_try_again(
    asking: Asking, status: int, error: type[CardioNodeError]
) -> None:
    asking.pacs.status = status
    with pytest.raises(error, match=f"0x{status:04X}"):
        asking.ask()


def test_a_transaction_the_peer_knows_already_counts_as_taken(asking: Asking) -> None:
    asking.pacs.status = 0x0131
    asking.ask()


def test_a_peer_that_does_not_offer_commitment_is_told_apart() -> None:
    pacs = CommittingPacs(offers=False)
    asking = Asking(pacs, pacs.start())
    try:
        with pytest.raises(Refused, match="does not offer Storage Commitment"):
            asking.ask()
        with pytest.raises(Refused, match="commitment = false"):
            offers_commitment(asking.scu)
        asking.scu.echo()
    finally:
        pacs.stop()


def test_a_peer_that_offers_commitment_is_asked_for_nothing(asking: Asking) -> None:
    offers_commitment(asking.scu)
    assert asking.pacs.requests == []


def test_a_peer_that_is_not_there_is_unreachable(asking: Asking) -> None:
    asking.pacs.stop()
    with pytest.raises(Unreachable):
        asking.ask()


def test_a_peer_that_ends_the_association_instead_of_answering_may_have_taken_it(
    asking: Asking,
) -> None:
    asking.pacs.status = None
    with pytest.raises(Unanswered):
        asking.ask()
