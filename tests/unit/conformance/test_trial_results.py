"""Results of the made-up patient say that they are of nobody."""

from __future__ import annotations

import json
from pathlib import Path

from node.configured import build_routing
from node.conformance.trial_results import PATIENT_ID, trial_results
from node.dicom.template import load_templates
from node.domain.delivery import ResultKind
from node.settings import read_settings

CONFIGURATION = """
[destinations.EHR]
kind = "fhir"
url = "https://ehr.example/fhir"
time_zone = "Europe/Vienna"
"""


def test_a_fhir_server_gets_resources_that_are_marked_as_of_no_patient(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(CONFIGURATION, encoding="utf-8")
    routing = build_routing(read_settings(file))
    server = routing.destinations["EHR"]
    form = routing.decide_for("EHR").form_for(server)
    (made,) = trial_results(server, {ResultKind.FHIR}, form, load_templates())
    resources = [entry["resource"] for entry in json.loads(made.content)["entry"]]
    assert len(resources) > 1
    for resource in resources:
        assert resource["subject"]["identifier"]["value"] == PATIENT_ID
        assert "HTEST" in [label["code"] for label in resource["meta"]["security"]]
