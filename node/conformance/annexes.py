"""Sections 5 to 9: media, character sets, security; contents of objects, codes, private parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydicom.datadict import dictionary_description, tag_for_keyword

from node.conformance.manuscript import Manuscript
from node.conformance.objects import (
    AttributeRow,
    Made,
    attribute_rows,
    content_rows,
    made_objects,
    module_rows,
)
from node.conformance.prose import ContextGroup
from node.conformance.subject import Subject, name_of
from node.dicom.template import Templates
from node.dicom.tls import CIPHER_SUITES
from node.domain.code import Code, ConceptCode
from node.domain.delivery import ResultKind
from node.domain.form import CharacterSet

_KINDS: Final = {
    ResultKind.CINE: "Cine",
    ResultKind.SUMMARY: "Summary page",
    ResultKind.PDF: "Summary page as a document",
    ResultKind.REPORT: "Structured report",
    ResultKind.REJECTION: "Rejection note",
}


def write_annexes(manuscript: Manuscript, subject: Subject) -> None:
    """Sections 5 to 9 whole."""
    claim = subject.prose.claim
    manuscript.heading(1, "Media Interchange")
    manuscript.paragraph(subject.prose.introduction["media"])
    manuscript.heading(1, "Transformation of DICOM to CDA")
    manuscript.paragraph(subject.prose.introduction["cda"])
    manuscript.heading(1, "Support of Character Sets")
    manuscript.paragraph(claim["character_sets_received"])
    manuscript.paragraph(claim["character_sets_sent"])
    manuscript.table(
        ("character_set", "Specific Character Set (0008,0005)"),
        ((each.value, _terms(each)) for each in CharacterSet),
    )
    _write_security(manuscript, subject)
    manuscript.heading(1, "Annexes")
    manuscript.heading(2, "IOD Contents")
    _write_created(manuscript, subject)
    _write_received(manuscript, subject)
    manuscript.heading(2, "Data Dictionary of Private Attributes")
    manuscript.paragraph(claim["private_attributes"])
    _write_codes(manuscript, subject)
    manuscript.heading(2, "Grayscale Image Consistency")
    manuscript.paragraph(claim["grayscale"])
    manuscript.heading(2, "Standard Extended/Specialized/Private SOP Classes")
    manuscript.paragraph(claim["extended"])
    manuscript.heading(2, "Private Transfer Syntaxes")
    manuscript.paragraph(claim["private_syntaxes"])


def _terms(choice: CharacterSet) -> str:
    if choice is CharacterSet.SOURCE:
        return "that of the ECG"
    if choice is CharacterSet.UTF_8:
        return "ISO_IR 192"
    return str(choice.value)


def _write_security(manuscript: Manuscript, subject: Subject) -> None:
    claim, tls = subject.prose.claim, subject.settings.tls
    manuscript.heading(1, "Security")
    manuscript.heading(2, "Security Profiles")
    if tls is None:
        manuscript.paragraph("TLS is not configured here. With `[tls]`:")
    minimum = "1.2" if tls is None else tls.minimum_version
    manuscript.paragraph(claim["security_profiles"].format(minimum_version=minimum))
    manuscript.table(("Cipher suite of TLS 1.2",), ((each,) for each in CIPHER_SUITES))
    manuscript.paragraph(claim["audit_profiles"])
    manuscript.heading(2, "Association Level Security")
    manuscript.paragraph(claim["association_security"])
    manuscript.heading(2, "Application Level Security")
    manuscript.paragraph(subject.prose.introduction["application_security"])


def _write_created(manuscript: Manuscript, subject: Subject) -> None:
    claim, introduction = subject.prose.claim, subject.prose.introduction
    manuscript.heading(3, "Created SOP Instance(s)")
    manuscript.paragraph(introduction["iod_legend"])
    manuscript.paragraph(claim["new_study"])
    made = made_objects(subject.templates)
    for alike, rows in _alike(made, subject.prose.value):
        classes = ", ".join(name_of(each.sop_class_uid) for each in alike)
        manuscript.heading(4, f"{_KINDS[alike[0].kind]}: {classes}")
        manuscript.table(("Module", "Usage", "Presence"), module_rows(alike[0], rows))
        manuscript.table(
            ("Attribute Name", "Tag", "VR", "Type", "Module", "Presence", "Value"),
            (_attribute_cells(row, alike) for row in rows),
        )
    for kind, heading, legend in (
        (ResultKind.REPORT, "Content items of the reports", introduction["content_legend"]),
        (ResultKind.REJECTION, "Content items of the rejection note", claim["rejection_note"]),
    ):
        manuscript.heading(4, heading)
        manuscript.paragraph(legend)
        documents = [each for each in made if each.kind is kind]
        manuscript.table(
            ("Relationship", "Value Type", "Concept Name", "Presence", "Value"),
            (
                (
                    f"{'>' * (row.depth - 1)} {row.relationship}".strip(),
                    row.value_type, row.concept, row.presence, row.value,
                )
                for row in content_rows(documents, subject.templates)
            ),
        )  # fmt: skip


def _alike(
    made: Sequence[Made], values: Mapping[str, str]
) -> Iterator[tuple[list[Made], list[AttributeRow]]]:
    """Objects of one kind whose attributes differ in nothing but the SOP class stand together."""
    groups: list[tuple[list[Made], list[AttributeRow], tuple[object, ...]]] = []
    for each in made:
        rows = attribute_rows(each, values)
        told = (each.kind, *(row for row in rows if row.path != ("SOPClassUID",)))
        for alike, _, known in groups:
            if known == told:
                alike.append(each)
                break
        else:
            groups.append(([each], rows, told))
    return ((alike, rows) for alike, rows, _ in groups)


def _attribute_cells(row: AttributeRow, alike: Sequence[Made]) -> tuple[str, ...]:
    value = row.value
    if row.path == ("SOPClassUID",):
        value = " or ".join(f'"{each.sop_class_uid}"' for each in alike)
    name = f"{'>' * (len(row.path) - 1)} {row.name}".strip()
    return name, row.tag, row.vr, row.type, row.module, row.presence, value


def _write_received(manuscript: Manuscript, subject: Subject) -> None:
    manuscript.heading(3, "Usage of Attributes From Received IODs")
    manuscript.paragraph(subject.prose.introduction["received_legend"])
    manuscript.table(
        ("Attribute Name", "Tag", "Use"),
        (
            (dictionary_description(keyword), _tag(keyword), use)
            for keyword, use in subject.prose.received.items()
        ),
    )
    manuscript.heading(3, "Attribute Mapping")
    manuscript.paragraph("HL7 v2 ORU^R01; what stands in a field, and the attribute it is of:")
    manuscript.table(("Field", "Value"), subject.prose.hl7_field.items())
    manuscript.heading(3, "Coerced/Modified Fields")
    manuscript.paragraph(subject.prose.claim["coercion"])


def _tag(keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise AssertionError(f"conformance.toml: there is no attribute {keyword}")
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _write_codes(manuscript: Manuscript, subject: Subject) -> None:
    templates, prose = subject.templates, subject.prose
    manuscript.heading(2, "Coded Terminology and Templates")
    manuscript.heading(3, "Context Groups")
    manuscript.table(
        ("Context Group", "Value", "Configurable", "Use"),
        (_group_cells(each, templates) for each in prose.context_group),
    )
    manuscript.paragraph(prose.introduction["codes_legend"])
    manuscript.table(
        ("Field", "Code", "Finding Site", "Unit"),
        (_concept_cells(name, each) for name, each in templates.concepts.items()),
    )
    manuscript.heading(3, "Template Specifications")
    manuscript.paragraph(prose.claim["template_specifications"])
    manuscript.heading(3, "Private Code Definitions")
    scheme = templates.scheme
    manuscript.table(
        ("Coding Scheme Designator", "Name", "Organization"),
        [(scheme.designator, scheme.name, scheme.organization)],
    )
    manuscript.paragraph(prose.claim["private_codes"])
    manuscript.table(
        ("Code Value", "Code Meaning"),
        ((code.value, code.meaning) for code in private_codes(templates)),
    )


def private_codes(templates: Templates) -> Iterator[Code]:
    """Those of our own scheme that name no phenotype: report texts, then finding sites."""
    texts = templates.report.text
    named = [getattr(texts, field) for field in texts.__dataclass_fields__]
    sites = [each.site for each in templates.concepts.values() if each.site is not None]
    for code in dict.fromkeys([*named, templates.report.no_result, *sites]):
        if code.scheme == templates.scheme.designator:
            yield code


def _group_cells(group: ContextGroup, templates: Templates) -> tuple[str, ...]:
    code = code_of(group, templates)
    extended = "extended " if group.extended else ""
    return f"{extended}CID {group.cid} {group.name}", _written(code), "No", group.use


def code_of(group: ContextGroup, templates: Templates) -> Code:
    """The code of the templates that is meant."""
    for template in (templates.report, templates.equipment):
        code = getattr(template, group.code, None)
        if isinstance(code, Code):
            return code
    raise AssertionError(f"conformance.toml: no template has a code {group.code!r}")


def _concept_cells(name: str, concept: ConceptCode) -> tuple[str, ...]:
    site = "" if concept.site is None else _written(concept.site)
    return name, _written(concept.code), site, concept.unit.value


def _written(code: Code) -> str:
    return f"({code.value}, {code.scheme}, {code.meaning})"
