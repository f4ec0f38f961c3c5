"""Nouns cannot be built wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gashub import topics
from gashub.clock import ManualClock, ScaledClock
from gashub.errors import ConfigurationError, Conflict, InvalidValue, Problem
from gashub.frames import FrameBatch, block_and_slot, concatenate, empty, from_ms, point_id, to_ms
from gashub.quality import (
    HISTORICAL,
    Reason,
    Severity,
    is_good,
    is_historical,
    is_sampled,
    quality,
    reason_of,
    severity_of,
)


@given(st.integers(1, 2**28 - 1), st.integers(0, 7))
def test_a_point_is_a_slot_of_a_block_and_back(block: int, slot: int) -> None:
    assert block_and_slot(point_id(block, slot)) == (block, slot)


def test_a_slot_outside_the_frame_is_refused() -> None:
    with pytest.raises(InvalidValue, match=r"0\.\.7"):
        point_id(1, 8)


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)))
def test_times_keep_their_millisecond(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC, microsecond=moment.microsecond // 1000 * 1000)
    assert from_ms(to_ms(aware)) == aware


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(InvalidValue, match="time zone"):
        to_ms(datetime(2026, 1, 1))


@given(st.sampled_from([s for s in Severity if s]), st.sampled_from(Reason), st.booleans())
def test_a_quality_byte_says_again_what_was_put_in(severity: Severity, reason: Reason, historical: bool) -> None:
    byte = quality(severity, reason, historical=historical)
    codes = np.array([byte, 0], np.uint8)
    assert (severity_of(byte), reason_of(byte), bool(byte & HISTORICAL)) == (severity, reason, historical)
    assert is_good(codes).tolist() == [severity is Severity.GOOD, False]
    assert is_sampled(codes).tolist() == [True, False]
    assert is_historical(codes).tolist() == [historical, False]


def test_no_quality_belongs_to_no_value() -> None:
    with pytest.raises(InvalidValue):
        quality(Severity.NONE)


def test_columns_of_different_lengths_are_no_batch() -> None:
    with pytest.raises(InvalidValue, match="do not fit"):
        FrameBatch(
            block_id=np.array([1], np.int32),
            measured_at_ms=np.array([], np.int64),
            values=np.zeros((1, 8)),
            quality=np.zeros((1, 8), np.uint8),
        )


def test_no_frames_are_a_batch_too() -> None:
    assert len(concatenate([])) == len(empty()) == empty().readings == 0


@pytest.mark.parametrize("text", ["", "East", "-east", "ost/west", "a+b", "x" * 64, "a.b", "ö"])
def test_an_id_that_would_break_a_topic_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        topics.Source(zone=text, gateway="gw")


def test_a_topic_is_read_as_it_was_built() -> None:
    source = topics.Source(zone="east", gateway="gw-1")
    assert topics.parse(source.topic("data")) == (source, "data")
    for wrong in ("gas/v1/east/data", "gas/v2/east/gw/data", "gas/v1/east/gw/data/more", "x"):
        with pytest.raises(InvalidValue):
            topics.parse(wrong)


def test_a_scaled_clock_runs_from_its_anchor_at_its_speed() -> None:
    anchor = datetime(2026, 1, 1, tzinfo=UTC)
    clock = ScaledClock(real_start=datetime.now(UTC), hub_start=anchor, speed=100)
    assert timedelta(0) <= clock.now() - anchor < timedelta(seconds=100)
    assert clock.real_s(50) == 0.5
    with pytest.raises(InvalidValue):
        ScaledClock(real_start=anchor, hub_start=anchor, speed=0)


def test_a_manual_clock_never_goes_back() -> None:
    clock = ManualClock()
    clock.advance(5)
    with pytest.raises(InvalidValue):
        clock.advance(-1)
    assert clock.monotonic_s() == 5


def test_errors_tell_their_facts() -> None:
    problems = [Problem(where="a.b", what="is wrong", allowed="1 to 2"), Problem(where="c", what="is missing")]
    told = str(ConfigurationError("hub.toml", problems))
    assert "2 problems" in told
    assert "a.b: is wrong (allowed: 1 to 2)" in told
    assert Conflict("closing", "opened", ["dispatched"]).allowed == ["dispatched"]
