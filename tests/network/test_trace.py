"""Isolation cuts every way to the element, no valve too many, and finds exactly those who lose supply."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gashub.errors import NotFound
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
from gashub.network.trace import Element, ElementKind, Trace, isolate, supply_lost


def _pipe(k: int, ends: tuple[int, int]) -> Pipe:
    return Pipe(
        id=f"p{k}",
        zone="z",
        from_junction=f"j{ends[0]}",
        to_junction=f"j{ends[1]}",
        length_m=100.0,
        inner_diameter_mm=100.0,
        roughness_mm=0.1,
    )


def _valve(k: int, ends: tuple[int, int], *, is_open: bool = True) -> Valve:
    return Valve(id=f"v{k}", zone="z", from_junction=f"j{ends[0]}", to_junction=f"j{ends[1]}", normally_open=is_open)


def _regulator(k: int, ends: tuple[int, int]) -> Regulator:
    return Regulator(
        id=f"r{k}",
        zone="z",
        station=f"s{k}",
        from_junction=f"j{ends[0]}",
        to_junction=f"j{ends[1]}",
        set_point_kpa_gauge=100.0,
        slam_shut_kpa_gauge=130.0,
        capacity_m3h_std=500.0,
    )


def _network(
    count: int,
    pipes: list[tuple[int, int]],
    valves: list[tuple[tuple[int, int], bool]],
    regulators: list[tuple[int, int]],
    gates: list[int],
) -> Network:
    return Network(
        name="test",
        zones=[Zone(id="z", name_en="Z", name_zh="区")],
        junctions=[Junction(id=f"j{k}", zone="z", x_m=float(k), y_m=0.0) for k in range(count)],
        pipes=[_pipe(k, ends) for k, ends in enumerate(pipes)],
        valves=[_valve(k, ends, is_open=is_open) for k, (ends, is_open) in enumerate(valves)],
        regulators=[_regulator(k, ends) for k, ends in enumerate(regulators)],
        gate_inlets=[GateInlet(id=f"g{k}", junction=f"j{at}", pressure_kpa_gauge=400.0) for k, at in enumerate(gates)],
        service_points=[
            ServicePoint(
                id=f"sp{k}",
                zone="z",
                junction=f"j{k}",
                customer_class=CustomerClass.RESIDENT,
                annual_m3_std=300.0,
            )
            for k in range(count)
        ],
    )


def _element(kind: str, name: str) -> Element:
    return Element(kind=ElementKind(kind), id=name)


# gate j0 ─p0─ j1 ─v0─ j2 ─p1─ j3 ─v1─ j4 ─p2─ j5 ─r0→ j6 ─p3─ j7
CHAIN = _network(8, [(0, 1), (2, 3), (4, 5), (6, 7)], [((1, 2), True), ((3, 4), True)], [(5, 6)], [0])


def test_a_pipe_between_two_valves_takes_with_it_all_that_lies_behind() -> None:
    result = isolate(CHAIN, _element("pipe", "p1"))
    assert result.valves_to_close == ("v0", "v1")
    assert (result.junctions, result.pipes) == (("j2", "j3"), ("p1",))
    assert result.regulators_inside == ()
    assert result.service_points_lost == ("sp2", "sp3", "sp4", "sp5", "sp6", "sp7")
    assert result.volume_m3 == pytest.approx(0.7854, abs=1e-4)


def test_a_stuck_valve_moves_the_border_to_the_next_one() -> None:
    result = isolate(CHAIN, _element("pipe", "p1"), stuck=frozenset({"v1"}))
    assert result.valves_to_close == ("v0",)
    assert result.pipes == ("p1", "p2")
    assert result.regulators_inside == ("r0",)


def test_a_second_feed_keeps_those_behind_supplied() -> None:
    ring = replace(CHAIN, gate_inlets=[*CHAIN.gate_inlets, GateInlet(id="g1", junction="j5", pressure_kpa_gauge=400.0)])
    assert isolate(ring, _element("pipe", "p1")).service_points_lost == ("sp2", "sp3")


def test_a_regulator_feeds_one_way_only() -> None:
    backwards = replace(CHAIN, gate_inlets=[GateInlet(id="g0", junction="j7", pressure_kpa_gauge=400.0)])
    assert supply_lost(backwards) == ("sp0", "sp1", "sp2", "sp3", "sp4", "sp5")


def test_a_shut_regulator_cuts_off_what_only_it_feeds() -> None:
    assert supply_lost(CHAIN, closed_regulators=frozenset({"r0"})) == ("sp6", "sp7")
    assert supply_lost(CHAIN, closed_valves=frozenset({"v1"})) == ("sp4", "sp5", "sp6", "sp7")
    assert supply_lost(CHAIN) == ()


def test_a_station_is_isolated_on_both_sides() -> None:
    result = isolate(CHAIN, _element("station", "s0"))
    assert result.valves_to_close == ("v1",)
    assert result.regulators_inside == ("r0",)
    assert result.junctions == ("j4", "j5", "j6", "j7")


def test_a_closed_border_valve_can_feed_again_what_lies_behind() -> None:
    linked = replace(
        CHAIN,
        valves=[*CHAIN.valves, _valve(2, (8, 7), is_open=False)],
        junctions=[*CHAIN.junctions, Junction(id="j8", zone="z", x_m=9.0, y_m=0.0)],
        gate_inlets=[*CHAIN.gate_inlets, GateInlet(id="g1", junction="j8", pressure_kpa_gauge=400.0)],
    )
    trace = Trace(linked)
    assert trace.refeed(trace.isolate(_element("pipe", "p1"))) == {"v2": ("sp6", "sp7")}


@pytest.mark.parametrize("kind", list(ElementKind))
def test_an_element_that_does_not_exist_is_told(kind: ElementKind) -> None:
    with pytest.raises(NotFound):
        isolate(CHAIN, Element(kind=kind, id="nothing"))


def _reach(sources: set[str], ways: list[tuple[str, str]], dead: set[str]) -> set[str]:
    """Every junction that a walk from `sources` along directed `ways` comes to; the plain way to find out."""
    seen = sources - dead
    while True:
        more = {b for a, b in ways if a in seen and b not in seen and b not in dead}
        if not more:
            return seen
        seen |= more


def _both_ways(edges: list[Pipe] | list[Valve]) -> list[tuple[str, str]]:
    pairs = [(edge.from_junction, edge.to_junction) for edge in edges]
    return pairs + [(b, a) for a, b in pairs]


def _brute_lost(network: Network, closed_valves: set[str], closed_regulators: set[str], dead: set[str]) -> set[str]:
    open_valves = [valve for valve in network.valves if valve.normally_open and valve.id not in closed_valves]
    ways = _both_ways(network.pipes) + _both_ways(open_valves)
    ways += [(r.from_junction, r.to_junction) for r in network.regulators if r.id not in closed_regulators]
    fed = _reach({gate.junction for gate in network.gate_inlets}, ways, dead)
    return {point.id for point in network.service_points if point.junction not in fed}


@st.composite
def _networks(draw: st.DrawFn) -> Network:
    count = draw(st.integers(3, 9))
    edge = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda ends: ends[0] != ends[1])
    return _network(
        count,
        draw(st.lists(edge, min_size=1, max_size=8)),
        draw(st.lists(st.tuples(edge, st.booleans()), max_size=6)),
        draw(st.lists(edge, max_size=3)),
        draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=2, unique=True)),
    )


@settings(max_examples=300, deadline=None)
@given(network=_networks(), data=st.data())
def test_isolation_agrees_with_walking_every_way(network: Network, data: st.DataObject) -> None:
    pipe = data.draw(st.sampled_from(network.pipes))
    stuck = data.draw(st.frozensets(st.sampled_from([v.id for v in network.valves]))) if network.valves else frozenset()
    result = isolate(network, _element("pipe", pipe.id), stuck=stuck)
    inside, closed = set(result.junctions), set(result.valves_to_close)
    still_open = [valve for valve in network.valves if valve.normally_open and valve.id not in closed]
    joined = _both_ways(network.pipes) + _both_ways(still_open)
    assert _reach({pipe.from_junction}, joined, set()) == inside
    assert closed.isdisjoint(stuck)
    for valve in network.valves:
        if valve.id in closed:
            assert (valve.from_junction in inside) != (valve.to_junction in inside)
    touching = {r.id for r in network.regulators if {r.from_junction, r.to_junction} & inside}
    assert set(result.regulators_inside) == touching
    assert set(result.service_points_lost) == _brute_lost(network, closed, touching, inside)


@settings(max_examples=200, deadline=None)
@given(network=_networks(), data=st.data())
def test_supply_lost_agrees_with_walking_every_way(network: Network, data: st.DataObject) -> None:
    valves = {valve.id for valve in network.valves if data.draw(st.booleans())}
    regulators = {regulator.id for regulator in network.regulators if data.draw(st.booleans())}
    found = supply_lost(network, closed_regulators=frozenset(regulators), closed_valves=frozenset(valves))
    assert set(found) == _brute_lost(network, valves, regulators, set())
