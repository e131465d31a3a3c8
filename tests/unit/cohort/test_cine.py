from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, label

from pipelines.cohort import heart, tissue
from pipelines.cohort.beat import move_chambers
from pipelines.cohort.cine import (
    FIELD_OF_VIEW_MM,
    STANDARD_ACQUISITION,
    digitise,
    draw_acquisition,
    paint_cine,
    render_cine,
)
from pipelines.cohort.phenotypes import PHENOTYPES, measure_phenotypes
from pipelines.cohort.population import Population, Stream, draw, simulate_population

SUBJECTS = 20
PIXEL_MM = FIELD_OF_VIEW_MM / 96


@pytest.fixture(scope="module")
def population() -> Population:
    return simulate_population(SUBJECTS, 11)


@pytest.fixture(scope="module")
def standard_cines(population: Population) -> list[NDArray[np.float32]]:
    """One standard scan without noise of each subject."""
    return [
        paint_cine(population, subject, STANDARD_ACQUISITION, frames=25, size=96)
        for subject in range(SUBJECTS)
    ]


def blood_pools(frame: NDArray[np.float32]) -> Iterator[NDArray[np.bool_]]:
    """Bright regions that no dark line divides."""
    threshold = (tissue.BLOOD + tissue.MUSCLE) / 2.0
    regions, count = label(frame > threshold)
    for number in range(1, count + 1):
        yield binary_fill_holes(regions == number)


def left_ventricle(frame: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The blood pool right of and just above the image centre, as a reader would point at it."""
    row, column = frame.shape[0] // 2 - 6, frame.shape[1] // 2 + 14
    return next(pool for pool in blood_pools(frame) if pool[row, column])


def area_length_ml(region: NDArray[np.bool_]) -> float:
    """8 A^2 / (3 pi L), the length taken along the region's own principal axis."""
    places = np.argwhere(region) * PIXEL_MM
    area = len(places) * PIXEL_MM**2
    _, axes = np.linalg.eigh(np.cov(places.T))
    along = (places - places.mean(axis=0)) @ axes[:, -1]
    return 8.0 * area**2 / (3.0 * np.pi * (np.ptp(along) + PIXEL_MM)) / 1000.0


def measured_volumes(cine: NDArray[np.float32]) -> tuple[float, float]:
    """End-diastolic and end-systolic mL; the smallest pool while the mitral valve is shut."""
    first = area_length_ml(left_ventricle(cine[0]))
    pools = [area_length_ml(left_ventricle(frame)) for frame in cine[1:17]]
    return first, min(pools)


def test_a_threshold_meter_reads_the_subject_s_ejection_fraction_and_volumes(
    population: Population, standard_cines: list[NDArray[np.float32]]
) -> None:
    diastole, systole = np.array([measured_volumes(cine) for cine in standard_cines]).T
    ejection = (diastole - systole) / diastole
    true_ejection = (population.lvedv_ml - population.lvesv_ml) / population.lvedv_ml
    assert np.corrcoef(ejection, true_ejection)[0, 1] >= 0.9
    assert np.corrcoef(diastole, population.lvedv_ml)[0, 1] >= 0.95
    assert np.corrcoef(systole, population.lvesv_ml)[0, 1] >= 0.95
    # A truncated ellipsoid is not the formula's whole one, so the level may differ a little.
    assert np.abs(diastole / population.lvedv_ml - 1.0).max() < 0.25


def test_volume_and_mass_of_the_left_ventricle_hold_in_every_frame(population: Population) -> None:
    for subject in range(SUBJECTS):
        beat = move_chambers(population, subject, 50)
        length, radius, wall = (
            values[:, 0].astype(np.float64)
            for values in (beat.lv_length, beat.lv_radius, beat.lv_wall)
        )
        cavity = revolve(length, radius, np.zeros(50))
        muscle = revolve(length, radius, wall) - cavity
        assert cavity[0] == pytest.approx(population.lvedv_ml[subject], rel=1e-3)
        assert cavity.min() == pytest.approx(population.lvesv_ml[subject], rel=0.01)
        mass = muscle * heart.MUSCLE_DENSITY_G_PER_ML
        assert mass == pytest.approx(np.full(50, population.lv_mass_g[subject]), rel=2e-3)


def revolve(
    length: NDArray[np.float64], radius: NDArray[np.float64], wall: NDArray[np.float64]
) -> NDArray[np.float64]:
    """mL of an ellipsoid cut at its mitral plane, as a sum of 4000 discs."""
    half = 0.7 * length + wall
    edges = np.linspace(-0.3 * length, half, 4001)
    middle = (edges[1:] + edges[:-1]) / 2.0
    discs = np.pi * (radius + wall) ** 2 * (1.0 - (middle / half) ** 2)
    volume: NDArray[np.float64] = (discs * np.diff(edges, axis=0)).sum(axis=0) / 1000.0
    return volume


def test_four_chambers_stand_apart_while_the_valves_are_shut(
    population: Population, standard_cines: list[NDArray[np.float32]]
) -> None:
    for aorta_mm2, cine in zip(population.descending_min_mm2, standard_cines, strict=True):
        pools = [pool for pool in blood_pools(cine[0]) if not touches_the_edge(pool)]
        assert sum(pool.sum() * PIXEL_MM**2 > 1.2 * aorta_mm2 for pool in pools) == 4


def touches_the_edge(pool: NDArray[np.bool_]) -> bool:
    return bool(pool[0].any() or pool[-1].any() or pool[:, 0].any() or pool[:, -1].any())


def test_an_atrium_is_fullest_when_its_ventricle_is_emptiest(population: Population) -> None:
    beat = move_chambers(population, 0, 50)
    filling = beat.la_length * beat.la_radius**2
    emptying = beat.lv_length * beat.lv_radius**2
    assert int(filling.argmax()) == int(emptying.argmin())


def test_the_last_frame_leads_into_the_first(population: Population) -> None:
    cine = paint_cine(population, 1, STANDARD_ACQUISITION, frames=50, size=96)
    steps = np.abs(np.diff(cine, axis=0)).mean(axis=(1, 2))
    assert np.abs(cine[-1] - cine[0]).mean() <= 1.5 * steps.max()


def test_the_chest_wall_is_at_the_top_and_the_right_heart_at_the_patient_s_right(
    standard_cines: list[NDArray[np.float32]],
) -> None:
    frame = standard_cines[0][0]
    rows, columns = np.nonzero(left_ventricle(frame))
    assert frame[0].mean() > 5.0 * frame[60:, 80:].mean()
    assert columns.mean() > 48
    assert rows[columns > 70].mean() < rows[columns < 50].mean()  # the apex points up and left


def test_a_cine_is_bytes_of_the_asked_shape(population: Population) -> None:
    assert render_cine(population, 0, seed=3).shape == (50, 96, 96)
    small = render_cine(population, 0, seed=3, frames=10, size=64)
    assert small.shape == (10, 64, 64)
    assert small.dtype == np.uint8
    assert np.mean(small == 255) < 0.01


def test_same_subject_and_seed_give_the_same_bytes_whoever_else_is_in_the_population() -> None:
    few, many = simulate_population(3, 5), simulate_population(30, 5)
    first = render_cine(few, 2, seed=5, frames=8)
    assert first.tobytes() == render_cine(many, 2, seed=5, frames=8).tobytes()
    assert first.tobytes() != render_cine(few, 2, seed=6, frames=8).tobytes()


def test_pixel_noise_changes_without_the_anatomy_or_the_scan(population: Population) -> None:
    acquisition = draw_acquisition(draw(3, Stream.NUISANCE, 0))
    clean = paint_cine(population, 0, acquisition, frames=8, size=96)
    first = digitise(clean, draw(3, Stream.PIXEL_NOISE, 0))
    second = digitise(clean, draw(4, Stream.PIXEL_NOISE, 0))
    assert first.tobytes() == render_cine(population, 0, seed=3, frames=8).tobytes()
    difference = first.astype(np.float64) - second
    # Two independent draws: sqrt 2 of 255 * 0.78 / 42 each, where the signal is far above it.
    bright = clean > 0.5
    assert difference[bright].std() == pytest.approx(np.sqrt(2.0) * 255.0 * 0.78 / 42.0, rel=0.03)
    assert abs(difference.mean()) < 0.1


def test_an_acquisition_moves_the_image_and_not_the_heart(population: Population) -> None:
    first, second = (draw_acquisition(draw(seed, Stream.NUISANCE, 0)) for seed in (3, 4))
    assert first.rotation_deg != second.rotation_deg
    cines = [paint_cine(population, 0, scan, frames=2, size=96) for scan in (first, second)]
    assert not np.array_equal(*cines)
    volumes = [area_length_ml(left_ventricle(cine[0] / scan.gain)) for cine, scan in
               zip(cines, (first, second), strict=True)]  # fmt: skip
    assert volumes[0] == pytest.approx(volumes[1], rel=0.08)


def test_the_meter_s_truth_is_the_phenotype_table_s(population: Population) -> None:
    fields = [phenotype.field_id for phenotype in PHENOTYPES]
    table = measure_phenotypes(population)
    beat = move_chambers(population, 4, 50)
    ejection = 1.0 - float(
        (beat.lv_length * beat.lv_radius**2).min() / (beat.lv_length * beat.lv_radius**2)[0, 0]
    )
    assert 100.0 * ejection == pytest.approx(table[4, fields.index("24103")], abs=1.0)
