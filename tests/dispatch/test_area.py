"""The area of a shut-off part: around its pipes, and no farther."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.area import CELL_M, MARGIN_M, Coordinate, Ring, Segment, enclosed, polygons

# A corner may be smoothed away by a cell, and a cell's own corner lies off its middle.
SLACK_M = 2.5 * CELL_M

coordinates = st.tuples(st.floats(-400, 400), st.floats(-400, 400))
segments = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=6)


def is_inside(point: Coordinate, ring: Ring) -> bool:
    """Whether a ray to the east crosses the ring an odd number of times."""
    x, y = point
    crossings = 0
    for (x1, y1), (x2, y2) in zip(ring, ring[1:] + ring[:1], strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
            crossings += 1
    return crossings % 2 == 1


def distance_m(point: Coordinate, segment: Segment) -> float:
    (x1, y1), (x2, y2) = segment
    squared = (x2 - x1) ** 2 + (y2 - y1) ** 2
    share = 0.0
    if squared > 0:
        share = max(0.0, min(1.0, ((point[0] - x1) * (x2 - x1) + (point[1] - y1) * (y2 - y1)) / squared))
    return math.hypot(point[0] - x1 - share * (x2 - x1), point[1] - y1 - share * (y2 - y1))


@given(segments)
@settings(max_examples=60, deadline=None)
def test_every_pipe_lies_within_the_area(pipes: list[Segment]) -> None:
    rings = polygons(pipes)
    for (x1, y1), (x2, y2) in pipes:
        for share in (0.0, 0.3, 0.5, 1.0):
            point = (x1 + share * (x2 - x1), y1 + share * (y2 - y1))
            assert any(is_inside(point, ring) for ring in rings)


@given(segments)
@settings(max_examples=60, deadline=None)
def test_no_corner_lies_farther_from_a_pipe_than_the_margin(pipes: list[Segment]) -> None:
    for ring in polygons(pipes):
        assert enclosed(ring) > 0
        for corner in ring:
            assert abs(min(distance_m(corner, pipe) for pipe in pipes) - MARGIN_M) < SLACK_M


def test_one_straight_pipe_has_the_area_of_its_margin() -> None:
    (ring,) = polygons([((0, 0), (400, 0))])
    assert enclosed(ring) == pytest.approx(400 * 2 * MARGIN_M + math.pi * MARGIN_M**2, rel=0.15)
    assert len(ring) < 20


def test_parts_that_lie_apart_are_told_apart_the_largest_first() -> None:
    rings = polygons([((0, 0), (50, 0)), ((500, 500), (900, 500))])
    assert [is_inside((700, 500), ring) for ring in rings] == [True, False]


def test_a_street_bends_without_taking_in_what_lies_in_its_crook() -> None:
    (ring,) = polygons([((0, 0), (400, 0)), ((400, 0), (400, 400))])
    assert not is_inside((150, 250), ring)


def test_a_block_that_is_enclosed_belongs_to_the_area() -> None:
    corners = [(0.0, 0.0), (300.0, 0.0), (300.0, 300.0), (0.0, 300.0)]
    (ring,) = polygons(list(zip(corners, corners[1:] + corners[:1], strict=True)))
    assert is_inside((150, 150), ring)


def test_a_region_is_drawn_however_large_it_is() -> None:
    (ring,) = polygons([((0, 0), (200_000, 0))])
    assert is_inside((100_000, 0), ring)


def test_nothing_has_no_area_and_a_single_junction_has_one() -> None:
    assert polygons([]) == []
    (ring,) = polygons([((7, 7), (7, 7))])
    assert is_inside((7, 7), ring)
