"""What would be sent where, and nothing sent: `cardionode route test`, `cardionode hl7 preview`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from node.cli import app
from node.dicom.template import load_templates
from node.domain.errors import ConfigurationError, UnsupportedInstance
from node.domain.form import ReportForm, ResultForm
from node.hl7.message import read_header
from node.hl7.profile import Profile
from node.workflow.answer import answer
from node.workflow.compose import compose_message
from pipelines.bundle import read_bundle
from pipelines.catalog import load_pipeline
from pipelines.runtime.onnx import OnnxRuntime
from tests.ecg_instances import instances

BUNDLES = Path(__file__).parents[2] / "data" / "bundles"


@pytest.fixture
def ecg(tmp_path: Path) -> Path:
    file = tmp_path / "ecg.dcm"
    file.write_bytes(next(instances(1))[1])
    return file


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    profile = tmp_path / "site.toml"
    profile.write_text('version = "2.4"\n[receiving]\napplication = "SITE"\n', encoding="utf-8")
    file = tmp_path / "node.toml"
    file.write_text(
        f"""
dicom.ae_titles = ["CARDIONODE"]
dicom.peers = [{{ ae_title = "ED_*", networks = ["192.0.2.0/24"] }}]
model.bundle = "quick-test"
model.folders = ["{BUNDLES}"]

[destinations.PACS]
kind = "dicom"
ae_title = "ARCHIVE"
host = "192.0.2.10"
port = 104

[destinations.RIS]
kind = "hl7"
host = "192.0.2.20"
port = 2575
profile = "{profile}"

[[rules]]
name = "night"
calling_ae = "NIGHT_*"
destinations = ["PACS"]

[[rules]]
name = "emergency"
calling_ae = "ED_*"
results = ["cine", "oru"]
destinations = ["RIS", "PACS"]

[[rules]]
name = "rest"
destinations = ["PACS"]
""",
        encoding="utf-8",
    )
    return file


def told(configuration: Path, ecg: Path, *words: str, status: int = 0) -> dict[str, Any]:
    said = CliRunner().invoke(
        app, ["route", "test", str(ecg), "--config", str(configuration), "--json", *words]
    )
    assert said.exit_code == status, said.output
    found: dict[str, Any] = json.loads(said.output)
    return found


ADMITTED = ("--calling", "ED_1", "--from", "192.0.2.7")


def test_the_rule_that_decides_is_shown_with_the_reasons_of_the_others(
    configuration: Path, ecg: Path
) -> None:
    found = told(configuration, ecg, *ADMITTED)
    assert found["association"] == {"accepted": True, "reason": ""}
    assert found["rules"] == [
        {"name": "night", "decides": False, "reasons": ["calling_ae ED_1 is not NIGHT_*"]},
        {"name": "emergency", "decides": True, "reasons": []},
        {"name": "rest", "decides": False, "reasons": []},
    ]
    assert [(each["destination"], each["result"]) for each in found["deliveries"]] == [
        ("RIS", "oru"),
        ("PACS", "cine"),
    ]
    assert found["bundle"] == "quick-test 1.0.0"


def test_the_form_of_each_result_is_shown(configuration: Path, ecg: Path) -> None:
    text = configuration.read_text(encoding="utf-8")
    chosen = 'port = 104\ncine = "true-color"\ncompression = "rle"\ncharacter_set = "ISO_IR 100"\n'
    configuration.write_text(text.replace("port = 104\n", chosen), encoding="utf-8")
    found = told(configuration, ecg, *ADMITTED)
    assert [each["as"] for each in found["deliveries"]] == [
        "",
        "true-color, same study, ISO_IR 100, compression rle",
    ]


def test_people_read_the_same(configuration: Path, ecg: Path) -> None:
    said = CliRunner().invoke(
        app, ["route", "test", str(ecg), "--config", str(configuration), *ADMITTED]
    )
    for words in ("a rule before it decides", "calling_ae ED_1 is not NIGHT_*", "192.0.2.20:2575"):
        assert words in said.output


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--calling", "ED_1", "--from", "198.51.100.1"), "lets ED_1 from 198.51.100.1"),
        (("--calling", "CART", "--from", "192.0.2.7"), "lets CART from 192.0.2.7"),
        ((*ADMITTED, "--called", "OTHER"), "OTHER is not among dicom.ae_titles"),
    ],
)
def test_an_association_that_would_be_rejected_is_said(
    configuration: Path, ecg: Path, words: tuple[str, ...], reason: str
) -> None:
    found = told(configuration, ecg, *words, status=1)
    assert reason in found["association"]["reason"]


def test_an_ecg_that_the_gate_refuses_is_owed_a_report_alone(
    configuration: Path, ecg: Path
) -> None:
    dataset, file = dcmread(ecg), io.BytesIO()
    for group in dataset.WaveformSequence:
        group.WaveformData = bytes(len(group.WaveformData))  # flat
    dataset.save_as(file)
    ecg.write_bytes(file.getvalue())
    found = told(configuration, ecg, *ADMITTED, status=1)  # whose rule wants no report
    assert found["quality"]["accepted"] is False
    assert found["quality"]["findings"]
    assert found["deliveries"] == []


def test_a_file_that_is_no_ecg_is_an_error(configuration: Path, tmp_path: Path) -> None:
    file = tmp_path / "note.txt"
    file.write_text("no ECG", encoding="utf-8")
    said = CliRunner().invoke(app, ["route", "test", str(file), "--config", str(configuration)])
    assert said.exit_code == 1
    assert said.exception is not None


def _preview(configuration: Path, ecg: Path, *words: str) -> bytes:
    said = CliRunner().invoke(
        app,
        ["hl7", "preview", str(ecg), "--config", str(configuration), *words],
        catch_exceptions=False,
    )
    assert said.exit_code == 0
    return said.stdout_bytes


def test_the_message_is_the_one_that_the_node_would_send(configuration: Path, ecg: Path) -> None:
    pipeline = load_pipeline(read_bundle(BUNDLES / "quick"), OnnxRuntime(threads=1))
    templates = load_templates()
    found = answer(ecg.read_bytes(), pipeline=pipeline)
    assert found.prediction is not None and found.record is not None
    profile = Profile.model_validate({"version": "2.4", "receiving": {"application": "SITE"}})
    form = ResultForm(report=ReportForm.NONE)  # the first rule that names RIS sends no report
    sent = compose_message(
        found.prediction, found.record, found.source, form,
        destination="RIS", profile=profile, templates=templates,
    )  # fmt: skip
    assert _preview(configuration, ecg, "--destination", "RIS", "--exact") == sent.content
    assert read_header(sent.content).version == "2.4"
    shown = _preview(configuration, ecg, "--destination", "RIS").decode()
    assert shown.splitlines() == sent.content.decode().rstrip("\r").split("\r")


def test_a_destination_that_takes_no_message_is_an_error_that_names_those_that_do(
    configuration: Path, ecg: Path
) -> None:
    with pytest.raises(
        ConfigurationError, match="no HL7 destination is called PACS; there are RIS"
    ):
        _preview(configuration, ecg, "--destination", "PACS")


def test_without_an_estimate_there_is_no_message(configuration: Path, ecg: Path) -> None:
    dataset, file = dcmread(ecg), io.BytesIO()
    for group in dataset.WaveformSequence:
        group.WaveformData = bytes(len(group.WaveformData))
    dataset.save_as(file)
    ecg.write_bytes(file.getvalue())
    with pytest.raises(UnsupportedInstance, match="no message is sent"):
        _preview(configuration, ecg, "--destination", "RIS")


def test_a_dicomweb_destination_gets_what_a_dicom_destination_gets(
    tmp_path: Path, ecg: Path
) -> None:
    file = tmp_path / "web.toml"
    file.write_text(
        f"""
model.bundle = "quick-test"
model.folders = ["{BUNDLES}"]
[destinations.VNA]
kind = "dicomweb"
url = "https://vna.example/dicom-web"
token = "env:CARDIONODE_NO_SUCH"
""",
        encoding="utf-8",
    )
    assert [
        (each["destination"], each["at"], each["result"]) for each in told(file, ecg)["deliveries"]
    ] == [
        ("VNA", "dicomweb https://vna.example/dicom-web", "cine"),
        ("VNA", "dicomweb https://vna.example/dicom-web", "summary"),
        ("VNA", "dicomweb https://vna.example/dicom-web", "report"),
    ]


URGENT = """
[[rules]]
name = "urgent"
attributes = {{ InstitutionalDepartmentName = "{pattern}", PatientName = "*" }}
priority = "stat"
results = ["ecg", "report"]
destinations = ["PACS"]
"""


def routed_by_attributes(configuration: Path, pattern: str) -> None:
    """With a rule in front that asks for a department."""
    before, first, after = configuration.read_text(encoding="utf-8").partition("[[rules]]")
    configuration.write_text(
        f"{before}{URGENT.format(pattern=pattern)}{first}{after}", encoding="utf-8"
    )


def in_department(ecg: Path, department: str) -> None:
    dataset, file = dcmread(ecg), io.BytesIO()
    dataset.InstitutionalDepartmentName = department
    dataset.save_as(file)
    ecg.write_bytes(file.getvalue())


def test_a_rule_by_attributes_shows_its_priority_and_where_the_ecg_itself_goes(
    configuration: Path, ecg: Path
) -> None:
    routed_by_attributes(configuration, "ED*")
    in_department(ecg, "ED WEST")
    found = told(configuration, ecg, *ADMITTED)
    assert found["priority"] == "stat"
    assert found["rules"][0] == {"name": "urgent", "decides": True, "reasons": []}
    assert found["deliveries"][0] == {
        "destination": "PACS",
        "at": "dicom 192.0.2.10:104",
        "result": "ecg",
        "as": "as it came, in the transfer syntax it came in",
    }
    assert [each["result"] for each in found["deliveries"]] == ["ecg", "report"]


def test_a_rule_that_does_not_match_says_why_without_a_value_of_the_ecg(
    configuration: Path, ecg: Path
) -> None:
    routed_by_attributes(configuration, "CCU*")
    in_department(ecg, "SECRET WARD")
    found = told(configuration, ecg, *ADMITTED)
    assert found["rules"][0]["reasons"] == ["InstitutionalDepartmentName is not CCU*"]
    assert found["priority"] == "routine"
    assert "SECRET" not in json.dumps(found)


def test_it_is_said_where_the_ecg_would_go_back_to_its_sender(
    configuration: Path, ecg: Path
) -> None:
    routed_by_attributes(configuration, "*")
    in_department(ecg, "ED")
    words = (
        "--calling",
        "ARCHIVE",
        "--from",
        "192.0.2.10",
        "--set",
        'dicom.peers=[{ae_title="*",networks=["0.0.0.0/0"]}]',
    )
    found = told(configuration, ecg, *words)
    assert found["not_back_to"] == ["PACS"]
    assert [each["result"] for each in found["deliveries"]] == ["report"]
    said = CliRunner().invoke(
        app, ["route", "test", str(ecg), "--config", str(configuration), *words]
    )
    assert "the ECG itself to PACS, where it comes from" in said.output


def test_an_ecg_that_would_be_held_is_said_to_be(configuration: Path, ecg: Path) -> None:
    assert told(configuration, ecg, *ADMITTED)["held"] is None
    dataset, file = dcmread(ecg), io.BytesIO()
    dataset.PatientID = ""
    dataset.save_as(file)
    ecg.write_bytes(file.getvalue())
    assert "has no Patient ID" in told(configuration, ecg, *ADMITTED)["held"]
    processed = told(configuration, ecg, *ADMITTED, "--set", "identity.missing=process")
    assert processed["held"] is None
