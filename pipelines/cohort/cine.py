"""A simulated bSSFP cine of one heart beat in the horizontal long axis (four-chamber view).

The left ventricle keeps the subject's volumes and mass in every frame; the apex stands still and
the valve plane descends. Image left is the patient's right, the chest wall is at the top.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort import heart, tissue
from pipelines.cohort.beat import Beat, move_chambers
from pipelines.cohort.population import Population, Stream, draw
from pipelines.cohort.thorax import Thorax, paint_thorax
from pipelines.cohort.tissue import Field

FIELD_OF_VIEW_MM = 172.8
SIGNAL_TO_NOISE = 42.0
NUISANCE = "third-1"
"""Name of how scans of one heart differ (`draw_acquisition`, `SIGNAL_TO_NOISE`): about a third of
clinical spread. It bounds every image metric, so it is printed with each; another gets a new name.
"""
RIGHT_WALL_MM = 3.2
ATRIAL_WALL_MM = 1.8
SEPTUM_MM = 1.2
"""Half of the wall between the atria."""
STILL_MM = 7.0
"""Beyond the largest sac: no wall, fat or blood gets there in any frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquisition:
    """How a scan differs from the standard one of the same heart."""

    rotation_deg: float
    shift_mm: tuple[float, float]
    chest_mm: float
    gain: float
    shading: tuple[float, float]
    """Relative signal change from the centre to the image edge, along x and y."""
    warp: NDArray[np.float64]
    """(5, 5) sine waves: amplitude along x and y in mm, wave numbers along x and y in rad/mm,
    phase."""


STANDARD_ACQUISITION = Acquisition(
    rotation_deg=0.0, shift_mm=(0.0, 0.0), chest_mm=0.0, gain=1.0, shading=(0.0, -0.10),
    warp=np.zeros((5, 5)),
)  # fmt: skip


def render_cine(
    population: Population, index: int, *, seed: int, frames: int = 50, size: int = 96
) -> NDArray[np.uint8]:
    """(frames, size, size) of one cardiac cycle from end-diastole, as a scanner would store it."""
    acquisition = draw_acquisition(draw(seed, Stream.NUISANCE, index))
    clean = paint_cine(population, index, acquisition, frames=frames, size=size)
    return digitise(clean, draw(seed, Stream.PIXEL_NOISE, index))


def draw_acquisition(rng: np.random.Generator) -> Acquisition:
    """One scan: how the heart lies and what coil and gain do, about a third of clinical spread."""
    chance = rng.standard_normal(6)
    wave_length_mm = rng.uniform(40.0, 120.0, 5)
    direction = rng.uniform(0.0, 2.0 * np.pi, (3, 5))
    amplitude = 0.66 * rng.standard_normal(5) / np.sqrt(5.0) * np.sqrt(2.0)
    number = 2.0 * np.pi / wave_length_mm
    warp = [
        amplitude * np.cos(direction[0]), amplitude * np.sin(direction[0]),
        number * np.cos(direction[1]), number * np.sin(direction[1]), direction[2],
    ]  # fmt: skip
    return Acquisition(
        rotation_deg=0.9 * chance[0],
        shift_mm=(0.5 * chance[1], 0.5 * chance[2]),
        chest_mm=1.2 * chance[3],
        gain=float(np.exp(0.03 * chance[4])),
        shading=(0.03 * chance[5], -0.10),
        warp=np.stack(warp, axis=1),
    )


def digitise(clean: Field, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Magnitude image of 8 bits with the receiver's noise on both channels (Rician)."""
    sigma = np.float32(tissue.BLOOD / SIGNAL_TO_NOISE)
    real = clean + sigma * rng.standard_normal(clean.shape, dtype=np.float32)
    imaginary = sigma * rng.standard_normal(clean.shape, dtype=np.float32)
    magnitude = np.sqrt(real * real + imaginary * imaginary)
    stored: NDArray[np.uint8] = np.rint(255.0 * np.clip(magnitude, 0.0, 1.0)).astype(np.uint8)
    return stored


def paint_cine(
    population: Population, index: int, acquisition: Acquisition, *, frames: int, size: int
) -> Field:
    """(frames, size, size) without noise, in shares of full scale."""
    beat = move_chambers(population, index, frames)
    view = _view(population, index, beat, acquisition, size)
    thorax = _surround(population, index, beat, acquisition, view)
    background = paint_thorax(view.x, view.y, thorax, view.edge_mm)
    image = np.repeat(background[None], frames, axis=0)
    u, v = view.u, view.v
    near = _near_heart(u, v, beat)
    image[:, near] = _paint_heart(background[near], u[near], v[near], beat, view.edge_mm)
    half = np.float32(2.0 / FIELD_OF_VIEW_MM)
    shading = 1.0 + half * (acquisition.shading[0] * view.x + acquisition.shading[1] * view.y)
    return _blur(image) * (np.float32(acquisition.gain) * shading.astype(np.float32))


def outline_left_ventricle(
    population: Population, index: int, acquisition: Acquisition, beat: Beat, size: int
) -> Field:
    """(frames of the beat, size, size): share of each pixel inside the left ventricle's cavity.

    Up to the mitral annulus; papillary muscle and trabeculae count as cavity, as in the volumes.
    """
    view = _view(population, index, beat, acquisition, size)
    left = _left_cavity(view.u.ravel(), view.v.ravel(), beat)
    return tissue.coverage(left, view.edge_mm).reshape(-1, size, size)


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """Where each pixel lies, (size, size) mm: in the thorax (x, y) and along the heart (u, v)."""

    x: Field
    y: Field
    u: Field
    v: Field
    edge_mm: float
    angle: float
    """Of the long axis above the horizontal, rad."""
    excess: float
    """By which a long heart's origin moves back along its axis, mm."""


def _view(
    population: Population, index: int, beat: Beat, acquisition: Acquisition, size: int
) -> _View:
    x, y = _pixel_places(acquisition, size)
    angle = np.deg2rad(_axis_deg(population, index) + acquisition.rotation_deg)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    # The origin lies left and below of the centre, more so for a long heart.
    excess = np.float32(0.45 * (beat.apex - 88.0))
    from_x, from_y = x + 3.0 + excess * cosine, y - 18.0 - excess * sine
    return _View(
        x=x,
        y=y,
        u=from_x * cosine - from_y * sine,
        v=from_x * sine + from_y * cosine,
        edge_mm=FIELD_OF_VIEW_MM / size,
        angle=float(angle),
        excess=float(excess),
    )


def _pixel_places(acquisition: Acquisition, size: int) -> tuple[Field, Field]:
    """(size, size) mm from the centre of the standard scan, along x and y."""
    places = (np.arange(size) + 0.5) * (FIELD_OF_VIEW_MM / size) - FIELD_OF_VIEW_MM / 2.0
    x, y = np.meshgrid(places - acquisition.shift_mm[0], places - acquisition.shift_mm[1])
    along_x, along_y = x.copy(), y.copy()
    for across, down, number_x, number_y, phase in acquisition.warp:
        wave = np.sin(number_x * x + number_y * y + phase)
        along_x += across * wave
        along_y += down * wave
    return along_x.astype(np.float32), along_y.astype(np.float32)


def _axis_deg(population: Population, index: int) -> float:
    """Long axis above the horizontal: flatter in the heavy and the old."""
    tilt = (
        41.0
        - 0.6 * (population.mass_index[index] - 26.7)
        - 0.08 * (population.age_years[index] - 58.0)
    )
    return float(np.clip(tilt, 32.0, 48.0))


def _surround(
    population: Population, index: int, beat: Beat, acquisition: Acquisition, view: _View
) -> Thorax:
    """Chest wall that clears apex and right ventricle, aorta that clears the lateral wall."""
    cosine, sine = np.cos(view.angle), np.sin(view.angle)
    septal, lateral = (
        float((beat.lv_radius + wall)[0, 0]) for wall in (beat.septal_wall, beat.lateral_wall)
    )
    free_wall = -(septal + float(beat.rv_width[0, 0]) + RIGHT_WALL_MM)
    centre = (-5.0, 45.0)
    reach = []
    for u, v in (
        (beat.apex + 8.0, 0.0),
        (0.45 * beat.apex, free_wall),
        (0.1 * beat.apex, free_wall),
    ):
        along = u - view.excess
        place = (-3.0 + along * cosine + v * sine, 18.0 - along * sine + v * cosine)
        reach.append(np.hypot(place[0] - centre[0], place[1] - centre[1]))
    return Thorax(
        wall_centre=centre,
        wall_radius_mm=float(max(reach) + 5.0 + acquisition.chest_mm),
        muscle_mm=float(5.0 + 0.05 * (population.height_cm[index] - 169.5)),
        aorta_centre=(
            21.0,
            46.0 + 0.62 * lateral + 0.2 * (float(population.mass_index[index]) - 26.7),
        ),
        aorta_radius_mm=float(np.sqrt(population.descending_min_mm2[index] / np.pi)),
    )


def _near_heart(u: Field, v: Field, beat: Beat) -> NDArray[np.bool_]:
    """(rows, columns) pixels that the heart may reach; the others show the thorax all the time.

    Ventricles are largest in the first frame, atria when the ventricles are smallest.
    """
    extremes = beat.frames([0, int(beat.lv_radius.argmin())])
    sac, _, blood = _outlines(u.ravel(), v.ravel(), extremes)
    near: NDArray[np.bool_] = (np.minimum(sac, blood).min(axis=0) < STILL_MM).reshape(u.shape)
    return near


def _outlines(u: Field, v: Field, beat: Beat) -> tuple[Field, Field, Field]:
    """Outer edges of the sac with its fat, of the muscle and of the blood."""
    left, left_outer, right, left_atrium, right_atrium = _chambers(u, v, beat)
    right_outer = right - np.float32(RIGHT_WALL_MM)
    ventricles = np.minimum(left_outer, right_outer)
    atria = np.minimum(left_atrium, right_atrium) - np.float32(ATRIAL_WALL_MM)
    left, right = left + _trabeculae(u, v, beat, 0.5), right + _trabeculae(u, v, beat, 1.0)
    sac = tissue.union(tissue.union(left_outer, right_outer, 14.0), atria, 16.0)
    left_atrium = tissue.union(left_atrium, _pulmonary_veins(u, v, beat), 6.0)
    left_atrium = np.maximum(left_atrium, np.float32(SEPTUM_MM) - (v - beat.atrial_septum))
    muscle = np.minimum(np.minimum(ventricles, atria), left_atrium - np.float32(ATRIAL_WALL_MM))
    blood = np.minimum(tissue.union(left, left_atrium, 4.0), tissue.union(right, right_atrium, 4.0))
    return sac, muscle, blood


def _paint_heart(background: Field, u: Field, v: Field, beat: Beat, edge_mm: float) -> Field:
    """(frames, pixels): sac and fat, muscle, blood, then what stands in the blood."""
    sac, muscle, blood = _outlines(u, v, beat)
    cover = tissue.coverage
    image = tissue.paint(
        background[None], tissue.PERICARDIUM, cover(sac - np.float32(4.2), edge_mm)
    )
    image = tissue.paint(image, tissue.FAT, cover(sac - np.float32(2.6), edge_mm))
    image = tissue.paint(image, tissue.PERICARDIUM, cover(muscle - np.float32(0.7), edge_mm))
    image = tissue.paint(image, tissue.MUSCLE, cover(muscle, edge_mm))
    image = tissue.paint(image, tissue.BLOOD, cover(blood, edge_mm))
    return _paint_inside(image, u, v, beat, edge_mm)


def _chambers(u: Field, v: Field, beat: Beat) -> tuple[Field, Field, Field, Field, Field]:
    """Left cavity, left epicardium, right ventricle, left and right atrium."""
    centre = u - (beat.apex - heart.APEX_SHARE * beat.lv_length)
    half = heart.APEX_SHARE * beat.lv_length
    behind = beat.mitral - u
    beside = v - beat.lv_shift
    septal, lateral = beat.lv_radius + beat.septal_wall, beat.lv_radius + beat.lateral_wall
    outer = np.where(beside < 0.0, septal, lateral)
    left_outer = np.maximum(tissue.ellipse(centre, beside, half + beat.lv_wall, outer), behind)
    half = heart.APEX_SHARE * beat.rv_length
    crescent = tissue.ellipse(
        u - (beat.tricuspid + heart.BASE_SHARE * beat.rv_length),
        beside + septal - 10.0,
        half,
        beat.rv_width + 10.0,
    )
    right = np.maximum(np.maximum(crescent, beat.tricuspid - u), -left_outer)
    left_atrium = _atrium(u, v, beat.mitral, beat.la_length, beat.la_radius, beat.atrial_septum, 1)
    right_atrium = _atrium(
        u, v, beat.tricuspid, beat.ra_length, beat.ra_radius, beat.atrial_septum, -1
    )
    # The membranous septum parts the right atrium from the left ventricle's outflow.
    right_atrium = np.maximum(right_atrium, np.float32(1.5) - left_outer)
    return _left_cavity(u, v, beat), left_outer, right, left_atrium, right_atrium


def _left_cavity(u: Field, v: Field, beat: Beat) -> Field:
    half = heart.APEX_SHARE * beat.lv_length
    ellipsoid = tissue.ellipse(u - (beat.apex - half), v - beat.lv_shift, half, beat.lv_radius)
    return np.maximum(ellipsoid, beat.mitral - u)


def _atrium(
    u: Field, v: Field, plane: Field, length: Field, radius: Field, septum: float, side: int
) -> Field:
    """The ventricle's shape turned round: cut by the valve plane, flat along the septum."""
    beside = (v - septum) * side
    shape = tissue.ellipse(
        u - (plane - heart.BASE_SHARE * length),
        beside - np.float32(0.88) * radius,
        heart.APEX_SHARE * length,
        radius,
    )
    walls = np.maximum(u - plane, np.float32(SEPTUM_MM) - beside)
    return tissue.overlap(shape, walls, 7.0)


def _trabeculae(u: Field, v: Field, beat: Beat, depth_mm: float) -> Field:
    """(rows, columns) mm by which the inner wall is ragged, more towards the apex; mean zero."""
    coarse = np.clip(u / np.float32(beat.apex), 0.0, 1.0) * np.float32(depth_mm)
    ragged: Field = coarse * np.sin(np.float32(0.78) * u) * np.sin(np.float32(0.95) * v + 0.3 * u)
    return ragged


def _pulmonary_veins(u: Field, v: Field, beat: Beat) -> Field:
    """(rows, columns): two veins that enter the left atrium at its back and leave the plane."""
    back = float(beat.mitral[0, 0] - beat.la_length[0, 0])
    veins = []
    for start_v, cosine, sine in ((9.0, 0.82, -0.57), (30.0, 0.64, 0.77)):
        from_u, from_v = back + 9.0 - u, v - (beat.atrial_septum + start_v)
        along, across = from_u * cosine + from_v * sine, from_v * cosine - from_u * sine
        veins.append(tissue.ellipse(along, across, 21.0, 6.0))
    return np.minimum(veins[0], veins[1])


def _paint_inside(image: Field, u: Field, v: Field, beat: Beat, edge_mm: float) -> Field:
    """Valve leaflets, papillary muscle, moderator band."""
    orifice = np.float32(0.90) * beat.lv_radius
    mitral = _leaflets(u, v, beat.mitral, -orifice, orifice, beat.opening)
    outer = beat.lv_radius + beat.septal_wall - beat.lv_shift
    tricuspid = _leaflets(
        u, v, beat.tricuspid, -outer - np.float32(0.86) * beat.rv_width, beat.atrial_septum - 1.0,
        beat.opening,
    )  # fmt: skip
    # Shut leaflets overlap and stay in the pixel; open ones move through it and blur away.
    thickness = np.float32(1.5) - np.float32(0.7) * beat.opening
    valves = tissue.coverage(np.minimum(mitral, tricuspid) - thickness, edge_mm)
    image = tissue.paint(image, tissue.VALVE, valves)
    papillary = tissue.ellipse(
        u - (beat.mitral + 0.58 * beat.lv_length),
        v - beat.lv_shift - 0.60 * beat.lv_radius,
        7.0,
        2.8,
    )
    image = tissue.paint(image, tissue.MUSCLE, 0.9 * tissue.coverage(papillary, edge_mm))
    band = tissue.segment(
        u, v,
        (0.62 * beat.apex, np.float32(-0.9) * outer),
        (0.72 * beat.apex, -outer - np.float32(0.55) * beat.rv_width),
    )  # fmt: skip
    return tissue.paint(
        image, tissue.MUSCLE, 0.7 * tissue.coverage(band - np.float32(1.0), edge_mm)
    )


def _leaflets(
    u: Field, v: Field, plane: Field, medial: Field, lateral: Field | float, opening: Field
) -> Field:
    """Distance to two leaflets hinged at both ends of the annulus, the medial one longer."""
    swing = np.float32(1.15) * opening + np.float32(0.10)
    along, inward = np.sin(swing), np.cos(swing)
    reach = lateral - medial
    first, second = np.float32(0.60) * reach, np.float32(0.41) * reach
    return np.minimum(
        tissue.segment(u, v, (plane, medial), (plane + first * along, medial + first * inward)),
        tissue.segment(u, v, (plane, lateral), (plane + second * along, lateral - second * inward)),
    )


def _blur(image: Field) -> Field:
    """Point spread of the scanner, binomial-like over three pixels, edges repeated."""
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), mode="edge")
    side, middle = np.float32(0.14), np.float32(0.72)
    rows = middle * padded[:, 1:-1] + side * (padded[:, :-2] + padded[:, 2:])
    blurred: Field = middle * rows[:, :, 1:-1] + side * (rows[:, :, :-2] + rows[:, :, 2:])
    return blurred
