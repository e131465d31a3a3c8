"""What a viewer is given: the results of an ECG as the node composes them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from pydicom import Dataset, dcmread

from node.dicom.template import load_templates
from node.domain.delivery import ResultKind
from node.domain.form import ResultForm
from node.models import load_models
from node.settings import read_settings
from node.workflow.process import Answer, answer, compose

JPEG_2000 = "1.2.840.10008.1.2.4.90"


def answered(ecg: Path, overrides: Sequence[str] = ()) -> Answer:
    """By the shipped bundle, or as the settings say."""
    settings = read_settings(None, overrides)
    models = load_models(settings.model, load_templates(), lambda _: None)
    return answer(ecg.read_bytes(), pipeline=models.pipeline_for(""))


def composed(found: Answer, form: ResultForm) -> dict[ResultKind, bytes]:
    """A PS3.10 file a kind; of a form with one object a kind."""
    return {
        made.kind: made.content
        for made in compose(found, load_templates(), form, kinds=frozenset(ResultKind))
    }


def compressed(content: bytes, transfer_syntax_uid: str) -> bytes:
    """The same image, losslessly."""
    dataset: Dataset = dcmread(io.BytesIO(content))
    if dataset.PhotometricInterpretation == "RGB" and transfer_syntax_uid.startswith(JPEG_2000):
        dataset.PhotometricInterpretation = "YBR_RCT"
    dataset.compress(transfer_syntax_uid, generate_instance_uid=False)
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()
