"""Hours and gas days, and what flowed in them when a meter was exchanged: pure, as tables and laws."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gashub.errors import InvalidValue
from gashub.quality import GOOD, Severity, severity_of
from ingest.counters import Interval
from metering.consumption import Installation, Step, clip, edges, gas_day_of, gas_day_start, join, total

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 11, 10, 0, 0, tzinfo=UTC)


def hour(number: float) -> datetime:
    return START + timedelta(hours=number)


def piece(start: float, end: float, volume: float | None, quality: int = GOOD) -> Interval:
    return Interval(start=hour(start), end=hour(end), volume_m3=volume, quality=quality)


def test_hours_cover_the_period_from_full_hour_to_full_hour() -> None:
    found = edges(hour(0.5), hour(2.1), Step.HOUR, timezone=SHANGHAI, gas_day_hour=8)
    assert found == [hour(0), hour(1), hour(2), hour(3)]


def test_gas_days_begin_at_the_gas_day_hour_of_the_hub() -> None:
    found = edges(hour(0.5), hour(30), Step.GAS_DAY, timezone=SHANGHAI, gas_day_hour=8)
    # 8 o'clock in Shanghai is midnight UTC.
    assert found == [hour(0), hour(24), hour(48)]
    found = edges(hour(-0.5), hour(0), Step.GAS_DAY, timezone=SHANGHAI, gas_day_hour=8)
    assert found == [hour(-24), hour(0)]


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 28), 23), (date(2026, 10, 24), 25), (date(2026, 5, 1), 24)])
def test_a_gas_day_lasts_as_long_as_its_clocks_say(day: date, hours: int) -> None:
    begins = gas_day_start(day, timezone=BERLIN, gas_day_hour=6)
    ends = gas_day_start(day + timedelta(days=1), timezone=BERLIN, gas_day_hour=6)
    assert (ends - begins) == timedelta(hours=hours)


@given(st.integers(0, 10 * 365 * 86_400), st.integers(0, 23))
def test_every_moment_lies_in_its_gas_day(second: int, gas_day_hour: int) -> None:
    moment = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    day = gas_day_of(moment, timezone=BERLIN, gas_day_hour=gas_day_hour)
    begins = gas_day_start(day, timezone=BERLIN, gas_day_hour=gas_day_hour)
    ends = gas_day_start(day + timedelta(days=1), timezone=BERLIN, gas_day_hour=gas_day_hour)
    assert begins <= moment < ends


@pytest.mark.parametrize(
    ("start", "end"),
    [(hour(1), hour(1)), (hour(2), hour(1)), (hour(0).replace(tzinfo=None), hour(1)), (hour(0), hour(100_000))],
)
def test_an_impossible_period_is_refused(start: datetime, end: datetime) -> None:
    with pytest.raises(InvalidValue):
        edges(start, end, Step.HOUR, timezone=SHANGHAI, gas_day_hour=8)


def test_a_meter_is_asked_only_about_its_installation() -> None:
    moments = [hour(n) for n in range(5)]
    assert clip(moments, Installation(installed_at=hour(-9))) == moments
    assert clip(moments, Installation(installed_at=hour(1.5))) == [hour(1.5), hour(2), hour(3), hour(4)]
    assert clip(moments, Installation(installed_at=hour(-9), removed_at=hour(1))) == [hour(0), hour(1)]
    assert clip(moments, Installation(installed_at=hour(4))) == []
    assert clip(moments, Installation(installed_at=hour(-9), removed_at=hour(-1))) == []


def test_an_exchange_within_an_hour_adds_both_meters() -> None:
    old = [piece(0, 1, 10.0), piece(1, 1.25, 2.5)]
    new = [piece(1.25, 2, 7.5), piece(2, 3, 10.0)]
    joined = join([hour(n) for n in range(4)], [*new, *old])
    assert [each.volume_m3 for each in joined] == [10.0, 10.0, 10.0]
    assert {each.quality for each in joined} == {GOOD}


def test_time_without_a_meter_makes_an_interval_uncertain_or_bad() -> None:
    joined = join([hour(0), hour(1), hour(2)], [piece(0, 0.5, 5.0)])
    assert [each.volume_m3 for each in joined] == [5.0, None]
    assert [severity_of(each.quality) for each in joined] == [Severity.UNCERTAIN, Severity.BAD]


def test_a_sum_that_misses_something_is_no_sum() -> None:
    joined = join([hour(0), hour(1)], [piece(0, 0.5, 5.0), piece(0.5, 1, None, 0x41)])
    assert (joined[0].volume_m3, joined[0].quality) == (None, 0x41)
    assert total(joined) is None
    assert total([piece(0, 1, 1.5), piece(1, 2, 2.5)]) == 4.0


@given(st.lists(st.floats(0.01, 23.99), max_size=5, unique=True), st.data())
def test_however_often_the_meter_is_exchanged_nothing_is_lost_or_counted_twice(
    exchanges: list[float], data: st.DataObject
) -> None:
    moments = [hour(n) for n in range(25)]
    at = [None, *(hour(exchange) for exchange in sorted(exchanges)), None]
    pieces = []
    for installed, removed in pairwise(at):
        asked = clip(moments, Installation(installed_at=installed or hour(-100), removed_at=removed))
        # Each meter sees a steady 3600 m³/h: one a second.
        pieces += [
            Interval(start=one, end=other, volume_m3=(other - one).total_seconds(), quality=GOOD)
            for one, other in pairwise(asked)
        ]
    joined = join(moments, data.draw(st.permutations(pieces)))
    assert [each.volume_m3 for each in joined] == pytest.approx([3600.0] * 24, abs=0.001)
    assert {each.quality for each in joined} == {GOOD}
