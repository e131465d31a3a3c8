"""`cardionode process`: the same work offline, without a node, a PACS or any state."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from node.cli.models import load
from node.cli.options import Config, Overrides
from node.dicom.template import load_templates
from node.domain.delivery import USUAL_RESULTS, ResultKind
from node.domain.errors import CardioNodeError
from node.domain.form import (
    DEFAULT_FORM,
    CharacterSet,
    CineForm,
    ReportForm,
    ResultForm,
    StudyForm,
)
from node.hl7.profile import shipped_profile
from node.settings import read_settings
from node.workflow.answer import answer
from node.workflow.export import export


def process(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="ECG files.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
    cine: Annotated[
        CineForm, typer.Option("--cine", help="As what the cine is stored.")
    ] = DEFAULT_FORM.cine,
    report: Annotated[
        ReportForm, typer.Option("--report", help="As what the report is stored.")
    ] = DEFAULT_FORM.report,
    study: Annotated[
        StudyForm, typer.Option("--study", help="The ECG's study, or one of their own.")
    ] = DEFAULT_FORM.study,
    character_set: Annotated[
        CharacterSet, typer.Option("--character-set", help="What text is written in.")
    ] = DEFAULT_FORM.character_set,
    pdf: Annotated[bool, typer.Option("--pdf", help="The summary as a document too.")] = False,
    called: Annotated[
        str,
        typer.Option("--called", help="AE title called, where model.by_ae_title tells bundles."),
    ] = "",
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Answer ECG files; one folder of results an ECG. Exit status 1 if one could not be read."""
    console = Console(highlight=False, soft_wrap=True)
    templates = load_templates()
    models = load(read_settings(config, overrides or ()).model, templates)
    served = models.served_for(called)
    pipeline = served.pipeline
    form = ResultForm(cine=cine, report=report, study=study, character_set=character_set)
    kinds = USUAL_RESULTS | ({ResultKind.PDF} if pdf else set())
    failed = False
    lines: list[str] = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("processing", total=len(files))
        for done, file in enumerate(files):

            def watch(share: float, done: int = done) -> None:
                progress.update(task, completed=done + share)

            watch(0.0)
            try:
                found = answer(file.read_bytes(), pipeline=pipeline, watch=watch)
                folder = export(
                    found,
                    out,
                    profile=shipped_profile(),
                    templates=templates,
                    form=form,
                    kinds=kinds,
                )
            except CardioNodeError as error:
                lines.append(f"{file}: {error.message}")
                failed = True
                continue
            refused = "; ".join(finding.message for finding in found.quality.findings)
            verdict = "answered" if found.prediction else f"no result: {refused}"
            lines.append(f"{file}: {verdict} -> {folder}")
    console.print(f"model: {served.text}", markup=False)
    console.print(f"form: {form}", markup=False)
    for line in lines:
        console.print(line, markup=False)
    if failed:
        raise typer.Exit(1)
