"""Scenario files: every mistake told at once, places picked in any town, events in their order."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gashub.errors import ConfigurationError, NotFound
from gashub.network.model import (
    CustomerClass,
    GateInlet,
    Junction,
    Network,
    Pipe,
    Regulator,
    ServicePoint,
    Valve,
    Zone,
)
from gashub.registry import Device, Point, Quantity, Registry, Role, Station, StationKind
from simulators.places import Place, PlaceKind, Places
from simulators.scenario import Event, EventKind, Schedule, find, names, parse, parse_event, plan, resolve
from simulators.truth import TruthLog

GOOD: dict[str, Any] = {
    "name": "two-leaks",
    "title_en": "Two leaks",
    "title_zh": "两处泄漏",
    "start": datetime(2026, 11, 10, 9, tzinfo=UTC),
    "duration_s": 3600,
    "event": [
        {"kind": "leak", "at_s": 900, "element": {"pipe": "p2"}, "size_m3h": 50},
        {"kind": "leak", "at_s": 300, "pick": "largest_main:east", "size_m3h": 50, "growth_s": 60},
    ],
    "expect": [{"rule": "zone_leak", "ticket": True, "within_s": 600}],
}


def town() -> Places:
    junctions = [Junction(id=f"j{i}", zone="east", x_m=100.0 * i, y_m=0.0) for i in range(6)]
    pipes = [
        Pipe(
            id=f"p{i}",
            zone="east",
            from_junction=f"j{i}",
            to_junction=f"j{i + 1}",
            length_m=100,
            inner_diameter_mm=bore,
            roughness_mm=0.1,
        )
        for i, bore in enumerate((150, 200, 200, 50))
    ]
    network = Network(
        name="line",
        zones=[Zone(id="east", name_en="East", name_zh="东区")],
        junctions=junctions,
        pipes=pipes,
        valves=[
            Valve(id="v1", zone="east", from_junction="j4", to_junction="j5"),
            Valve(id="v2", zone="east", from_junction="j3", to_junction="j4", normally_open=False),
        ],
        regulators=[
            Regulator(
                id="reg-east-1",
                zone="east",
                station="drs-east-1",
                from_junction="j0",
                to_junction="j1",
                set_point_kpa_gauge=100,
                slam_shut_kpa_gauge=140,
                capacity_m3h_std=900,
            )
        ],
        gate_inlets=[GateInlet(id="gate-1", junction="j0", pressure_kpa_gauge=380)],
        service_points=[
            ServicePoint(
                id=f"sp{i}",
                zone="east",
                junction=f"j{i}",
                customer_class=CustomerClass.INDUSTRY,
                annual_m3_std=annual,
                metered_live=True,
            )
            for i, annual in ((3, 9e5), (4, 1e5), (5, 5e4))
        ],
    )
    registry = Registry(
        stations=[
            Station(id=s, zone="east", kind=StationKind.CUSTOMER, name_en=s, name_zh=s, junction="j3")
            for s in ("mr-sp3", "mr-sp4", "pp-1")
        ],
        devices=[
            Device(id="mt-sp3", gateway="gw-east", station="mr-sp3", profile="evc-bcd-c", service_point="sp3"),
            Device(id="mt-sp4", gateway="gw-east", station="mr-sp4", profile="evc-bcd-c", service_point="sp4"),
            Device(id="pp-1-logger", gateway="gw-east", station="pp-1", profile="pressure-logger-b"),
        ],
        points=[
            Point(id=8, tag="pp-1-logger/pressure", quantity=Quantity.PRESSURE, role=Role.NETWORK_PRESSURE),
        ],
    )
    return Places(network, registry)


def test_events_stand_in_the_order_they_happen() -> None:
    scenario = parse("x", GOOD)
    assert [event.at_s for event in scenario.event] == [300, 900]
    assert scenario.onset_s == 300


def test_every_mistake_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(
        """
name = "Bad Name"
title_en = "Bad"
start = 2026-11-10T17:00:00
duration_s = -1
colour = "red"
[[event]]
kind = "leek"
at_s = 5
element = { pipe = "p1" }
""",
        encoding="utf-8",
    )
    with pytest.raises(ConfigurationError) as caught:
        find(file)
    places = {problem.where for problem in caught.value.problems}
    assert places >= {"name", "title_zh", "start", "duration_s", "colour", "event.0.kind"}


@pytest.mark.parametrize(
    ("event", "part"),
    [
        pytest.param({"kind": "leak", "element": {"pipe": "p1"}}, "size_m3h", id="a leak without a size"),
        pytest.param({"kind": "rupture", "element": {"pipe": "p1"}, "size_m3h": 3}, "size_m3h", id="a sized rupture"),
        pytest.param({"kind": "leak", "element": {"valve": "v1"}, "size_m3h": 3}, "one of", id="a leak in a valve"),
        pytest.param({"kind": "rupture"}, "either", id="no place"),
        pytest.param(
            {"kind": "rupture", "element": {"pipe": "p1"}, "pick": "largest_main:east"}, "either", id="two places"
        ),
        pytest.param({"kind": "rupture", "pick": "regulator:east"}, "largest_main", id="a pick of another kind"),
        pytest.param({"kind": "rupture", "pick": "largest_main"}, "zone", id="a pick without zone"),
        pytest.param({"kind": "heal", "element": {"pipe": "p1"}}, "heal", id="healing one thing"),
        pytest.param({"kind": "leak", "element": {"pipe": "p1"}, "size_m3h": -1}, "greater", id="a negative leak"),
        pytest.param("leak", "event", id="no table"),
    ],
)
def test_an_event_that_makes_no_sense_is_refused(event: object, part: str) -> None:
    with pytest.raises(ConfigurationError, match=part):
        parse_event(event)


def test_an_event_after_the_end_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="after duration_s"):
        parse("x", GOOD | {"duration_s": 600})


@pytest.mark.parametrize(
    ("rule", "place"),
    [
        ("largest_main", Place(kind=PlaceKind.PIPE, id="p2")),
        ("central_main", Place(kind=PlaceKind.PIPE, id="p2")),
        ("regulator", Place(kind=PlaceKind.REGULATOR, id="reg-east-1")),
        ("sectional_valve", Place(kind=PlaceKind.VALVE, id="v1")),
        ("largest_meter", Place(kind=PlaceKind.DEVICE, id="mt-sp3")),
        ("pressure_logger", Place(kind=PlaceKind.DEVICE, id="pp-1-logger")),
        ("network_pressure", Place(kind=PlaceKind.POINT, id="pp-1-logger/pressure")),
    ],
)
def test_a_rule_picks_one_place_of_a_zone(rule: str, place: Place) -> None:
    assert town().pick(rule, "east") == place
    assert town().zone(place) == "east"


def test_all_places_that_are_not_there_are_told_at_once() -> None:
    wrong = [
        {"kind": "rupture", "element": {"pipe": "p99"}},
        {"kind": "rupture", "pick": "largest_main:atlantis"},
        {"kind": "rupture", "element": {"pipe": "p1"}},
    ]
    with pytest.raises(ConfigurationError) as caught:
        resolve(parse("x", GOOD | {"event": wrong}), town())
    assert [problem.where for problem in caught.value.problems] == ["event.0", "event.1"]
    with pytest.raises(NotFound):
        plan(parse_event(wrong[0]), town())


def test_what_is_due_happens_once_and_in_order() -> None:
    schedule = Schedule(resolve(parse("x", GOOD), town()))
    assert schedule.next_s == 300
    assert schedule.due(299) == []
    assert [planned.place.id for planned in schedule.due(900) if planned.place] == ["p2", "p2"]
    assert schedule.due(10_000) == []
    assert schedule.next_s is None


def test_the_truth_tells_what_goes_on_and_what_went_on(tmp_path: Path) -> None:
    at = datetime(2026, 11, 10, 9, tzinfo=UTC)
    truth = TruthLog(tmp_path / "truth.jsonl")
    leak = Event(kind=EventKind.LEAK, element={PlaceKind.PIPE: "p2"}, size_m3h=50)
    happening = truth.begin(leak, Place(kind=PlaceKind.PIPE, id="p2"), "east", at=at)
    truth.set_flows({happening.number: 12.34567, 99: 1.0})
    assert [h.to_json() for h in truth.now()] == [
        {
            "number": 1,
            "kind": "leak",
            "element": {"pipe": "p2"},
            "zone": "east",
            "since": "2026-11-10T09:00:00+00:00",
            "size_m3h": 50.0,
            "flow_m3h": 12.346,
        }
    ]
    truth.end_all(at=at)
    assert truth.now() == []
    lines = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert [line["what"] for line in lines] == ["began", "ended"]
    assert lines == truth.log()


@pytest.mark.parametrize("name", names())
def test_a_shipped_scenario_is_whole_and_bears_its_files_name(name: str) -> None:
    scenario = find(name)
    assert scenario.name == name
    assert scenario.onset_s >= scenario.warmup_s
    assert all(expectation.within_s <= scenario.duration_s - scenario.onset_s for expectation in scenario.expect)


def test_a_scenario_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(ConfigurationError, match="leak-on-main"):
        find("flood")
