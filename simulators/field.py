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
    flow:<regulator>                    m³/h std, volume:<regulator> m³ std since the meter was set to its first index,
    volume_actual:<regulator>           m³ at line conditions
    pressure_absolute:<regulator>       kPa, at the meter
    flow:<service point>, volume:<service point>, volume_actual:<service point>, pressure:<service point>,
    pressure_absolute:<service point>, temperature:<service point>     for those metered live
    ground_temperature:<junction>       °C, only at pressure points
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from gashub.network.trace import Element

from .town import Town


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
    whole bore. `growth_s`: a leak grows linearly to its size in this time.
    """

    kind: FieldEventKind
    element: Element
    size_m3h: float = 0.0
    growth_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveEvent:
    """The truth of one event: what it is, since when, and how much gas it loses now [m³/h std]."""

    number: int
    event: FieldEvent
    zone: str
    since: datetime
    flow_m3h_std: float


class Field:
    """A town at one moment. Repeatable: the same town, seed, start, steps and events give the same values."""

    def __init__(self, town: Town, *, seed: int, start: datetime) -> None:
        raise NotImplementedError

    @property
    def now(self) -> datetime:
        """The moment the signals belong to."""
        raise NotImplementedError

    @property
    def signals(self) -> Sequence[str]:
        """Every signal's name, in the order of `values`."""
        raise NotImplementedError

    @property
    def values(self) -> NDArray[np.float64]:
        """True value of every signal now; shape (signal,). The array is replaced, not changed, by `step`."""
        raise NotImplementedError

    def index(self, names: Sequence[str]) -> NDArray[np.intp]:
        """Where these signals stand in `values`. Raises NotFound for a name that no signal has."""
        raise NotImplementedError

    def step(self, to: datetime) -> None:
        """Advance to `to`, in sub-steps of at most 60 s. Does nothing if `to` is not after `now`."""
        raise NotImplementedError

    def inject(self, event: FieldEvent) -> ActiveEvent:
        """Make `event` happen now; it shows from the next step on. Raises NotFound, InvalidValue."""
        raise NotImplementedError

    def heal(self, number: int | None = None) -> None:
        """End one event, or all: leaks are repaired, regulators, slam-shuts and valves put back."""
        raise NotImplementedError

    def truth(self) -> list[ActiveEvent]:
        """What is happening now."""
        raise NotImplementedError
