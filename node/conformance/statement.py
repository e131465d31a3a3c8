"""The whole statement, from the cover to the IHE integration statement."""

from __future__ import annotations

from importlib.metadata import version

from node.conformance.annexes import write_annexes
from node.conformance.manuscript import Manuscript
from node.conformance.networking import services, write_networking
from node.conformance.prose import load_prose
from node.conformance.subject import Subject
from node.dicom.template import load_templates
from node.settings import Settings, read_settings


def conformance_statement(settings: Settings, configuration: str) -> str:
    """The statement of a configuration as Markdown; the same input gives the same text.

    configuration: what it is called on the cover. Source: DICOM PS3.2 2020a annex A.
    """
    subject = Subject(
        settings=settings,
        default=read_settings(),
        configuration=configuration,
        version=version("cardionode"),
        templates=load_templates(),
        prose=load_prose(),
    )
    prose = subject.prose
    manuscript = Manuscript(f"{prose.product}: {prose.title}")
    _write_cover(manuscript, subject)
    _write_overview(manuscript, subject)
    manuscript.heading(1, "Table of Contents")
    manuscript.contents()
    _write_introduction(manuscript, subject)
    write_networking(manuscript, subject)
    write_annexes(manuscript, subject)
    _write_integration(manuscript, subject)
    return manuscript.text()


def _write_cover(manuscript: Manuscript, subject: Subject) -> None:
    prose = subject.prose
    manuscript.table(
        ("Cover", ""),
        [
            ("Product", prose.product),
            ("Version", subject.version),
            ("Manufacturer", subject.templates.equipment.manufacturer),
            ("Date", prose.date),
            ("Configuration", subject.configuration),
            ("Layout", prose.template),
        ],
    )
    manuscript.paragraph(prose.introduction["cover"])


def _write_overview(manuscript: Manuscript, subject: Subject) -> None:
    introduction = subject.prose.introduction
    manuscript.heading(1, "Conformance Statement Overview")
    manuscript.paragraph(introduction["overview"])
    manuscript.table(
        ("Category", "SOP Classes", "User of Service (SCU)", "Provider of Service (SCP)"),
        ((category, name, scu, scp) for category, name, _, scu, scp in services(subject)),
    )
    manuscript.paragraph(introduction["overview_legend"])


def _write_introduction(manuscript: Manuscript, subject: Subject) -> None:
    prose = subject.prose
    manuscript.heading(1, "Introduction")
    manuscript.heading(2, "Revision History")
    manuscript.table(
        ("Version", "Date", "Description"),
        ((each.version, each.date, each.description) for each in prose.revision),
    )
    for heading, key in (
        ("Audience", "audience"),
        ("Remarks", "remarks"),
        ("Terms and Definitions", "terms"),
        ("Basics of DICOM Communication", "basics"),
    ):
        manuscript.heading(2, heading)
        manuscript.paragraph(prose.introduction[key])
    manuscript.heading(2, "Abbreviations")
    manuscript.table(("Abbreviation", "Meaning"), prose.abbreviations.items())
    manuscript.heading(2, "References")
    manuscript.paragraph(prose.introduction["references"])


def _write_integration(manuscript: Manuscript, subject: Subject) -> None:
    prose = subject.prose
    manuscript.heading(1, "IHE Integration Statement")
    manuscript.paragraph(prose.introduction["ihe"])
    manuscript.table(
        ("Profile", "Actor", "Transaction", "Status", "What is done, and what is missing"),
        (
            (each.profile, each.actor, each.transaction, each.status, each.words)
            for each in prose.ihe
        ),
    )
    manuscript.heading(2, "HL7 Version 2 Messages")
    manuscript.paragraph(prose.introduction["hl7"])
    for key in (
        "hl7_outbound",
        "hl7_acknowledgement",
        "hl7_inbound",
        "hl7_orders",
        "hl7_patients",
    ):
        manuscript.paragraph(prose.claim[key])
