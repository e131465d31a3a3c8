"""Results filed under every real ECG, judged by dciodvfy, dcentvfy and DCMTK."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from node.dicom.cine import build_cine
from node.dicom.part10 import read_part10
from node.dicom.structured_report import CineReference, build_no_result_report, build_report
from node.dicom.summary import PDF_STRIP_SIZE, build_pdf, build_summary
from node.dicom.summary_page import STRIP_SIZE
from node.dicom.template import load_templates
from tests.judges import complaints, run, tool
from tests.result_phantom import FRAMES, NOTE, REFUSAL, ecg_head, model, prediction

TEMPLATES = load_templates()
CINE_CLASS = "1.2.840.10008.5.1.4.1.1.7.2"
ECGS = (
    "cabolabs_1lead_200hz",
    "cabolabs_explicit_4999",
    "derived/ge_muse_250hz",
    "derived/mortara_aecg_clark",
    "derived/philips_mrx_129DYPRG",
    "derived/philips_pagewriter_f",
    "derived/philips_pagewriter_zzdemo",
    "derived/wfdb_georgia_E07514",
    "ecg2dcm_synthetic_muse",
    "ecgtoolkit_implicitvr",
    "ge_mv360_muse9_12lead",
    "mortara_eli250_1000hz",
)

# Their UIDs are not UIDs; pydicom says so on writing.
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR UI")


def results(source: Dataset, folder: Path) -> dict[str, Path]:
    """Every kind of object, written."""
    cine = CineReference(
        sop_class_uid=CINE_CLASS, sop_instance_uids=("2.25.11",), series_instance_uid="2.25.12"
    )
    contents = {
        "cine": build_cine(
            prediction(),
            source,
            sop_instance_uid="2.25.11",
            series_instance_uid="2.25.12",
            templates=TEMPLATES,
        ),
        "report": build_report(
            prediction(),
            source,
            sop_instance_uid="2.25.21",
            series_instance_uid="2.25.22",
            cine_reference=cine,
            templates=TEMPLATES,
        ),
        "no-result": build_no_result_report(
            [REFUSAL, NOTE],
            source,
            model(),
            sop_instance_uid="2.25.31",
            series_instance_uid="2.25.32",
            templates=TEMPLATES,
        ),
    }
    for kind, build, size in (
        ("summary", build_summary, STRIP_SIZE),
        ("pdf", build_pdf, PDF_STRIP_SIZE),
    ):
        contents[kind] = build(
            prediction(),
            source,
            np.zeros((*size[::-1], 3), np.uint8),
            sop_instance_uid=f"2.25.4{len(contents)}",
            series_instance_uid=f"2.25.5{len(contents)}",
            templates=TEMPLATES,
        )
    paths = {}
    for kind, content in contents.items():
        paths[kind] = folder / f"{kind}.dcm"
        paths[kind].write_bytes(content)
    return paths


@pytest.mark.parametrize("name", ECGS)
def test_results_of_every_real_ecg_pass_dciodvfy(name: str, shared: Path, tmp_path: Path) -> None:
    source = read_part10((shared / "data/ecg_dicom" / f"{name}.dcm").read_bytes())
    for kind, path in results(source, tmp_path).items():
        assert complaints(path) == [], kind


def test_results_without_capabilities_pass_dciodvfy(tmp_path: Path) -> None:
    bare = prediction(simulated=False, with_cine=False)
    content = build_report(
        type(bare)(model=bare.model, heart_rate_bpm=61.0),
        ecg_head(),
        sop_instance_uid="2.25.41",
        series_instance_uid="2.25.42",
        cine_reference=None,
        templates=TEMPLATES,
    )
    path = tmp_path / "bare.dcm"
    path.write_bytes(content)
    assert complaints(path) == []


def test_patient_and_study_agree_across_ecg_and_results(shared: Path, tmp_path: Path) -> None:
    ecg = shared / "data/ecg_dicom/mortara_eli250_1000hz.dcm"
    paths = results(read_part10(ecg.read_bytes()), tmp_path)
    verdict = run(tool("dcentvfy"), ecg, paths["cine"], paths["report"])
    assert "Error" not in verdict.stdout + verdict.stderr


def test_dcmtk_reads_the_reports_without_complaint(tmp_path: Path) -> None:
    paths = results(ecg_head(), tmp_path)
    for kind in ("report", "no-result"):
        dump = run(tool("dsrdump"), paths[kind])
        assert dump.returncode == 0
        complaints_of_dcmtk = [
            line for line in dump.stderr.splitlines() if not line.startswith("W: The VR checker")
        ]
        assert complaints_of_dcmtk == []
    assert '"57.0" (%,UCUM' in run(tool("dsrdump"), paths["report"]).stdout


def test_dcmtk_renders_every_frame(tmp_path: Path) -> None:
    path = results(ecg_head(), tmp_path)["cine"]
    rendered = run(tool("dcm2pnm"), "--all-frames", "--write-raw-pnm", path, tmp_path / "frame")
    assert rendered.returncode == 0, rendered.stderr
    pictures = sorted(tmp_path.glob("frame*"))
    assert len(pictures) == FRAMES
    # Two strips of 28 rows around 64 x 64 at six times its size.
    assert {picture.read_bytes().split()[1:3] == [b"384", b"440"] for picture in pictures} == {True}
