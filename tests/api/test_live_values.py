"""What every point shows now: which reading wins, and the snapshot that consoles read."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.live import MAGIC, Live, LiveValues
from gashub import topics, wire
from gashub.config import BrokerSection
from gashub.frames import SLOTS, FrameBatch, to_ms
from gashub.quality import GOOD, HISTORICAL, NOT_SAMPLED
from gashub.wire import Header, Lane

from .snapshots import parse

T0 = to_ms(datetime(2026, 11, 10, 9, 30, tzinfo=UTC))


def values(*known: int) -> LiveValues:
    found = LiveValues()
    found.know(known)
    return found


def take(shown: LiveValues, *readings: tuple[int, int, float, int]) -> None:
    point_id, at_ms, value, quality = zip(*readings, strict=True)
    shown.take(np.array(point_id, np.int64), np.array(at_ms, np.int64), np.array(value), np.array(quality, np.uint8))


def shows(shown: LiveValues) -> dict[int, float]:
    return {point: reading.value for point, reading in parse(shown.snapshot(0.0)).readings.items()}


def test_a_snapshot_of_nothing_is_a_header() -> None:
    assert values(8, 9).snapshot(float(T0)) == MAGIC + struct.pack("<Id", 0, T0)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_snapshot_holds_each_point_seen_so_far(n: int) -> None:
    shown = values(*range(8, 16))
    take(shown, *((8 + i, T0 + i, 1.5 * i, GOOD) for i in range(n)))
    snapshot = shown.snapshot(float(T0))
    assert len(snapshot) == 16 + 4 * (n + n % 2) + 17 * n
    found = parse(snapshot)
    assert found.hub_time_ms == T0
    assert {p: (r.at_ms, r.value, r.quality) for p, r in found.readings.items()} == {
        8 + i: (T0 + i, 1.5 * i, GOOD) for i in range(n)
    }


def test_a_late_reading_never_replaces_a_newer_one() -> None:
    shown = values(8)
    take(shown, (8, T0, 3.0, GOOD))
    take(shown, (8, T0 - 60_000, 9.0, HISTORICAL | GOOD))
    assert shows(shown) == {8: 3.0}


def test_unknown_points_and_slots_not_sampled_are_left_out() -> None:
    shown = values(8, 24)
    take(shown, (8, T0, 1.0, NOT_SAMPLED), (16, T0, 2.0, GOOD), (2**40, T0, 2.0, GOOD), (24, T0, 3.0, GOOD))
    assert shows(shown) == {24: 3.0}


def test_a_registry_that_changes_keeps_what_is_known_of_points_that_stay() -> None:
    shown = values(8, 9)
    take(shown, (8, T0, 1.0, GOOD), (9, T0, 2.0, GOOD))
    shown.know([9, 10])
    assert shows(shown) == {9: 2.0}
    shown.know([])
    assert shows(shown) == {}
    take(shown, (9, T0, 2.0, GOOD))
    assert shows(shown) == {}


READING = st.tuples(st.integers(6, 12), st.integers(T0, T0 + 5), st.floats(0, 9), st.sampled_from([0, GOOD]))


@given(st.lists(READING, min_size=1, max_size=30), st.integers(1, 30))
def test_in_batches_of_any_size_the_newest_reading_is_shown(
    readings: list[tuple[int, int, float, int]], size: int
) -> None:
    shown = values(*range(8, 11))
    for start in range(0, len(readings), size):
        take(shown, *readings[start : start + size])
    expected = {
        point: max(at for p, at, _, quality in readings if p == point and quality)
        for point in {p for p, _, _, quality in readings if 8 <= p < 11 and quality}
    }
    assert {p: r.at_ms for p, r in parse(shown.snapshot(0.0)).readings.items()} == expected


def live(told: list[dict[str, Any]] | None = None) -> Live:
    found = Live(BrokerSection(password_file=__file__), "", "x", (told if told is not None else []).append)  # type: ignore[arg-type]
    found.values.know([8, 9])
    return found


def message(gateway: str = "gw-east") -> bytes:
    column = np.full((1, SLOTS), np.nan)
    column[0, :2] = (3.0, 4.0)
    quality = np.zeros((1, SLOTS), np.uint8)
    quality[0, :2] = GOOD
    frames = FrameBatch(block_id=np.array([1], np.int32), measured_at_ms=np.array([T0]), values=column, quality=quality)
    return wire.encode(Header(gateway=gateway, boot="b", lane=Lane.LIVE, seq=1), frames)


def test_frames_on_the_bus_are_shown() -> None:
    found = live()
    found.take("gas/v1/east/gw-east/data", message())
    assert shows(found.values) == {8: 3.0, 9: 4.0}


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("gas/v1/east/gw-west/data", message()),
        ("gas/v1/east/gw-east/data", b""),
        ("gas/v1/east/gw-east/data", b"\xc1" * 50),
        ("gas/v1/east/gw-east/state", b"{}"),
        ("gas/v1/EAST/gw-east/data", message()),
        ("nonsense", message()),
        (topics.SIM_STATE, b"[]"),
        (topics.SIM_STATE, b"\xff\xfe"),
        ("gas/v1/alarms/east", b"null"),
        ("gas/v1/alarms/east", b'{"unrecorded": "yes"}'),
        ("gas/v1/alarms/east", b'{"kind": "alarm_raised", "alarm": 7}'),
    ],
)
def test_what_cannot_be_read_or_is_not_news_changes_nothing(topic: str, payload: bytes) -> None:
    told: list[dict[str, Any]] = []
    found = live(told)
    found.take(topic, payload)
    assert (shows(found.values), found.gateways, found.simulation, told) == ({}, {}, None, [])


def test_an_alarm_that_could_not_be_recorded_is_told_on() -> None:
    told: list[dict[str, Any]] = []
    body = {"kind": "alarm_raised", "rule": "zone_leak", "zone": "east"}
    live(told).take("gas/v1/alarms/east", msgspec.json.encode({**body, "unrecorded": True}))
    assert told == [body]
