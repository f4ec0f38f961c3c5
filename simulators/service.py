"""The simulator as a service: a town that lives by the hub's clock, and its control over MQTT.

    sim/v1/command   {"inject": {event}} | {"scenario": "leak-on-main"} | {"heal": "all"}
    sim/v1/state     retained: whether it runs, its time, the scenarios it knows, and what happens now

The town goes on when the broker is away; only its control waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import aiomqtt
import structlog

from gashub.clock import Clock
from gashub.config import BrokerSection
from gashub.embedded.readiness import announce
from gashub.errors import ConfigurationError, HubError, InvalidValue, Problem
from gashub.plant import ACCOUNTS_FILE, NETWORK_FILE, REGISTRY_FILE, read_json, read_network, read_registry
from gashub.topics import SIM_COMMAND, SIM_STATE

from .devices.indexes import kept, save
from .places import Places
from .scenario import Planned, Scenario, find, names, parse_event, plan, resolve
from .simulation import Simulation
from .town import DEVICES_FILE, Accounts, Town, read_devices
from .truth import TruthLog

_LOG = structlog.get_logger()
_COMMAND_BYTES: Final = 64 * 1024
_COMMANDS_WAITING: Final = 100
_STATE_EVERY_S: Final = 5.0
_KEEP_EVERY_S: Final = 10.0
_RECONNECT_S: Final = 1.0
_MQTT_TIMEOUT_S: Final = 10.0
_STOP_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bus:
    """Where the simulator listens, and as whom."""

    broker: BrokerSection
    username: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What to simulate. Without a bus the town runs uncontrolled; `truth_file` keeps what happened."""

    plant: Path
    clock: Clock
    seed: int
    bus: Bus | None = None
    scenario: Scenario | None = None
    truth_file: Path | None = None


def read_town(plant: Path) -> Town:
    """The town of a plant directory. Raises ConfigurationError."""
    network = read_network(plant / NETWORK_FILE)
    devices = read_devices(plant / DEVICES_FILE)
    return Town(
        seed=devices.seed,
        network=network,
        registry=read_registry(plant / REGISTRY_FILE, network),
        accounts=read_json(plant / ACCOUNTS_FILE, Accounts),
        devices=devices.devices,
    )


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Simulate until `stop`. Raises ConfigurationError for a plant or scenario that does not fit, OSError if a
    device's port is taken."""
    service = SimulatorService(settings)
    await service.simulation.advance(service.simulation.start)
    await service.simulation.fleet.open()
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(service.simulation.run(), name="simulation"),
                tasks.create_task(service.control(), name="control"),
                tasks.create_task(service.keep_indexes(), name="indexes"),
            ]
            await stop.wait()
            for task in running:
                task.cancel()
    finally:
        await service.simulation.fleet.close()
    save(settings.plant, service.simulation.indexes)


class SimulatorService:
    """One town under control."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = settings.clock
        town = read_town(settings.plant)
        self._places = Places(town.network, town.registry)
        self._truth = TruthLog(settings.truth_file)
        before = kept(settings.plant, seed=settings.seed)
        self.simulation = Simulation(
            town,
            seed=settings.seed,
            clock=settings.clock,
            truth=self._truth,
            counted_m3=None if before is None else before.at_start(settings.clock.now()),
        )
        self._scenario: str | None = None
        self._refused: str | None = None
        self._shipped = [find(name) for name in names()]
        if settings.scenario is not None:
            self._play(settings.scenario, start_s=self._base_s(settings.scenario))

    def _base_s(self, scenario: Scenario) -> float:
        """Where on the simulation's own time the scenario begins: at its start, if the hub's clock was set to it."""
        start_s = self.simulation.elapsed_s(scenario.start)
        return start_s if -scenario.duration_s <= start_s <= 0.0 else 0.0

    def _play(self, scenario: Scenario, *, start_s: float) -> None:
        """Plan every event of a scenario; all or none. Raises ConfigurationError, InvalidValue."""
        for planned in resolve(scenario, self._places):
            due_s = max(start_s + planned.at_s, 0.0)
            self.simulation.plan(Planned(at_s=due_s, event=planned.event, place=planned.place, zone=planned.zone))
        self._scenario = scenario.name

    async def keep_indexes(self) -> None:
        """Save what the meters show now and then, until cancelled."""
        while True:
            await asyncio.sleep(_KEEP_EVERY_S)
            save(self._settings.plant, self.simulation.indexes)

    # ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def obey(self, payload: bytes) -> None:
        """Carry out one command; a wrong one is refused and told in the state."""
        try:
            self._obey(_command(payload))
            self._refused = None
        except HubError as error:
            _LOG.warning("command_refused", error=str(error))
            self._refused = str(error)
        self.simulation.changed.set()

    def _obey(self, command: dict[str, Any]) -> None:
        now_s = self.simulation.elapsed_s(self.simulation.reached)
        match command:
            case {"inject": event}:
                planned = parse_event(event)
                self.simulation.plan(plan(planned, self._places, at_s=now_s + planned.at_s))
            case {"scenario": str(name)} if name in names():
                scenario = find(name)
                # Asked for by hand, the first thing happens at once.
                self._play(scenario, start_s=now_s - scenario.onset_s)
            case {"scenario": name}:
                raise InvalidValue(f"no scenario {name!r}; there are: {', '.join(names())}")
            case {"heal": "all"}:
                self.simulation.heal()
                self._scenario = None
            case _:
                raise InvalidValue('a command is {"inject": …}, {"scenario": …} or {"heal": "all"}')

    # ── bus ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def control(self) -> None:
        """Listen for commands and tell the state, again and again if the broker goes away; until cancelled."""
        if self._settings.bus is None:
            announce()
            await asyncio.Event().wait()
            return
        away = False
        while True:
            try:
                async with self._client(self._settings.bus) as client:
                    away = False
                    await self._serve(client)
            except* aiomqtt.MqttError as errors:
                if not away:
                    _LOG.warning("broker_away", error=str(errors.exceptions[0]))
                away = True
            await asyncio.sleep(_RECONNECT_S)

    def _client(self, bus: Bus) -> aiomqtt.Client:
        tls = bus.broker.tls_ca_file
        return aiomqtt.Client(
            bus.broker.host,
            bus.broker.port,
            username=bus.username,
            password=bus.password,
            identifier="simulator",
            timeout=_MQTT_TIMEOUT_S,
            max_queued_incoming_messages=_COMMANDS_WAITING,
            tls_params=None if tls is None else aiomqtt.TLSParameters(ca_certs=str(tls)),
            will=aiomqtt.Will(SIM_STATE, json.dumps({"running": False}), qos=1, retain=True),
        )

    async def _serve(self, client: aiomqtt.Client) -> None:
        await client.subscribe(SIM_COMMAND, qos=1)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tell(client), name="state")
                tasks.create_task(self._listen(client), name="commands")
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError, aiomqtt.MqttError):
                async with asyncio.timeout(_STOP_S):
                    await self._publish(client, {"running": False, "hub_time": self._clock.now().isoformat()})
            raise

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            if isinstance(message.payload, bytes):
                self.obey(message.payload)

    async def _tell(self, client: aiomqtt.Client) -> None:
        """Publish the state now, whenever it changes, and now and then."""
        while True:
            self.simulation.changed.clear()
            await self._publish(client, self.state())
            announce()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STATE_EVERY_S):
                    await self.simulation.changed.wait()

    async def _publish(self, client: aiomqtt.Client, state: dict[str, Any]) -> None:
        await client.publish(SIM_STATE, json.dumps(state, ensure_ascii=False), qos=1, retain=True)

    def state(self, now: datetime | None = None) -> dict[str, Any]:
        """What stands on `sim/v1/state`."""
        return {
            "running": True,
            "hub_time": (now or self._clock.now()).isoformat(),
            "speed": self._clock.speed,
            "scenario": self._scenario,
            "scenarios": [
                {"name": scenario.name, "title_en": scenario.title_en, "title_zh": scenario.title_zh}
                for scenario in self._shipped
            ],
            "truth": [happening.to_json() for happening in self._truth.now()],
            "refused": self._refused,
        }


def _command(payload: bytes) -> dict[str, Any]:
    """A command as JSON. Raises InvalidValue, ConfigurationError."""
    if len(payload) > _COMMAND_BYTES:
        raise InvalidValue(f"a command of {len(payload)} bytes, allowed {_COMMAND_BYTES}")
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError("command", [Problem(where="command", what=f"not JSON: {error}")]) from error
    if not isinstance(content, dict):
        raise InvalidValue("a command is a JSON object")
    return content
