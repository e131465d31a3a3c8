"""The statement's networking tables against what a listener and senders do, seen from outside."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any

import numpy as np
import pytest
from pydicom._uid_dict import UID_dictionary
from pynetdicom import AE, evt

from node.dicom import dimse
from node.dicom.cine import CINE_CLASSES
from node.dicom.commitment import CommitmentScu
from node.dicom.commitment_report import read_report
from node.dicom.commitment_service import CommitmentService
from node.dicom.scp import Peer, StorageScp
from node.dicom.scu import StorageScu
from node.dicom.stow_service import StowService
from node.dicom.structured_report import REPORT_CLASSES
from node.dicom.summary import PDF_STRIP_SIZE, build_pdf
from node.dicom.template import load_templates
from node.dicom.worklist import WorklistScu
from node.domain.caller import Permission
from node.domain.errors import (
    CardioNodeError,
    Kind,
    MalformedInstance,
    OutOfSpace,
    StorageError,
)
from node.domain.form import Compression, ResultForm
from node.domain.instance import Origin
from tests.committing_pacs import CommittingPacs, event_information
from tests.result_forms import composed, rejection_note, source_of
from tests.result_phantom import ecg_head, prediction
from tests.statement_tables import default_statement, tables
from tests.unit.dicom.ecg_phantom import instance, part10, twelve_leads
from tests.wire.dicom import raw_scu as raw
from tests.wire.dicom.listening import LIMITS, Listening
from tests.wire.dicom.raw_scu import associate_request, command, context, value
from tests.wire.dicom.test_commitment import CONTEXTS, event_report
from tests.wire.dicom.test_negotiation import results, role

SOP_CLASSES = [
    uid for uid, (_, kind, *_) in UID_dictionary.items() if kind in ("SOP Class", "Meta SOP Class")
]
TRANSFER_SYNTAXES = [
    uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax"
]
ACCEPTANCE = ("4.2.1.4.1.2", "4.2.1.4.2.2", "4.2.1.4.3.2")
KINDS = {
    "delivered": None,
    "its report is awaited": None,
    "tried again later": Kind.TRANSIENT,
    "sent again and asked for anew": Kind.TRANSIENT,
    "sent again as it is": Kind.AMBIGUOUS,
    "stops and waits for a person": Kind.PERMANENT,
}
"""What the statement calls a behaviour -> the kind of the error that brings it about."""


def stated_contexts(*numbers: str) -> dict[str, list[str]]:
    """Transfer syntaxes by SOP class, in the order they stand."""
    found: dict[str, list[str]] = {}
    for number in numbers:
        for row in tables(default_statement(), number)[0]:
            found.setdefault(row["Abstract Syntax UID"], []).append(row["Transfer Syntax UID"])
    return found


def codes(number: str, table: int = -1, column: str = "Error Code") -> list[str]:
    return [row[column] for row in tables(default_statement(), number)[table]]


# ------------------------------------------------------------------------------ what is accepted


def test_the_listener_accepts_what_the_statement_lists_and_nothing_else(
    listening: Listening,
) -> None:
    """Every SOP class of the standard in every transfer syntax, a presentation context each."""
    pairs = [(sop_class, syntax) for sop_class in SOP_CLASSES for syntax in TRANSFER_SYNTAXES]
    assert len(pairs) > 15_000
    accepted = set()
    for start in range(0, len(pairs), 128):
        batch = pairs[start : start + 128]
        contexts = b"".join(context(2 * at + 1, *pair) for at, pair in enumerate(batch))
        with listening.scu() as scu:
            answer = results(scu.associate(associate_request(contexts=contexts)))
            scu.release()
        accepted |= {batch[number // 2] for number, (result, _) in answer.items() if result == 0}
    assert accepted == {
        (sop_class, syntax)
        for sop_class, syntaxes in stated_contexts(*ACCEPTANCE).items()
        for syntax in syntaxes
    }


@pytest.mark.parametrize("sop_class", stated_contexts(*ACCEPTANCE))
def test_of_all_transfer_syntaxes_the_one_that_stands_first_is_chosen(
    listening: Listening, sop_class: str
) -> None:
    offered, chosen = list(reversed(TRANSFER_SYNTAXES)), []
    while offered:
        with listening.scu() as scu:
            answer = results(
                scu.associate(associate_request(contexts=context(1, sop_class, *offered)))
            )
        result, syntax = answer[1]
        if result != 0:
            break
        chosen.append(syntax.decode())
        offered.remove(chosen[-1])
    assert chosen == stated_contexts(*ACCEPTANCE)[sop_class]


@pytest.mark.parametrize("number", ACCEPTANCE)
def test_the_role_of_the_table_is_the_one_that_is_taken(listening: Listening, number: str) -> None:
    for row in tables(default_statement(), number)[0]:
        sop_class, syntax = row["Abstract Syntax UID"], row["Transfer Syntax UID"]
        for ours, (scu_role, scp_role) in {"SCP": (1, 0), "SCU": (0, 1)}.items():
            request = associate_request(
                contexts=context(1, sop_class, syntax),
                user_items=role(sop_class, scu_role, scp_role),
            )
            with listening.scu() as scu:
                result, _ = results(scu.associate(request))[1]
            assert (result == 0) is (row["Role"] == ours), (sop_class, ours)


def test_every_rejection_of_the_statement_is_met_and_no_other() -> None:
    asked: list[dict[str, Any]] = [
        {"version": 2},
        {"application": b"1.2"},
        {"called": b"SOMEONE"},
        {"calling": b"STRANGER"},
        {"calling": b"CART\xc4"},
    ]
    answers = set()
    with Listening(calling_ae="CART*") as listening:
        for changes in asked:
            with listening.scu() as scu:
                scu.send(associate_request(**changes))
                answers.add(rejection(scu))
    with Listening(certificate="cart.example") as listening, listening.scu() as scu:
        scu.send(associate_request())
        answers.add(rejection(scu))
    with (
        Listening(maximum_associations=1) as listening,
        listening.associated(),
        listening.scu() as scu,
    ):
        scu.send(associate_request())
        answers.add(rejection(scu))
    rows, _ = tables(default_statement(), "4.2.1.4")
    assert answers == {(int(row["Result"]), int(row["Source"]), int(row["Reason"])) for row in rows}


def rejection(scu: raw.RawScu) -> tuple[int, ...]:
    kind, body = scu.receive()
    assert kind == 0x03
    return tuple(body[1:])


def test_every_result_of_a_refused_context_is_met_and_no_other(listening: Listening) -> None:
    contexts = (
        context(1, dimse.TWELVE_LEAD_ECG, raw.EXPLICIT)
        + context(3, "1.2.840.10008.5.1.4.1.1.2", raw.EXPLICIT)
        + context(5, dimse.GENERAL_ECG, raw.BIG_ENDIAN)
    )
    request = associate_request(contexts=contexts, user_items=role(dimse.TWELVE_LEAD_ECG, 0, 1))
    with listening.scu() as scu:
        answer = results(scu.associate(request))
    _, rows = tables(default_statement(), "4.2.1.4")
    assert {result for result, _ in answer.values()} == {int(row["Result"]) for row in rows}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_callers_are_taken_by_either_version_of_ip(host: str) -> None:
    scp = StorageScp(
        ae_titles=["CARDIONODE"],
        host=host,
        port=0,
        peers=[Peer(ae_title="*", networks=(ip_network(host),))],
        limits=LIMITS,
        accept=lambda *_, **__: None,
        commitment=CommitmentService(take=lambda *_: None, report=lambda *_, **__: None),
        report=lambda *_, **__: None,
        warn=lambda *_, **__: None,
        note=lambda _: None,
    )
    scp.start()
    try:
        with socket.create_connection((host, scp.port or 0), timeout=5) as connection:
            connection.sendall(associate_request())
            assert connection.recv(1) == b"\x02"
    finally:
        scp.stop()


# ---------------------------------------------------------------------------- what is answered


def failing(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_every_status_of_a_store_can_be_provoked_and_no_other_is_listed(
    listening: Listening,
) -> None:
    met = set()
    with listening.associated() as scu:
        met.add(scu.store(b"data").status)
        met.add(scu.store(b"data", sop_instance=b"../1").status)
        met.add(scu.store(b"data", sop_class=dimse.GENERAL_ECG).status)
        for error in (OutOfSpace("full"), MalformedInstance("cut short"), RuntimeError("a fault")):
            listening.before_accepting = failing(error)
            met.add(scu.store(b"data").status)
    assert {f"{status:04X}" for status in met} == set(codes("4.2.1.4.1.3"))


def test_every_status_of_a_report_can_be_provoked_and_no_other_is_listed(
    listening: Listening,
) -> None:
    met = set()
    with listening.associated(associate_request(contexts=CONTEXTS)) as scu:
        for report in (
            event_report(),
            event_report(None),
            event_report(event_type=3),
            event_report(sop_class=raw.VERIFICATION),
            event_report(sop_instance="1.2.3"),
        ):
            scu.send(report)
            met.add(scu.response().status)
        for error in (StorageError("the database did not take it"), RuntimeError("a fault")):
            listening.before_accepting = failing(error)
            scu.send(event_report())
            met.add(scu.response().status)
    assert {f"{status:04X}" for status in met} == set(codes("4.2.1.4.2.3"))


def test_every_status_of_verification_can_be_provoked(listening: Listening) -> None:
    with listening.associated() as scu:
        met = {scu.echo().status}
        asked = command(0x0020, sop_class=raw.VERIFICATION)
        scu.send(raw.data(value(raw.ECHO_CONTEXT, asked, is_command=True)))
        met.add(scu.response().status)
    sender = Peer(
        ae_title="*", networks=(ip_network("127.0.0.0/8"),), may=frozenset({Permission.STORE})
    )
    with Listening(peers=[sender]) as listener, listener.associated() as scu:
        scu.send(raw.echo_request(raw.ECG_CONTEXT))
        met.add(scu.response().status)
    assert {f"{status:04X}" for status in met} == set(codes("4.2.1.4.3.3"))


def test_every_failure_reason_of_stow_can_be_provoked_and_no_other_is_listed() -> None:
    ecg = instance(twelve_leads())
    image = instance(twelve_leads(), sop_class_uid="1.2.840.10008.5.1.4.1.1.2")
    nameless = instance(twelve_leads())
    nameless.SOPInstanceUID = "1.2.a"
    compressed = part10(ecg).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
    met = {
        reason_of(part10(image)),
        reason_of(compressed),
        reason_of(part10(nameless)),
        reason_of(b"noise"),
        reason_of(part10(ecg), study="1.2.3"),
        reason_of(part10(ecg), error=OutOfSpace("full")),
        reason_of(part10(ecg), error=RuntimeError("a fault")),
    }
    assert {f"{reason:04X}" for reason in met if reason is not None} == set(
        codes("4.2.2.3", column="Failure Reason (0008,1197)")
    )
    assert reason_of(part10(ecg)) is None


def reason_of(content: bytes, *, study: str = "", error: Exception | None = None) -> int | None:
    def accept(*_: Any, **__: Any) -> None:
        if error is not None:
            raise error

    service = StowService(accept=accept, maximum_bytes=10_000_000, report=lambda *_, **__: None)
    origin = Origin(calling_ae="token", called_ae="CARDIONODE", peer="127.0.0.1")
    return service.store(content, study_instance_uid=study, origin=origin).failure_reason


# ---------------------------------------------------------------------------- what is proposed


class RecordingPacs:
    """Accepts everything, answers with `status`, and notes what it was proposed, and by whom."""

    def __init__(self) -> None:
        self.proposed: list[tuple[str, list[str]]] = []
        self.callers: set[tuple[str, str]] = set()
        self.extended: list[Any] = []
        """Roles, extended negotiation, and windows of more than one operation."""
        self.status = 0x0000
        ae = AE(ae_title="PACS")
        for uid in (
            *dimse.RESULT_STORAGE,
            *dimse.ECG_STORAGE,
            dimse.STORAGE_COMMITMENT,
            dimse.MODALITY_WORKLIST,
            dimse.VERIFICATION,
        ):
            ae.add_supported_context(uid, TRANSFER_SYNTAXES)
        self._server = ae.start_server(
            ("127.0.0.1", 0),
            block=False,
            evt_handlers=[
                (evt.EVT_REQUESTED, self._note),
                (evt.EVT_C_STORE, lambda _: self.status),
            ],
        )
        self.port = int(self._server.server_address[1])

    def _note(self, event: evt.Event) -> None:
        requestor = event.assoc.requestor
        contexts = requestor.requested_contexts
        self.callers.add(
            (str(requestor.implementation_class_uid), str(requestor.implementation_version_name))
        )
        self.extended += [*requestor.role_selection, *requestor.sop_class_extended]
        if requestor.asynchronous_operations != (1, 1):
            self.extended.append(requestor.asynchronous_operations)
        self.proposed.append(
            (
                str(contexts[0].abstract_syntax),
                [str(each.transfer_syntax[0]) for each in contexts],
            )
        )
        assert {each.abstract_syntax for each in contexts} == {contexts[0].abstract_syntax}
        assert {len(each.transfer_syntax) for each in contexts} == {1}

    def scu(self, compression: Compression = Compression.NONE) -> StorageScu:
        return StorageScu(
            calling_ae="CARDIONODE",
            called_ae="PACS",
            host="127.0.0.1",
            port=self.port,
            compression=compression,
        )

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def pacs() -> Iterator[RecordingPacs]:
    recording = RecordingPacs()
    yield recording
    recording.stop()


@pytest.fixture(scope="module")
def one_of_each() -> dict[str, bytes]:
    """An object of each SOP class that results have."""
    made = [
        result
        for cine, report in zip(CINE_CLASSES, REPORT_CLASSES, strict=True)
        for result in composed(ResultForm(cine=cine, report=report))
    ]
    document = build_pdf(
        prediction(),
        ecg_head(),
        np.zeros((*PDF_STRIP_SIZE[::-1], 3), np.uint8),
        sop_instance_uid="2.25.1",
        series_instance_uid="2.25.2",
        templates=load_templates(),
    )
    made.append(rejection_note(source_of(ecg_head())))
    return {each.sop_class_uid: each.content for each in made} | {dimse.ENCAPSULATED_PDF: document}


@pytest.mark.parametrize("compression", Compression)
def test_senders_propose_what_the_statement_lists(
    compression: Compression, pacs: RecordingPacs, one_of_each: dict[str, bytes]
) -> None:
    assert set(one_of_each) == set(dimse.RESULT_STORAGE)
    for content in one_of_each.values():
        pacs.scu(compression).send(content)
    (rows,) = tables(default_statement(), "4.2.1.3.1.2")
    stated: dict[str, list[str]] = {}
    for row in rows:
        where = row["Proposed where"]
        if where in ("always", f"compression = {compression.value}"):
            stated.setdefault(row["Abstract Syntax UID"], []).append(row["Transfer Syntax UID"])
    assert dict(pacs.proposed) == stated
    assert len(pacs.proposed) == len(one_of_each)  # one association, one C-STORE
    (implementation,) = tables(default_statement(), "4.2.1.2.4")
    assert pacs.callers == {tuple(row["Value"] for row in implementation)}
    assert pacs.extended == []


@pytest.mark.parametrize("compression", [Compression.NONE, Compression.RLE])
def test_an_ecg_is_proposed_in_the_transfer_syntax_it_came_in(
    compression: Compression, pacs: RecordingPacs
) -> None:
    stated = {
        (row["Abstract Syntax UID"], row["Transfer Syntax UID"])
        for row in tables(default_statement(), "4.2.1.3.1.2")[0]
        if row["Proposed where"].startswith("an ECG came in it")
    }
    for sop_class in dimse.ECG_STORAGE:
        ecg = instance(twelve_leads(), sop_class_uid=sop_class)
        for syntax in dimse.RECEIVED_TRANSFER_SYNTAXES:
            pacs.scu(compression).send(part10(ecg, syntax))
    assert {(uid, syntax) for uid, syntaxes in pacs.proposed for syntax in syntaxes} == stated
    assert {len(syntaxes) for _, syntaxes in pacs.proposed} == {1}


def test_requests_for_commitment_orders_and_verification_propose_what_the_statement_lists(
    pacs: RecordingPacs,
) -> None:
    pacs.scu().echo()
    service = CommitmentService(take=lambda *_: None, report=lambda *_, **__: None)
    with (
        pytest.raises(CardioNodeError),
        CommitmentScu(pacs.scu(), service).asked("1.2.3", [(dimse.ENHANCED_SR, "2.25.1")]),
    ):
        pass  # it takes the association, and no N-ACTION
    WorklistScu(pacs.scu()).probe()
    sections = ("4.2.1.3.2.2", "4.2.1.3.3.2", "4.2.1.3.4.2")
    assert dict(pacs.proposed) == stated_contexts(*sections)


# ------------------------------------------------------------------------ what answers mean


def ends_of(code: str) -> list[int]:
    """A status, or both ends of a range; for "any other" some that no row names."""
    if code == "any other":
        return [0x0105, 0x0106, 0xD000]
    return [int(part, 16) for part in code.split("-")]


def kind_after(act: Callable[[], None]) -> Kind | None:
    try:
        act()
    except CardioNodeError as error:
        return error.kind
    return None


def test_each_response_to_a_store_has_the_behaviour_of_its_row(
    pacs: RecordingPacs, one_of_each: dict[str, bytes]
) -> None:
    report = one_of_each[dimse.ENHANCED_SR]
    responses, _ = tables(default_statement(), "4.2.1.3.1.3")
    assert len(responses) > 10
    for row in responses:
        for status in ends_of(row["Error Code"]):
            pacs.status = status
            kind = kind_after(lambda: pacs.scu().send(report))
            assert kind is KINDS[row["Behavior"]], (row, hex(status))


def test_each_failure_of_communication_has_the_behaviour_of_its_row(
    one_of_each: dict[str, bytes],
) -> None:
    report = one_of_each[dimse.ENHANCED_SR]

    def send(port: int) -> Kind | None:
        scu = StorageScu(
            calling_ae="CARDIONODE", called_ae="PACS", host="127.0.0.1", port=port,
            connect_timeout_s=2, answer_timeout_s=2,
        )  # fmt: skip
        return kind_after(lambda: scu.send(report))

    with socket.create_server(("127.0.0.1", 0)) as unused:
        nobody = unused.getsockname()[1]
    met = [send(nobody)]
    for supported, handlers in (
        (dimse.ENHANCED_SR, [(evt.EVT_C_STORE, lambda event: event.assoc.abort() or 0)]),
        (dimse.ENHANCED_SR, None),
        (dimse.VERIFICATION, []),
    ):
        ae = AE(ae_title="PACS")
        ae.require_called_aet = True
        if handlers is None:
            ae.require_calling_aet = ["SOMEONE"]
        ae.add_supported_context(supported)
        server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers or [])
        try:
            met.append(send(int(server.server_address[1])))
        finally:
            server.shutdown()
            server.server_close()
    _, rows = tables(default_statement(), "4.2.1.3.1.3")
    assert met == [KINDS[row["Behavior"]] for row in rows]


def test_each_response_to_a_request_for_commitment_has_the_behaviour_of_its_row() -> None:
    committing = CommittingPacs()
    committing.on_request = lambda *_: None
    port = committing.start()
    scu = StorageScu(calling_ae="CARDIONODE", called_ae="PACS", host="127.0.0.1", port=port)
    service = CommitmentService(take=lambda *_: None, report=lambda *_, **__: None)

    def ask() -> None:
        asker = CommitmentScu(scu, service, linger_s=0)
        with asker.asked("1.2.3", [(dimse.ENHANCED_SR, "2.25.1")]):
            pass

    try:
        responses, _ = tables(default_statement(), "4.2.1.3.2.3")
        for row in responses:
            for status in ends_of(row["Error Code"]):
                committing.status = status
                assert kind_after(ask) is KINDS[row["Behavior"]], (row, hex(status))
    finally:
        committing.stop()


def test_each_failure_reason_of_a_report_has_the_behaviour_of_its_row() -> None:
    _, reasons = tables(default_statement(), "4.2.1.3.2.3")
    for row in reasons:
        code = row["Failure Reason"]
        for reason in [0x0999] if code == "any other" else ends_of(code):
            information = event_information("1.2.3", [], [(dimse.ENHANCED_SR, "2.25.1", reason)])
            buffer = io.BytesIO()
            information.save_as(buffer, implicit_vr=False, little_endian=True)
            report = read_report(buffer.getvalue(), raw.EXPLICIT)
            assert report.failed["2.25.1"].kind is KINDS[row["Behavior"]], row
