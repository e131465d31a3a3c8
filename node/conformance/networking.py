"""Section 4: what is said on the network, by whom, to whom, and what each answer means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydicom.datadict import tag_for_keyword
from pynetdicom import AE

from node.conformance.manuscript import Manuscript
from node.conformance.subject import Subject, hexadecimal, name_of
from node.dicom import (
    commitment,
    commitment_service,
    dimse,
    service,
    storage_service,
    stow_service,
    worklist,
)
from node.dicom.associate_pdu import APPLICATION_CONTEXT_NAME
from node.dicom.cine import CINE_CLASSES
from node.dicom.commitment_report import FAILURE_REASONS
from node.dicom.iod import modules
from node.dicom.negotiation import AS_SCU, CONTEXT_REFUSALS, SUPPORTED, Rejection
from node.dicom.part10 import (
    EXPLICIT_LITTLE,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
)
from node.dicom.response_status import ResponseStatus
from node.dicom.scu import ANSWER_TIMEOUT_S, CONNECT_TIMEOUT_S, PROPOSED, storage_syntaxes
from node.dicom.structured_report import REPORT_CLASSES
from node.domain.delivery import ResultKind
from node.domain.errors import DeliveryError, Kind, Unanswered, Unreachable
from node.domain.form import Compression
from node.engine.runner import COMMITMENTS_AT_ONCE, DICOM_DELIVERIES_AT_ONCE
from node.settings import (
    DicomDestinationSettings,
    DicomSettings,
    DicomWebDestinationSettings,
    Hl7DestinationSettings,
)

_CONTEXT: Final = (
    "Abstract Syntax Name", "Abstract Syntax UID", "Transfer Syntax Name", "Transfer Syntax UID",
    "Role", "Ext. Neg.",
)  # fmt: skip
_RESPONSE: Final = ("Service Status", "Further Meaning", "Error Code", "Behavior")
_ANSWER: Final = ("Service Status", "Further Meaning", "Error Code", "Reason")
_BEHAVIOUR: Final = {
    Kind.TRANSIENT: "tried again later",
    Kind.AMBIGUOUS: "sent again as it is",
    Kind.PERMANENT: "stops and waits for a person",
}
_UNASKED: Final = {
    _BEHAVIOUR[Kind.TRANSIENT]: "asked again until `patience_s` is over, then done without",
    _BEHAVIOUR[Kind.PERMANENT]: "done without",
}
_DRAWING: Final = """
                                 +----------------------------------+
  Receive ECGs                   |                                  |   Send results
  electrocardiograph, PACS  ---->|          CardioNode AE           |----> PACS, archive
                   C-STORE       |                                  |   C-STORE
                                 |   keep - judge - estimate -      |
  Report commitment              |   compose - deliver              |   Ask for commitment
  PACS, archive             ---->|                                  |----> PACS, archive
            N-EVENT-REPORT       |                                  |   N-ACTION
  Hold orders                    |                                  |   Ask for orders
  RIS, worklist                  |                                  |----> RIS, worklist
                                 |                                  |   C-FIND
                                 +----------------------------------+
                                        ^                    |
                    Verify: C-ECHO      |                    v      Verify: C-ECHO
"""


def write_networking(manuscript: Manuscript, subject: Subject) -> None:
    """Section 4 whole."""
    manuscript.heading(1, "Networking")
    _write_model(manuscript, subject)
    manuscript.heading(2, "AE Specifications")
    _write_application_entity(manuscript, subject)
    _write_web_services(manuscript, subject)
    _write_interfaces(manuscript, subject)
    _write_configuration(manuscript, subject)


def services(subject: Subject) -> Iterator[tuple[str, str, str, str, str]]:
    """Category, SOP class, UID, as SCU, as SCP."""
    chosen = [
        *((uid, subject.sends(ResultKind.CINE, form)) for form, uid in CINE_CLASSES.items()),
        (dimse.SECONDARY_CAPTURE, subject.sends(ResultKind.SUMMARY)),
        *((uid, subject.sends(ResultKind.REPORT, form)) for form, uid in REPORT_CLASSES.items()),
        (dimse.ENCAPSULATED_PDF, subject.sends(ResultKind.PDF)),
    ]
    passed_on = "Yes" if subject.sends(ResultKind.ECG) else "Option"
    for uid in dimse.ECG_STORAGE:
        yield "Transfer", name_of(uid), uid, passed_on, "Yes"
    for uid in dimse.RESULT_STORAGE:
        sent = any(is_sent for named, is_sent in chosen if named == uid)
        yield "Transfer", name_of(uid), uid, "Yes" if sent else "Option", "No"
    committed = any(each.commitment for each in subject.dicom_destinations.values())
    push = dimse.STORAGE_COMMITMENT
    yield "Workflow Management", name_of(push), push, "Yes" if committed else "Option", "No"
    orders = dimse.MODALITY_WORKLIST
    asked = "Yes" if subject.settings.worklist is not None else "Option"
    yield "Workflow Management", name_of(orders), orders, asked, "No"


def _write_model(manuscript: Manuscript, subject: Subject) -> None:
    claim = subject.prose.claim
    manuscript.heading(2, "Implementation Model")
    manuscript.heading(3, "Application Data Flow")
    manuscript.picture(_DRAWING.strip("\n"))
    manuscript.paragraph(subject.prose.introduction["application_entity"])
    manuscript.heading(3, "Functional Definition of AEs")
    manuscript.heading(4, 'Functional Definition of "CardioNode AE"')
    manuscript.paragraph(claim["functional_definition"])
    manuscript.heading(3, "Sequencing of Real World Activities")
    manuscript.paragraph(claim["sequencing"])


def _write_application_entity(manuscript: Manuscript, subject: Subject) -> None:
    claim, dicom = subject.prose.claim, subject.settings.dicom
    manuscript.heading(3, '"CardioNode AE"')
    manuscript.heading(4, "SOP Classes")
    manuscript.paragraph(
        "This Application Entity provides Standard Conformance to the following SOP Class(es):"
    )
    classes = [
        (dimse.VERIFICATION, "Yes", "Yes"),
        *((uid, scu, scp) for _, _, uid, scu, scp in services(subject)),
    ]
    manuscript.table(
        ("SOP Class Name", "SOP Class UID", "SCU", "SCP"),
        ((name_of(uid), uid, scu, scp) for uid, scu, scp in classes),
    )
    manuscript.heading(4, "Association Policies")
    manuscript.heading(5, "General")
    manuscript.table(("Application Context Name", "UID"), [("DICOM", APPLICATION_CONTEXT_NAME)])
    manuscript.heading(5, "Number of Associations")
    manuscript.table(
        ("As", "Maximum number of simultaneous associations"),
        [
            ("Acceptor", str(dicom.maximum_associations)),
            ("Initiator, results, of one destination", str(DICOM_DELIVERIES_AT_ONCE)),
            ("Initiator, Storage Commitment, of one destination", str(COMMITMENTS_AT_ONCE)),
            ("Initiator, Modality Worklist", str(subject.settings.model.at_once)),
        ],
    )
    manuscript.paragraph(claim["number_acceptor"])
    manuscript.paragraph(claim["number_initiator"])
    manuscript.heading(5, "Asynchronous Nature")
    manuscript.table(("Maximum number of outstanding asynchronous transactions",), [("1",)])
    manuscript.paragraph(claim["asynchronous"])
    manuscript.heading(5, "Implementation Identifying Information")
    manuscript.table(
        ("Implementation", "Value"),
        [
            ("Implementation Class UID", IMPLEMENTATION_CLASS_UID),
            ("Implementation Version Name", IMPLEMENTATION_VERSION_NAME),
        ],
    )
    manuscript.paragraph(claim["implementation"])
    _write_initiation(manuscript, subject)
    _write_acceptance(manuscript, subject)


def _write_initiation(manuscript: Manuscript, subject: Subject) -> None:
    claim, introduction = subject.prose.claim, subject.prose.introduction
    manuscript.heading(4, "Association Initiation Policy")
    manuscript.heading(5, 'Activity "Send results"')
    manuscript.heading(6, "Description and Sequencing of Activities")
    manuscript.paragraph(claim["send_description"])
    manuscript.heading(6, "Proposed Presentation Contexts")
    manuscript.paragraph(introduction["context_columns"])
    manuscript.table((*_CONTEXT, "Proposed where"), _proposed_storage())
    manuscript.paragraph(claim["send_contexts"])
    manuscript.heading(6, "SOP Specific Conformance for SOP Class(es)")
    manuscript.paragraph(claim["send_conformance"])
    manuscript.table(_RESPONSE, _response_rows(dimse.STORE_RESPONSES, "delivered"))
    manuscript.table(("Exception", "Behavior"), _failure_rows())
    manuscript.paragraph(claim["send_failures"])

    manuscript.heading(5, 'Activity "Ask for commitment"')
    manuscript.heading(6, "Description and Sequencing of Activities")
    manuscript.paragraph(claim["commitment_description"])
    manuscript.heading(6, "Proposed Presentation Contexts")
    manuscript.table(_CONTEXT, _proposed(dimse.STORAGE_COMMITMENT))
    manuscript.heading(6, "SOP Specific Conformance for SOP Class(es)")
    manuscript.table(_RESPONSE, _response_rows(commitment.RESPONSES, "its report is awaited"))
    manuscript.paragraph(claim["commitment_conformance"])
    manuscript.table(("Failure Reason", "Meaning", "Behavior"), _failure_reason_rows())

    manuscript.heading(5, 'Activity "Ask for orders"')
    manuscript.heading(6, "Description and Sequencing of Activities")
    manuscript.paragraph(claim["worklist_description"])
    manuscript.heading(6, "Proposed Presentation Contexts")
    manuscript.table(_CONTEXT, _proposed(dimse.MODALITY_WORKLIST))
    manuscript.heading(6, "SOP Specific Conformance for SOP Class(es)")
    manuscript.table(("Attribute", "Tag", "Matching key", "Used"), _worklist_rows(subject))
    manuscript.table(_RESPONSE, _worklist_response_rows())
    manuscript.paragraph(claim["worklist_conformance"])

    manuscript.heading(5, 'Activity "Verify"')
    manuscript.heading(6, "Description and Sequencing of Activities")
    manuscript.paragraph(claim["verify_description"])
    manuscript.heading(6, "Proposed Presentation Contexts")
    manuscript.table(_CONTEXT, _proposed(dimse.VERIFICATION))
    manuscript.heading(6, "SOP Specific Conformance for SOP Class(es)")
    manuscript.paragraph("Standard conformance: success (0000) verifies, anything else does not.")


def _write_acceptance(manuscript: Manuscript, subject: Subject) -> None:
    claim = subject.prose.claim
    manuscript.heading(4, "Association Acceptance Policy")
    manuscript.paragraph(claim["association_rejections"])
    manuscript.table(
        ("Result", "Source", "Reason", "Meaning"),
        ((*map(str, each.answer), each.explanation) for each in Rejection),
    )
    manuscript.paragraph(claim["context_refusals"])
    manuscript.table(
        ("Result", "Meaning"),
        ((str(result), meaning) for result, meaning in CONTEXT_REFUSALS.items()),
    )
    for activity, described, contexts, conforming, classes, answers in (
        (
            "Receive ECGs", "receive_description", "receive_contexts", "receive_conformance",
            dimse.ECG_STORAGE, storage_service.ANSWERS,
        ),
        (
            "Take reports of commitment", "report_description", "report_contexts",
            "report_conformance", (dimse.STORAGE_COMMITMENT,), commitment_service.ANSWERS,
        ),
    ):  # fmt: skip
        manuscript.heading(5, f'Activity "{activity}"')
        manuscript.heading(6, "Description and Sequencing of Activities")
        manuscript.paragraph(claim[described])
        manuscript.heading(6, "Accepted Presentation Contexts")
        manuscript.table(_CONTEXT, _accepted(classes))
        manuscript.paragraph(claim[contexts])
        manuscript.heading(6, "SOP Specific Conformance for SOP Class(es)")
        manuscript.table(_ANSWER, _answer_rows(answers))
        manuscript.paragraph(claim[conforming])
    manuscript.heading(5, 'Activity "Answer verification"')
    manuscript.heading(6, "Description and Sequencing of Activities")
    manuscript.paragraph(claim["verification_description"])
    manuscript.heading(6, "Accepted Presentation Contexts")
    manuscript.table(_CONTEXT, _accepted((dimse.VERIFICATION,)))
    manuscript.heading(6, "SOP Specific Conformance for SOP Class(es)")
    verified = {
        dimse.SUCCESS: "C-ECHO of any other caller",
        service.UNRECOGNIZED_OPERATION: "an operation that the context is not for",
        dimse.NOT_AUTHORISED: "C-ECHO of a caller that no entry of dicom.peers lets echo",
    }
    manuscript.table(_ANSWER, _answer_rows(verified))


def _write_web_services(manuscript: Manuscript, subject: Subject) -> None:
    claim = subject.prose.claim
    manuscript.heading(3, '"CardioNode web services"')
    manuscript.heading(4, "Retired")
    manuscript.paragraph("See PS3.2-2017b.")
    manuscript.heading(4, "WADO-URI Specifications")
    manuscript.paragraph("None.")
    manuscript.heading(4, "RESTful Services Specifications")
    stow = subject.settings.web.stow
    state = "is on" if stow.enabled else "is off (`web.stow.enabled`)"
    manuscript.paragraph(f"In this configuration the origin server {state}.")
    manuscript.table(
        ("Service", "User Agent", "Origin Server"),
        [
            (
                "Store Transaction (STOW-RS)",
                "Yes" if subject.has_web_destination else "Option",
                "Yes" if stow.enabled else "Option",
            ),
            ("Any other", "No", "No"),
        ],
    )
    manuscript.paragraph(claim["stow_in"])
    manuscript.table(
        ("Failure Reason (0008,1197)", "When"),
        ((hexadecimal(code), when) for code, when in stow_service.FAILURE_REASONS.items()),
    )
    manuscript.paragraph(claim["stow_out"])


def _write_interfaces(manuscript: Manuscript, subject: Subject) -> None:
    claim = subject.prose.claim
    manuscript.heading(2, "Network Interfaces")
    manuscript.heading(3, "Physical Network Interface")
    manuscript.paragraph(subject.prose.introduction["physical"])
    manuscript.heading(3, "Additional Protocols")
    manuscript.paragraph(subject.prose.introduction["additional_protocols"])
    manuscript.heading(3, "IPv4 and IPv6 Support")
    manuscript.paragraph(claim["ip_versions"])


def _write_configuration(manuscript: Manuscript, subject: Subject) -> None:
    dicom = subject.settings.dicom
    manuscript.heading(2, "Configuration")
    manuscript.heading(3, "AE Title/Presentation Address Mapping")
    manuscript.paragraph(subject.prose.introduction["address_mapping"])
    manuscript.heading(4, "Local AE Titles")
    manuscript.table(
        ("Application Entity", "AE Title", "TCP/IP Port", "TCP/IP Port with TLS"),
        (
            ("CardioNode AE", title, _port(dicom.port), _port(dicom.tls_port))
            for title in dicom.ae_titles
        ),
    )
    manuscript.heading(4, "Remote AE Title/Presentation Address Mapping")
    manuscript.paragraph("Who may call:")
    manuscript.table(
        ("Calling AE Title", "Called AE Title", "Networks", "Certificate", "May"),
        (
            (
                peer.ae_title,
                peer.called_ae,
                ", ".join(map(str, peer.networks)),
                peer.certificate or "any",
                ", ".join(each.value for each in peer.may),
            )
            for peer in dicom.peers
        ),
    )
    asked = subject.settings.worklist
    if asked is not None:
        manuscript.heading(5, "Remote SCP of the worklist")
        manuscript.table(
            ("Parameter", "Value"),
            [
                ("Address", f"{asked.host}:{asked.port}"),
                ("Called AE title", asked.ae_title),
                ("Calling AE title", asked.calling_ae or subject.ae_title),
                ("TLS", "yes" if asked.tls else "no"),
                ("Asked by", asked.ask_by.value),
                ("An ECG without an order", asked.unmatched),
                ("Waited for, s", f"{asked.patience_s:g}"),
                ("Time-out for a TCP/IP connection, s", f"{asked.connect_timeout_s:g}"),
                ("Time-out for a response, s", f"{asked.answer_timeout_s:g}"),
            ],
        )
    if not subject.settings.destinations:
        manuscript.paragraph("There are no destinations in this configuration.")
    for name, each in subject.settings.destinations.items():
        manuscript.heading(5, f'Remote SCP "{name}"')
        manuscript.table(("Parameter", "Value"), _destination_rows(each, subject))
    manuscript.heading(3, "Parameters")
    manuscript.table(
        ("Parameter", "Configurable", "Default Value", "Here"),
        _parameter_rows(subject.default.dicom, dicom),
    )


def _port(port: int | None) -> str:
    return "off" if port is None else str(port)


def _destination_rows(
    destination: DicomDestinationSettings | DicomWebDestinationSettings | Hl7DestinationSettings,
    subject: Subject,
) -> Iterator[tuple[str, str]]:
    """Addresses and choices; no secrets and no paths of files."""
    yield "Protocol", destination.kind
    yield "Address", destination.address
    if isinstance(destination, DicomDestinationSettings):
        yield "Called AE title", destination.ae_title
        yield "Calling AE title", destination.calling_ae or subject.ae_title
        yield "TLS", "yes" if destination.tls else "no"
        yield "Compression", destination.compression.value
        yield "Storage Commitment", "yes" if destination.commitment else "no"
    if isinstance(destination, Hl7DestinationSettings):
        yield "After committed", destination.after_committed or "no"
    else:
        yield "Form of results", str(destination.form)
    yield "First wait after a failure, s", f"{destination.retry_initial_s:g}"
    yield "Longest wait, s", f"{destination.retry_maximum_s:g}"
    yield "Given up after, s", f"{destination.give_up_after_s:g}"


def _parameter_rows(
    default: DicomSettings, here: DicomSettings
) -> Iterator[tuple[str, str, str, str]]:
    fixed = (
        ("Initiator: time-out for a TCP/IP connection, s", f"{CONNECT_TIMEOUT_S:g}"),
        ("Initiator: time-out for an association, a response, and between PDUs, s",
         f"{ANSWER_TIMEOUT_S:g}"),
        ("Initiator: maximum PDU size received", str(AE().maximum_pdu_size)),
        ("Maximum PDU size sent", "that of the peer"),
    )  # fmt: skip
    configurable = {
        "maximum_associations": "Acceptor: associations at one time",
        "maximum_pdu_bytes": "Acceptor: maximum PDU size received",
        "maximum_instance_mb": "Acceptor: largest data set, MB",
        "acse_timeout_s": "Acceptor: time-out from the connection to the whole request, s",
        "dimse_timeout_s": "Acceptor: time-out within a message, s",
        "network_timeout_s": "Acceptor: time-out between messages, s",
    }
    for key, words in configurable.items():
        yield (
            words, f"Yes: dicom.{key}", f"{getattr(default, key):g}", f"{getattr(here, key):g}"
        )  # fmt: skip
    for words, value in fixed:
        yield words, "No", value, value


def _proposed_storage() -> Iterator[tuple[str, ...]]:
    for uid in dimse.RESULT_STORAGE:
        is_image = any(module.name == "image-pixel" for module in modules(uid))
        where: dict[str, list[str]] = {}
        for compression in Compression:
            for syntax in storage_syntaxes(EXPLICIT_LITTLE, compression, is_image=is_image):
                where.setdefault(syntax, []).append(compression.value)
        # What is always proposed stands last: it is what everything else is preferred to.
        last = sorted(where.items(), key=lambda each: len(each[1]) == len(Compression))
        for syntax, choices in last:
            always = len(choices) == len(Compression)
            shown = "always" if always else f"compression = {' or '.join(choices)}"
            yield *_context_row(uid, syntax, "SCU"), shown
    for uid in dimse.ECG_STORAGE:
        for syntax in SUPPORTED[uid]:
            yield *_context_row(uid, syntax, "SCU"), "an ECG came in it and a rule passes it on"


def _worklist_rows(subject: Subject) -> Iterator[tuple[str, ...]]:
    """Keys of the query, and what the answers are read for."""
    keys = set(worklist.KEYS)
    for keyword in (*worklist.RETURNED, *worklist.SEQUENCES):
        tag = tag_for_keyword(keyword) or 0
        used = subject.prose.worklist.get(keyword, "no")
        yield (
            keyword, f"({tag >> 16:04X},{tag & 0xFFFF:04X})",
            "single value" if keyword in keys else "universal", used,
        )  # fmt: skip


def _worklist_response_rows() -> Iterator[tuple[str, ...]]:
    """Nothing waits for a person here: an ECG goes on without its order."""
    for row in _response_rows(worklist.RESPONSES, "read"):
        status, meaning, code, behaviour = row
        yield status, meaning, code, _UNASKED.get(behaviour, behaviour)


def _proposed(uid: str) -> Iterator[tuple[str, ...]]:
    return (_context_row(uid, syntax, "SCU") for syntax in PROPOSED[uid])


def _accepted(classes: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return (
        _context_row(uid, syntax, "SCU" if uid in AS_SCU else "SCP")
        for uid in classes
        for syntax in SUPPORTED[uid]
    )


def _context_row(abstract: str, syntax: str, role: str) -> tuple[str, ...]:
    return name_of(abstract), abstract, name_of(syntax), syntax, role, "None"


def _response_rows(table: Sequence[ResponseStatus], done: str) -> Iterator[tuple[str, ...]]:
    for row in table:
        codes = hexadecimal(row.first)
        if row.last != row.first:
            codes = f"{codes}-{hexadecimal(row.last)}"
        behaviour = done if row.error is None else _BEHAVIOUR[row.error.kind]
        kind = _service_status(row.last)
        yield kind, row.meaning, "any other" if row is table[-1] else codes, behaviour


def _answer_rows(answers: Mapping[int, str]) -> Iterator[tuple[str, ...]]:
    meanings = {
        dimse.SUCCESS: "Success",
        dimse.OUT_OF_RESOURCES: "Out of resources",
        dimse.CANNOT_UNDERSTAND: "Cannot understand",
        dimse.PROCESSING_FAILURE: "Processing failure",
        0x0112: "No such SOP Instance",
        0x0113: "No such event type",
        0x0115: "Invalid argument value",
        0x0117: "Invalid SOP Instance",
        0x0118: "No such SOP Class",
        0x0122: "SOP Class not supported",
        0x0124: "Not authorized",
        0x0211: "Unrecognized operation",
        0x0213: "Resource limitation",
    }
    for status, when in answers.items():
        yield _service_status(status), meanings[status], hexadecimal(status), when


def _service_status(status: int) -> str:
    """Source: DICOM PS3.7 annex C."""
    if status == dimse.SUCCESS:
        return "Success"
    if status in worklist.PENDING:
        return "Pending"
    if status in (0x0001, 0x0107, 0x0116) or 0xB000 <= status <= 0xBFFF:
        return "Warning"
    return "Failure"


def _failure_rows() -> Iterator[tuple[str, str]]:
    exceptions: tuple[tuple[str, type[DeliveryError]], ...] = (
        ("No connection, no TLS, or no association", Unreachable),
        ("Association ended without a response, or none in time", Unanswered),
    )
    for exception, error in exceptions:
        yield exception, _BEHAVIOUR[error.kind]
    yield "Association rejected", _BEHAVIOUR[Kind.TRANSIENT]
    yield "No presentation context accepted", _BEHAVIOUR[Kind.PERMANENT]


def _failure_reason_rows() -> Iterator[tuple[str, str, str]]:
    for reason, (error, words) in FAILURE_REASONS.items():
        resent = error.kind is Kind.TRANSIENT
        behaviour = "sent again and asked for anew" if resent else _BEHAVIOUR[error.kind]
        yield hexadecimal(reason), words, behaviour
    yield "any other", "the peer does not commit itself", "sent again and asked for anew"
