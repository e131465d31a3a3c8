"""The 82 phenotypes: UK Biobank's ids in order, identities, labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.cohort.phenotypes import DISEASES, PHENOTYPES, label_diseases, measure_phenotypes
from pipelines.cohort.population import Population, simulate_population


@pytest.fixture(scope="module")
def population() -> Population:
    return simulate_population(3000, 3)


@pytest.fixture(scope="module")
def column(population: Population) -> dict[str, NDArray[np.float64]]:
    table = measure_phenotypes(population)
    return {phenotype.field_id: table[:, k] for k, phenotype in enumerate(PHENOTYPES)}


def test_they_are_uk_biobank_s_fields_24100_to_24181_in_order() -> None:
    """Against UK Biobank's category 157: names begin as its fields' do."""
    assert [phenotype.field_id for phenotype in PHENOTYPES] == [
        str(field) for field in range(24100, 24182)
    ]
    names = {int(phenotype.field_id): phenotype.name for phenotype in PHENOTYPES}
    assert names[24100] == "LV end diastolic volume"
    assert names[24105] == "LV myocardial mass"
    assert names[24109] == "RV ejection fraction"
    assert names[24118] == "Ascending aorta maximum area"
    assert names[24123] == "Descending aorta distensibility"
    assert names[24124] == "LV mean myocardial wall thickness AHA 1"
    assert names[24140] == "LV mean myocardial wall thickness global"
    assert names[24156] == "LV circumferential strain AHA 16"
    assert names[24174] == "LV radial strain global"
    assert names[24181] == "LV longitudinal strain global"


def test_phenotypes_obey_their_identities(
    population: Population, column: dict[str, NDArray[np.float64]]
) -> None:
    for largest, smallest, stroke, fraction in (
        ("24100", "24101", "24102", "24103"), ("24106", "24107", "24108", "24109"),
        ("24110", "24111", "24112", "24113"), ("24114", "24115", "24116", "24117"),
    ):  # fmt: skip
        assert np.allclose(column[stroke], column[largest] - column[smallest])
        assert np.allclose(column[fraction], 100 * column[stroke] / column[largest])
    assert np.allclose(column["24104"], column["24102"] * population.heart_rate_bpm / 1000)
    for largest, smallest, widening in (("24118", "24119", "24120"), ("24121", "24122", "24123")):
        change = (column[largest] - column[smallest]) / column[smallest]
        assert np.allclose(1000 * change / population.central_pulse_mmhg, column[widening])


@pytest.mark.parametrize(("first", "count"), [(24124, 16), (24141, 16), (24158, 16), (24175, 6)])
def test_the_whole_is_the_mean_of_its_segments(
    column: dict[str, NDArray[np.float64]], first: int, count: int
) -> None:
    segments = np.stack([column[str(first + place)] for place in range(count)])
    assert np.allclose(segments.mean(axis=0), column[str(first + count)])


def test_a_derivation_says_how_a_phenotype_follows(
    population: Population, column: dict[str, NDArray[np.float64]]
) -> None:
    rate = population.heart_rate_bpm
    for phenotype in PHENOTYPES:
        if phenotype.derivation is None:
            continue
        of = [column[field_id] for field_id in phenotype.derivation.of]
        expected = {
            "difference": lambda a, b=None: a - b,
            "ejection-fraction": lambda a, b=None: 100.0 * (a - b) / a,
            "cardiac-output": lambda a, b=None: a * rate / 1000.0,
        }[phenotype.derivation.kind](*of)
        assert np.allclose(column[phenotype.field_id], expected), phenotype.name


def test_nearly_everything_is_in_its_believable_range(
    column: dict[str, NDArray[np.float64]],
) -> None:
    for phenotype in PHENOTYPES:
        values = column[phenotype.field_id]
        inside = (values >= phenotype.minimum) & (values <= phenotype.maximum)
        assert inside.mean() > 0.995, phenotype.name


def test_labels_follow_from_the_heart(
    population: Population, column: dict[str, NDArray[np.float64]]
) -> None:
    labels = dict(zip((name for name, _ in DISEASES), label_diseases(population).T, strict=True))
    assert np.array_equal(labels["lv-systolic-dysfunction"], column["24103"] < 50.0)
    index = column["24105"] / population.surface_m2
    limit = np.where(population.male, 53.0 + 2 * 9.0, 42.0 + 2 * 7.0)  # Petersen 2017
    assert np.array_equal(labels["lv-hypertrophy"], index > limit)


def test_thickness_follows_mass_and_strain_follows_ejection(population: Population) -> None:
    heavier = replace(population, lv_mass_g=1.2 * population.lv_mass_g)
    weaker = replace(
        population, lvesv_ml=population.lvesv_ml + 0.1 * (population.lvedv_ml - population.lvesv_ml)
    )
    place = {phenotype.field_id: k for k, phenotype in enumerate(PHENOTYPES)}
    before = measure_phenotypes(population)
    assert (measure_phenotypes(heavier)[:, place["24140"]] > before[:, place["24140"]]).all()
    assert (measure_phenotypes(weaker)[:, place["24157"]] > before[:, place["24157"]]).all()
