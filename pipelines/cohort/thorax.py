"""What stands still around the heart in a long-axis image: chest wall, lung, liver, aorta."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.cohort import tissue
from pipelines.cohort.tissue import Field


@dataclass(frozen=True, slots=True, kw_only=True)
class Thorax:
    """Places in mm from the image centre, x to the patient's left, y to the back."""

    wall_centre: tuple[float, float]
    wall_radius_mm: float
    """Inner face of the chest wall."""
    muscle_mm: float
    aorta_centre: tuple[float, float]
    aorta_radius_mm: float


# Where lung vessels cross the plane (x, y, radius in mm).
_LUNG_VESSELS_MM = (
    np.random.Generator(np.random.Philox(key=4))
    .uniform([-86.0, -86.0, 0.4], [86.0, 86.0, 1.5], (90, 3))
    .astype(np.float32)
)
_RIBS_MM = (-96.0, -58.0, -16.0, 24.0, 62.0, 104.0)
"""Along the wall from its highest point; the sternum and ribs cross the plane."""


def paint_thorax(x: Field, y: Field, thorax: Thorax, edge_mm: float) -> Field:
    """(rows, columns) image without the heart."""
    image = np.full(x.shape, tissue.LUNG, dtype=np.float32)
    for across, down, radius in _LUNG_VESSELS_MM:
        vessel = np.sqrt((x - across) ** 2 + (y - down) ** 2) - radius
        image = tissue.paint(image, 0.45, tissue.coverage(vessel, edge_mm))
    image = _paint_liver(image, x, y, edge_mm)
    image = _paint_spine(image, x, y, edge_mm)
    image = _paint_aorta(image, x, y, thorax, edge_mm)
    return _paint_wall(image, x, y, thorax, edge_mm)


def _paint_liver(image: Field, x: Field, y: Field, edge_mm: float) -> Field:
    dome = tissue.ellipse(x + 108.0, y - 62.0, 44.0, 52.0)
    image = tissue.paint(image, tissue.LIVER, tissue.coverage(dome, 3.0 * edge_mm))
    vein = tissue.segment(x, y, (-90.0, 50.0), (-72.0, 70.0)) - np.float32(1.6)
    return tissue.paint(image, 0.5, tissue.coverage(vein, edge_mm))


def _paint_spine(image: Field, x: Field, y: Field, edge_mm: float) -> Field:
    body = tissue.ellipse(x + 20.0, y - 99.0, 24.0, 19.0)
    image = tissue.paint(image, tissue.FAT, tissue.coverage(body - np.float32(3.5), 2.0 * edge_mm))
    image = tissue.paint(image, tissue.PERICARDIUM, tissue.coverage(body, edge_mm))
    return tissue.paint(image, tissue.MARROW, tissue.coverage(body + np.float32(1.8), edge_mm))


def _paint_aorta(image: Field, x: Field, y: Field, thorax: Thorax, edge_mm: float) -> Field:
    across, down = thorax.aorta_centre
    tube = np.sqrt((x - across) ** 2 + (y - down) ** 2) - np.float32(thorax.aorta_radius_mm)
    image = tissue.paint(image, tissue.MUSCLE, tissue.coverage(tube - np.float32(1.6), edge_mm))
    return tissue.paint(image, 0.95 * tissue.BLOOD, tissue.coverage(tube, edge_mm))


def _paint_wall(image: Field, x: Field, y: Field, thorax: Thorax, edge_mm: float) -> Field:
    """Pleura, intercostal muscle with ribs, then subcutaneous fat."""
    across, down = thorax.wall_centre
    depth = np.float32(thorax.wall_radius_mm) - np.sqrt((x - across) ** 2 + (y - down) ** 2)
    image = tissue.paint(image, tissue.MUSCLE, tissue.coverage(depth, edge_mm))
    outside = depth + np.float32(thorax.muscle_mm)
    image = tissue.paint(image, 1.2 * tissue.FAT, tissue.coverage(outside, 2.0 * edge_mm))
    along = np.float32(thorax.wall_radius_mm) * np.arctan2(x - across, down - y)
    for place in _RIBS_MM:
        rib = tissue.ellipse(along - place, depth + 5.5, 9.0, 3.4)
        image = tissue.paint(image, tissue.PERICARDIUM, tissue.coverage(rib, edge_mm))
        image = tissue.paint(image, tissue.MARROW, tissue.coverage(rib + np.float32(1.6), edge_mm))
    return image
