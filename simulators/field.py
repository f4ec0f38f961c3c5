"""The town in time: weather, demand, gas in the pipes, and what happens to them.

`Field` advances the town from one moment to the next and holds, after each step, the true value of every signal a
device could measure. Devices add their noise, their clocks and their faults to these; nothing here knows of Modbus.

Signals are named `<what>:<id>`:

    pressure:<junction>                 kPa gauge
    inlet_pressure:<regulator>          kPa gauge, outlet_pressure:<regulator> likewise
    filter_differential:<regulator>     kPa
    temperature:<regulator>             °C, gas at the outlet
    slam_shut:<regulator>               0 open, 1 closed
    position:<regulator>                % open
    gas:<regulator>                     % LEL in the station's room
    flow:<regulator>                    m³/h std, volume:<regulator> m³ std since the field began,
    volume_actual:<regulator>           m³ at line conditions
    pressure_absolute:<regulator>       kPa, at the meter, pressure:<regulator> likewise gauge
    flow:<service point>, volume:<service point>, volume_actual:<service point>, pressure:<service point>,
    pressure_absolute:<service point>, temperature:<service point>     for those metered live
    ground_temperature:<junction>       °C, only at pressure points
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from gashub.errors import InvalidValue, NotFound
from gashub.network.flow_laws import (
    STANDARD_PRESSURE_KPA,
    STANDARD_TEMPERATURE_K,
    atmospheric_kpa,
    hole_coefficient,
    throttle,
)
from gashub.network.hydraulics import DidNotConverge, Hydraulics, HydraulicState, Orifice, Solution
from gashub.network.model import Network
from gashub.network.trace import Element, ElementKind
from gashub.registry import StationKind

from .demand import Demand
from .town import Town
from .weather import air_temperature_c, ground_temperature_c

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

LOCAL: Final = ZoneInfo("Asia/Shanghai")
MAX_STEP_S: Final = 60.0
_LEAST_STEP_S: Final = 0.05
_FILTER_KPA_AT_CAPACITY: Final = 2.5
_COOLING_C_PER_KPA: Final = 0.0045
_GAS_LEL_PER_M3H: Final = 4.0
_ZERO_C_K: Final = 273.15


class FieldEventKind(StrEnum):
    """What can happen to pipes and stations; faults of devices belong to the devices."""

    LEAK = "leak"
    RUPTURE = "rupture"
    REGULATOR_FAILS_OPEN = "regulator_fails_open"
    SLAM_SHUT_CLOSES = "slam_shut_closes"
    VALVE_CLOSES = "valve_closes"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldEvent:
    """Something to happen to the town.

    `element`: a pipe, junction or service point for a leak or rupture, a regulator or a valve for the others.
    `size_m3h`: a leak's flow at the pressure it finds when it opens [m³/h std]; a rupture needs none, it opens the
    whole bore. `growth_s`: a leak grows linearly to its size in this time. `slam_shut_trips`: whether the slam-shut of
    a regulator that fails open still works; if not, the pressure behind it rises towards that before it.
    """

    kind: FieldEventKind
    element: Element
    size_m3h: float = 0.0
    growth_s: float = 0.0
    slam_shut_trips: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveEvent:
    """The truth of one event: what it is, since when, and how much gas it loses now [m³/h std]."""

    number: int
    event: FieldEvent
    zone: str
    since: datetime
    flow_m3h_std: float


@dataclass(slots=True, kw_only=True)
class _Running:
    """An event under way: where its hole is, if it has one, and whether a slam-shut has tripped since."""

    active: ActiveEvent
    hole: Orifice | None = None
    tripped: bool = False


class Field:
    """A town at one moment. Repeatable: the same town, seed, start, steps and events give the same values."""

    def __init__(self, town: Town, *, seed: int, start: datetime) -> None:
        self._network = town.network
        self._seed = seed
        self._now = start
        rng = np.random.default_rng((abs(seed), 1))
        self._demand = Demand(town.network, rng)
        self._hydraulics = Hydraulics(town.network)
        self._service_junction = self._junctions([point.junction for point in town.network.service_points])
        self._running: dict[int, _Running] = {}
        self._last_number = 0
        self._gauges = _Gauges(town, self._hydraulics, rng)
        self._flow = self._demand.flow(*self._weather())
        self._solution = self._hydraulics.solve(self._state())
        self._values = self._gauges.read(self._solution, self._taken(), self._slam_shut(), now=start, seconds=0.0)

    @property
    def now(self) -> datetime:
        """The moment the signals belong to."""
        return self._now

    @property
    def signals(self) -> Sequence[str]:
        """Every signal's name, in the order of `values`."""
        return self._gauges.names

    @property
    def values(self) -> Floats:
        """True value of every signal now; shape (signal,). The array is replaced, not changed, by `step`."""
        return self._values

    @property
    def solution(self) -> Solution:
        """Every pressure and flow of the network now."""
        return self._solution

    def index(self, names: Sequence[str]) -> Ints:
        """Where these signals stand in `values`. Raises NotFound for a name that no signal has."""
        for name in names:
            if name not in self._gauges.position:
                raise NotFound("signal", name)
        return np.array([self._gauges.position[name] for name in names], np.intp)

    def step(self, to: datetime) -> None:
        """Advance to `to`, in sub-steps of at most 60 s. Does nothing if `to` is not after `now`."""
        while self._now < to:
            seconds = min((to - self._now).total_seconds(), MAX_STEP_S)
            self._now += timedelta(seconds=seconds)
            self._advance(seconds)

    def inject(self, event: FieldEvent) -> ActiveEvent:
        """Make `event` happen now; it shows from the next step on. Raises NotFound, InvalidValue."""
        hole = self._hole(event)
        self._last_number += 1
        active = ActiveEvent(
            number=self._last_number, event=event, zone=self._zone_of(event), since=self._now, flow_m3h_std=0.0
        )
        self._running[active.number] = _Running(active=active, hole=hole)
        return active

    def heal(self, number: int | None = None) -> None:
        """End one event, or all: leaks are repaired, regulators, slam-shuts and valves put back."""
        for ended in [number] if number is not None else list(self._running):
            self._running.pop(ended, None)

    def truth(self) -> list[ActiveEvent]:
        """What is happening now."""
        return [running.active for running in self._running.values()]

    def taken_by_junction(self) -> Floats:
        """What customers get at each junction now [m³/h std]."""
        count = len(self._network.junctions)
        return np.bincount(self._service_junction, self._taken(), count).astype(np.float64, copy=False)

    def _weather(self) -> tuple[datetime, float]:
        """Local time and air temperature now."""
        local = self._now.astimezone(LOCAL)
        return local, air_temperature_c(local, self._seed)

    def _junctions(self, names: Sequence[str]) -> Ints:
        return np.array([self._hydraulics.junction[name] for name in names], np.intp)

    def _taken(self) -> Floats:
        """What each service point gets now [m³/h std]."""
        taken: Floats = self._flow * self._solution.supplied[self._service_junction]
        return taken

    def _advance(self, seconds: float) -> None:
        """One sub-step that ends now."""
        self._demand.advance(seconds)
        self._flow = self._demand.flow(*self._weather())
        self._solution = self._solve(seconds)
        self._trip()
        self._values = self._gauges.read(
            self._solution, self._taken(), self._slam_shut(), now=self._now, seconds=seconds
        )
        losses = iter(self._solution.orifice_flow_m3h_std.tolist())
        for running in self._running.values():
            lost = next(losses) if running.hole is not None else 0.0
            running.active = replace(running.active, flow_m3h_std=lost)

    def _solve(self, seconds: float) -> Solution:
        """Gas over the sub-step, in shorter ones where it changes too fast for one."""
        state, solution, left, stride = self._state(), self._solution, seconds, seconds
        while left > 1e-9:
            try:
                solution = self._hydraulics.solve(state, after=solution, dt_s=stride)
            except DidNotConverge:
                if stride < _LEAST_STEP_S:
                    raise
                stride *= 0.25
            else:
                left -= stride
                stride = min(left, 2.0 * stride)
        return solution

    def _state(self) -> HydraulicState:
        demand = np.bincount(self._service_junction, self._flow, len(self._network.junctions))
        state = self._hydraulics.normal_state(demand.astype(np.float64, copy=False))
        low, high, is_open = state.opening_low.copy(), state.opening_high.copy(), state.valve_open.copy()
        for running in self._running.values():
            event = running.active.event
            match event.kind:
                case FieldEventKind.REGULATOR_FAILS_OPEN:
                    low[self._hydraulics.regulator[event.element.id]] = 0.0 if running.tripped else 1.0
                    high[self._hydraulics.regulator[event.element.id]] = 0.0 if running.tripped else 1.0
                case FieldEventKind.SLAM_SHUT_CLOSES:
                    low[self._hydraulics.regulator[event.element.id]] = 0.0
                    high[self._hydraulics.regulator[event.element.id]] = 0.0
                case FieldEventKind.VALVE_CLOSES:
                    is_open[self._hydraulics.valve[event.element.id]] = False
                case FieldEventKind.LEAK | FieldEventKind.RUPTURE:
                    pass
        holes = tuple(self._grown(running) for running in self._running.values() if running.hole is not None)
        return replace(state, opening_low=low, opening_high=high, valve_open=is_open, orifices=holes)

    def _grown(self, running: _Running) -> Orifice:
        """The hole as large as it is by now."""
        assert running.hole is not None
        growth_s = running.active.event.growth_s
        age_s = (self._now - running.active.since).total_seconds()
        part = min(age_s / growth_s, 1.0) if growth_s > 0.0 else 1.0
        return replace(running.hole, area_mm2=running.hole.area_mm2 * part)

    def _trip(self) -> None:
        """Close the slam-shuts that still work where the outlet has risen too far."""
        for running in self._running.values():
            event = running.active.event
            if event.kind is FieldEventKind.REGULATOR_FAILS_OPEN and event.slam_shut_trips:
                regulator = self._network.regulators[self._hydraulics.regulator[event.element.id]]
                outlet = self._hydraulics.junction[regulator.to_junction]
                pressure = self._solution.pressure_kpa_gauge[outlet]
                running.tripped = running.tripped or bool(pressure > regulator.slam_shut_kpa_gauge)

    def _slam_shut(self) -> Floats:
        """1 for each regulator whose slam-shut is closed."""
        closed = np.zeros(len(self._network.regulators))
        for running in self._running.values():
            event = running.active.event
            if event.kind is FieldEventKind.SLAM_SHUT_CLOSES or running.tripped:
                closed[self._hydraulics.regulator[event.element.id]] = 1.0
        return closed

    def _hole(self, event: FieldEvent) -> Orifice | None:
        """The hole that a leak or rupture makes; None for other events. Raises NotFound, InvalidValue."""
        if event.kind not in {FieldEventKind.LEAK, FieldEventKind.RUPTURE}:
            index = self._hydraulics.valve if event.kind is FieldEventKind.VALVE_CLOSES else self._hydraulics.regulator
            if event.element.id not in index:
                raise NotFound("valve" if event.kind is FieldEventKind.VALVE_CLOSES else "regulator", event.element.id)
            return None
        pipe, junction = self._place(event.element)
        if event.kind is FieldEventKind.RUPTURE:
            return Orifice(area_mm2=self._bore_mm2(pipe, junction), pipe=pipe, junction=junction)
        if not event.size_m3h > 0.0:
            raise InvalidValue("a leak needs a size above 0 m³/h")
        near = junction or self._network.pipes[self._hydraulics.pipe[pipe or ""]].from_junction
        per_mm2 = self._flow_per_mm2(self._hydraulics.junction[near])
        return Orifice(area_mm2=event.size_m3h / per_mm2, pipe=pipe, junction=junction)

    def _flow_per_mm2(self, junction: int) -> float:
        """What a hole of 1 mm² would lose at a junction now [m³/h std]."""
        air = atmospheric_kpa(np.array([self._network.junctions[junction].height_m]))
        inside = np.maximum(self._solution.pressure_kpa_gauge[[junction]], 1.0) + air
        through = throttle(inside**2, air**2)[0]
        return float((hole_coefficient(self._hydraulics.gas, np.ones(1)) * through)[0])

    def _place(self, element: Element) -> tuple[str | None, str | None]:
        """The pipe, or else the junction, where an element leaks. Raises NotFound, InvalidValue."""
        nouns = {
            ElementKind.SERVICE_POINT: {point.id: point.junction for point in self._network.service_points},
            ElementKind.JUNCTION: {junction.id: junction.id for junction in self._network.junctions},
            ElementKind.REGULATOR: {r.id: r.to_junction for r in self._network.regulators},
            ElementKind.STATION: {r.station: r.to_junction for r in self._network.regulators},
            ElementKind.PIPE: {pipe.id: pipe.id for pipe in self._network.pipes},
        }
        if element.kind not in nouns:
            raise InvalidValue(f"a {element.kind} cannot leak")
        if element.id not in nouns[element.kind]:
            raise NotFound(element.kind, element.id)
        found = nouns[element.kind][element.id]
        return (found, None) if element.kind is ElementKind.PIPE else (None, found)

    def _bore_mm2(self, pipe: str | None, junction: str | None) -> float:
        """The bore of a pipe, or of the widest at a junction."""
        bores = [
            p.inner_diameter_mm
            for p in self._network.pipes
            if p.id == pipe or (junction is not None and junction in {p.from_junction, p.to_junction})
        ]
        return float(np.pi / 4.0 * max(bores, default=50.0) ** 2)

    def _zone_of(self, event: FieldEvent) -> str:
        element = event.element
        if event.kind is FieldEventKind.VALVE_CLOSES:
            return self._network.valves[self._hydraulics.valve[element.id]].zone
        if element.kind in {ElementKind.REGULATOR, ElementKind.STATION}:
            return next(r.zone for r in self._network.regulators if element.id in {r.id, r.station})
        pipe, junction = self._place(element)
        if pipe is not None:
            return self._network.pipes[self._hydraulics.pipe[pipe]].zone
        return self._network.junctions[self._hydraulics.junction[junction or ""]].zone


class _Gauges:
    """Turns a solution into the values of all signals, and counts volumes."""

    def __init__(self, town: Town, hydraulics: Hydraulics, rng: np.random.Generator) -> None:
        self._gas = hydraulics.gas
        network = town.network
        self._regulators = network.regulators
        self._inlet = np.array([hydraulics.junction[r.from_junction] for r in network.regulators], np.intp)
        self._outlet = np.array([hydraulics.junction[r.to_junction] for r in network.regulators], np.intp)
        self._capacity = np.array([r.capacity_m3h_std for r in network.regulators])
        self._dirt = rng.uniform(1.0, 2.5, len(network.regulators))
        self._live = np.flatnonzero([point.metered_live for point in network.service_points])
        live = [network.service_points[k] for k in self._live]
        self._meter = np.concatenate([self._outlet, [hydraulics.junction[point.junction] for point in live]]).astype(
            np.intp
        )
        self._air = atmospheric_kpa(np.array([junction.height_m for junction in network.junctions]))
        self._points = [s.junction for s in town.registry.stations if s.kind is StationKind.PRESSURE_POINT]
        self._volume = np.zeros(len(self._meter))
        self._volume_actual = np.zeros(len(self._meter))
        meters = [r.id for r in network.regulators] + [point.id for point in live]
        self.names = list(_names(network, self._points, [r.id for r in network.regulators], meters))
        self.position = {name: k for k, name in enumerate(self.names)}

    def read(self, solution: Solution, taken: Floats, slam_shut: Floats, *, now: datetime, seconds: float) -> Floats:
        """The values of all signals, in the order of `names`; counts what flowed in the last `seconds`."""
        gauge = solution.pressure_kpa_gauge
        ground = ground_temperature_c(now.astimezone(LOCAL))
        passing = solution.regulator_flow_m3h_std
        cooling = _COOLING_C_PER_KPA * np.maximum(gauge[self._inlet] - gauge[self._outlet], 0.0)
        temperature = np.full(len(self._meter), ground)
        temperature[: len(cooling)] -= cooling
        flow = np.concatenate([passing, taken[self._live]])
        absolute = gauge[self._meter] + self._air[self._meter]
        self._count(flow, absolute, temperature, seconds)
        return np.concatenate(
            [
                gauge,
                np.full(len(self._points), ground),
                gauge[self._inlet],
                gauge[self._outlet],
                _FILTER_KPA_AT_CAPACITY * self._dirt * (passing / self._capacity) ** 2,
                slam_shut,
                100.0 * solution.regulator_opening,
                self._station_gas(solution),
                flow,
                self._volume,
                self._volume_actual,
                gauge[self._meter],
                absolute,
                temperature,
            ]
        )

    def _count(self, flow: Floats, absolute: Floats, temperature_c: Floats, seconds: float) -> None:
        """Add what flowed to the counters; their arrays are replaced."""
        volume = flow * seconds / 3600.0
        conversion = (STANDARD_PRESSURE_KPA / absolute) * ((temperature_c + _ZERO_C_K) / STANDARD_TEMPERATURE_K)
        self._volume = self._volume + volume
        self._volume_actual = self._volume_actual + volume * conversion * self._gas.z(absolute)

    def _station_gas(self, solution: Solution) -> Floats:
        """Gas in each station's room [% LEL]: of holes at its outlet."""
        lost = solution.hole_flow_at(self._outlet)
        return np.minimum(_GAS_LEL_PER_M3H * lost, 100.0)


def _names(network: Network, points: Sequence[str], regulators: Sequence[str], meters: Sequence[str]) -> Iterator[str]:
    """Every signal's name, in the order in which `_Gauges.read` joins the values."""
    yield from (f"pressure:{junction.id}" for junction in network.junctions)
    yield from (f"ground_temperature:{junction}" for junction in points)
    for what in ("inlet_pressure", "outlet_pressure", "filter_differential", "slam_shut", "position", "gas"):
        yield from (f"{what}:{regulator}" for regulator in regulators)
    for what in ("flow", "volume", "volume_actual", "pressure", "pressure_absolute", "temperature"):
        yield from (f"{what}:{meter}" for meter in meters)
