"""Scenarios: what goes wrong in the town, when and where, and what the hub ought to make of it.

A scenario is a TOML file. Elements are named outright (`element = { pipe = "p12" }`) or picked by a rule that any town
can answer (`pick = "largest_main:east"`), so that the shipped scenarios run in every town. `find` reports every
mistake of a file at once; `resolve` turns picks into elements of one town.

    Scenario ── resolve(places) ──► Schedule ── due(elapsed) ──► Happening … ──► truth
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gashub.config import problems_of, read_toml
from gashub.errors import ConfigurationError, InvalidValue, NotFound, Problem

from .places import PICKS, Place, PlaceKind, Places

CALM: Final = "calm"
_MAX_EVENTS: Final = 1_000


class EventKind(StrEnum):
    """What can happen; `HEAL` ends everything that happens."""

    LEAK = "leak"
    RUPTURE = "rupture"
    REGULATOR_FAILS_OPEN = "regulator_fails_open"
    SLAM_SHUT_CLOSES = "slam_shut_closes"
    VALVE_CLOSES = "valve_closes"
    DEVICE_SILENT = "device_silent"
    DEVICE_REFUSES = "device_refuses"
    DEVICE_LATE = "device_late"
    DEVICE_EXCEPTION = "device_exception"
    DEVICE_GARBAGE = "device_garbage"
    SENSOR_STUCK = "sensor_stuck"
    HEAL = "heal"


_GAS: Final = frozenset({PlaceKind.PIPE, PlaceKind.JUNCTION, PlaceKind.SERVICE_POINT})
_DEVICE: Final = frozenset({PlaceKind.DEVICE})
_WHERE: Final[dict[EventKind, frozenset[PlaceKind]]] = {
    EventKind.LEAK: _GAS,
    EventKind.RUPTURE: _GAS,
    EventKind.REGULATOR_FAILS_OPEN: frozenset({PlaceKind.REGULATOR}),
    EventKind.SLAM_SHUT_CLOSES: frozenset({PlaceKind.REGULATOR}),
    EventKind.VALVE_CLOSES: frozenset({PlaceKind.VALVE}),
    EventKind.DEVICE_SILENT: _DEVICE,
    EventKind.DEVICE_REFUSES: _DEVICE,
    EventKind.DEVICE_LATE: _DEVICE,
    EventKind.DEVICE_EXCEPTION: _DEVICE,
    EventKind.DEVICE_GARBAGE: _DEVICE,
    EventKind.SENSOR_STUCK: frozenset({PlaceKind.POINT}),
    EventKind.HEAL: frozenset(),
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Event(_Strict):
    """Something to happen `at_s` hub seconds after the scenario's start.

    `size_m3h`: a leak's flow when it is full grown [m³/h std]; `growth_s`: how long it grows; `slam_shut_trips`:
    whether the slam-shut of a regulator that fails open still works; `late_s`: how late a late device answers, in real
    seconds.
    """

    kind: EventKind
    at_s: Annotated[float, Field(ge=0, le=31_622_400)] = 0.0
    element: dict[PlaceKind, str] | None = None
    pick: str | None = None
    size_m3h: Annotated[float, Field(gt=0, le=100_000)] | None = None
    growth_s: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    slam_shut_trips: bool = False
    late_s: Annotated[float, Field(gt=0, le=600)] = 3.0

    @model_validator(mode="after")
    def _whole(self) -> Event:
        allowed = _WHERE[self.kind]
        given = (self.element is not None) + (self.pick is not None)
        if self.kind is EventKind.HEAL:
            if given:
                raise ValueError("heal ends everything: it takes neither element nor pick")
            return self
        if given != 1:
            raise ValueError("give either element or pick")
        if self.element is not None and (len(self.element) != 1 or not set(self.element) <= allowed):
            raise ValueError(f"element of {self.kind.value} is one of: {', '.join(sorted(allowed))}")
        if self.pick is not None:
            _check_pick(self.pick, allowed)
        if (self.size_m3h is not None) != (self.kind is EventKind.LEAK):
            raise ValueError("a leak has a size_m3h, nothing else has" if self.size_m3h else "a leak needs size_m3h")
        return self

    @property
    def place(self) -> Place | None:
        """Where, if it was named outright."""
        if self.element is None:
            return None
        ((kind, key),) = self.element.items()
        return Place(kind=kind, id=key)


def _check_pick(text: str, allowed: frozenset[PlaceKind]) -> None:
    rule, _, zone = text.partition(":")
    usable = sorted(name for name, kind in PICKS.items() if kind in allowed)
    if rule not in usable or not zone:
        raise ValueError(f"pick is <rule>:<zone> with a rule of: {', '.join(usable)}")


class Expectation(_Strict):
    """What the hub ought to do: raise `rule` within `within_s` hub seconds, open a ticket, issue a notice or not."""

    rule: str
    ticket: bool = False
    notice: bool = False
    within_s: Annotated[float, Field(gt=0)]


class Scenario(_Strict):
    """One scenario file."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    title_en: str
    title_zh: str
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 7
    start: datetime
    warmup_s: Annotated[float, Field(ge=0)] = 600.0
    duration_s: Annotated[float, Field(gt=0)]
    event: Annotated[list[Event], Field(max_length=_MAX_EVENTS)] = []
    expect: Annotated[list[Expectation], Field(max_length=_MAX_EVENTS)] = []

    @field_validator("start")
    @classmethod
    def _aware(cls, value: datetime) -> datetime:
        if value.tzinfo is None:
            raise ValueError("needs a time zone, e.g. 2026-11-10T17:00:00+08:00")
        return value

    @field_validator("event")
    @classmethod
    def _in_order(cls, value: list[Event]) -> list[Event]:
        return sorted(value, key=lambda event: event.at_s)

    @model_validator(mode="after")
    def _in_time(self) -> Scenario:
        late = [event.kind.value for event in self.event if event.at_s > self.duration_s]
        if late:
            raise ValueError(f"these events lie after duration_s: {', '.join(late)}")
        return self

    @property
    def onset_s(self) -> float:
        """When the first thing happens; the whole duration if nothing does."""
        return self.event[0].at_s if self.event else self.duration_s


def find(source: str | Path) -> Scenario:
    """A scenario by the name it ships under, or from a file. Raises ConfigurationError with every mistake."""
    path = Path(source)
    if path.suffix != ".toml":
        path = _shipped() / f"{source}.toml"
        if not path.is_file():
            raise ConfigurationError(
                str(source), [Problem(where="scenario", what=f"no scenario {source!r}", allowed=", ".join(names()))]
            )
    return parse(str(path), read_toml(path))


def parse(source: str, content: object) -> Scenario:
    """A scenario from what its file held. Raises ConfigurationError with every mistake."""
    try:
        return Scenario.model_validate(content)
    except ValidationError as error:
        raise ConfigurationError(source, problems_of(error)) from error


def parse_event(content: object) -> Event:
    """An event from a command. Raises ConfigurationError with every mistake."""
    try:
        return Event.model_validate(content)
    except ValidationError as error:
        raise ConfigurationError("event", problems_of(error)) from error


def names() -> list[str]:
    """The scenarios that come with the simulator."""
    return sorted(path.stem for path in _shipped().glob("*.toml"))


def _shipped() -> Path:
    return Path(str(resources.files(__package__))) / "scenarios"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """An event with its place in this town, due `at_s` hub seconds after the simulation's start."""

    at_s: float
    event: Event
    place: Place | None
    zone: str = ""


def plan(event: Event, places: Places, *, at_s: float | None = None) -> Planned:
    """An event with its place in this town, at its own time or at `at_s`. Raises NotFound."""
    place = event.place
    if event.pick is not None:
        rule, _, zone = event.pick.partition(":")
        place = places.pick(rule, zone)
    due_s = event.at_s if at_s is None else at_s
    return Planned(at_s=due_s, event=event, place=place, zone="" if place is None else places.zone(place))


def resolve(scenario: Scenario, places: Places) -> list[Planned]:
    """The scenario's events in this town, in order. Raises ConfigurationError naming every place not found."""
    planned, problems = [], []
    for number, event in enumerate(scenario.event):
        try:
            planned.append(plan(event, places))
        except NotFound as error:
            problems.append(Problem(where=f"event.{number}", what=str(error)))
    if problems:
        raise ConfigurationError(scenario.name, problems)
    return planned


class Schedule:
    """Events waiting for their time."""

    def __init__(self, planned: Iterable[Planned] = ()) -> None:
        self._waiting = sorted(planned, key=lambda p: p.at_s)

    def add(self, planned: Planned) -> None:
        """Let one more event wait. Raises InvalidValue if too many do."""
        if len(self._waiting) >= _MAX_EVENTS:
            raise InvalidValue(f"{_MAX_EVENTS} events are waiting already")
        self._waiting = sorted([*self._waiting, planned], key=lambda p: p.at_s)

    def due(self, elapsed_s: float) -> list[Planned]:
        """The events whose time has come, in order; they wait no longer."""
        now = [p for p in self._waiting if p.at_s <= elapsed_s]
        self._waiting = self._waiting[len(now) :]
        return now

    @property
    def next_s(self) -> float | None:
        """When the next event is due."""
        return self._waiting[0].at_s if self._waiting else None

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """The truth of one event that goes on: what and where, since when, and how much gas it loses now [m³/h std]."""

    number: int
    event: Event
    place: Place
    zone: str
    since: datetime
    flow_m3h_std: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As it stands in the simulator's state and in the truth log."""
        return {
            "number": self.number,
            "kind": self.event.kind.value,
            "element": {self.place.kind.value: self.place.id},
            "zone": self.zone,
            "since": self.since.isoformat(),
            "size_m3h": self.event.size_m3h,
            "flow_m3h": None if self.flow_m3h_std is None else round(self.flow_m3h_std, 3),
        }
