"""The command that makes a training set of real recordings."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import plain_console, progress_bar

if TYPE_CHECKING:
    from pipelines.datasets.prepare import Prepared

SHARE = "Expected share of the subjects"


def prepare(
    kind: Annotated[str, typer.Argument(help="ukbiobank, mimic-iv-ecg, ptb-xl, wfdb or dicom.")],
    folder: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="Folder with the cohort's files.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the training; the set goes to its data/.")],
    phenotypes: Annotated[
        Path | None,
        typer.Option(help="Table as UK Biobank's: eid (the subject), 24100-2.0, 24101-2.0 …"),
    ] = None,
    instance: Annotated[int, typer.Option(help="Visit of UK Biobank's files and columns.")] = 2,
    diseases: Annotated[
        Path | None, typer.Option(help="Table of subject_id and diseases: 0, 1 or empty.")
    ] = None,
    patients: Annotated[
        Path | None, typer.Option(help="mimic-iv-ecg: MIMIC-IV's patients.csv(.gz), age and sex.")
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(
            help="wfdb, dicom: regular expression whose first group is the subject in a file's "
            "path below the folder, e.g. ^([^/]+)/ for one folder a subject."
        ),
    ] = None,
    cines: Annotated[
        Path | None, typer.Option(help="dicom: folder with the cines of the same subjects.")
    ] = None,
    view: Annotated[
        str | None, typer.Option(help="dicom: Series Description of the cines to take.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="How ECGs are conditioned.")] = "cardionode-2",
    salt: Annotated[
        str, typer.Option(help="The split's name: another name is another split.")
    ] = "cardionode",
    train: Annotated[float, typer.Option(min=0, max=1, help=f"{SHARE} to train on.")] = 0.8,
    calibration: Annotated[
        float, typer.Option(min=0, max=1, help=f"{SHARE} to calibrate on; the rest tests.")
    ] = 0.1,
    folds: Annotated[
        bool, typer.Option("--folds", help="ptb-xl: split by its publisher's folds, not by salt.")
    ] = False,
    processes: Annotated[
        int | None, typer.Option(min=1, help="That condition ECGs; all cores unless given.")
    ] = None,
    description: Annotated[
        str | None, typer.Option(help="What the set is, for reports and the bundle's card.")
    ] = None,
) -> None:
    """Make a training set of real recordings, split by subject; nothing is dropped in silence."""
    from pipelines.datasets.disease_table import read_disease_table
    from pipelines.datasets.phenotype_table import read_phenotype_table
    from pipelines.datasets.prepare import Plan, Split, prepare_training_set
    from pipelines.datasets.sources import TITLES, Kind, Source
    from pipelines.datasets.split import Shares
    from pipelines.preprocessing import RECIPES
    from pipelines.training.run import DATA

    kinds = [each.value for each in Kind]
    if kind not in kinds:
        raise typer.BadParameter(f"{kind} is no kind; kinds are {', '.join(kinds)}")
    if recipe not in RECIPES:
        raise typer.BadParameter(f"{recipe} is no recipe; recipes are {', '.join(RECIPES)}")
    if folds and Kind(kind) is not Kind.PTB_XL:
        raise typer.BadParameter("--folds is of ptb-xl alone")
    if train + calibration > 1:
        raise typer.BadParameter("--train and --calibration are together above 1")
    source = Source(
        kind=Kind(kind),
        folder=folder,
        phenotypes=read_phenotype_table(phenotypes, instance=instance) if phenotypes else None,
        instance=instance,
        patients=patients,
        subject=_pattern(subject),
        cines=cines,
        view=view,
    )
    plan = Plan(
        recipe=RECIPES[recipe],
        split=Split(
            salt=salt,
            shares=Shares(train=train, validation=calibration),
            publishers_folds=folds,
        ),
        description=description or f"real subjects of {TITLES[source.kind]}",
        diseases=read_disease_table(diseases) if diseases else {},
    )
    with progress_bar() as bar:
        reading, writing = (bar.add_task(what, total=None) for what in ("reading", "writing"))

        def progress(done: int, total: int | None) -> None:
            if total is None:
                bar.update(reading, completed=done, description=f"reading {done}")
            else:
                bar.update(writing, completed=done, total=total)

        prepared = prepare_training_set(
            out / DATA,
            source.read(),
            source.roots,
            plan,
            progress,
            processes=processes or os.cpu_count() or 1,
        )
    _print_summary(prepared, out / DATA)


def _pattern(text: str | None) -> re.Pattern[str] | None:
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise typer.BadParameter(f"--subject is no regular expression: {error}") from error


def _print_summary(prepared: Prepared, folder: Path) -> None:
    from pipelines.datasets.coverage import known_diseases, known_phenotypes
    from pipelines.datasets.refused_list import REFUSED
    from pipelines.datasets.split import Part

    made, statement, subjects = prepared.made, prepared.made.statement, prepared.subjects
    console = plain_console()
    console.print(f"{folder}: {statement.subjects} ECGs of {sum(subjects.values())} subjects")
    for name, count, part in (
        ("test", statement.test, Part.TEST),
        ("calibration", statement.calibration, Part.VALIDATION),
        ("train", statement.train, Part.TRAIN),
    ):
        console.print(f"  {name}: {count} ECGs of {subjects[part]} subjects")
    console.print(f"  cines: {statement.cines}")
    console.print(f"  refused: {prepared.refused}, each with its reason in {folder / REFUSED}")
    for name, share in (known_phenotypes(made) | known_diseases(made)).items():
        console.print(f"  {name}: known for {share:.1%}")
    console.print(f"test subjects {statement.test_digest}")
