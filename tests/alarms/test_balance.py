"""Stories of a zone's balance, on a synthetic zone whose leaks are known, and once on the town."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import numpy as np
import pytest

from alarms import rulebook
from alarms.balance import Balance, Meters, Reading
from alarms.rules import Condition, Transition
from alarms.watch import Plant, Watch
from gashub.frames import FrameBatch
from gashub.network.trace import Element, ElementKind
from simulators import town as towns
from simulators.field import FieldEvent, FieldEventKind

from .fields import Instruments
from .plants import T0, TIMEZONE, at, frames

INLET, OFFTAKES, PRESSURES = 8, [16, 24, 32, 40], [48, 56, 64]
RULES = {rule.id: rule for rule in rulebook.load()}


def conditions() -> dict[str, Condition]:
    return {name: Condition(key=f"zone_{name}:z", rule=RULES[f"zone_{name}"], zone="z") for name in ("leak", "rupture")}


class Zone:
    """100 m³/h or so: four metered customers, households that follow a profile badly, a pipe volume of 100 m³."""

    def __init__(self, seed: int = 1) -> None:
        meters = Meters(
            zone="z",
            inlets=(INLET,),
            outlets=tuple(OFFTAKES),
            pressures=tuple(PRESSURES),
            scan_ms=dict.fromkeys([INLET, *OFFTAKES, *PRESSURES], 5_000),
            volume_m3=100.0,
        )
        self.balance = Balance(meters, **conditions(), profile=lambda moment: self.profile(self.seconds_of(moment)))
        self.rng = np.random.default_rng(seed)
        self.seconds = 0.0
        self.leak_m3h = 0.0
        self.pressure_kpa = 100.0
        self.offset_s = self.rng.uniform(-2, 2, 70)
        self.stray = 0.0
        self.silent: set[int] = set()
        self.said: list[tuple[str, bool, float]] = []

    @staticmethod
    def seconds_of(moment: object) -> float:
        return (moment - T0).total_seconds()  # type: ignore[operator]

    @staticmethod
    def profile(seconds: float) -> float:
        return 20.0 + 15.0 * np.sin(seconds / 14_400 * 2 * np.pi)

    def run(self, seconds: float, *, extra: Callable[[float], float] = lambda _: 0.0) -> None:
        """Let time pass in scans of five seconds."""
        end = self.seconds + seconds
        while self.seconds < end:
            self.seconds += 5
            self.said += [
                (t.condition.rule.id, t.active, self.seconds) for t in self.balance.frames(self._frames(extra))
            ]

    def _frames(self, extra: Callable[[float], float]) -> FrameBatch:
        offtakes = [20 + 5 * np.sin(self.seconds / (900 + 100 * i)) for i in range(4)]
        self.stray = 0.995 * self.stray + 0.1 * self.rng.standard_normal() * 0.05
        households = 1.15 * self.profile(self.seconds) * (1 + self.stray)
        inlet = sum(offtakes) + households + self.leak_m3h + extra(self.seconds)
        values = {INLET: inlet, **dict(zip(OFFTAKES, offtakes, strict=True))}
        shown = {point: flow * (1 + 0.004 * self.rng.standard_normal()) for point, flow in values.items()}
        shown |= {point: self.pressure_kpa + 0.02 * self.rng.standard_normal() for point in PRESSURES}
        return frames(
            *(
                (point // 8, at(self.seconds + self.offset_s[point]), {0: value})
                for point, value in shown.items()
                if point not in self.silent
            )
        )

    @property
    def reading(self) -> Reading:
        assert self.balance.reading is not None
        return self.balance.reading


@pytest.fixture
def zone() -> Zone:
    return Zone()


def test_it_says_that_it_is_not_ready_before_it_has_learned(zone: Zone) -> None:
    zone.run(120)
    assert not zone.reading.ready
    assert zone.balance.active() == {}
    zone.run(600)
    assert zone.reading.ready
    assert zone.said == []


@pytest.mark.parametrize("seed", range(2))
def test_hours_without_a_leak_raise_nothing(seed: int) -> None:
    zone = Zone(seed)
    zone.run(2 * 3600)
    assert zone.said == []
    assert zone.reading.smallest_leak_m3h < 0.2 * zone.reading.inlet_m3h


def test_a_leak_of_a_sixth_of_the_flow_is_raised_within_minutes_and_returns_when_it_is_mended(zone: Zone) -> None:
    zone.run(1800)
    begun = zone.seconds
    zone.leak_m3h = 18.0
    zone.run(600)
    assert [(rule, active) for rule, active, _ in zone.said] == [("zone_leak", True)]
    assert zone.said[0][2] - begun < 300
    zone.leak_m3h = 0.0
    zone.run(1200)
    assert [(rule, active) for rule, active, _ in zone.said] == [("zone_leak", True), ("zone_leak", False)]


def test_a_leak_that_stays_is_not_learned_away(zone: Zone) -> None:
    zone.run(1800)
    zone.leak_m3h = 18.0
    zone.run(2 * 3600)
    assert [(rule, active) for rule, active, _ in zone.said] == [("zone_leak", True)]
    assert zone.reading.imbalance_m3h == pytest.approx(18.0, abs=8.0)


def test_the_smallest_leak_it_says_it_sees_it_sees(zone: Zone) -> None:
    zone.run(1800)
    zone.leak_m3h = 1.5 * zone.reading.smallest_leak_m3h
    zone.run(1800)
    assert zone.said[0][:2] == ("zone_leak", True)


def test_a_rupture_is_raised_within_seconds(zone: Zone) -> None:
    zone.run(1800)
    begun = zone.seconds
    zone.leak_m3h = 300.0
    zone.pressure_kpa = 80.0
    zone.run(60)
    rupture = next(one for one in zone.said if one[0] == "zone_rupture")
    assert rupture[2] - begun <= 30


def test_filling_the_pipes_is_neither_leak_nor_rupture(zone: Zone) -> None:
    zone.run(1800)
    zone.pressure_kpa = 100.0

    def filling(seconds: float) -> float:
        rate_kpa_s = 0.1
        zone.pressure_kpa = 100.0 + rate_kpa_s * (seconds - 1800)
        return rate_kpa_s * 3600 * 100.0 / 101.325

    zone.run(100, extra=filling)
    zone.run(1200)
    assert zone.said == []


def test_a_silent_inlet_meter_stops_the_judgement_and_raises_nothing_when_it_comes_back(zone: Zone) -> None:
    zone.run(1800)
    zone.silent = {INLET}
    zone.run(900)
    zone.silent = set()
    zone.run(60)
    assert not zone.reading.ready
    zone.run(1800)
    assert zone.said == []
    assert zone.reading.ready


def test_a_silent_offtake_raises_nothing(zone: Zone) -> None:
    zone.run(1800)
    zone.silent = {OFFTAKES[0]}
    zone.run(3600)
    assert zone.said == []
    zone.silent = set()
    zone.run(1800)
    assert zone.said == []


def town_watch(town: towns.Town) -> Watch:
    plant = Plant(network=town.network, registry=town.registry, rules=rulebook.load(), timezone=TIMEZONE)
    return Watch(plant, started_s=0.0)


@pytest.mark.slow
def test_on_the_town_a_leak_of_a_fifth_is_raised_within_minutes_in_its_zone_alone() -> None:
    town = towns.build(7)
    watch, instruments = town_watch(town), Instruments(town, seed=3)

    def balances(seconds: float) -> Iterator[Transition]:
        for batch in instruments.run(seconds):
            yield from (t for t in watch.frames(batch, now_s=0.0) if t.condition.rule.id.startswith("zone_"))

    assert list(balances(900)) == []
    begun = instruments.field.now
    inlet = next(reading.inlet_m3h for reading in watch.readings() if reading.zone == "east")
    pipe = next(p.id for p in town.network.pipes if p.zone == "east" and p.inner_diameter_mm > 100)
    instruments.field.inject(
        FieldEvent(
            kind=FieldEventKind.LEAK,
            element=Element(kind=ElementKind.PIPE, id=pipe),
            size_m3h=0.2 * inlet,
            growth_s=60,
        )
    )
    first = next(balances(900))
    assert first.condition.key == "zone_leak:east"
    assert instruments.field.now - begun < timedelta(minutes=8)
    assert watch.place(first.condition)[0]["element"] == "pipe"
