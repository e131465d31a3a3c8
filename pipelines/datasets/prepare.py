"""Real recordings into a training set on disk, split by subject, conditioned as serving does it.

Recordings are taken as they come: each part's rows grow in files of their own, which are then laid
one behind the other. So memory holds no cohort, and the disk holds it twice for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from node.domain.errors import UnusableData
from node.domain.identifiers import digest_of, sha256
from pipelines.cohort.phenotypes import PHENOTYPES
from pipelines.datasets.conditioned import (
    Conditioned,
    StoredEcg,
    condition_recording,
    refused_of,
)
from pipelines.datasets.defined_diseases import defined_labels
from pipelines.datasets.disease_table import FIELD_IDS, Labels
from pipelines.datasets.recording import Recording, Refused
from pipelines.datasets.refused_list import REFUSED, RefusedList
from pipelines.datasets.row_file import RowFile
from pipelines.datasets.split import Part, Shares, check_disjoint, part_of, part_of_ptb_xl
from pipelines.datasets.training_set import (
    FRAMES,
    SIZE,
    STATEMENT,
    SUBJECT_VALUES,
    UNKNOWN,
    Statement,
    TrainingSet,
    create_training_set,
    finish_training_set,
)
from pipelines.datasets.work_ahead import work_ahead
from pipelines.preprocessing import Recipe, subject_vector

ORDER: Final = (Part.TEST, Part.VALIDATION, Part.TRAIN)
"""Of the parts in a training set; what validates while real data is split calibrates there."""
UNLABELLED: Final = (UNKNOWN,) * len(FIELD_IDS)

Progress = Callable[[int, int | None], None]
"""Told how many recordings or rows are done, and of how many; None while nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Who trains, calibrates, tests: by a hash of the subject, or by its publisher's folds."""

    salt: str
    shares: Shares
    publishers_folds: bool = False

    def part(self, recording: Recording) -> Part:
        """Raises UnusableData (no fold where folds decide)."""
        if not self.publishers_folds:
            return part_of(recording.subject_id, self.salt, self.shares)
        if recording.fold is None:
            raise UnusableData("its publisher gave it no fold: split it by salt")
        return part_of_ptb_xl(recording.fold)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How recordings become a training set."""

    recipe: Recipe
    split: Split
    description: str
    diseases: Mapping[str, Labels] = field(default_factory=dict, repr=False)
    """By subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The training set, how many subjects each part of it has, and how much was refused."""

    made: TrainingSet
    subjects: Mapping[Part, int]
    refused: int


def prepare_training_set(
    folder: Path,
    found: Iterable[Recording | Refused],
    roots: Collection[Path],
    plan: Plan,
    progress: Progress,
    *,
    processes: int = 1,
) -> Prepared:
    """Write the training set of what was found below `roots`, and REFUSED: what was not, and why.

    One row an ECG, in the order found within its part. The same recordings give the same bytes,
    in any number of processes.
    Raises UnusableData: a whole set is there already, a part has no ECG, a subject is in two parts.
    """
    if (folder / STATEMENT).exists():
        raise UnusableData(
            f"{folder} holds a training set already: choose another folder, or remove it"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix="parts-") as spool, ExitStack() as stack:
        refused = stack.enter_context(closing(RefusedList(folder / REFUSED, roots)))
        parts = {part: _Rows(Path(spool), part, plan.recipe, stack) for part in ORDER}
        intake = _Intake(plan, parts, refused)
        work = partial(condition_recording, recipe=plan.recipe)
        for done, one in enumerate(work_ahead(work, found, processes), start=1):
            intake.take(one)
            progress(done, None)
        subjects = intake.subjects
        check_disjoint(subjects)
        _check_parts(parts, refused)
        made = create_training_set(folder, _statement(plan, parts, subjects[Part.TEST]))
        _lay(made, parts, progress)
        finish_training_set(folder, made)
    counts = {part: len(subjects[part]) for part in ORDER}
    return Prepared(made=made, subjects=counts, refused=refused.count)


def digest_subjects(subject_ids: Iterable[str]) -> str:
    """SHA-256 over the sorted hashes of subjects: the same people, the same digest."""
    hashes = sorted({digest_of("subject", subject_id) for subject_id in subject_ids})
    return sha256("\n".join(hashes).encode())


class _Rows:
    """The rows of one part, each array in a file of its own."""

    def __init__(self, folder: Path, part: Part, recipe: Recipe, stack: ExitStack) -> None:
        def file(name: str, dtype: type, *shape: int) -> RowFile:
            rows = RowFile(folder / f"{part.value}-{name}", dtype, shape)
            return stack.enter_context(closing(rows))

        self.of_ecg = {
            "ecg": file("ecg", np.float16, 12, recipe.window_samples),
            "subject": file("subject", np.float32, SUBJECT_VALUES),
            "phenotypes": file("phenotypes", np.float32, len(PHENOTYPES)),
            "heart_rate": file("heart_rate", np.float32),
            "diseases": file("diseases", np.int8, len(FIELD_IDS)),
        }
        self.cine = file("cine", np.uint8, FRAMES, SIZE, SIZE)
        self.cine_row: list[int] = []
        """Row of each cine's ECG within the part."""

    @property
    def count(self) -> int:
        return self.of_ecg["ecg"].count


class _Intake:
    """Takes recordings one by one; remembers of each subject where its first ECG went."""

    def __init__(self, plan: Plan, parts: Mapping[Part, _Rows], refused: RefusedList) -> None:
        self.subjects: dict[Part, set[str]] = {part: set() for part in parts}
        self._plan, self._parts, self._refused = plan, parts, refused
        self._homes: dict[str, tuple[_Rows, int]] = {}
        self._with_cine: set[str] = set()

    def take(self, one: Conditioned | Refused) -> None:
        """An ECG and a cine are used or refused each by itself."""
        if isinstance(one, Refused):
            self._refused.add(one)
            return
        for refused in one.refused:
            self._refused.add(refused)
        try:
            if one.ecg is not None:
                self._place_ecg(one.recording, one.ecg)
            if one.cine is not None:
                self._place_cine(one.recording, one.cine)
        except UnusableData as error:
            self._refused.add(refused_of(one.recording, error))

    def _place_ecg(self, recording: Recording, ecg: StoredEcg) -> None:
        subject_id = recording.subject_id
        if not subject_id:
            raise UnusableData("nobody knows whose this is: it cannot be split by subject")
        part = self._plan.split.part(recording)
        row: dict[str, ArrayLike] = {
            "ecg": ecg.samples,
            "subject": subject_vector(recording.subject),
            "phenotypes": _phenotypes(recording.phenotypes or {}),
            "heart_rate": ecg.heart_rate_bpm,
            "diseases": _labels(recording, self._plan.diseases.get(subject_id, UNLABELLED)),
        }
        rows = self._parts[part]
        self._homes.setdefault(subject_id, (rows, rows.count))
        self.subjects[part].add(subject_id)
        for name, file in rows.of_ecg.items():
            file.append(row[name])

    def _place_cine(self, recording: Recording, cine: NDArray[np.uint8]) -> None:
        """Beside the subject's first ECG."""
        home = self._homes.get(recording.subject_id)
        if home is None:
            raise UnusableData("a cine whose subject has no usable ECG")
        if recording.subject_id in self._with_cine:
            raise UnusableData("a second cine of the same subject: the first one is used")
        rows, row = home
        rows.cine.append(cine)
        rows.cine_row.append(row)
        self._with_cine.add(recording.subject_id)


def _labels(recording: Recording, stated: Labels) -> Labels:
    """As the table states, else by definition, else UNKNOWN."""
    defined = defined_labels(recording.phenotypes or {}, recording.subject)
    return tuple(
        defined.get(field_id, UNKNOWN) if label == UNKNOWN else label
        for field_id, label in zip(FIELD_IDS, stated, strict=True)
    )


def _phenotypes(known: Mapping[str, float]) -> NDArray[np.float32]:
    """(P,) in the order of PHENOTYPES, NaN where unknown."""
    return np.array([known.get(each.field_id, np.nan) for each in PHENOTYPES], np.float32)


def _check_parts(parts: Mapping[Part, _Rows], refused: RefusedList) -> None:
    if not any(rows.count for rows in parts.values()):
        raise UnusableData(
            f"no usable ECG was found; {refused.count} refused, each with its reason in "
            f"{refused.path}"
        )
    purpose = {Part.TEST: "test", Part.VALIDATION: "calibrate", Part.TRAIN: "train"}
    for part, rows in parts.items():
        if not rows.count:
            raise UnusableData(
                f"the split leaves no subject to {purpose[part]} on: give more subjects, other "
                "shares or another salt"
            )


def _statement(plan: Plan, parts: Mapping[Part, _Rows], test_subjects: set[str]) -> Statement:
    return Statement(
        description=plan.description,
        simulated=False,
        recipe=plan.recipe.name,
        test=parts[Part.TEST].count,
        calibration=parts[Part.VALIDATION].count,
        train=parts[Part.TRAIN].count,
        cines=sum(rows.cine.count for rows in parts.values()),
        field_ids=tuple(phenotype.field_id for phenotype in PHENOTYPES),
        diseases=FIELD_IDS,
        test_digest=digest_subjects(test_subjects),
    )


def _lay(made: TrainingSet, parts: Mapping[Part, _Rows], progress: Progress) -> None:
    """The parts one behind the other; cines in the order of their ECGs."""
    total = sum(
        file.count for rows in parts.values() for file in (*rows.of_ecg.values(), rows.cine)
    )
    done = first_row = first_cine = 0
    for rows in parts.values():
        cine_row = np.array(rows.cine_row, np.int64)
        order = np.argsort(cine_row)
        targets: list[tuple[NDArray[Any], int, Iterable[NDArray[Any]]]] = [
            (getattr(made, name), first_row, file.chunks()) for name, file in rows.of_ecg.items()
        ]
        targets.append((made.cine, first_cine, rows.cine.chunks(order)))
        for target, first, chunks in targets:
            place = first
            for chunk in chunks:
                target[place : place + len(chunk)] = chunk
                place, done = place + len(chunk), done + len(chunk)
                progress(done, total)
        last_cine = first_cine + rows.cine.count
        made.cine_subject[first_cine:last_cine] = first_row + cine_row[order]
        first_row, first_cine = first_row + rows.count, last_cine
