"""The only place that reads the clock.

Everything else takes time as an argument or a `Clock`. A hub normally runs on `SystemClock`; an exercise or a test
runs on `ScaledClock`, which starts at a chosen moment and runs `speed` times as fast, in every process alike because
both anchors stand in the configuration.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from .errors import InvalidValue
from .frames import EPOCH


class Clock(Protocol):
    """What a stage may ask of time."""

    @property
    def speed(self) -> float:
        """Hub seconds per real second."""
        ...

    def now(self) -> datetime:
        """The hub's time, UTC-aware."""
        ...

    def monotonic_s(self) -> float:
        """Hub seconds that only go forward, for time-outs and staleness."""
        ...

    def real_s(self, hub_s: float) -> float:
        """How many real seconds `hub_s` hub seconds take: what to hand to asyncio's timers."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's own clock."""

    speed: float = 1.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.monotonic()

    def real_s(self, hub_s: float) -> float:
        return hub_s


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledClock:
    """A clock that stood at `hub_start` when the machine's stood at `real_start`, and runs `speed` times as fast."""

    real_start: datetime
    hub_start: datetime
    speed: float

    def __post_init__(self) -> None:
        if self.real_start.tzinfo is None or self.hub_start.tzinfo is None:
            raise InvalidValue("a scaled clock needs both anchors with a time zone")
        if not 0 < self.speed <= 10_000:
            raise InvalidValue(f"speed {self.speed} is outside (0, 10000]")

    def now(self) -> datetime:
        return self.hub_start + (datetime.now(UTC) - self.real_start) * self.speed

    def monotonic_s(self) -> float:
        return time.monotonic() * self.speed

    def real_s(self, hub_s: float) -> float:
        return hub_s / self.speed


@dataclass(slots=True)
class ManualClock:
    """A clock that stands until it is moved; for tests and replays."""

    moment: datetime = EPOCH
    speed: float = 1.0

    def now(self) -> datetime:
        return self.moment

    def monotonic_s(self) -> float:
        return (self.moment - EPOCH).total_seconds()

    def real_s(self, hub_s: float) -> float:
        return hub_s

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        if seconds < 0:
            raise InvalidValue("time does not go back")
        self.moment += timedelta(seconds=seconds)


def cpu_s() -> float:
    """Processor seconds this process has used; for benchmarks."""
    return time.process_time()


def stopwatch_s() -> float:
    """Real seconds with the highest resolution; only differences mean something."""
    return time.perf_counter()
