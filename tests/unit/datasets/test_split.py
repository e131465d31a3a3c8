from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.errors import UnusableData
from pipelines.datasets.split import (
    Part,
    Shares,
    check_disjoint,
    fold_of,
    part_of,
    part_of_ptb_xl,
)

SHARES = Shares(train=0.7, validation=0.1)
IDS = st.text(min_size=1, max_size=20)


@given(cohort=st.sets(IDS), newcomers=st.sets(IDS), salt=st.text(max_size=10))
def test_nobody_changes_sides_when_the_cohort_grows(
    cohort: set[str], newcomers: set[str], salt: str
) -> None:
    before = {one: part_of(one, salt, SHARES) for one in sorted(cohort)}
    after = {one: part_of(one, salt, SHARES) for one in sorted(cohort | newcomers, reverse=True)}
    assert before == {one: after[one] for one in cohort}


@given(recordings=st.lists(IDS), salt=st.text(max_size=10))
def test_all_recordings_of_a_subject_are_in_one_part(recordings: list[str], salt: str) -> None:
    subjects: dict[Part, list[str]] = {part: [] for part in Part}
    for subject_id in recordings:
        subjects[part_of(subject_id, salt, SHARES)].append(subject_id)
    check_disjoint(subjects)


@given(subject_id=IDS, salt=st.text(max_size=10), n_folds=st.integers(2, 50))
def test_every_subject_has_one_fold(subject_id: str, salt: str, n_folds: int) -> None:
    fold = fold_of(subject_id, salt, n_folds)
    assert 0 <= fold < n_folds
    assert fold == fold_of(subject_id, salt, n_folds)


@given(subject_id=IDS, first=IDS, second=IDS)
def test_a_subject_in_two_parts_is_refused_without_being_named(
    subject_id: str, first: str, second: str
) -> None:
    subjects = {Part.TRAIN: [first, subject_id], Part.TEST: [second, subject_id]}
    with pytest.raises(UnusableData, match="are in two parts"):
        check_disjoint(subjects)


def test_the_refusal_says_how_many_and_never_who() -> None:
    subjects = {Part.TRAIN: ["4711", "4712", "4713"], Part.VALIDATION: ["4712"], Part.TEST: ["9"]}
    with pytest.raises(UnusableData) as refused:
        check_disjoint(subjects)
    assert str(refused.value) == (
        "1 subjects are in two parts (train and validation); split by subject"
    )


def test_the_place_is_the_top_of_a_blake2b_digest() -> None:
    digest = hashlib.blake2b(b"4:name1000012", digest_size=8).hexdigest()
    place = int(digest, 16) / 16**16
    assert fold_of("1000012", "name", 1000) == int(place * 1000)


@pytest.mark.parametrize("salt", ["main", "second"])
def test_parts_have_their_shares_and_folds_are_even(salt: str) -> None:
    subjects = [str(1_000_000 + number) for number in range(20_000)]
    parts = Counter(part_of(one, salt, SHARES) for one in subjects)
    # Five standard deviations of a binomial of 20,000: at most 5 x sqrt(20000 x 0.7 x 0.3) = 324.
    assert parts[Part.TRAIN] == pytest.approx(14_000, abs=324)
    assert parts[Part.VALIDATION] == pytest.approx(2_000, abs=212)
    folds = Counter(fold_of(one, salt, 5) for one in subjects)
    assert all(count == pytest.approx(4_000, abs=283) for count in folds.values())


def test_another_name_is_an_independent_split() -> None:
    subjects = [str(number) for number in range(10_000)]
    both = sum(fold_of(one, "a", 2) == fold_of(one, "b", 2) for one in subjects)
    assert both == pytest.approx(5_000, abs=250)


def test_more_training_subjects_are_taken_from_the_others_only() -> None:
    subjects = [str(number) for number in range(2_000)]
    small = {one for one in subjects if part_of(one, "s", Shares(train=0.5)) is Part.TRAIN}
    large = {one for one in subjects if part_of(one, "s", Shares(train=0.8)) is Part.TRAIN}
    assert small < large


def test_ptb_xls_folds_are_used_as_its_authors_recommend() -> None:
    parts = [part_of_ptb_xl(fold) for fold in range(1, 11)]
    assert parts == [Part.TRAIN] * 8 + [Part.VALIDATION, Part.TEST]
    for fold in (0, 11):
        with pytest.raises(ValueError, match="1 to 10"):
            part_of_ptb_xl(fold)


@pytest.mark.parametrize(("train", "validation"), [(0.8, 0.3), (-0.1, 0.5), (0.5, -0.1)])
def test_shares_that_are_none_are_refused(train: float, validation: float) -> None:
    with pytest.raises(ValueError, match="shares"):
        Shares(train=train, validation=validation)
