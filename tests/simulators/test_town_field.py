"""The town in time does what a town does, and does the same again from the same seed."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from gashub.errors import InvalidValue, NotFound
from gashub.network.trace import Element, ElementKind
from simulators import town
from simulators.field import Field, FieldEvent, FieldEventKind
from simulators.town import Town

EVENING = datetime(2026, 11, 10, 17, 0, tzinfo=ZoneInfo("Asia/Shanghai"))
COLD_MORNING = datetime(2026, 1, 20, 6, 45, tzinfo=ZoneInfo("Asia/Shanghai"))


@pytest.fixture(scope="module")
def built() -> Town:
    return town.build(seed=1)


def _field(built: Town, start: datetime = EVENING) -> Field:
    return Field(built, seed=1, start=start)


def _value(field: Field, name: str) -> float:
    return float(field.values[field.index([name])][0])


def _run(field: Field, seconds: float, stride_s: float = 10.0) -> None:
    end = field.now + timedelta(seconds=seconds)
    while field.now < end:
        field.step(min(field.now + timedelta(seconds=stride_s), end))


def _event(
    kind: FieldEventKind, element: ElementKind, name: str, size_m3h: float = 0.0, growth_s: float = 0.0
) -> FieldEvent:
    return FieldEvent(kind=kind, element=Element(kind=element, id=name), size_m3h=size_m3h, growth_s=growth_s)


def test_every_device_finds_its_signals(built: Town) -> None:
    field = _field(built)
    names = [s for device in built.devices for s in device.signals.values() if not s.startswith("device_")]
    assert np.isfinite(field.values[field.index(names)]).all()
    with pytest.raises(NotFound):
        field.index(["pressure:nowhere"])


def test_the_same_steps_give_the_same_values_and_another_seed_others(built: Town) -> None:
    fields = [_field(built), _field(built), Field(built, seed=2, start=EVENING)]
    for field in fields:
        _run(field, 60.0)
    assert (fields[0].values == fields[1].values).all()
    assert not (fields[0].values == fields[2].values).all()


@pytest.mark.parametrize("start", [EVENING, COLD_MORNING], ids=["autumn evening", "cold morning"])
def test_on_a_usual_day_nothing_leaves_its_normal_bounds(built: Town, start: datetime) -> None:
    field = _field(built, start)
    _run(field, 1800.0, 60.0)
    signals = {device.id: device.signals for device in built.devices}
    for point in built.registry.points:
        device, slot = point.tag.split("/")
        signal = signals[device][slot]
        if point.normal_low is not None and point.normal_high is not None:
            assert point.normal_low <= _value(field, signal) <= point.normal_high, point.tag


def test_inlets_balance_offtakes_and_line_pack(built: Town) -> None:
    field = _field(built)
    east = [zone.id for zone in built.network.zones].index("east")
    pack, volume = field.solution.linepack_m3_std[east], _value(field, "volume:reg-east-1")
    in_east = np.array([junction.zone == "east" for junction in built.network.junctions])
    taken = 0.0
    for _ in range(30):
        _run(field, 20.0, 20.0)
        taken += float(field.taken_by_junction()[in_east].sum()) * 20.0 / 3600.0
    brought = _value(field, "volume:reg-east-1") - volume
    assert brought == pytest.approx(taken + field.solution.linepack_m3_std[east] - pack, abs=0.05)


def test_counters_count_standard_and_actual_volume(built: Town) -> None:
    field = _field(built)
    _run(field, 600.0)
    standard, actual = _value(field, "volume:reg-east-1"), _value(field, "volume_actual:reg-east-1")
    assert standard == pytest.approx(_value(field, "flow:reg-east-1") / 6.0, rel=0.1)
    assert standard / actual == pytest.approx(200.0 / 101.325 * 293.15 / 284.0, rel=0.03)


def test_a_leak_grows_to_its_size_and_heals(built: Town) -> None:
    field = _field(built)
    pipe = next(p.id for p in built.network.pipes if p.zone == "west" and p.inner_diameter_mm > 100.0)
    before = _value(field, "flow:reg-west-1")
    active = field.inject(_event(FieldEventKind.LEAK, ElementKind.PIPE, pipe, 120.0, 300.0))
    assert active.zone == "west"
    _run(field, 150.0)
    assert field.truth()[0].flow_m3h_std == pytest.approx(60.0, rel=0.05)
    _run(field, 300.0)
    assert field.truth()[0].flow_m3h_std == pytest.approx(120.0, rel=0.03)
    assert _value(field, "flow:reg-west-1") > before + 80.0
    field.heal(active.number)
    assert field.truth() == []
    _run(field, 600.0)
    assert _value(field, "flow:reg-west-1") == pytest.approx(before, abs=40.0)


def test_a_torn_main_takes_supply_from_its_zone_alone(built: Town) -> None:
    field = _field(built)
    mains = [p for p in built.network.pipes if p.zone == "east" and p.inner_diameter_mm > 100.0]
    field.inject(_event(FieldEventKind.RUPTURE, ElementKind.PIPE, max(mains, key=lambda p: p.length_m).id))
    _run(field, 180.0, 2.0)
    loggers = [s.junction for s in built.registry.stations if s.id.startswith("pp-east")]
    assert min(_value(field, f"pressure:{junction}") for junction in loggers) < 30.0
    assert _value(field, "outlet_pressure:reg-north-1") > 95.0


def test_a_regulator_failing_open_shows_over_pressure(built: Town) -> None:
    field = _field(built)
    field.inject(_event(FieldEventKind.REGULATOR_FAILS_OPEN, ElementKind.REGULATOR, "reg-east-1"))
    _run(field, 300.0)
    assert _value(field, "outlet_pressure:reg-east-1") > 140.0
    assert _value(field, "position:reg-east-1") == 100.0
    assert _value(field, "slam_shut:reg-east-1") == 0.0


def test_a_slam_shut_that_still_works_trips_at_its_pressure(built: Town) -> None:
    field = _field(built)
    event = FieldEvent(
        kind=FieldEventKind.REGULATOR_FAILS_OPEN,
        element=Element(kind=ElementKind.REGULATOR, id="reg-east-1"),
        slam_shut_trips=True,
    )
    field.inject(event)
    _run(field, 600.0)
    assert _value(field, "slam_shut:reg-east-1") == 1.0
    assert _value(field, "flow:reg-east-1") == 0.0
    assert _value(field, "outlet_pressure:reg-east-1") < 135.0


def test_a_slam_shut_takes_the_single_feed_but_not_one_of_two(built: Town) -> None:
    field = _field(built)
    for regulator in ("reg-east-1", "reg-north-1"):
        field.inject(_event(FieldEventKind.SLAM_SHUT_CLOSES, ElementKind.REGULATOR, regulator))
    _run(field, 1800.0, 30.0)
    assert _value(field, "slam_shut:reg-east-1") == _value(field, "slam_shut:reg-north-1") == 1.0
    assert _value(field, "outlet_pressure:reg-east-1") < 60.0
    assert _value(field, "outlet_pressure:reg-north-2") > 95.0


def test_what_cannot_happen_is_refused(built: Town) -> None:
    field = _field(built)
    with pytest.raises(NotFound):
        field.inject(_event(FieldEventKind.LEAK, ElementKind.PIPE, "p99999", 10.0))
    with pytest.raises(InvalidValue):
        field.inject(_event(FieldEventKind.LEAK, ElementKind.PIPE, "p1"))
    with pytest.raises(NotFound):
        field.inject(_event(FieldEventKind.SLAM_SHUT_CLOSES, ElementKind.REGULATOR, "reg-nowhere-1"))
