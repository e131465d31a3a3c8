"""PDUs and command sets against pynetdicom, the second implementation, and against garbage."""

from __future__ import annotations

import contextlib
from io import BytesIO

from hypothesis import given, settings
from hypothesis import strategies as st
from pynetdicom import build_context
from pynetdicom.dimse_messages import C_STORE_RQ, C_STORE_RSP
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import decode
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ, P_DATA_TF
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)

from node.dicom.associate_pdu import Roles, decode_request, encode_accept
from node.dicom.command_set import Command, CommandField, decode_command, encode_response
from node.dicom.negotiation import ae_title, agree
from node.dicom.part10 import IMPLEMENTATION_CLASS_UID
from node.dicom.pdu import (
    AbortReason,
    ProtocolViolation,
    decode_data,
    encode_abort,
    encode_command,
    encode_reject,
    printable,
)
from node.domain.caller import Permission

ECG = "1.2.840.10008.5.1.4.1.1.9.1.1"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
UIDS = st.from_regex(r"[12](\.(0|[1-9][0-9]{0,5})){1,8}", fullmatch=True)
AE_TITLES = st.from_regex(r"[!-\[\]-~]{1,16}", fullmatch=True)
STATUSES = st.integers(0, 0xFFFF)


def proposal(
    called: str, calling: str, offers: list[tuple[str, list[str]]], maximum_length: int
) -> bytes:
    """A request of pynetdicom's, without the PDU's header."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.called_ae_title, primitive.calling_ae_title = called, calling
    length = MaximumLengthNotification()
    length.maximum_length_received = maximum_length
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = "1.2.3"
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid, role.scu_role, role.scp_role = ECG, True, True
    primitive.user_information = [length, implementation, role]
    contexts = []
    for number, (abstract_syntax, transfer_syntaxes) in enumerate(offers):
        offer = build_context(abstract_syntax, transfer_syntaxes)
        offer.context_id = 2 * number + 1
        contexts.append(offer)
    primitive.presentation_context_definition_list = contexts
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return bytes(pdu.encode()[6:])


@settings(max_examples=30, deadline=None)
@given(
    AE_TITLES,
    AE_TITLES,
    st.lists(
        st.tuples(UIDS, st.lists(UIDS, min_size=1, max_size=4, unique=True)),
        min_size=1,
        max_size=10,
    ),
    st.integers(8, 0xFFFFFFFF),
)
def test_a_request_of_pynetdicom_is_read_as_it_was_meant(
    called: str, calling: str, offers: list[tuple[str, list[str]]], maximum_length: int
) -> None:
    request = decode_request(memoryview(proposal(called, calling, offers, maximum_length)))
    assert (ae_title(request.called_ae), ae_title(request.calling_ae)) == (called, calling)
    assert request.application_context_name == "1.2.840.10008.3.1.1.1"
    assert request.protocol_version == 1
    assert request.maximum_length == maximum_length
    assert [
        (each.context_id, each.abstract_syntax, list(each.transfer_syntaxes))
        for each in request.contexts
    ] == [(2 * number + 1, *offer) for number, offer in enumerate(offers)]
    assert request.roles == {ECG: Roles(scu=True, scp=True)}


def test_a_request_may_hold_as_many_contexts_as_there_are_ids() -> None:
    offers = [(ECG, [IMPLICIT, EXPLICIT])] * 128
    request = decode_request(memoryview(proposal("CARDIONODE", "CART", offers, 16384)))
    assert [each.context_id for each in request.contexts] == list(range(1, 256, 2))


def test_pynetdicom_reads_our_acceptance() -> None:
    offers = [(ECG, [IMPLICIT, EXPLICIT]), ("1.2.840.10008.5.1.4.1.1.2", [IMPLICIT])]
    request = decode_request(memoryview(proposal("CARDIONODE", "CART", offers, 16384)))
    agreement = agree(request, frozenset(Permission))
    pdu = A_ASSOCIATE_AC()
    pdu.decode(encode_accept(request, agreement.results, agreement.roles, 131072))
    read = pdu.to_primitive()
    accepted, refused = read.presentation_context_definition_results_list
    assert (accepted.context_id, accepted.result) == (1, 0)
    assert accepted.transfer_syntax == [EXPLICIT]
    assert (refused.context_id, refused.result) == (3, 3)
    assert read.maximum_length_received == 131072
    assert read.implementation_class_uid == IMPLEMENTATION_CLASS_UID
    assert (pdu.called_ae_title, pdu.calling_ae_title) == ("CARDIONODE", "CART")


def test_pynetdicom_reads_our_rejections_and_aborts() -> None:
    rejection = A_ASSOCIATE_RJ()
    rejection.decode(encode_reject(2, 3, 2))
    assert (rejection.result, rejection.source, rejection.reason_diagnostic) == (2, 3, 2)
    for reason in AbortReason:
        abort = A_ABORT_RQ()
        abort.decode(encode_abort(reason))
        assert (abort.source, abort.reason_diagnostic) == (2, reason)
    abort.decode(encode_abort(None))
    assert (abort.source, abort.reason_diagnostic) == (0, 0)


@settings(deadline=None)
@given(UIDS, st.integers(0, 0xFFFF), st.integers(1, 400))
def test_a_store_request_of_pynetdicom_is_read_fragment_by_fragment(
    sop_instance_uid: str, message_id: int, largest: int
) -> None:
    primitive = C_STORE()
    primitive.MessageID = message_id
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = ECG, sop_instance_uid
    primitive.Priority, primitive.DataSet = 2, BytesIO(b"data")
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    encoded = b""
    for each in message.encode_msg(5, 6 + largest):
        pdu = P_DATA_TF()
        pdu.from_primitive(each)
        for value in decode_data(memoryview(pdu.encode()[6:])):
            assert value.context_id == 5
            if value.is_command:
                encoded += value.fragment
    assert decode_command(encoded) == Command(
        field=CommandField.C_STORE,
        message_id=message_id,
        has_data_set=True,
        affected_sop_class_uid=ECG.encode(),
        affected_sop_instance_uid=sop_instance_uid.encode(),
    )


@settings(deadline=None)
@given(UIDS, st.integers(0, 0xFFFF), STATUSES, st.integers(8, 300))
def test_pynetdicom_reads_our_response_whatever_length_it_takes(
    sop_instance_uid: str, message_id: int, status: int, maximum_length: int
) -> None:
    command = Command(field=CommandField.C_STORE, message_id=message_id, has_data_set=True)
    response = encode_response(
        command, status, sop_class_uid=ECG, sop_instance_uid=sop_instance_uid
    )
    rest, message = encode_command(7, response, maximum_length), C_STORE_RSP()
    is_whole = False
    while rest:
        length = 6 + int.from_bytes(rest[2:6], "big")
        assert length - 6 <= maximum_length
        pdu = P_DATA_TF()
        pdu.decode(rest[:length])
        is_whole = message.decode_msg(pdu.to_primitive())
        rest = rest[length:]
    assert is_whole
    read = decode(BytesIO(response), True, True)
    assert read.CommandGroupLength == len(response) - 12
    assert (read.AffectedSOPClassUID, read.AffectedSOPInstanceUID) == (ECG, sop_instance_uid)
    assert (read.MessageIDBeingRespondedTo, read.Status) == (message_id, status)
    assert (read.CommandField, read.CommandDataSetType) == (0x8001, 0x0101)


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_garbage_is_a_violation_and_nothing_else(garbage: bytes) -> None:
    with contextlib.suppress(ProtocolViolation):
        decode_request(memoryview(garbage))
    with contextlib.suppress(ProtocolViolation):
        decode_request(memoryview(bytes(68) + garbage))
    with contextlib.suppress(ProtocolViolation):
        assert sum(6 + len(each.fragment) for each in decode_data(memoryview(garbage)))
    with contextlib.suppress(ProtocolViolation):
        decode_command(garbage)


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_whatever_is_shown_can_be_printed_and_is_short(raw: bytes) -> None:
    shown = printable(raw)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= 64
