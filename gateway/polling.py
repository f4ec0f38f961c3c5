"""Asks the units of one line, each in its turn, for as long as the gateway runs.

    wait for the next turn ─► ask its requests ─► scan ─► packer
                 ▲                                  │
                 └────── schedule: how did it go ◄──┘

Nothing downstream can hold this loop up: a scan is handed over without waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Final

import structlog

from gashub.clock import Clock
from gashub.frames import to_ms
from gashub.quality import BAD_COMM_FAILURE, Reason, Severity, quality

from .line import Answer, Line, Outcome
from .packets import Reader, Scan
from .schedule import Schedule
from .tally import Tally

BAD_DEVICE_EXCEPTION: Final = quality(Severity.BAD, Reason.DEVICE_EXCEPTION)
_STEP_S: Final = 2.0
_SETTLE_S: Final = 300.0
_PLAUSIBLE_FROM: Final = datetime(2020, 1, 1, tzinfo=UTC)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One device on a line. `number` is its Modbus unit id; `block_ids` go with the blocks of its reader."""

    device: str
    number: int
    scan_s: float
    reader: Reader
    block_ids: tuple[int, ...]


class ClockWatch:
    """Tells whether the gateway's own time can be trusted.

    It cannot while it is before this program was written (a clock that lost its battery), nor for a while after it
    has stepped against the monotonic clock, since nobody knows which side of the step was right.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_s = self._difference_s()
        self._suspect_until_s = float("-inf")

    def _difference_s(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic_s()

    def suspect(self) -> bool:
        """Whether to mark what is stamped now."""
        offset_s, now_s = self._difference_s(), self._clock.monotonic_s()
        if abs(offset_s - self._offset_s) > _STEP_S * max(1.0, self._clock.speed):
            log.warning("clock_stepped", by_s=round(offset_s - self._offset_s, 3))
            self._suspect_until_s = now_s + _SETTLE_S
            self._offset_s = offset_s
        return now_s < self._suspect_until_s or self._clock.now() < _PLAUSIBLE_FROM


class Poller:
    """Polls one line and hands every scan to `deliver`."""

    def __init__(
        self,
        line: Line,
        units: list[Unit],
        *,
        clock: Clock,
        rng: Random,
        tally: Tally,
        deliver: Callable[[Scan], None],
    ) -> None:
        self._line = line
        self._units = units
        self._clock = clock
        self._tally = tally
        self._deliver = deliver
        self._watch = ClockWatch(clock)
        self._schedule = Schedule(
            [unit.scan_s for unit in units],
            timeout_s=line.timeout_s * clock.speed,
            start_s=clock.monotonic_s(),
            rng=rng,
        )

    async def run(self) -> None:
        """Poll until cancelled."""
        task = asyncio.current_task()
        assert task is not None
        # Until Python 3.12 `wait_for`, which pymodbus reads with, swallows a cancellation that comes with the answer.
        while not task.cancelling():
            wait_s = self._schedule.next_s - self._clock.monotonic_s()
            if wait_s > 0:
                await asyncio.sleep(self._clock.real_s(wait_s))
            number = self._schedule.take()
            self._settle(number, await self.scan(self._units[number]))
        raise asyncio.CancelledError

    async def scan(self, unit: Unit) -> Outcome:
        """Ask one unit everything and deliver its scan. A unit that is silent once is not asked for the rest."""
        asked_ms = measured_at_ms = to_ms(self._clock.now())
        words: list[int] = []
        failures: list[int] = []
        outcome = Outcome.ANSWERED
        for request in unit.reader.plan.requests:
            if outcome is Outcome.ANSWERED:
                answer = await self._ask(unit, request_number=len(failures))
                outcome = answer.outcome if answer.outcome in (Outcome.SILENT, Outcome.DOWN) else outcome
            if outcome is not Outcome.ANSWERED:
                words.extend([0] * request.count)
                failures.append(BAD_COMM_FAILURE)
                continue
            measured_at_ms = to_ms(self._clock.now())
            refused = answer.outcome is Outcome.REFUSED
            words.extend([0] * request.count if refused else answer.words)
            failures.append(BAD_DEVICE_EXCEPTION if refused else 0)
        self._deliver(
            Scan(
                reader=unit.reader,
                block_ids=unit.block_ids,
                measured_at_ms=max(measured_at_ms, asked_ms),
                words=words,
                failures=failures,
                clock_suspect=self._watch.suspect(),
            )
        )
        return outcome

    async def _ask(self, unit: Unit, *, request_number: int) -> Answer:
        answer = await self._line.read(unit.number, unit.reader.plan.requests[request_number])
        self._tally.count(answer)
        return answer

    def _settle(self, number: int, outcome: Outcome) -> None:
        """Tell the schedule how it went; log when a unit falls silent and when it is back."""
        now_s = self._clock.monotonic_s()
        unit = self._units[number]
        self._tally.scans += 1
        missed_before = self._schedule.missed
        match outcome:
            case Outcome.DOWN:
                self._schedule.passed(number, now_s)
            case Outcome.SILENT:
                if self._schedule.unanswered(number, now_s):
                    log.warning("unit_silent", line=self._line.name, device=unit.device)
            case _:
                all_silent = self._schedule.silent == len(self._units)
                if self._schedule.answered(number, now_s):
                    log.info("unit_back", line=self._line.name, device=unit.device)
                if all_silent:
                    self._schedule.recall(now_s)
        self._tally.missed += self._schedule.missed - missed_before
