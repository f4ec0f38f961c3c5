"""The simulator as a whole: a real town, real ports, a real broker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import numpy as np
import pytest
from pymodbus.client import AsyncModbusTcpClient

from cli.ports import PortRange
from gashub.clock import Clock, ManualClock, ScaledClock, SystemClock
from gashub.config import BrokerSection
from gashub.embedded.broker import EmbeddedBroker
from gashub.topics import SIM_COMMAND, SIM_STATE
from gateway.decode import BlockDecoder
from gateway.plan import plan as plan_reads
from gateway.profile import load
from simulators.devices.maps import register_map
from simulators.equipment import SimulatedDevice
from simulators.field import Field
from simulators.places import Places
from simulators.scenario import find, names, parse_event, plan, resolve
from simulators.service import Bus, Settings, read_town, run
from simulators.simulation import Simulation
from simulators.town import Town, port_count, write_plant

START = datetime(2026, 11, 10, 9, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def ports() -> Iterator[PortRange]:
    claimed = PortRange()
    yield claimed
    claimed.close()


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory, ports: PortRange) -> Path:
    directory = tmp_path_factory.mktemp("plant")
    secret = directory / "password"
    secret.write_text("unused", encoding="utf-8")
    town = write_plant(
        directory, broker=BrokerSection(password_file=secret), clock=None, first_port=ports.first, seed=1
    )
    assert port_count(town.devices) <= 30
    return directory


@pytest.fixture(scope="module")
def town(plant: Path) -> Town:
    return read_town(plant)


@pytest.fixture
def bus(broker: EmbeddedBroker) -> Bus:
    section = BrokerSection(host=broker.host, port=broker.port, password_file=broker.password_file("sim"))
    return Bus(broker=section, username="sim", password=broker.users["sim"])


def places(town: Town) -> Places:
    return Places(town.network, town.registry)


def inject(simulation: Simulation, town: Town, event: dict[str, Any], at_s: float) -> None:
    simulation.plan(plan(parse_event(event), places(town), at_s=at_s))


def shown(simulation: Simulation, device: str, slot: str) -> float:
    """What that device's registers are made of now, before encoding."""
    fleet = simulation.fleet
    return float(fleet._shown[fleet.instruments.channel(device, slot)])


async def after(simulation: Simulation, seconds: float) -> None:
    await simulation.advance(START + timedelta(seconds=seconds))


# ── the town through time ────────────────────────────────────────────────────────────────────────────────────────────


async def story(town: Town, seed: int, scenario: str, seconds: list[float]) -> list[dict[str, bytes]]:
    simulation = Simulation(town, seed=seed, clock=ManualClock(START))
    for planned in resolve(find(scenario), places(town)):
        simulation.plan(plan(planned.event, places(town), at_s=30.0))
    images = []
    for second in seconds:
        await after(simulation, second)
        images.append(simulation.fleet.images())
    return images


async def test_the_same_seed_and_scenario_fill_the_same_registers(town: Town) -> None:
    first = await story(town, 1, "leak-on-main", [20, 60])
    assert first == await story(town, 1, "leak-on-main", [20, 60])
    other = await story(town, 2, "leak-on-main", [20, 60])
    assert first[0] != other[0]


async def test_before_its_onset_a_scenario_changes_nothing_and_after_it_only_its_part(town: Town) -> None:
    calm = await story(town, 1, "calm", [20, 60])
    silent = await story(town, 1, "device-silent", [20, 60])
    leak = await story(town, 1, "leak-on-main", [20, 60])
    assert calm == silent
    assert calm[0] == leak[0]
    assert calm[1] != leak[1]


async def test_a_leak_shows_at_its_zones_inlet_and_in_the_truth(town: Town) -> None:
    simulation = Simulation(town, seed=1, clock=ManualClock(START))
    await after(simulation, 5)
    before = shown(simulation, "drs-east-1-meter", "flow")
    event = {"kind": "leak", "pick": "central_main:east", "size_m3h": 80}
    inject(simulation, town, event, at_s=5)
    await after(simulation, 120)
    (happening,) = simulation.truth.now()
    assert happening.place == places(town).pick("central_main", "east")
    assert happening.zone == "east"
    assert happening.flow_m3h_std == pytest.approx(80, rel=0.1)
    assert shown(simulation, "drs-east-1-meter", "flow") - before == pytest.approx(80, rel=0.3)


async def test_healing_ends_what_happens_and_what_waits(town: Town) -> None:
    simulation = Simulation(town, seed=1, clock=ManualClock(START))
    inject(simulation, town, {"kind": "leak", "pick": "central_main:east", "size_m3h": 80}, at_s=0)
    inject(simulation, town, {"kind": "rupture", "pick": "central_main:south"}, at_s=500)
    await after(simulation, 5)
    assert len(simulation.truth.now()) == 1
    simulation.heal()
    await after(simulation, 10)
    assert simulation.truth.now() == []
    assert simulation.schedule.next_s is None
    assert [entry["what"] for entry in simulation.truth.log()] == ["began", "ended"]


async def test_a_closed_slam_shut_shows_as_closed_and_the_zone_loses_pressure(town: Town) -> None:
    simulation = Simulation(town, seed=1, clock=ManualClock(START))
    await after(simulation, 5)
    assert shown(simulation, "drs-east-1-rtu", "slam_shut") == 0
    before = shown(simulation, "drs-east-1-rtu", "outlet_pressure")
    inject(simulation, town, {"kind": "slam_shut_closes", "pick": "regulator:east"}, at_s=5)
    await after(simulation, 120)
    assert shown(simulation, "drs-east-1-rtu", "slam_shut") == 1
    assert shown(simulation, "drs-east-1-rtu", "outlet_pressure") < before - 1


async def test_a_stuck_sensor_stands_still_while_the_others_move(town: Town) -> None:
    simulation = Simulation(town, seed=1, clock=ManualClock(START))
    point = places(town).pick("network_pressure", "south").id
    device = point.partition("/")[0]
    inject(simulation, town, {"kind": "sensor_stuck", "element": {"point": point}}, at_s=5)
    await after(simulation, 10)
    stuck = shown(simulation, device, "pressure")
    seen = []
    for second in range(11, 21):
        await after(simulation, second)
        seen.append((shown(simulation, device, "pressure"), shown(simulation, device, "temperature")))
    assert {pressure for pressure, _ in seen} == {stuck}
    assert len({temperature for _, temperature in seen}) > 1


async def test_counters_grow_evenly_between_the_steps_of_physics(town: Town) -> None:
    simulation = Simulation(town, seed=1, clock=ManualClock(START, speed=100.0))
    assert simulation.step_s == 10
    await after(simulation, 20)
    volumes = []
    for second in range(21, 41):
        await after(simulation, second)
        volumes.append(shown(simulation, "drs-east-1-meter", "volume"))
    assert simulation.indexes.at == START + timedelta(seconds=40)
    assert simulation.indexes.volume_m3["drs-east-1-meter/volume"] == volumes[-1]
    steps = np.diff(volumes)
    assert (steps > 0).all()
    assert steps.max() < 2 * steps.min()


TOLERANCE = {
    "inlet_pressure": 2.0,
    "outlet_pressure": 0.5,
    "filter_differential": 0.15,
    "temperature": 1.2,
    "position": 2.0,
    "gas": 1.5,
    "pressure": 0.5,
    "pressure_absolute": 0.5,
}


async def test_what_a_gateway_decodes_is_the_truth_within_the_instruments_errors(town: Town) -> None:
    simulation = Simulation(town, seed=1, clock=ManualClock(START))
    await after(simulation, 20)
    truth = Field(town, seed=1, start=START)
    for second in range(1, 21):
        truth.step(START + timedelta(seconds=second))
    for device in town.devices:
        decoded = _decoded(simulation, device)
        for slot, name in device.signals.items():
            if name.startswith("device_"):
                continue
            true = float(truth.values[truth.index([name])[0]])
            tolerance = TOLERANCE.get(slot, 0.0) + (0.035 * true + 0.02 if slot == "flow" else 1e-3 * true)
            if slot.startswith("volume"):
                true += device.first_volume_m3
                tolerance += 0.05
            assert decoded[slot] == pytest.approx(true, abs=tolerance + 1e-6), (device.id, slot)


def _decoded(simulation: Simulation, device: SimulatedDevice) -> dict[str, float]:
    """What the gateway's profile makes of the device's registers."""
    profile = load(device.profile)
    block = profile.find_block("main")
    reads = plan_reads([block], profile.limits)
    image = np.frombuffer(simulation.fleet.images()[device.id], ">u2").astype(np.uint16)
    first = register_map(device.profile).first
    words = np.concatenate([image[r.address - first : r.address - first + r.count] for r in reads.requests])
    given = {name: value for name, value in device.parameters.items() if name in profile.parameters}
    decoder = BlockDecoder(block, [block], reads, profile.settings(given))
    decoded = decoder.decode(words[None, :], np.zeros((1, len(reads.requests)), np.uint8), np.array([0]))
    return {slot.name: float(decoded.values[0, slot.slot]) for slot in block.slot}


@pytest.mark.parametrize("name", names())
def test_a_shipped_scenario_finds_its_places_in_the_town(town: Town, name: str) -> None:
    planned = resolve(find(name), places(town))
    assert len(planned) == len(find(name).event)


# ── the service ──────────────────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(run(settings, stop))
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(20):
            await task


class Operator:
    """Somebody at the bus who sends commands and watches the state."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client

    async def command(self, content: object) -> None:
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        await self._client.publish(SIM_COMMAND, payload, qos=1)

    async def state(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async with asyncio.timeout(20):
            async for message in self._client.messages:
                assert isinstance(message.payload, bytes)
                state: dict[str, Any] = json.loads(message.payload)
                if fits(state):
                    return state
        raise AssertionError("the broker hung up")


@asynccontextmanager
async def operator(broker: EmbeddedBroker) -> AsyncIterator[Operator]:
    async with aiomqtt.Client(
        broker.host, broker.port, username="hub", password=broker.users["hub"], identifier=f"test-{os.urandom(4).hex()}"
    ) as client:
        await client.subscribe(SIM_STATE, qos=1)
        yield Operator(client)


def fast_clock(speed: float = 20.0) -> Clock:
    return ScaledClock(real_start=SystemClock().now(), hub_start=START, speed=speed)


async def test_an_operator_silences_a_device_and_heals_it(
    plant: Path, town: Town, bus: Bus, broker: EmbeddedBroker
) -> None:
    device = next(d for d in town.devices if d.profile == "pressure-logger-b")
    async with (
        running(Settings(plant=plant, clock=fast_clock(), seed=1, bus=bus)),
        operator(broker) as someone,
    ):
        state = await someone.state(lambda state: state["running"])
        assert {item["name"] for item in state["scenarios"]} == set(names())
        assert state["truth"] == []
        await someone.command({"inject": {"kind": "device_silent", "element": {"device": device.id}}})
        state = await someone.state(lambda state: bool(state.get("truth")))
        assert state["truth"][0]["kind"] == "device_silent"
        assert state["truth"][0]["element"] == {"device": device.id}
        await _until(lambda: _answers(device.port, device.unit), wanted=False)
        await someone.command({"heal": "all"})
        await someone.state(lambda state: state.get("truth") == [])
        await _until(lambda: _answers(device.port, device.unit), wanted=True)


async def _answers(port: int, unit: int) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(bytes((0, 1, 0, 0, 0, 6, unit, 4, 0, 100, 0, 2)))
    try:
        async with asyncio.timeout(0.3):
            return len(await reader.readexactly(13)) == 13
    except TimeoutError:
        return False
    finally:
        writer.close()
        await writer.wait_closed()


async def _until(condition: Callable[[], Any], *, wanted: bool) -> None:
    async with asyncio.timeout(20):
        while await condition() is not wanted:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("command", "part"),
    [
        pytest.param(b"\xff\x00", "not JSON", id="no JSON"),
        pytest.param({"dance": True}, "a command is", id="no command"),
        pytest.param({"scenario": "flood"}, "leak-on-main", id="no such scenario"),
        pytest.param({"inject": {"kind": "rupture", "element": {"pipe": "p99999"}}}, "p99999", id="no such pipe"),
        pytest.param({"inject": {"kind": "leak", "pick": "central_main:east"}}, "size_m3h", id="half an event"),
    ],
)
async def test_a_wrong_command_is_refused_in_the_state_and_disturbs_nothing(
    plant: Path, bus: Bus, broker: EmbeddedBroker, command: object, part: str
) -> None:
    async with running(Settings(plant=plant, clock=fast_clock(), seed=1, bus=bus)), operator(broker) as someone:
        await someone.state(lambda state: state["running"])
        await someone.command(command)
        state = await someone.state(lambda state: bool(state.get("refused")))
        assert part in state["refused"]
        assert state["truth"] == []
        await someone.command({"scenario": "slam-shut-closes"})
        state = await someone.state(lambda state: bool(state.get("truth")))
        assert state["refused"] is None
        assert state["scenario"] == "slam-shut-closes"


async def test_a_scenario_begins_at_its_own_time_when_the_hubs_clock_was_set_to_it(plant: Path, tmp_path: Path) -> None:
    scenario = find("slam-shut-closes")
    onset = scenario.start + timedelta(seconds=scenario.onset_s)
    clock = ScaledClock(real_start=SystemClock().now(), hub_start=onset - timedelta(seconds=60), speed=20.0)
    truth = tmp_path / "truth.jsonl"
    async with running(Settings(plant=plant, clock=clock, seed=1, scenario=scenario, truth_file=truth)):
        async with asyncio.timeout(20):
            while not truth.exists():
                await asyncio.sleep(0.02)
    began = json.loads(truth.read_text(encoding="utf-8").splitlines()[0])
    assert datetime.fromisoformat(began["since"]) == onset


async def test_every_device_answers_pymodbus(plant: Path, town: Town) -> None:
    first = {"pressure-logger-b": (4, 100), "meter-fraction-d": (3, 200), "meter-resolution-e": (4, 0)}
    async with running(Settings(plant=plant, clock=SystemClock(), seed=1)):
        await _until(lambda: _opens(town.devices[-1].port), wanted=True)
        for device in town.devices:
            client = AsyncModbusTcpClient("127.0.0.1", port=device.port, timeout=2, retries=0)
            assert await client.connect()
            function, address = first.get(device.profile, (3, 0))
            read = client.read_holding_registers if function == 3 else client.read_input_registers
            answer = await read(address, count=6, device_id=device.unit)
            assert not answer.isError(), device
            assert any(answer.registers)
            client.close()


async def _opens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def simulators(*arguments: str, ready_fd: int | None = None) -> subprocess.Popen[str]:
    environment = dict(os.environ)
    if ready_fd is not None:
        environment["GASHUB_READY_FD"] = str(ready_fd)
    return subprocess.Popen(
        [sys.executable, "-m", "simulators", *arguments],
        env=environment,
        pass_fds=() if ready_fd is None else (ready_fd,),
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_process_says_when_it_is_ready_and_stops_cleanly(plant: Path) -> None:
    reader, writer = os.pipe()
    with simulators("--plant", str(plant), ready_fd=writer) as process:
        os.close(writer)
        try:
            assert os.read(reader, 16) == b"ready\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
            os.close(reader)


def test_a_wrong_start_is_told_in_words(plant: Path) -> None:
    with simulators("--plant", str(plant), "--config", "no-such.toml") as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "1 problem" in errors
    assert "Traceback" not in errors
