"""Section 4: what is said on the network, by whom, to whom, and what each answer means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from node.conformance.configuration import write_configuration
from node.conformance.manuscript import Manuscript
from node.conformance.subject import Subject, hexadecimal, name_of
from node.conformance.wire_tables import (
    ANSWER,
    CONTEXT,
    RESPONSE,
    accepted,
    answer_rows,
    failure_reason_rows,
    failure_rows,
    proposed,
    proposed_storage,
    response_rows,
    worklist_response_rows,
    worklist_rows,
)
from node.dicom import (
    commitment,
    commitment_service,
    dimse,
    service,
    storage_service,
    stow_service,
)
from node.dicom.associate_pdu import APPLICATION_CONTEXT_NAME
from node.dicom.cine import CINE_CLASSES
from node.dicom.negotiation import CONTEXT_REFUSALS, Rejection
from node.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.dicom.structured_report import REPORT_CLASSES
from node.domain.delivery import ResultKind
from node.engine.dispatch import COMMITMENTS_AT_ONCE, DICOM_DELIVERIES_AT_ONCE

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
    write_configuration(manuscript, subject)


def services(subject: Subject) -> Iterator[tuple[str, str, str, str, str]]:
    """Category, SOP class, UID, as SCU, as SCP."""
    chosen = [
        *((uid, subject.sends(ResultKind.CINE, form)) for form, uid in CINE_CLASSES.items()),
        (dimse.SECONDARY_CAPTURE, subject.sends(ResultKind.SUMMARY)),
        *((uid, subject.sends(ResultKind.REPORT, form)) for form, uid in REPORT_CLASSES.items()),
        (dimse.ENCAPSULATED_PDF, subject.sends(ResultKind.PDF)),
        (dimse.KEY_OBJECT_SELECTION, bool(subject.dicom_destinations)),
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
    manuscript.table((*CONTEXT, "Proposed where"), proposed_storage())
    manuscript.paragraph(claim["send_contexts"])
    manuscript.heading(6, "SOP Specific Conformance for SOP Class(es)")
    manuscript.paragraph(claim["send_conformance"])
    manuscript.table(RESPONSE, response_rows(dimse.STORE_RESPONSES, "delivered"))
    manuscript.table(("Exception", "Behavior"), failure_rows())
    manuscript.paragraph(claim["send_failures"])

    manuscript.heading(5, 'Activity "Ask for commitment"')
    manuscript.heading(6, "Description and Sequencing of Activities")
    manuscript.paragraph(claim["commitment_description"])
    manuscript.heading(6, "Proposed Presentation Contexts")
    manuscript.table(CONTEXT, proposed(dimse.STORAGE_COMMITMENT))
    manuscript.heading(6, "SOP Specific Conformance for SOP Class(es)")
    manuscript.table(RESPONSE, response_rows(commitment.RESPONSES, "its report is awaited"))
    manuscript.paragraph(claim["commitment_conformance"])
    manuscript.table(("Failure Reason", "Meaning", "Behavior"), failure_reason_rows())

    manuscript.heading(5, 'Activity "Ask for orders"')
    manuscript.heading(6, "Description and Sequencing of Activities")
    manuscript.paragraph(claim["worklist_description"])
    manuscript.heading(6, "Proposed Presentation Contexts")
    manuscript.table(CONTEXT, proposed(dimse.MODALITY_WORKLIST))
    manuscript.heading(6, "SOP Specific Conformance for SOP Class(es)")
    manuscript.table(("Attribute", "Tag", "Matching key", "Used"), worklist_rows(subject))
    manuscript.table(RESPONSE, worklist_response_rows())
    manuscript.paragraph(claim["worklist_conformance"])

    manuscript.heading(5, 'Activity "Verify"')
    manuscript.heading(6, "Description and Sequencing of Activities")
    manuscript.paragraph(claim["verify_description"])
    manuscript.heading(6, "Proposed Presentation Contexts")
    manuscript.table(CONTEXT, proposed(dimse.VERIFICATION))
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
        manuscript.table(CONTEXT, accepted(classes))
        manuscript.paragraph(claim[contexts])
        manuscript.heading(6, "SOP Specific Conformance for SOP Class(es)")
        manuscript.table(ANSWER, answer_rows(answers))
        manuscript.paragraph(claim[conforming])
    manuscript.heading(5, 'Activity "Answer verification"')
    manuscript.heading(6, "Description and Sequencing of Activities")
    manuscript.paragraph(claim["verification_description"])
    manuscript.heading(6, "Accepted Presentation Contexts")
    manuscript.table(CONTEXT, accepted((dimse.VERIFICATION,)))
    manuscript.heading(6, "SOP Specific Conformance for SOP Class(es)")
    verified = {
        dimse.SUCCESS: "C-ECHO of any other caller",
        service.UNRECOGNIZED_OPERATION: "an operation that the context is not for",
        dimse.NOT_AUTHORISED: "C-ECHO of a caller that no entry of dicom.peers lets echo",
    }
    manuscript.table(ANSWER, answer_rows(verified))


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
