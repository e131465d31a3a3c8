"""Section 4.4: local and remote AE titles and addresses, and what can be configured."""

from __future__ import annotations

from collections.abc import Iterator

from pynetdicom import AE

from node.conformance.manuscript import Manuscript
from node.conformance.subject import Subject
from node.dicom.scu import ANSWER_TIMEOUT_S, CONNECT_TIMEOUT_S
from node.settings import (
    MESSAGE_DESTINATIONS,
    DestinationSettings,
    DicomDestinationSettings,
    DicomSettings,
    Hl7DestinationSettings,
)


def write_configuration(manuscript: Manuscript, subject: Subject) -> None:
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
                ("An ECG without an order", subject.settings.orders.unmatched),
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
    destination: DestinationSettings,
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
        yield "TLS", "yes" if destination.tls else "no"
    if isinstance(destination, MESSAGE_DESTINATIONS):
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
