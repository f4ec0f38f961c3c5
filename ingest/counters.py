"""Volumes from counters: what flowed between two moments, told from readings around them.

A counter's reading at a moment is the last one at or before it, if that is recent; if not, it lies between the last one
before and the first one after, and is taken on the straight line between them and marked as substituted, so that the
volumes of neighbouring intervals still add up to what the meter counted. Readings are differenced once per interval and
never added up from small steps; a counter that goes back has rolled over if that explains it by a step of less than
half its modulus, and otherwise the interval has no volume and says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from gashub.quality import GOOD, Reason, Severity, quality

_DECIMALS: Final = 4
_SUBSTITUTED: Final = quality(Severity.UNCERTAIN, Reason.SUBSTITUTED)
_MISSING: Final = quality(Severity.BAD, Reason.COMM_FAILURE)
_BACK: Final = quality(Severity.BAD, Reason.COUNTER_BACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A counter's reading [m³]."""

    at: datetime
    value: float
    quality: int = GOOD


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """A moment, and the readings next to it on both sides."""

    edge: datetime
    before: Sample | None
    after: Sample | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """What flowed between two moments; None where the counter does not tell."""

    start: datetime
    end: datetime
    volume_m3: float | None
    quality: int


def advance(earlier: float, later: float, modulus: float | None) -> float | None:
    """How far a counter moved; None if it went back and no roll-over explains it."""
    moved = later - earlier
    if moved < 0 and modulus is not None and moved + modulus < modulus / 2:
        moved += modulus
    return round(moved, _DECIMALS) if moved >= 0 else None


def intervals(edges: Sequence[Around], *, modulus: float | None, recent: timedelta) -> list[Interval]:
    """The volumes between consecutive edges. recent: how old a reading may be to stand for its edge."""
    readings = [_at_edge(around, modulus=modulus, recent=recent) for around in edges]
    return [
        _between(first.edge, second.edge, readings[i], readings[i + 1], modulus)
        for i, (first, second) in enumerate(pairwise(edges))
    ]


def _at_edge(around: Around, *, modulus: float | None, recent: timedelta) -> Sample | None:
    before, after = around.before, around.after
    if before is not None and around.edge - before.at <= recent:
        return before
    if before is None or after is None:
        return None
    moved = advance(before.value, after.value, modulus)
    if moved is None:
        return None
    share = (around.edge - before.at) / (after.at - before.at)
    value = before.value + moved * share
    if modulus is not None:
        value %= modulus
    return Sample(at=around.edge, value=value, quality=_SUBSTITUTED)


def _between(
    start: datetime, end: datetime, first: Sample | None, second: Sample | None, modulus: float | None
) -> Interval:
    if first is None or second is None:
        return Interval(start=start, end=end, volume_m3=None, quality=_MISSING)
    volume = advance(first.value, second.value, modulus)
    if volume is None:
        return Interval(start=start, end=end, volume_m3=None, quality=_BACK)
    return Interval(start=start, end=end, volume_m3=volume, quality=min(first.quality, second.quality))
