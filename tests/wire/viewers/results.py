"""What a viewer is given: the results of an ECG as the node composes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from node.dicom.template import load_templates
from node.domain.delivery import ResultKind
from node.domain.form import ResultForm
from node.models import load_models
from node.settings import read_settings
from node.workflow.answer import Answer, answer, compose


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
