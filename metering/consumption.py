"""From a meter's counter to a service point's consumption: hours and gas days, across exchanges of the meter.

A service point is metered by one meter after another. Each meter is asked only about the time it was installed:
`clip` cuts the intervals to that, and `join` puts the pieces of all meters back together, so that the figures before
and after an exchange are never differenced from each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

from gashub.errors import InvalidValue
from gashub.quality import Reason, Severity, quality
from ingest.counters import Interval

MAX_INTERVALS: Final = 2_000
UNMETERED: Final = quality(Severity.BAD, Reason.COMM_FAILURE)
PARTLY_METERED: Final = quality(Severity.UNCERTAIN, Reason.SUBSTITUTED)


class Step(StrEnum):
    """The length of the intervals of a consumption."""

    HOUR = "hour"
    GAS_DAY = "gas_day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """When a meter was at its service point; `removed_at` is None while it still is."""

    installed_at: datetime
    removed_at: datetime | None = None


def gas_day_start(day: date, *, timezone: ZoneInfo, gas_day_hour: int) -> datetime:
    """When the gas day named `day` begins, in UTC; days of a clock change have 23 or 25 hours."""
    return datetime.combine(day, time(gas_day_hour), timezone).astimezone(UTC)


def gas_day_of(moment: datetime, *, timezone: ZoneInfo, gas_day_hour: int) -> date:
    """The gas day that `moment` falls in."""
    day = moment.astimezone(timezone).date()
    begins = gas_day_start(day, timezone=timezone, gas_day_hour=gas_day_hour)
    return day if moment >= begins else day - timedelta(days=1)


def edges(start: datetime, end: datetime, step: Step, *, timezone: ZoneInfo, gas_day_hour: int) -> list[datetime]:
    """The moments, in UTC, between which consumption is told: all hours or gas days that touch start up to end.

    Raises InvalidValue for a naive or empty period, and for more than MAX_INTERVALS intervals.
    """
    if start.tzinfo is None or end.tzinfo is None or not start < end:
        raise InvalidValue("consumption needs a start before its end, both with a time zone")
    length = timedelta(hours=1) if step is Step.HOUR else timedelta(days=1)
    if (end - start) / length > MAX_INTERVALS - 2:
        raise InvalidValue(f"more than {MAX_INTERVALS} intervals of a {step}: ask for a shorter period")
    if step is Step.HOUR:
        return _hours(start.astimezone(UTC), end)
    return _gas_days(start, end, timezone, gas_day_hour)


def _hours(start: datetime, end: datetime) -> list[datetime]:
    found = [start.replace(minute=0, second=0, microsecond=0)]
    while found[-1] < end:
        found.append(found[-1] + timedelta(hours=1))
    return found


def _gas_days(start: datetime, end: datetime, timezone: ZoneInfo, gas_day_hour: int) -> list[datetime]:
    day = gas_day_of(start, timezone=timezone, gas_day_hour=gas_day_hour)
    found = [gas_day_start(day, timezone=timezone, gas_day_hour=gas_day_hour)]
    while found[-1] < end:
        day += timedelta(days=1)
        found.append(gas_day_start(day, timezone=timezone, gas_day_hour=gas_day_hour))
    return found


def clip(moments: Sequence[datetime], installation: Installation) -> list[datetime]:
    """The edges that a meter can be asked about: those within its installation, and its two ends where they cut in.

    Empty or of one moment if the meter was not there at all.
    """
    first = max(moments[0], installation.installed_at)
    last = moments[-1] if installation.removed_at is None else min(moments[-1], installation.removed_at)
    if first >= last:
        return []
    return [first, *(moment for moment in moments if first < moment < last), last]


def join(moments: Sequence[datetime], pieces: Iterable[Interval]) -> list[Interval]:
    """Whole intervals between `moments` from the pieces of every meter.

    A piece without a volume leaves its interval without one: a sum that misses something is no sum. Time when no meter
    was installed marks an interval as uncertain, and an interval without any meter as bad.
    """
    told = sorted(pieces, key=lambda piece: piece.start)
    joined, at = [], 0
    for start, end in pairwise(moments):
        inside = []
        while at < len(told) and told[at].end <= end:
            inside.append(told[at])
            at += 1
        joined.append(_joined(start, end, inside))
    return joined


def _joined(start: datetime, end: datetime, inside: Sequence[Interval]) -> Interval:
    volumes = [piece.volume_m3 for piece in inside if piece.volume_m3 is not None]
    if not inside:
        return Interval(start=start, end=end, volume_m3=None, quality=UNMETERED)
    worst = min(piece.quality for piece in inside)
    if len(volumes) < len(inside):
        return Interval(start=start, end=end, volume_m3=None, quality=worst)
    covered = sum((piece.end - piece.start for piece in inside), timedelta())
    whole = covered == end - start
    return Interval(
        start=start, end=end, volume_m3=round(sum(volumes), 4), quality=worst if whole else min(worst, PARTLY_METERED)
    )


def total(intervals: Sequence[Interval]) -> float | None:
    """What was used in all of them [m³ std]; None if any of them has no volume."""
    volumes = [interval.volume_m3 for interval in intervals if interval.volume_m3 is not None]
    return round(sum(volumes), 4) if len(volumes) == len(intervals) else None
