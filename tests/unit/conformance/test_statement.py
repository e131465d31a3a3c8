"""The statement against the standard's template, its own copy in docs, and objects it describes."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts
from typer.testing import CliRunner

from node.cli import app
from node.conformance.annexes import code_of
from node.conformance.objects import CONTENT, COPIED
from node.conformance.page import page
from node.conformance.prose import load_prose
from node.dicom import dimse
from node.dicom.cine import CINE_CLASSES
from node.dicom.structured_report import REPORT_CLASSES
from node.dicom.study import read_study
from node.dicom.template import load_templates
from node.dicom.waveform import read_ecg, read_subject
from node.domain.code import Code
from node.domain.delivery import ROUTED_RESULTS, ResultKind, ResultObject
from node.domain.ecg import Lead
from node.domain.errors import InputError
from node.domain.form import ResultForm, StudyForm
from node.hl7.profile import Party, Profile
from node.workflow.compose import compose_no_result, compose_objects
from tests.ecg_instances import mortara
from tests.result_forms import corrected, of_kind, rejection_note, signed, source_of
from tests.result_phantom import NOTE, REFUSAL, ecg_head, model, prediction
from tests.statement_tables import Table, default_statement, headings, section, tables
from tests.unit.dicom.ecg_phantom import channel, group, instance, twelve_leads
from tests.unit.hl7 import test_oru

TEMPLATES = load_templates()
TEMPLATE = """\
1 Conformance Statement Overview
2 Table of Contents
3 Introduction
3.1 Revision History
3.2 Audience
3.3 Remarks
3.4 Terms and Definitions
3.5 Basics of DICOM Communication
3.6 Abbreviations
3.7 References
4 Networking
4.1 Implementation Model
4.1.1 Application Data Flow
4.1.2 Functional Definition of AEs
4.1.2.1 Functional Definition of "<>"
4.1.3 Sequencing of Real World Activities
4.2 AE Specifications
4.2.1 "<>"
4.2.1.1 SOP Classes
4.2.1.2 Association Policies
4.2.1.2.1 General
4.2.1.2.2 Number of Associations
4.2.1.2.3 Asynchronous Nature
4.2.1.2.4 Implementation Identifying Information
4.2.1.3 Association Initiation Policy
4.2.1.3.1 Activity "<>"
4.2.1.3.1.1 Description and Sequencing of Activities
4.2.1.3.1.2 Proposed Presentation Contexts
4.2.1.3.1.3 SOP Specific Conformance for SOP Class(es)
4.2.1.4 Association Acceptance Policy
4.2.1.4.1 Activity "<>"
4.2.1.4.1.1 Description and Sequencing of Activities
4.2.1.4.1.2 Accepted Presentation Contexts
4.2.1.4.1.3 SOP Specific Conformance for SOP Class(es)
4.2.2 "<>"
4.2.2.1 Retired
4.2.2.2 WADO-URI Specifications
4.2.2.3 RESTful Services Specifications
4.3 Network Interfaces
4.3.1 Physical Network Interface
4.3.2 Additional Protocols
4.3.3 IPv4 and IPv6 Support
4.4 Configuration
4.4.1 AE Title/Presentation Address Mapping
4.4.1.1 Local AE Titles
4.4.1.2 Remote AE Title/Presentation Address Mapping
4.4.2 Parameters
5 Media Interchange
6 Transformation of DICOM to CDA
7 Support of Character Sets
8 Security
8.1 Security Profiles
8.2 Association Level Security
8.3 Application Level Security
9 Annexes
9.1 IOD Contents
9.1.1 Created SOP Instance(s)
9.1.2 Usage of Attributes From Received IODs
9.1.3 Attribute Mapping
9.1.4 Coerced/Modified Fields
9.2 Data Dictionary of Private Attributes
9.3 Coded Terminology and Templates
9.3.1 Context Groups
9.3.2 Template Specifications
9.3.3 Private Code Definitions
9.4 Grayscale Image Consistency
9.5 Standard Extended/Specialized/Private SOP Classes
9.6 Private Transfer Syntaxes
"""
"""Of DICOM PS3.2 2020a annex A, without the "A."; <> is for a name to stand there.

Media Interchange has sections of its own where there is any.
"""
TAG = re.compile(r"\((\w{4}),(\w{4})\)")
IDENTIFIERS = ("SOPInstanceUID", "SeriesInstanceUID")


# --------------------------------------------------------------------------- template and copy


def test_headings_and_their_numbers_are_those_of_the_template_in_its_order() -> None:
    stated = [
        f"{number} {re.sub(chr(34) + '.+' + chr(34), chr(34) + '<>' + chr(34), title)}"
        for number, title in headings(default_statement())
    ]
    wanted = TEMPLATE.splitlines()
    assert [heading for heading in stated if heading in wanted] == wanted
    assert stated[0].split(": ")[1] == "DICOM Conformance Statement"


def test_the_copy_in_docs_is_what_the_command_prints() -> None:
    result = CliRunner().invoke(app, ["conformance"], catch_exceptions=False)
    assert result.exit_code == 0
    kept = (Path(__file__).parents[3] / "docs" / "conformance.md").read_text(encoding="utf-8")
    assert result.output == kept, "write it anew: cardionode conformance --out docs/conformance.md"


def test_every_link_of_the_contents_leads_to_a_heading_of_the_page() -> None:
    html = page(default_statement(), "Statement")
    links = set(re.findall(r'href="#([^"]+)"', html))
    assert len(links) > 40
    assert links <= set(re.findall(r'id="([^"]+)"', html))
    assert html.count("<table>") == len(re.findall(r"^\| ---", default_statement(), re.MULTILINE))
    assert "<pre>" in html


def test_what_goes_by_stow_alone_is_claimed_of_no_association(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text(
        '[destinations.CLOUD]\nkind = "dicomweb"\nurl = "https://pacs.example/dicom-web"\n',
        encoding="utf-8",
    )
    out = tmp_path / "statement.md"
    words = ["conformance", "--config", str(file), "--out", str(out)]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    text = out.read_text(encoding="utf-8")
    (services,) = tables(text, "1")
    assert {row["User of Service (SCU)"] for row in services} == {"Option"}
    assert "| Store Transaction (STOW-RS) | Yes | Option |" in text


def test_the_running_configuration_is_told_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("sesame", encoding="utf-8")
    file = tmp_path / "site.toml"
    file.write_text(
        f"""
        [dicom]
        ae_titles = ["HEART", "RESEARCH"]
        port = 104
        peers = [{{ ae_title = "CART_*", networks = ["192.0.2.0/24"], may = ["store", "echo"] }}]
        [destinations.PACS]
        kind = "dicom"
        ae_title = "ARCHIVE"
        host = "192.0.2.10"
        port = 4242
        cine = "true-color"
        report = "enhanced"
        compression = "rle"
        commitment = true
        [destinations.CLOUD]
        kind = "dicomweb"
        url = "https://pacs.example/dicom-web"
        token = "file:{tmp_path / "token"}"
        report = "none"
        [[rules]]
        name = "documents"
        results = ["pdf", "report", "cine"]
        destinations = ["PACS"]
        """,
        encoding="utf-8",
    )
    out = tmp_path / "statement.md"
    words = ["conformance", "--config", str(file), "--out", str(out)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert (result.exit_code, result.output) == (0, "")
    text = out.read_text(encoding="utf-8")
    (services,) = tables(text, "1")
    sent = {row["SOP Classes"] for row in services if row["User of Service (SCU)"] == "Yes"}
    assert sent == {
        "Multi-frame True Color Secondary Capture Image Storage",
        "Enhanced SR Storage",
        "Encapsulated PDF Storage",
        "Key Object Selection Document Storage",
        "Storage Commitment Push Model",
    }
    (local,) = tables(text, "4.4.1.1")
    assert [(row["AE Title"], row["TCP/IP Port"]) for row in local] == [
        ("HEART", "104"),
        ("RESEARCH", "104"),
    ]
    (callers,) = tables(text, "4.4.1.2")
    assert callers == [
        {
            "Calling AE Title": "CART_*",
            "Called AE Title": "*",
            "Networks": "192.0.2.0/24",
            "Certificate": "any",
            "May": "store, echo",
        }
    ]
    told = {row["Parameter"]: row["Value"] for row in tables(text, "4.4.1.2.1")[0]}
    assert told["Address"] == "192.0.2.10:4242"
    assert told["Called AE title"] == "ARCHIVE"
    assert told["Calling AE title"] == "HEART"
    assert told["Storage Commitment"] == "yes"
    assert "https://pacs.example/dicom-web" in section(text, "4.4.1.2.2")
    assert "sesame" not in text
    assert str(tmp_path) not in text


# ------------------------------------------------------------------------------ what is created


def phantom_objects() -> Iterator[ResultObject]:
    """Of an ECG and a model that the statement knows nothing of."""
    record = read_ecg(mortara())
    kinds = ROUTED_RESULTS - {ResultKind.ORU, ResultKind.ECG}
    for source in (source_of(ecg_head()), corrected(source_of(mortara()))):
        yield rejection_note(source)
        for cine, report in zip(CINE_CLASSES, REPORT_CLASSES, strict=True):
            for study in StudyForm:
                form = ResultForm(cine=cine, report=report, study=study)
                made = compose_objects(prediction(), record, source, TEMPLATES, form, kinds)
                yield from made
                yield from map(signed, of_kind(ResultKind.REPORT, made))
                yield from compose_no_result([REFUSAL, NOTE], source, model(), TEMPLATES, form)


@pytest.fixture(scope="module")
def created() -> list[tuple[ResultKind, Dataset]]:
    return [(made.kind, dcmread(io.BytesIO(made.content))) for made in phantom_objects()]


def stated_objects() -> dict[tuple[str, str], Table]:
    """The table of attributes by first word of its heading and SOP Class UID."""
    text = default_statement()
    found = {}
    for number, title in headings(text):
        if number.startswith("9.1.1.") and ":" in title:
            *_, attributes = tables(text, number)
            uids = next(row for row in attributes if row["Attribute Name"] == "SOP Class UID")
            for uid in re.findall(r'"([\d.]+)"', uids["Value"]):
                found[title.partition(":")[0], uid] = attributes
    return found


HEADINGS = {
    ResultKind.CINE: "Cine",
    ResultKind.SUMMARY: "Summary page",
    ResultKind.PDF: "Summary page as a document",
    ResultKind.REPORT: "Structured report",
    ResultKind.REJECTION: "Rejection note",
}


def test_every_sop_class_that_is_created_has_its_table(
    created: list[tuple[ResultKind, Dataset]],
) -> None:
    made = {(HEADINGS[kind], str(dataset.SOPClassUID)) for kind, dataset in created}
    assert set(stated_objects()) == made
    assert {uid for _, uid in made} == set(dimse.RESULT_STORAGE)


def attributes_of(dataset: Dataset, depth: int = 0) -> Iterator[tuple[int, int, bool, Any]]:
    """Depth, tag, whether it is empty, and the element; not of what is copied or content."""
    for element in dataset:
        yield depth, int(element.tag), element.is_empty, element
        copied = depth == 0 and element.keyword in COPIED
        if element.VR == "SQ" and not copied and element.keyword != CONTENT:
            for item in element.value:
                yield from attributes_of(item, depth + 1)


def row_key(row: dict[str, str]) -> tuple[int, int]:
    match = TAG.fullmatch(row["Tag"])
    assert match
    return len(row["Attribute Name"]) - len(row["Attribute Name"].lstrip(">")), int(
        match[1] + match[2], 16
    )


def test_every_attribute_of_an_object_is_in_its_table_with_its_presence_and_value(
    created: list[tuple[ResultKind, Dataset]],
) -> None:
    stated = stated_objects()
    for kind, dataset in created:
        table = stated[HEADINGS[kind], str(dataset.SOPClassUID)]
        rows: dict[tuple[int, int], list[dict[str, str]]] = {}
        for row in table:
            rows.setdefault(row_key(row), []).append(row)
        for depth, tag, is_empty, element in attributes_of(dataset):
            candidates = rows[depth, tag]
            assert not is_empty or any(
                row["Presence"] in ("VNAP", "EMPTY", "ANAP") for row in candidates
            ), element.keyword
            literals = [row["Value"].strip('"') for row in candidates if row["Value"][:1] == '"']
            if len(literals) == len(candidates) and element.keyword != "SOPClassUID":
                assert _shown(element.value) in literals, element.keyword
            assert any(row["VR"] == element.VR for row in candidates)


def _shown(value: Any) -> str:
    parts = value if isinstance(value, list) or hasattr(value, "__iter__") else [value]
    text = str(value) if isinstance(value, str) else "\\".join(str(part) for part in parts)
    return text[:64]


def test_what_a_table_says_is_always_there_is_in_every_object(
    created: list[tuple[ResultKind, Dataset]],
) -> None:
    stated = stated_objects()
    for kind, dataset in created:
        for row in stated[HEADINGS[kind], str(dataset.SOPClassUID)]:
            depth, tag = row_key(row)
            if depth == 0 and row["Presence"] != "ANAP":
                assert tag in dataset, row["Attribute Name"]
                if row["Presence"] == "ALWAYS":
                    assert not dataset[tag].is_empty, row["Attribute Name"]
                if row["Presence"] == "EMPTY":
                    assert dataset[tag].is_empty, row["Attribute Name"]


def test_no_table_names_what_no_object_can_have(
    created: list[tuple[ResultKind, Dataset]],
) -> None:
    """Beside what an ECG may say that neither phantom nor recording does."""
    stated = stated_objects()
    for (heading, uid), table in stated.items():
        seen = {
            (depth, tag)
            for kind, dataset in created
            if (HEADINGS[kind], str(dataset.SOPClassUID)) == (heading, uid)
            for depth, tag, _, _ in attributes_of(dataset)
        }
        copied = {tag_for_keyword(keyword) for keyword in COPIED}
        unseen = {row_key(row) for row in table} - seen
        assert {tag for depth, tag in unseen if depth > 0 or tag not in copied} == set()


def test_what_the_standard_requires_is_always_there() -> None:
    required = json.loads(
        (resources.files("dicom_templates") / "iods.json").read_text(encoding="utf-8")
    )
    for (_, uid), table in stated_objects().items():
        presence = {row_key(row): row["Presence"] for row in table}
        for module in required["iods"][uid]:
            for keyword, attribute in required["modules"][module].items():
                if attribute["type"] in ("1", "2"):
                    stated = presence[0, tag_for_keyword(keyword) or 0]
                    allowed = {"ALWAYS"} if attribute["type"] == "1" else {
                        "ALWAYS", "VNAP", "EMPTY",
                    }  # fmt: skip
                    assert stated in allowed, (uid, keyword)


def test_only_single_frames_have_attributes_beside_their_iod() -> None:
    beside = {
        (heading, row["Attribute Name"])
        for (heading, _), table in stated_objects().items()
        for row in table
        if row_key(row)[0] == 0 and not row["Module"]
    }
    assert beside == {
        ("Cine", "Frame Time"),
        ("Cine", "Cine Rate"),
        ("Cine", "Recommended Display Frame Rate"),
        ("Cine", "Preferred Playback Sequencing"),
    }
    assert "Cine module" in section(default_statement(), "9.5")


def test_no_object_has_a_private_attribute(created: list[tuple[ResultKind, Dataset]]) -> None:
    def private(dataset: Dataset) -> Iterator[Any]:
        for element in dataset:
            if element.tag.is_private:
                yield element.tag
            if element.VR == "SQ":
                for item in element.value:
                    yield from private(item)

    assert [tag for _, dataset in created for tag in private(dataset)] == []


@pytest.mark.parametrize(
    ("kind", "heading"), [(ResultKind.REPORT, "9.1.1.8"), (ResultKind.REJECTION, "9.1.1.9")]
)
def test_content_items_of_reports_are_those_of_the_table(
    created: list[tuple[ResultKind, Dataset]], kind: ResultKind, heading: str
) -> None:
    (table,) = tables(default_statement(), heading)
    stated = set()
    for row in table:
        marks = re.match(r"(>*) ?(.*)", row["Relationship"])
        assert marks
        stated.add((len(marks[1]), marks[2], row["Value Type"], row["Concept Name"]))
    phenotypes = {each.code.value for each in TEMPLATES.concepts.values()}

    def found(item: Dataset, depth: int) -> Iterator[tuple[int, str, str, str]]:
        for child in item.get(CONTENT, []):
            name = ""
            for code in child.get("ConceptNameCodeSequence", []):
                name = f"({code.CodeValue}, {code.CodingSchemeDesignator}, {code.CodeMeaning})"
                if child.ValueType == "NUM" and code.CodeValue in phenotypes:
                    name = "a phenotype of 9.3.1"
            yield depth, child.RelationshipType, child.ValueType, name
            yield from found(child, depth + 1)

    made = {
        each for made_kind, dataset in created if made_kind is kind for each in found(dataset, 0)
    }
    assert made == stated


# ------------------------------------------------------------------------------- what is read


def full_ecg() -> Dataset:
    dataset = instance(twelve_leads())
    (rhythm,) = dataset.WaveformSequence
    for lead, definition in zip(Lead, rhythm.ChannelDefinitionSequence, strict=True):
        definition.ChannelLabel = lead.value
        definition.ChannelSampleSkew = "0"
        definition.FilterLowFrequency = "0.05"
        definition.FilterHighFrequency = "150"
        definition.NotchFilterFrequency = "50"
    dataset.update(
        {key: value for key, value in ecg_head().items() if key not in dataset}  # type: ignore[arg-type]
    )
    return dataset


def test_the_attributes_that_are_read_are_those_of_the_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: set[str] = set()
    get = Dataset.get

    def noted(self: Dataset, key: Any, default: Any = None) -> Any:
        if isinstance(key, str):
            read.add(key)
        return get(self, key, default)

    monkeypatch.setattr(Dataset, "get", noted)
    bare = instance(twelve_leads())
    del bare.AcquisitionDateTime
    bare.StudyDate = "20240229"
    labelled = [channel(None, label="I"), channel(None, label="II")]
    uncoded = instance(group(np.zeros((20, 2), "<i2"), labelled))
    for dataset in (full_ecg(), bare, uncoded):
        read_study(dataset)
        read_ecg(dataset)
        read_subject(dataset)
    monkeypatch.undo()
    in_requests = {"RequestedProcedureID", "RequestedProcedureDescription"}
    assert set(load_prose().received) == read | in_requests | {"SpecificCharacterSet"}


@pytest.mark.parametrize("keyword", load_prose().received)
def test_what_the_table_calls_required_is_required_and_nothing_else(keyword: str) -> None:
    dataset = full_ecg()
    _drop(dataset, keyword)
    try:
        read_study(dataset)
        read_ecg(dataset)
        refused = False
    except InputError:
        refused = True
    assert refused == load_prose().received[keyword].startswith("required")


def _drop(dataset: Dataset, keyword: str) -> None:
    if keyword in dataset:
        del dataset[keyword]
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                _drop(item, keyword)


# ------------------------------------------------------------------------------ codes and HL7


@pytest.mark.parametrize("each", load_prose().context_group, ids=lambda each: each.code)
def test_codes_are_of_the_context_groups_they_are_said_to_be_of(each: Any) -> None:
    code = code_of(each, TEMPLATES)
    keywords = [
        keyword for keyword, meanings in concepts[code.scheme].items() if code.value in meanings
    ]
    members = cid_concepts[each.cid].get(code.scheme, [])
    assert any(keyword in members for keyword in keywords) is not each.extended


def test_every_phenotype_is_listed_with_the_code_it_is_reported_in() -> None:
    _, listed = tables(default_statement(), "9.3.1")
    assert {row["Field"]: row["Unit"] for row in listed} == {
        name: each.unit.value for name, each in TEMPLATES.concepts.items()
    }


def test_private_codes_of_reports_are_listed(created: list[tuple[ResultKind, Dataset]]) -> None:
    _, listed = tables(default_statement(), "9.3.3")
    known = {row["Code Value"] for row in listed} | {
        each.code.value for each in TEMPLATES.concepts.values()
    }

    def used(dataset: Dataset) -> Iterator[str]:
        if dataset.get("CodingSchemeDesignator") == TEMPLATES.scheme.designator:
            yield str(dataset.get("CodeValue", ""))
        for element in dataset:
            if element.VR == "SQ":
                for item in element.value:
                    yield from used(item)

    assert {code for _, dataset in created for code in used(dataset)} - {""} <= known


def test_the_fields_of_a_message_are_those_of_the_table() -> None:
    procedure = Code(value="ECG12", scheme="L", meaning="12-lead ECG")
    message = test_oru.oru(
        order=replace(test_oru.ORDERED, procedure=procedure),
        ranges=test_oru.RANGES,
        pdf=test_oru.PDF,
        profile=Profile(
            abnormal_flags=True,
            acknowledgement_mode="enhanced",
            sending=Party(application="CARDIONODE", facility="HOSPITAL"),
            receiving=Party(application="RIS", facility="HOSPITAL"),
            study_link="https://viewer.example/{study_uid}",
            placer_field_2="requested-procedure-id",
        ),
    ).decode("utf-8")
    filled = set()
    for line in filter(None, message.split("\r")):
        name, *values = line.split("|")
        shift = 2 if name == "MSH" else 1
        filled |= {f"{name}-{at + shift}" for at, value in enumerate(values) if value}
    filled |= {"MSH-1"}
    assert filled == set(load_prose().hl7_field)


def test_files_name_the_implementation(created: list[tuple[ResultKind, Dataset]]) -> None:
    (rows,) = tables(default_statement(), "4.2.1.2.4")
    assert {
        (str(dataset.file_meta.ImplementationClassUID), dataset.file_meta.ImplementationVersionName)
        for _, dataset in created
    } == {tuple(row["Value"] for row in rows)}
