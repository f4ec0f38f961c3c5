"""Real sockets: what a line does with devices that answer, refuse, keep silent or are not there."""

from __future__ import annotations

import asyncio
import itertools
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random

import numpy as np
import pytest

from gashub.clock import Clock, ManualClock, ScaledClock, SystemClock
from gashub.frames import FrameBatch, to_ms
from gashub.quality import BAD_COMM_FAILURE, GOOD
from gateway.decode import UNCERTAIN_CLOCK
from gateway.line import Line, Outcome
from gateway.packets import Packer, Reader, Scan
from gateway.plan import Request
from gateway.polling import BAD_DEVICE_EXCEPTION, ClockWatch, Poller, Unit
from gateway.profile import load
from gateway.tally import Tally
from simulators.devices.farm import DeviceFarm, FarmUnit, Fault

from .plants import until

TIMEOUT_S = 0.25


class Watch:
    """One line under watch: its scans by device, as they come."""

    def __init__(self, farm: DeviceFarm, devices: list[str], *, scan_s: float, clock: Clock) -> None:
        self.clock = clock
        self.scans: dict[str, list[Scan]] = {name: [] for name in devices}
        self.tally = Tally()
        reader = Reader(load("rtu-regulator-a"), ["main"], {})
        self.units = [
            Unit(device=name, number=number, scan_s=scan_s, reader=reader, block_ids=(number,))
            for number, name in enumerate(devices, 1)
        ]
        port = farm.port(devices[0])
        self.line = Line("l", "127.0.0.1", port, timeout_s=TIMEOUT_S, units=len(devices), rng=Random(1))
        self.poller = Poller(self.line, self.units, clock=clock, rng=Random(1), tally=self.tally, deliver=self._take)

    def _take(self, scan: Scan) -> None:
        self.scans[self.units[scan.block_ids[0] - 1].device].append(scan)

    def failures(self, name: str) -> list[int]:
        return [scan.failures[0] for scan in self.scans[name]]

    def frames(self, name: str) -> FrameBatch:
        packer = Packer()
        for scan in self.scans[name]:
            packer.add(scan)
        return packer.take()

    async def count(self, name: str, n: int, *, within_s: float = 20.0) -> None:
        """Until that many more scans of the device have come."""
        goal = len(self.scans[name]) + n
        await until(lambda: len(self.scans[name]) >= goal, within_s=within_s)


@asynccontextmanager
async def polled(
    farm: DeviceFarm, *devices: str, scan_s: float = 0.1, clock: Clock | None = None
) -> AsyncIterator[Watch]:
    watch = Watch(farm, list(devices), scan_s=scan_s, clock=clock or SystemClock())
    task = asyncio.create_task(watch.poller.run())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.wait([task])
        watch.line.close()


def on_one_line(*names: str) -> list[FarmUnit]:
    return [
        FarmUnit(name=name, profile="rtu-regulator-a", unit=number, line="l", values={"battery": 10.0 * number})
        for number, name in enumerate(names, 1)
    ]


async def test_units_of_one_line_each_give_their_own_values() -> None:
    async with DeviceFarm(on_one_line("a", "b", "c")) as farm, polled(farm, "a", "b", "c") as watch:
        for name in ("a", "b", "c"):
            await watch.count(name, 3)
        assert [watch.frames(name).values[0, 7] for name in ("a", "b", "c")] == [10, 20, 30]
        assert watch.tally.answered == watch.tally.requests >= 9
        assert 0 < watch.tally.round_trip_s < watch.tally.answered * TIMEOUT_S


async def test_a_frame_is_stamped_when_the_device_answered() -> None:
    async with DeviceFarm(on_one_line("a")) as farm:
        await farm.fault("a", Fault.LATE, late_s=0.1)
        async with polled(farm, "a", scan_s=0.3) as watch:
            await until(lambda: farm.requests("a") >= 1)
            asked_ms = to_ms(datetime.now(UTC))
            await watch.count("a", 1)
            now_ms = to_ms(datetime.now(UTC))
        scan = watch.scans["a"][0]
        assert asked_ms + 50 <= scan.measured_at_ms <= now_ms


async def test_a_silent_device_gives_bad_frames_without_values_at_the_time_it_was_asked() -> None:
    async with DeviceFarm(on_one_line("a")) as farm, polled(farm, "a") as watch:
        await watch.count("a", 2)
        await farm.fault("a", Fault.SILENT)
        since_ms = to_ms(datetime.now(UTC))
        await until(lambda: BAD_COMM_FAILURE in watch.failures("a"))
        silent = next(scan for scan in watch.scans["a"] if scan.failures[0] == BAD_COMM_FAILURE)
        heard_ms = to_ms(datetime.now(UTC))
        assert since_ms - 20 <= silent.measured_at_ms <= heard_ms - TIMEOUT_S * 900
        frames = watch.frames("a")
        bad = frames.quality[:, 0] == BAD_COMM_FAILURE
        assert np.isnan(frames.values[bad]).all()
        assert (frames.quality[~bad] == GOOD).all()


async def test_a_device_that_was_silent_is_read_again_without_a_restart() -> None:
    async with DeviceFarm(on_one_line("a", "b")) as farm, polled(farm, "a", "b") as watch:
        await farm.fault("a", Fault.SILENT)
        await until(lambda: watch.tally.timeouts >= 1)
        await farm.fault("a", Fault.NONE)
        heard = len(watch.scans["a"])
        await until(lambda: 0 in watch.failures("a")[heard:])
        await watch.count("a", 5)
        assert watch.failures("a")[-4:] == [0, 0, 0, 0]


async def test_one_dead_device_does_not_slow_the_others_on_its_line() -> None:
    names = [f"d{n}" for n in range(10)]
    async with DeviceFarm(on_one_line(*names)) as farm:
        await farm.fault("d0", Fault.SILENT)
        async with polled(farm, *names, scan_s=0.5) as watch:
            await watch.count("d5", 12)
        stamps = [scan.measured_at_ms for scan in watch.scans["d5"]]
        assert statistics.median(b - a for a, b in itertools.pairwise(stamps)) == pytest.approx(500, abs=60)
        assert stamps[-1] - stamps[0] <= 11 * 500 + 600
        assert len(watch.scans["d0"]) <= 6


async def test_a_modbus_exception_is_told_apart_from_silence() -> None:
    async with DeviceFarm(on_one_line("a", "b")) as farm, polled(farm, "a", "b") as watch:
        await farm.fault("a", Fault.EXCEPTION)
        await until(lambda: BAD_DEVICE_EXCEPTION in watch.failures("a"))
        await watch.count("a", 3)
        assert watch.tally.exceptions >= 3 and watch.tally.timeouts == 0
        assert set(watch.failures("b")) == {0}


async def test_a_late_answer_is_never_taken_for_the_next_ones() -> None:
    async with DeviceFarm(on_one_line("a", "b")) as farm, polled(farm, "a", "b") as watch:
        await farm.fault("a", Fault.LATE, late_s=TIMEOUT_S * 1.5)
        await until(lambda: watch.tally.timeouts >= 2)
        await watch.count("b", 10)
        assert set(watch.frames("b").values[:, 7][watch.frames("b").quality[:, 7] == GOOD]) == {20}


async def test_a_poller_ends_when_it_is_told_to_even_as_an_answer_comes_in() -> None:
    async with DeviceFarm(on_one_line("a")) as farm:
        for _ in range(40):
            watch = Watch(farm, ["a"], scan_s=0.0001, clock=SystemClock())
            task = asyncio.create_task(watch.poller.run())
            await until(lambda watch=watch: len(watch.scans["a"]) >= 5)
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=10)
            assert done
            watch.line.close()


async def test_garbage_on_the_line_ends_when_it_ends() -> None:
    async with DeviceFarm(on_one_line("a", "b")) as farm, polled(farm, "a", "b") as watch:
        await farm.fault("a", Fault.GARBAGE)
        await until(lambda: BAD_COMM_FAILURE in watch.failures("a"))
        await farm.fault("a", Fault.NONE)
        for name, battery in (("a", 10), ("b", 20)):
            await watch.count(name, 5)
            await until(lambda name=name: watch.failures(name)[-1] == 0)
            assert watch.frames(name).values[-1, 7] == battery


async def test_a_line_that_is_not_there_at_first_is_tried_again() -> None:
    async with DeviceFarm(on_one_line("a")) as farm:
        await farm.fault("a", Fault.REFUSES)
        async with polled(farm, "a") as watch:
            await watch.count("a", 3)
            assert set(watch.failures("a")) == {BAD_COMM_FAILURE}
            assert watch.tally.line_down >= 3
            await farm.fault("a", Fault.NONE)
            await until(lambda: watch.failures("a")[-1] == 0)
            assert watch.line.opened == 1


async def test_a_connection_that_was_cut_comes_back() -> None:
    async with DeviceFarm(on_one_line("a")) as farm, polled(farm, "a") as watch:
        await watch.count("a", 2)
        await farm.hang_up("a")
        await watch.count("a", 2)
        await until(lambda: watch.failures("a")[-1] == 0)
        assert watch.line.opened == 2


async def test_a_line_on_which_nobody_answers_is_opened_anew() -> None:
    async with DeviceFarm(on_one_line("a")) as farm, polled(farm, "a") as watch:
        await watch.count("a", 1)
        await farm.fault("a", Fault.SILENT)
        await until(lambda: watch.line.opened >= 2, within_s=30)


async def test_an_accelerated_clock_scans_in_hub_time() -> None:
    now = datetime.now(UTC)
    clock = ScaledClock(real_start=now, hub_start=datetime(2026, 1, 1, tzinfo=UTC), speed=20)
    async with DeviceFarm(on_one_line("a"), clock=clock) as farm, polled(farm, "a", scan_s=2.0, clock=clock) as watch:
        await watch.count("a", 20)
    stamps = [scan.measured_at_ms for scan in watch.scans["a"]]
    assert statistics.median(b - a for a, b in itertools.pairwise(stamps)) == pytest.approx(2000, abs=400)
    assert stamps[0] >= to_ms(clock.hub_start)
    assert not any(scan.clock_suspect for scan in watch.scans["a"])


@pytest.mark.parametrize("function", [1, 2])
async def test_a_function_the_device_does_not_have_is_refused_and_not_silent(function: int) -> None:
    async with DeviceFarm(on_one_line("a")) as farm:
        line = Line("l", "127.0.0.1", farm.port("a"), timeout_s=TIMEOUT_S, units=1, rng=Random(1))
        answer = await line.read(1, Request(function=function, address=0, count=1))
        line.close()
        assert answer.outcome is Outcome.REFUSED


def test_a_clock_that_steps_is_suspect_for_a_while() -> None:
    class Stepping(ManualClock):
        def monotonic_s(self) -> float:
            return self.steady_s

        steady_s = 0.0

    clock = Stepping(datetime(2026, 1, 1, tzinfo=UTC))
    watch = ClockWatch(clock)
    assert not watch.suspect()
    clock.advance(3600)
    assert watch.suspect()
    clock.steady_s += 299
    clock.advance(299)
    assert watch.suspect()
    clock.steady_s += 2
    clock.advance(2)
    assert not watch.suspect()


def test_a_clock_before_this_program_was_written_is_suspect() -> None:
    assert ClockWatch(ManualClock(datetime(2000, 1, 1, tzinfo=UTC))).suspect()


def test_what_is_stamped_by_a_suspect_clock_is_marked_but_bad_stays_bad() -> None:
    reader = Reader(load("rtu-regulator-a"), ["main"], {})
    packer = Packer()
    for failure in (0, BAD_COMM_FAILURE):
        packer.add(
            Scan(
                reader=reader, block_ids=(1,), measured_at_ms=0, words=[0] * 12, failures=[failure], clock_suspect=True
            )
        )
    frames = packer.take()
    assert set(frames.quality[0]) == {UNCERTAIN_CLOCK}
    assert set(frames.quality[1]) == {BAD_COMM_FAILURE}
