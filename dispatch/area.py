"""The area on the map that a shut-off part of the network covers.

Pipes are drawn on a grid, widened by `MARGIN_M`, and each patch that results is outlined and its staircase smoothed.
So the area follows the streets: a hull would take in neighbours who keep their gas. Blocks that a patch encloses
belong to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Coordinate = tuple[float, float]
Ring = list[Coordinate]
Segment = tuple[Coordinate, Coordinate]
_F64 = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]
_Corner = tuple[int, int]

MARGIN_M: Final = 25.0
CELL_M: Final = 8.0
_MOST_CELLS_A_SIDE: Final = 1_000


def polygons(segments: Sequence[Segment]) -> list[Ring]:
    """Open rings [m, m], anticlockwise and largest first, that keep MARGIN_M (to a cell) from every segment."""
    if not segments:
        return []
    ends = np.array(segments, np.float64).reshape(-1, 2, 2)
    low, high = ends.min(axis=(0, 1)), ends.max(axis=(0, 1))
    # A region too large for the grid is drawn more coarsely rather than not at all.
    cell_m = max(CELL_M, float((high - low).max()) / _MOST_CELLS_A_SIDE)
    origin = low - MARGIN_M - 2 * cell_m
    shape = np.ceil((high - origin + MARGIN_M + 2 * cell_m) / cell_m).astype(np.intp)
    drawn = np.zeros((int(shape[0]), int(shape[1])), np.bool_)
    at = ((_along(ends, cell_m) - origin) / cell_m).astype(np.intp)
    drawn[at[:, 0], at[:, 1]] = True
    wide = ndimage.binary_fill_holes(ndimage.distance_transform_edt(~drawn) <= MARGIN_M / cell_m)
    labels, count = ndimage.label(wide)
    rings = [_outline(np.asarray(labels == label)) for label in range(1, count + 1)]
    tolerance = min(1.0, MARGIN_M / cell_m / 3)
    smooth = [_simplified(np.array(ring, np.float64), tolerance) * cell_m + origin for ring in rings]
    return [
        [(round(float(x), 1), round(float(y), 1)) for x, y in ring]
        for ring in sorted(smooth, key=lambda ring: -abs(enclosed(ring)))
    ]


def enclosed(ring: npt.ArrayLike) -> float:
    """The area inside an open ring [m²]; above 0 if it runs anticlockwise."""
    x, y = np.asarray(ring, np.float64).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def _along(ends: _F64, spacing_m: float) -> _F64:
    """Points on every segment, closer together than spacing_m; shape (n, 2)."""
    length = np.hypot(*(ends[:, 1] - ends[:, 0]).T)
    steps = np.maximum(1, np.ceil(2 * length / spacing_m)).astype(np.intp)
    which = np.repeat(np.arange(len(ends)), steps + 1)
    first = np.repeat(np.cumsum(steps + 1) - steps - 1, steps + 1)
    share = (np.arange(len(which)) - first) / steps[which]
    points: _F64 = ends[which, 0] + (ends[which, 1] - ends[which, 0]) * share[:, None]
    return points


def _outline(patch: _Mask) -> list[_Corner]:
    """The corners around a patch whose cells hang together by their sides, anticlockwise."""
    sides: dict[_Corner, list[_Corner]] = {}
    for (dx, dy), start, end in (
        ((0, -1), (0, 0), (1, 0)),
        ((1, 0), (1, 0), (1, 1)),
        ((0, 1), (1, 1), (0, 1)),
        ((-1, 0), (0, 1), (0, 0)),
    ):
        outside = patch & ~np.roll(patch, (-dx, -dy), axis=(0, 1))
        for x, y in np.argwhere(outside).tolist():
            sides.setdefault((x + start[0], y + start[1]), []).append((x + end[0], y + end[1]))
    first = min(sides)
    ring = [first, sides[first][0]]
    while ring[-1] != first:
        ring.append(_leftmost(ring[-2], ring[-1], sides[ring[-1]]))
    return ring[:-1]


def _leftmost(before: _Corner, here: _Corner, ways: Sequence[_Corner]) -> _Corner:
    """Where two cells touch by a corner only, the way that stays with the cell on the left."""
    along = (here[0] - before[0], here[1] - before[1])
    return max(ways, key=lambda way: along[0] * (way[1] - here[1]) - along[1] * (way[0] - here[0]))


def _simplified(ring: _F64, tolerance: float) -> _F64:
    """The ring without corners that lie within `tolerance` of the line between those kept (Douglas and Peucker)."""
    farthest = int(np.argmax(np.hypot(*(ring - ring[0]).T)))
    closed = np.vstack([ring, ring[:1]])
    keep = np.zeros(len(closed), np.bool_)
    keep[[0, farthest, -1]] = True
    todo = [(0, farthest), (farthest, len(ring))]
    while todo:
        one, other = todo.pop()
        if other - one < 2:
            continue
        line = closed[other] - closed[one]
        away = closed[one + 1 : other] - closed[one]
        distance = np.abs(line[0] * away[:, 1] - line[1] * away[:, 0]) / max(float(np.hypot(*line)), 1e-9)
        worst = int(np.argmax(distance))
        if distance[worst] > tolerance:
            middle = one + 1 + worst
            keep[middle] = True
            todo += [(one, middle), (middle, other)]
    simplified: _F64 = closed[:-1][keep[:-1]]
    return simplified
