"""Which unit of a line is asked next.

    units  a ──┬──────┬──────┬────     each on a grid of its own: first turn + k × period, so nothing drifts
           b ───┬──────┬──────┬───     first turns are spread over the period, so requests do not pile up
           c ────┬───────────────┬     silent: asked ever more rarely, until it answers

A line carries one request at a time, so a silent unit costs everyone on it a whole time-out. All silent units of a
line together may cost it `SILENT_SHARE` of its time: with k of them, each is asked at most every k × time-out ÷ share.
Jitter keeps them from falling into step. Seconds are the hub's throughout.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from random import Random
from typing import Final

SILENT_SHARE: Final = 0.2
BACKOFF_LIMIT_S: Final = 30.0
_JITTER: Final = 0.2
_DOUBLINGS_MAX: Final = 16


@dataclass(slots=True, kw_only=True)
class _Unit:
    period_s: float
    phase_s: float
    due_s: float
    failures: int = 0


class Schedule:
    """The turns of one line's units, numbered as given.

    missed: turns left out because the line was late. silent: units that did not answer when they were last asked.

    periods_s: scan period of each unit [s]. timeout_s: what a silent unit costs [s].
    """

    def __init__(self, periods_s: list[float], *, timeout_s: float, start_s: float, rng: Random) -> None:
        n = max(len(periods_s), 1)
        self._timeout_s = timeout_s
        self._rng = rng
        phases_s = [start_s + period * (number + rng.random()) / n for number, period in enumerate(periods_s)]
        self._units = [
            _Unit(period_s=period, phase_s=phase, due_s=phase)
            for period, phase in zip(periods_s, phases_s, strict=True)
        ]
        self._turns = [(unit.phase_s, number) for number, unit in enumerate(self._units)]
        heapq.heapify(self._turns)
        self.missed = 0
        self.silent = 0

    @property
    def next_s(self) -> float:
        """When the next turn is."""
        return self._turns[0][0]

    def take(self) -> int:
        """The unit whose turn is next; say afterwards how it went: `answered`, `unanswered` or `passed`."""
        return heapq.heappop(self._turns)[1]

    def answered(self, number: int, now_s: float) -> bool:
        """The unit answered: back to its grid. True if it had been silent."""
        unit = self._units[number]
        was_silent, unit.failures = unit.failures > 0, 0
        self.silent -= was_silent
        due_s = self._after(unit, now_s)
        if not was_silent:
            self.missed += max(round((due_s - unit.due_s) / unit.period_s) - 1, 0)
        self._put(number, due_s)
        return was_silent

    def unanswered(self, number: int, now_s: float) -> bool:
        """The unit let the request time out: ask it later. True if it had answered before."""
        unit = self._units[number]
        unit.failures += 1
        self.silent += unit.failures == 1
        backoff_s = unit.period_s * 2.0 ** min(unit.failures - 1, _DOUBLINGS_MAX)
        backoff_s = max(min(backoff_s, BACKOFF_LIMIT_S), unit.period_s)
        wait_s = max(backoff_s, self._fair_s())
        self._put(number, now_s + wait_s * (1 + _JITTER * self._rng.random()))
        return unit.failures == 1

    def _fair_s(self) -> float:
        """How rarely a silent unit must be asked for the sake of the others; not at all where there are none."""
        return self.silent * self._timeout_s / SILENT_SHARE if self.silent < len(self._units) else 0.0

    def passed(self, number: int, now_s: float) -> None:
        """The unit was not asked, at no cost, because the line is down: its next turn on the grid stays."""
        self._put(number, self._after(self._units[number], now_s))

    def recall(self, now_s: float) -> None:
        """The line has come back to life: ask every silent unit soon."""
        for unit in self._units:
            unit.failures = min(unit.failures, 1)
        self._turns = [(min(due, self._on_grid(self._units[number], now_s)), number) for due, number in self._turns]
        heapq.heapify(self._turns)

    def _after(self, unit: _Unit, now_s: float) -> float:
        """The unit's next turn; never the one it has just had, even if the timer was a little early."""
        return self._on_grid(unit, max(now_s, unit.due_s + unit.period_s / 2))

    def _on_grid(self, unit: _Unit, now_s: float) -> float:
        turns = math.floor((now_s - unit.phase_s) / unit.period_s) + 1
        return unit.phase_s + max(turns, 0) * unit.period_s

    def _put(self, number: int, due_s: float) -> None:
        self._units[number].due_s = due_s
        heapq.heappush(self._turns, (due_s, number))
