"""What a FHIR server would be sent, and nothing sent: `route test`, `fhir preview`."""

from __future__ import annotations

import json
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from node.cli import app
from node.configured import build_sender
from node.dicom.template import load_templates
from node.domain.errors import ConfigurationError
from node.domain.form import CineForm, ReportForm, ResultForm
from node.fhir import library
from node.fhir.site import Site
from node.settings import read_settings
from node.workflow.answer import answer
from node.workflow.compose import compose_transaction
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
    file = tmp_path / "node.toml"
    file.write_text(
        f"""
model.bundle = "quick-test"
model.folders = ["{BUNDLES}"]

[destinations.PACS]
kind = "dicom"
ae_title = "ARCHIVE"
host = "192.0.2.10"
port = 104
report = "enhanced"

[destinations.EHR]
kind = "fhir"
url = "https://ehr.example/fhir"
time_zone = "Europe/Vienna"
patient_system = "http://ehr.example/mrn"

[[rules]]
name = "all"
results = ["report", "fhir"]
destinations = ["PACS", "EHR"]
""",
        encoding="utf-8",
    )
    return file


def test_the_transaction_is_the_one_that_the_node_would_send(
    configuration: Path, ecg: Path
) -> None:
    pipeline = load_pipeline(read_bundle(BUNDLES / "quick"), OnnxRuntime(threads=1))
    found = answer(ecg.read_bytes(), pipeline=pipeline)
    assert found.prediction is not None and found.record is not None
    sent = compose_transaction(
        found.prediction, found.record, found.source,
        ResultForm(report=ReportForm.ENHANCED, cine=CineForm.NONE),  # that of the archive beside it
        destination="EHR",
        site=Site(
            time_zone=ZoneInfo("Europe/Vienna"), patient_system="http://ehr.example/mrn"
        ),
        templates=load_templates(),
    ).content  # fmt: skip
    words = ["fhir", "preview", str(ecg), "--config", str(configuration), "--destination", "EHR"]
    exact = CliRunner().invoke(app, [*words, "--exact"], catch_exceptions=False)
    assert exact.stdout_bytes == sent
    shown = CliRunner().invoke(app, words, catch_exceptions=False)
    assert json.loads(shown.stdout) == json.loads(sent)
    assert len(shown.stdout.splitlines()) > 100


def test_a_destination_of_another_kind_is_an_error_that_names_those_there_are(
    configuration: Path, ecg: Path
) -> None:
    words = ["fhir", "preview", str(ecg), "--config", str(configuration), "--destination", "PACS"]
    with pytest.raises(
        ConfigurationError, match="no FHIR destination is called PACS; there are EHR"
    ):
        CliRunner().invoke(app, words, catch_exceptions=False)


def test_it_is_shown_where_the_transaction_would_go(configuration: Path, ecg: Path) -> None:
    said = CliRunner().invoke(
        app, ["route", "test", str(ecg), "--config", str(configuration), "--json"]
    )
    deliveries = json.loads(said.output)["deliveries"]
    assert deliveries[-1] == {
        "destination": "EHR", "at": "fhir https://ehr.example/fhir", "result": "fhir", "as": ""
    }  # fmt: skip


def test_without_the_library_a_destination_names_the_extra_that_brings_it(
    configuration: Path, ecg: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "find_spec", lambda name: None)
    words = ["fhir", "preview", str(ecg), "--config", str(configuration), "--destination", "EHR"]
    with pytest.raises(ConfigurationError, match=r"cardionode\[fhir\]"):
        build_sender(read_settings(configuration), "EHR", None)
    with pytest.raises(ConfigurationError, match=r"cardionode\[fhir\]"):
        CliRunner().invoke(app, words, catch_exceptions=False)
