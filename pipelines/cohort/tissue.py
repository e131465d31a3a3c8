"""Shapes and brightness of tissue in a balanced steady-state (bSSFP) cardiac MR image.

A shape is a signed distance in mm, negative inside; a pixel takes the share of it that the shape
covers. Only arithmetic and square roots, so that the same shape has the same pixels everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]
"""Single precision, one value a pixel or one a frame."""

# Shares of full scale; the order is that of T2/T1: blood, fat, then muscle, air nearly none.
BLOOD = 0.78
FAT = 0.56
MARROW = 0.40
LIVER = 0.27
MUSCLE = 0.25
VALVE = 0.12
PERICARDIUM = 0.10
LUNG = 0.045


def ellipse(x: Field, y: Field, half_x: Field | float, half_y: Field | float) -> Field:
    """Distance to an ellipse at the origin, exact on its edge and to first order beside it."""
    by_x, by_y = 1.0 / half_x, 1.0 / half_y
    across, down = x * by_x, y * by_y
    across *= across
    down *= down
    distance: Field = across + down
    distance -= np.sqrt(distance)
    across *= by_x * by_x
    down *= by_y * by_y
    steepness = across + down
    np.sqrt(steepness, out=steepness)
    steepness += np.float32(1e-6)
    distance /= steepness
    return distance


def segment(
    x: Field, y: Field, start: tuple[Field | float, Field | float],
    end: tuple[Field | float, Field | float],
) -> Field:  # fmt: skip
    """Distance to a straight segment."""
    span_x, span_y = end[0] - start[0], end[1] - start[1]
    from_x, from_y = x - start[0], y - start[1]
    per_square = 1.0 / (span_x * span_x + span_y * span_y)
    along = from_x * (span_x * per_square) + from_y * (span_y * per_square)
    np.clip(along, 0.0, 1.0, out=along)
    from_x, from_y = from_x - along * span_x, from_y - along * span_y
    from_x *= from_x
    from_y *= from_y
    from_x += from_y
    distance: Field = np.sqrt(from_x, out=from_x)
    return distance


def union(first: Field, second: Field, fillet_mm: float) -> Field:
    """Both shapes as one, the notch between them filled over `fillet_mm`."""
    near = np.maximum(fillet_mm - np.abs(first - second), 0.0)
    joined: Field = np.minimum(first, second) - near * near * np.float32(0.25 / fillet_mm)
    return joined


def overlap(first: Field, second: Field, fillet_mm: float) -> Field:
    """What both shapes share, its corners rounded over `fillet_mm`."""
    rounded: Field = -union(-first, -second, fillet_mm)
    return rounded


def coverage(distance: Field, edge_mm: float) -> Field:
    """Share of a pixel inside the shape: partial volume as a ramp of width `edge_mm`."""
    share: Field = distance * np.float32(-1.0 / edge_mm)
    share += np.float32(0.5)
    return np.clip(share, 0.0, 1.0, out=share)


def paint(image: Field, brightness: float, share: Field) -> Field:
    """The image with a tissue laid over it."""
    painted: Field = (brightness - image) * share
    painted += image
    return painted
