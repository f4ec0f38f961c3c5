"""Devices read with pymodbus's client and decoded here by hand, from the makers' tables."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
import uvloop
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from gashub.clock import ManualClock
from gashub.errors import NotFound
from simulators.devices.farm import DeviceFarm, FarmUnit, Fault
from simulators.devices.maps import resolution_meter


@asynccontextmanager
async def master(farm: DeviceFarm, name: str, timeout_s: float = 2.0) -> AsyncIterator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient("127.0.0.1", port=farm.port(name), timeout=timeout_s, retries=0)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


def words(registers: Sequence[int]) -> bytes:
    return struct.pack(f">{len(registers)}H", *registers)


async def read(farm: DeviceFarm, name: str, function: int, address: int, count: int, unit: int = 1) -> bytes:
    async with master(farm, name) as client:
        call = client.read_holding_registers if function == 3 else client.read_input_registers
        answer = await call(address, count=count, device_id=unit)
        assert not answer.isError(), answer
        return words(answer.registers)


async def test_a_regulator_rtu_shows_floats_high_word_first_and_scaled_words() -> None:
    values = {
        "inlet_pressure": 301.5,
        "outlet_pressure": 2.25,
        "filter_differential": 0.5,
        "temperature": -4.5,
        "slam_shut": 1,
        "position": 43.2,
        "gas": 1.5,
        "battery": 97,
    }
    async with DeviceFarm([FarmUnit(name="a", profile="rtu-regulator-a", values=values)]) as farm:
        raw = await read(farm, "a", 3, 0, 12)
    assert struct.unpack(">ffff4H", raw) == (301.5, 2.25, 0.5, -4.5, 1, 432, 15, 97)


async def test_a_pressure_logger_shows_absolute_bar_low_word_first_and_its_own_time() -> None:
    clock = ManualClock(datetime(2026, 11, 10, 9, 0, tzinfo=UTC))
    unit = FarmUnit(
        name="b", profile="pressure-logger-b", values={"pressure": 2.3, "temperature": 11.5, "clock_offset": 90}
    )
    async with DeviceFarm([unit], clock=clock) as farm:
        raw = await read(farm, "b", 4, 100, 7)
        clock.advance(60)
        later = await read(farm, "b", 4, 105, 2)
    bar = struct.unpack(">f", raw[2:4] + raw[0:2])[0]
    assert bar == pytest.approx(1.03625, abs=1e-6)
    assert struct.unpack(">f", raw[6:8] + raw[4:6])[0] == 11.5
    assert raw[8:10] == b"\x00\x64"
    device_time = struct.unpack(">I", raw[12:14] + raw[10:12])[0]
    assert device_time == int(datetime(2026, 11, 10, 9, 1, 30, tzinfo=UTC).timestamp())
    assert struct.unpack(">I", later[2:4] + later[0:2])[0] == device_time + 60


async def test_a_corrector_shows_decimal_digits_and_rolls_over() -> None:
    values = {
        "volume": 1e10 + 12345678.91,
        "flow": 321.09,
        "pressure_absolute": 103.456,
        "temperature": -3.2,
        "volume_actual": 7.5,
        "status": 2,
    }
    async with DeviceFarm([FarmUnit(name="c", profile="evc-bcd-c", values=values)]) as farm:
        raw = await read(farm, "c", 3, 0, 12)
    assert raw.hex() == "001234567891" + "00032109" + "00103456" + "ffe0" + "000000000750" + "0002"


async def test_a_fraction_meter_shows_whole_and_thousandths() -> None:
    values = {"volume": 70000.875, "flow": 12.5, "pressure": 2.0, "temperature": 8.25}
    async with DeviceFarm([FarmUnit(name="d", profile="meter-fraction-d", values=values)]) as farm:
        raw = await read(farm, "d", 3, 200, 8)
    assert struct.unpack(">IH", raw[:6]) == (70000, 875)
    assert struct.unpack(">f", raw[8:10] + raw[6:8])[0] == 12.5
    assert struct.unpack(">f", raw[12:14] + raw[10:12])[0] == pytest.approx(0.02)
    assert struct.unpack(">h", raw[14:])[0] == 825


@pytest.mark.parametrize(("exponent", "count"), [(0, 70001), (2, 7000088), (3, 70000875)])
async def test_a_resolution_meter_counts_in_the_steps_it_tells(exponent: int, count: int) -> None:
    unit = FarmUnit(
        name="e",
        profile="meter-resolution-e",
        map=resolution_meter(exponent),
        values={"volume": 70000.875, "flow": 3.25, "battery": 55, "status": 1},
    )
    async with DeviceFarm([unit]) as farm:
        raw = await read(farm, "e", 4, 0, 7)
    assert struct.unpack(">I", raw[2:4] + raw[0:2])[0] == count
    assert raw[4:6] == struct.pack(">H", exponent)
    assert struct.unpack(">I", raw[8:10] + raw[6:8])[0] == 325
    assert struct.unpack(">HH", raw[10:]) == (55, 1)


async def test_units_of_one_line_share_a_port_and_answer_for_themselves() -> None:
    units = [
        FarmUnit(name=f"u{i}", profile="rtu-regulator-a", unit=i, line="l", values={"battery": i}) for i in (1, 2, 247)
    ]
    async with DeviceFarm(units) as farm:
        assert farm.port("u1") == farm.port("u247")
        for i in (1, 2, 247):
            assert await read(farm, "u1", 3, 11, 1, unit=i) == struct.pack(">H", i)


@pytest.mark.parametrize(
    ("function", "address", "count", "unit", "code"),
    [
        pytest.param(4, 0, 2, 1, 1, id="another function"),
        pytest.param(3, 11, 2, 1, 2, id="beyond the last register"),
        pytest.param(3, 0, 2, 9, 11, id="a unit that is not there"),
    ],
)
async def test_a_wrong_request_gets_the_exception_of_the_specification(
    function: int, address: int, count: int, unit: int, code: int
) -> None:
    async with (
        DeviceFarm([FarmUnit(name="a", profile="rtu-regulator-a")]) as farm,
        master(farm, "a") as client,
    ):
        call = client.read_holding_registers if function == 3 else client.read_input_registers
        answer = await call(address, count=count, device_id=unit)
        assert answer.isError()
        assert answer.exception_code == code


async def test_a_silent_unit_leaves_the_connection_and_its_neighbour_alone() -> None:
    units = [FarmUnit(name=n, profile="rtu-regulator-a", unit=i, line="l") for i, n in ((1, "dead"), (2, "well"))]
    async with DeviceFarm(units) as farm, master(farm, "well", timeout_s=0.2) as client:
        await farm.fault("dead", Fault.SILENT)
        with pytest.raises(ModbusIOException):
            await client.read_holding_registers(0, count=2, device_id=1)
        answer = await client.read_holding_registers(11, count=1, device_id=2)
        assert answer.registers == [100]
        await farm.fault("dead", Fault.NONE)
        answer = await client.read_holding_registers(11, count=1, device_id=1)
        assert answer.registers == [100]
        assert farm.requests("dead") == 2


async def test_a_late_reply_still_belongs_to_its_own_request() -> None:
    async with DeviceFarm([FarmUnit(name="a", profile="rtu-regulator-a", values={"battery": 1})]) as farm:
        await farm.fault("a", Fault.LATE, late_s=0.1)
        reader, writer = await asyncio.open_connection("127.0.0.1", farm.port("a"))
        writer.write(struct.pack(">HHHBBHH", 7, 0, 6, 1, 3, 11, 1))
        await writer.drain()
        await farm.fault("a", Fault.NONE)
        writer.write(struct.pack(">HHHBBHH", 8, 0, 6, 1, 3, 11, 1))
        first, second = [await asyncio.wait_for(reader.readexactly(11), 2) for _ in range(2)]
        writer.close()
        await writer.wait_closed()
    assert sorted([first[:2], second[:2]]) == [b"\x00\x07", b"\x00\x08"]


async def test_a_line_that_refuses_comes_back_on_the_same_port() -> None:
    async with DeviceFarm([FarmUnit(name="a", profile="rtu-regulator-a")]) as farm:
        port = farm.port("a")
        await farm.fault("a", Fault.REFUSES)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await farm.fault("a", Fault.NONE)
        assert farm.port("a") == port
        assert await read(farm, "a", 3, 11, 1) == b"\x00\x64"


async def test_exceptions_and_garbage_are_what_they_say() -> None:
    async with DeviceFarm([FarmUnit(name="a", profile="rtu-regulator-a")]) as farm:
        await farm.fault("a", Fault.EXCEPTION)
        async with master(farm, "a") as client:
            answer = await client.read_holding_registers(0, count=2, device_id=1)
            assert answer.exception_code == 4
        await farm.fault("a", Fault.GARBAGE)
        reader, writer = await asyncio.open_connection("127.0.0.1", farm.port("a"))
        writer.write(struct.pack(">HHHBBHH", 7, 0, 6, 1, 3, 0, 2))
        answer_bytes = await asyncio.wait_for(reader.read(260), 2)
        writer.close()
        await writer.wait_closed()
    assert answer_bytes[2:4] != b"\x00\x00"


async def test_a_stream_that_is_no_modbus_is_hung_up_on() -> None:
    async with DeviceFarm([FarmUnit(name="a", profile="rtu-regulator-a")]) as farm:
        reader, writer = await asyncio.open_connection("127.0.0.1", farm.port("a"))
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await asyncio.wait_for(reader.readexactly(1), 2)
        writer.close()


async def test_a_value_of_several_registers_never_tears() -> None:
    async with (
        DeviceFarm([FarmUnit(name="d", profile="meter-fraction-d", values={"volume": 0.0})]) as farm,
        master(farm, "d") as client,
    ):
        counting = asyncio.create_task(_count(farm))
        try:
            seen = set()
            for _ in range(400):
                raw = words((await client.read_holding_registers(200, count=3, device_id=1)).registers)
                whole, thousandths = struct.unpack(">IH", raw)
                assert whole % 1000 == thousandths
                seen.add(whole)
        finally:
            counting.cancel()
    assert len(seen) > 50


async def _count(farm: DeviceFarm) -> None:
    """Show n + n/1000 for growing n: a torn read would show parts that differ."""
    n = 65_000
    while True:
        n += 1
        farm.set("d", volume=n + (n % 1000) / 1000)
        await asyncio.sleep(0)


async def test_a_value_the_device_does_not_have_is_refused() -> None:
    async with DeviceFarm([FarmUnit(name="a", profile="rtu-regulator-a")]) as farm:
        with pytest.raises(NotFound, match="volume"):
            farm.set("a", volume=1.0)
        with pytest.raises(NotFound, match="nobody"):
            farm.port("nobody")


def test_devices_answer_on_uvloop_too() -> None:
    async def story() -> bytes:
        async with DeviceFarm([FarmUnit(name="a", profile="rtu-regulator-a")]) as farm:
            return await read(farm, "a", 3, 11, 1)

    assert uvloop.run(story()) == b"\x00\x64"
