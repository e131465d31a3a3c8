"""One ECG answered offline, as a folder of files that people open."""

from __future__ import annotations

import io
from pathlib import Path

from pydicom import dcmread

from node.dicom.rendering import animate, contact_sheet
from node.dicom.summary import report_text
from node.dicom.template import Templates
from node.domain.delivery import ResultKind
from node.domain.ecg import ECGRecord
from node.ecg.drawing import draw_ecg
from node.hl7.profile import Profile
from node.workflow.compose import compose_message
from node.workflow.process import Answer, describe

_FILES = {
    ResultKind.CINE: "cine.dcm",
    ResultKind.REPORT: "report.dcm",
    ResultKind.ORU: "result.hl7",
}


def export(found: Answer, folder: Path, *, profile: Profile, templates: Templates) -> Path:
    """Write everything that one ECG came to; gives the folder made inside `folder`.

    Files: cine.dcm, cine.gif, cine.png, report.dcm, report.txt, result.hl7, prediction.json,
    ecg.png; those of a result that was not made are missing.
    """
    made = {result.kind: result.content for result in found.objects}
    if found.prediction is not None:
        message = compose_message(
            found.prediction,
            found.source,
            found.identifiers,
            destination="default",
            profile=profile,
            templates=templates,
        )
        made[message.kind] = message.content
    target = folder / found.source.study.sop_instance_uid
    write_results(target, made, found.record)
    if found.prediction is not None:
        (target / "prediction.json").write_text(describe(found.prediction), encoding="utf-8")
    return target


def write_results(folder: Path, results: dict[ResultKind, bytes], record: ECGRecord | None) -> None:
    """Write result objects and the pictures of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, content in results.items():
        (folder / _FILES[kind]).write_bytes(content)
    if ResultKind.CINE in results:
        cine = dcmread(io.BytesIO(results[ResultKind.CINE]))
        (folder / "cine.gif").write_bytes(animate(cine))
        (folder / "cine.png").write_bytes(contact_sheet(cine))
    if ResultKind.REPORT in results:
        report = dcmread(io.BytesIO(results[ResultKind.REPORT]))
        (folder / "report.txt").write_text(report_text(report), encoding="utf-8")
    if record is not None:
        (folder / "ecg.png").write_bytes(draw_ecg(record))
