"""The town and its devices together, moved through time.

Physics is computed one step ahead of the devices, in a thread; between two steps the registers follow a straight line,
so that meters count evenly however long the steps are, and reading them never waits for physics.

    physics  ──●───────────●───────────●          ● a state of the field; events happen only here
    registers  └── line ──►│           now is always between two states
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from gashub.clock import Clock
from gashub.errors import InvalidValue, NotFound
from gashub.network.hydraulics import DidNotConverge
from gashub.network.trace import Element, ElementKind

from .devices.fleet import Fleet
from .devices.indexes import Indexes
from .devices.modbus import Fault
from .field import Field, FieldEvent, FieldEventKind
from .places import Place, PlaceKind
from .scenario import Event, EventKind, Happening, Planned, Schedule
from .town import Town
from .truth import TruthLog

F64 = NDArray[np.float64]

_LOG = structlog.get_logger()
_STATES: Final = ("slam_shut:",)
_FAULT: Final = {
    EventKind.DEVICE_SILENT: Fault.SILENT,
    EventKind.DEVICE_REFUSES: Fault.REFUSES,
    EventKind.DEVICE_LATE: Fault.LATE,
    EventKind.DEVICE_EXCEPTION: Fault.EXCEPTION,
    EventKind.DEVICE_GARBAGE: Fault.GARBAGE,
}
_REFRESHES_PER_REAL_S: Final = 25.0
_STEPS_PER_REAL_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """True values of the channels' signals at one moment; shape (channel,)."""

    at: datetime
    values: F64


class Simulation:
    """One town with its devices, from its start on.

    Either `run` moves it with the clock, or `advance` moves it by hand. Only one of the two may be in use. `changed` is
    set whenever something begins or ends; who waits for it clears it.
    """

    def __init__(
        self,
        town: Town,
        *,
        seed: int,
        clock: Clock,
        truth: TruthLog | None = None,
        counted_m3: Mapping[str, float] | None = None,
    ) -> None:
        self._clock = clock
        self.start = clock.now().replace(microsecond=0)
        self._field = Field(town, seed=seed, start=self.start)
        self.fleet = Fleet(town.devices, seed=seed, clock=clock, counted_m3=counted_m3)
        self._columns = self._field.index(self.fleet.instruments.signals)
        self._held = np.flatnonzero([s.startswith(_STATES) for s in self.fleet.instruments.signals])
        self._before = self._ahead = self._state()
        self.schedule = Schedule()
        self.truth = truth or TruthLog()
        self.changed = asyncio.Event()
        self._for_devices: deque[Happening | None] = deque()
        self._field_number: dict[int, int] = {}
        self._heal_asked = False
        self._shown = self.start
        self.step_s = max(1.0, math.ceil(clock.speed / _STEPS_PER_REAL_S))

    @property
    def reached(self) -> datetime:
        """The moment up to which physics is computed."""
        return self._ahead.at

    def elapsed_s(self, moment: datetime) -> float:
        """Hub seconds from the simulation's start to `moment`."""
        return (moment - self.start).total_seconds()

    @property
    def indexes(self) -> Indexes:
        """What the meters show now."""
        return self.fleet.indexes(self._shown)

    def plan(self, planned: Planned) -> None:
        """Let an event happen at its time, or at the next step if that has passed. Raises InvalidValue."""
        self.schedule.add(planned)

    def heal(self) -> None:
        """End everything that happens at the next step, and forget what waits."""
        self.schedule.clear()
        self._heal_asked = True

    async def advance(self, to: datetime) -> None:
        """Move to `to` and show it, in steps that do not depend on how fast the machine is."""
        while self._ahead.at < to:
            await self._step(self._ahead.at + timedelta(seconds=self.step_s))
        await self._show(to)

    async def run(self) -> None:
        """Follow the clock until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._run_physics(), name="physics")
            tasks.create_task(self._run_registers(), name="registers")

    async def _run_physics(self) -> None:
        behind = False
        while True:
            await self._sleep_until(self._before.at)
            lag_s = (self._clock.now() - self._ahead.at).total_seconds()
            if (lag_s > 10 * self.step_s) != behind:
                behind = not behind
                _LOG.warning("physics_behind" if behind else "physics_caught_up", lag_s=round(lag_s, 1))
            strides = max(1, math.ceil(lag_s / self.step_s) + 1)
            await self._step(self._ahead.at + timedelta(seconds=strides * self.step_s))

    async def _run_registers(self) -> None:
        stride_s = max(1.0, math.ceil(self._clock.speed / _REFRESHES_PER_REAL_S))
        shown = self.start
        while True:
            await self._show(shown)
            passed = self.elapsed_s(self._clock.now())
            shown = self.start + timedelta(seconds=(passed // stride_s + 1) * stride_s)
            await self._sleep_until(shown)

    async def _sleep_until(self, moment: datetime) -> None:
        wait_s = self._clock.real_s((moment - self._clock.now()).total_seconds())
        await asyncio.sleep(max(wait_s, 0.0))

    async def _step(self, to: datetime) -> None:
        """Let happen what is due, and compute the next state, no later than the next event."""
        now_s = self.elapsed_s(self._ahead.at)
        due = self.schedule.due(now_s)
        if self._heal_asked:
            self._heal_asked = False
            due = [_HEAL, *due]
        next_s = self.schedule.next_s
        if next_s is not None and next_s > now_s:
            to = min(to, self.start + timedelta(seconds=next_s))
        flows = await asyncio.to_thread(self._compute, due, to)
        self._before, self._ahead = self._ahead, self._state()
        if due:
            self.changed.set()
        self.truth.set_flows({number: flows.get(field) for number, field in self._field_number.items()})

    def _compute(self, due: list[Planned], to: datetime) -> dict[int, float]:
        """In the thread: the only place that touches the field. Returns the flow of each of its events."""
        for planned in due:
            self._happen(planned)
        try:
            self._field.step(to)
        except DidNotConverge as error:
            # The town stands still for this step; the next one starts from the last pressures that balanced.
            _LOG.warning("physics_did_not_converge", at=to.isoformat(), residual_m3h=error.residual_m3h)
        return {active.number: active.flow_m3h_std for active in self._field.truth()}

    def _happen(self, planned: Planned) -> None:
        if planned.place is None:
            self._field.heal()
            self._field_number.clear()
            self.truth.end_all(at=self._ahead.at)
            self._for_devices.append(None)
            return
        happening = self.truth.begin(planned.event, planned.place, planned.zone, at=self._ahead.at)
        if planned.event.kind in _FAULT or planned.event.kind is EventKind.SENSOR_STUCK:
            self._for_devices.append(happening)
            return
        try:
            active = self._field.inject(_field_event(planned.event, planned.place))
        except (InvalidValue, NotFound) as error:
            _LOG.warning("event_refused", kind=planned.event.kind.value, place=planned.place.id, error=str(error))
            self.truth.end(happening.number, at=self._ahead.at)
            return
        self._field_number[happening.number] = active.number

    async def _show(self, moment: datetime) -> None:
        """Make devices fail or heal as is due by `moment`, and fill every register for it."""
        while self._for_devices and _since(self._for_devices[0], moment) <= moment:
            await self._befall(self._for_devices.popleft())
        self.fleet.refresh(self._between(moment), second=int(moment.timestamp()), elapsed_s=self.elapsed_s(moment))
        self._shown = moment

    async def _befall(self, happening: Happening | None) -> None:
        if happening is None:
            await self.fleet.heal()
        elif happening.event.kind is EventKind.SENSOR_STUCK:
            device, _, slot = happening.place.id.partition("/")
            self.fleet.stick(device, slot)
        else:
            fault = _FAULT[happening.event.kind]
            await self.fleet.fault(happening.place.id, fault, late_s=happening.event.late_s)

    def _between(self, moment: datetime) -> F64:
        """The truth at `moment`, on the line between the two states around it; states do not change on the way."""
        before, ahead = self._before, self._ahead
        length_s = (ahead.at - before.at).total_seconds()
        if length_s <= 0:
            return ahead.values
        part = min(max((moment - before.at).total_seconds() / length_s, 0.0), 1.0)
        values: F64 = before.values + part * (ahead.values - before.values)
        values[self._held] = (ahead if part >= 1.0 else before).values[self._held]
        return values

    def _state(self) -> State:
        return State(at=self._field.now, values=self._field.values[self._columns])


_HEAL: Final = Planned(at_s=0.0, event=Event(kind=EventKind.HEAL), place=None, zone="")
_ELEMENT: Final = {
    PlaceKind.PIPE: ElementKind.PIPE,
    PlaceKind.JUNCTION: ElementKind.JUNCTION,
    PlaceKind.SERVICE_POINT: ElementKind.SERVICE_POINT,
    PlaceKind.REGULATOR: ElementKind.REGULATOR,
    PlaceKind.VALVE: ElementKind.VALVE,
}


def _since(happening: Happening | None, moment: datetime) -> datetime:
    return moment if happening is None else happening.since


def _field_event(event: Event, place: Place) -> FieldEvent:
    return FieldEvent(
        kind=FieldEventKind(event.kind.value),
        element=Element(kind=_ELEMENT[place.kind], id=place.id),
        size_m3h=event.size_m3h or 0.0,
        growth_s=event.growth_s,
        slam_shut_trips=event.slam_shut_trips,
    )
