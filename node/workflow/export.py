"""One ECG answered offline, as a folder of files that people open."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pydicom import dcmread

from node.dicom.rendering import animate, contact_sheet, document, still
from node.dicom.report_reading import report_text
from node.dicom.template import Templates
from node.domain.delivery import USUAL_RESULTS, ResultKind
from node.domain.ecg import ECGRecord
from node.domain.form import DEFAULT_FORM, ResultForm
from node.ecg.drawing import draw_ecg
from node.hl7.profile import Profile
from node.workflow.answer import Answer, compose, describe
from node.workflow.compose import compose_message

_FILES = {
    ResultKind.CINE: "cine.dcm",
    ResultKind.SUMMARY: "summary.dcm",
    ResultKind.PDF: "summary-pdf.dcm",
    ResultKind.REPORT: "report.dcm",
    ResultKind.ORU: "result.hl7",
    ResultKind.FHIR: "result.fhir.json",
}


def export(
    found: Answer,
    folder: Path,
    *,
    profile: Profile,
    templates: Templates,
    form: ResultForm = DEFAULT_FORM,
    kinds: Collection[ResultKind] = USUAL_RESULTS,
) -> Path:
    """Write everything that one ECG came to; gives the folder made inside `folder`.

    Files: cine.dcm (of single frames cine-01.dcm and so on), cine.gif, cine.png, summary.dcm,
    summary.png, summary-pdf.dcm, summary.pdf, report.dcm, report.txt, result.hl7, prediction.json,
    ecg.png; those of a result that was not made are missing. Raises like `compose`.
    """
    made: dict[ResultKind, list[bytes]] = {}
    for result in compose(found, templates, form, kinds=kinds):
        made.setdefault(result.kind, []).append(result.content)
    if found.prediction is not None and found.record is not None:
        message = compose_message(
            found.prediction,
            found.record,
            found.source,
            form,
            destination="default",
            profile=profile,
            templates=templates,
        )
        made[message.kind] = [message.content]
    target = folder / found.source.study.sop_instance_uid
    write_results(target, made, found.record)
    if found.prediction is not None:
        (target / "prediction.json").write_text(describe(found.prediction), encoding="utf-8")
    return target


def write_results(
    folder: Path, results: Mapping[ResultKind, Sequence[bytes]], record: ECGRecord | None
) -> None:
    """Write result objects and the pictures of them.

    results: the objects of each kind, in their order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for kind, contents in results.items():
        for name, content in zip(_names(kind, len(contents)), contents, strict=True):
            (folder / name).write_bytes(content)
    if ResultKind.CINE in results:
        images = [dcmread(io.BytesIO(content)) for content in results[ResultKind.CINE]]
        (folder / "cine.gif").write_bytes(animate(images))
        (folder / "cine.png").write_bytes(contact_sheet(images))
    if ResultKind.SUMMARY in results:
        (content,) = results[ResultKind.SUMMARY]
        (folder / "summary.png").write_bytes(still(dcmread(io.BytesIO(content))))
    if ResultKind.PDF in results:
        (content,) = results[ResultKind.PDF]
        (folder / "summary.pdf").write_bytes(document(dcmread(io.BytesIO(content))))
    if ResultKind.REPORT in results:
        (content,) = results[ResultKind.REPORT]
        text = report_text(dcmread(io.BytesIO(content)))
        (folder / "report.txt").write_text(text, encoding="utf-8")
    if record is not None:
        (folder / "ecg.png").write_bytes(draw_ecg(record))


def _names(kind: ResultKind, count: int) -> Sequence[str]:
    name = Path(_FILES[kind])
    if count == 1:
        return [name.name]
    return [f"{name.stem}-{number:02}{name.suffix}" for number in range(1, count + 1)]
