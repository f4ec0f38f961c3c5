"""Instruments err by known amounts, and repeatably from a seed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from gashub.clock import ManualClock
from gashub.errors import NotFound
from simulators.devices.fleet import Fleet
from simulators.devices.indexes import INDEXES_FILE, kept, save
from simulators.devices.instruments import Instruments, device_clock
from simulators.devices.modbus import Fault
from simulators.equipment import SimulatedDevice

METER = SimulatedDevice(
    id="mt-1",
    gateway="gw-east",
    profile="evc-bcd-c",
    port=0,
    unit=1,
    scan_s=5.0,
    block=1,
    signals={"volume": "volume:sp1", "flow": "flow:sp1", "status": "device_status"},
    first_volume_m3=1000.0,
)
LOGGER = SimulatedDevice(
    id="pp-1",
    gateway="gw-east",
    profile="pressure-logger-b",
    port=0,
    unit=2,
    scan_s=5.0,
    block=2,
    signals={"pressure": "pressure:j1", "battery": "device_battery", "clock_offset": "device_clock_offset"},
)
TRUTH = np.array([50.0, 200.0, 100.0])


def shown(seed: int, second: int = 1_000, truth: np.ndarray = TRUTH) -> np.ndarray:
    return Instruments([METER, LOGGER], seed=seed).show(truth, second=second, elapsed_s=0.0)


def test_channels_are_what_devices_measure_and_not_what_they_are() -> None:
    assert Instruments([METER, LOGGER], seed=1).signals == ["volume:sp1", "flow:sp1", "pressure:j1"]


def test_the_same_seed_shows_the_same_and_another_seed_something_else() -> None:
    assert np.array_equal(shown(1), shown(1))
    assert not np.array_equal(shown(1), shown(2))


def test_a_second_shows_the_same_whatever_was_shown_before() -> None:
    instruments = Instruments([METER, LOGGER], seed=3)
    instruments.show(TRUTH, second=999, elapsed_s=0.0)
    assert np.array_equal(instruments.show(TRUTH, second=1_000, elapsed_s=0.0), shown(3))


def test_a_device_errs_the_same_in_any_company() -> None:
    alone = Instruments([METER], seed=5).show(TRUTH[:2], second=7, elapsed_s=0.0)
    assert alone[0] == shown(5, second=7)[0]


def test_flow_and_the_volume_counted_from_it_share_one_error_of_gain() -> None:
    for seed in range(8):
        seconds = np.array([shown(seed, second) for second in range(300)])
        gain = seconds[:, 1].mean() / 200.0
        assert (seconds[0, 0] - 1000.0) / 50.0 == pytest.approx(gain, abs=1e-3)


def test_errors_are_as_large_as_their_grade_says() -> None:
    many = [replace(LOGGER, id=f"pp-{i}") for i in range(2_000)]
    values = Instruments(many, seed=1).show(np.full(2_000, 100.0), second=1, elapsed_s=0.0)
    assert values.mean() == pytest.approx(100.0, abs=0.01)
    assert values.std() == pytest.approx(np.sqrt(0.05**2 + 0.05**2 + 0.02**2), rel=0.1)


def test_pressure_moves_in_the_converters_steps() -> None:
    steps = shown(1)[2] / 0.01
    assert steps == pytest.approx(round(steps), abs=1e-6)


def test_an_idle_meter_shows_no_negative_flow() -> None:
    assert all(shown(1, second, np.zeros(3))[1] == 0.0 for second in range(50))


def test_a_stuck_instrument_shows_one_value_until_released() -> None:
    instruments = Instruments([METER, LOGGER], seed=1)
    instruments.stick("pp-1", "pressure", 97.5)
    assert instruments.show(TRUTH, second=1, elapsed_s=0.0)[2] == 97.5
    assert instruments.show(TRUTH * 2, second=2, elapsed_s=1.0)[2] == 97.5
    instruments.release_all()
    assert instruments.show(TRUTH, second=1_000, elapsed_s=0.0)[2] == shown(1)[2]


def test_an_instrument_that_is_not_there_is_named() -> None:
    with pytest.raises(NotFound, match="pp-1/flow"):
        Instruments([METER, LOGGER], seed=1).stick("pp-1", "flow", 0.0)


def test_clocks_are_off_by_seconds_and_drift_by_ppm() -> None:
    clocks = [device_clock(f"d{i}", seed=1) for i in range(500)]
    assert device_clock("d1", seed=1) == clocks[1]
    assert 1.5 < np.std([clock.offset_s for clock in clocks]) < 2.5
    assert clocks[0].ahead_s(1e6) - clocks[0].ahead_s(0) == pytest.approx(clocks[0].drift_ppm)


async def test_the_same_seed_fills_the_same_registers() -> None:
    clock = ManualClock(datetime(2026, 11, 10, tzinfo=UTC))

    def images(seed: int) -> dict[str, bytes]:
        fleet = Fleet([METER, LOGGER], seed=seed, clock=clock)
        fleet.refresh(TRUTH, second=int(clock.now().timestamp()), elapsed_s=60.0)
        return fleet.images()

    assert images(1) == images(1)
    assert images(1)["pp-1"] != images(2)["pp-1"]


async def test_a_refusing_device_takes_its_line_along_until_healed(unused_tcp_port: int) -> None:
    fleet = Fleet(
        [replace(METER, port=unused_tcp_port), replace(LOGGER, port=unused_tcp_port)], seed=1, clock=ManualClock()
    )
    await fleet.open()
    try:
        await fleet.fault("pp-1", Fault.REFUSES)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", unused_tcp_port)
        await fleet.heal()
        _, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
        writer.close()
        await writer.wait_closed()
    finally:
        await fleet.close()


def test_a_counter_goes_on_where_it_stood_when_the_simulator_stopped(tmp_path: Path) -> None:
    clock = ManualClock(datetime(2026, 11, 10, tzinfo=UTC))
    fleet = Fleet([METER, LOGGER], seed=1, clock=clock)
    fleet.refresh(TRUTH, second=0, elapsed_s=0.0)
    before = fleet.indexes(clock.now())
    save(tmp_path, before)

    loaded = kept(tmp_path, seed=1)
    assert loaded is not None
    counted = loaded.at_start(clock.now() + timedelta(hours=2))
    assert counted["mt-1/volume"] == pytest.approx(before.volume_m3["mt-1/volume"] + 2 * 200.0, rel=0.01)
    anew = Fleet([METER, LOGGER], seed=1, clock=clock, counted_m3=counted)
    anew.refresh(np.zeros(3), second=0, elapsed_s=0.0)
    assert anew.indexes(clock.now()).volume_m3["mt-1/volume"] == pytest.approx(counted["mt-1/volume"])


def test_counters_of_another_town_or_that_cannot_be_read_are_not_used(tmp_path: Path) -> None:
    assert kept(tmp_path, seed=1) is None
    save(tmp_path, Fleet([METER], seed=1, clock=ManualClock()).indexes(datetime(2026, 11, 10, tzinfo=UTC)))
    assert kept(tmp_path, seed=2) is None
    (tmp_path / INDEXES_FILE).write_text("{", encoding="utf-8")
    assert kept(tmp_path, seed=1) is None
