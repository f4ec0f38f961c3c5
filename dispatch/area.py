"""The area on the map that a shut-off part of the network covers.

Each connected part becomes one convex polygon that keeps `MARGIN_M` from every junction and pipe in it: the outer
hull of small octagons around the junctions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

Coordinate = tuple[float, float]
Ring = list[Coordinate]

MARGIN_M: Final = 25.0
_CORNERS: Final = 8


def polygons(positions: Mapping[str, Coordinate], links: Iterable[tuple[str, str]]) -> list[Ring]:
    """One open ring [m, m], anticlockwise, per part that `links` connect among the junctions of `positions`."""
    return [
        hull([corner for name in part for corner in _octagon(positions[name])]) for part in _parts(positions, links)
    ]


def hull(points: Sequence[Coordinate]) -> Ring:
    """The convex hull of points, anticlockwise, without repeating the first (Andrew's monotone chain)."""
    ordered = sorted(set(points))
    if len(ordered) < 3:
        return ordered
    return _half(ordered)[:-1] + _half(ordered[::-1])[:-1]


def _half(ordered: Sequence[Coordinate]) -> Ring:
    chain: Ring = []
    for point in ordered:
        while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
            chain.pop()
        chain.append(point)
    return chain


def _turn(a: Coordinate, b: Coordinate, c: Coordinate) -> float:
    """Above 0 where a, b, c turn left."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _octagon(centre: Coordinate) -> Ring:
    # The corners lie so far out that the edges, not only the corners, keep the margin.
    radius_m = MARGIN_M / math.cos(math.pi / _CORNERS)
    angles = [2 * math.pi * (corner + 0.5) / _CORNERS for corner in range(_CORNERS)]
    return [
        (round(centre[0] + radius_m * math.cos(angle), 1), round(centre[1] + radius_m * math.sin(angle), 1))
        for angle in angles
    ]


def _parts(names: Iterable[str], links: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The names, grouped by what is linked; links that lead elsewhere are passed over."""
    group = {name: [name] for name in names}
    for one, other in links:
        if one in group and other in group and group[one] is not group[other]:
            small, large = sorted((group[one], group[other]), key=len)
            large += small
            for name in small:
                group[name] = large
    return list({id(part): part for part in group.values()}.values())
