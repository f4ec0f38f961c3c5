"""Gas balances at every junction, agrees with pandapipes, and a network in trouble still has an answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.hydraulics import Comparison, rows
from gashub.errors import InvalidValue, NotFound
from gashub.network.hydraulics import Hydraulics, HydraulicState, Orifice, Solution, with_regulator
from gashub.network.model import GateInlet, Junction, Network, Pipe, Regulator, Valve, Zone
from simulators import town


@pytest.fixture(scope="module")
def network() -> Network:
    return town.build(seed=1).network


@pytest.fixture(scope="module")
def hydraulics(network: Network) -> Hydraulics:
    return Hydraulics(network)


@pytest.fixture(scope="module")
def mean_demand(network: Network, hydraulics: Hydraulics) -> NDArray[np.float64]:
    """The mean of the year at each junction [m³/h std]."""
    at = [hydraulics.junction[point.junction] for point in network.service_points]
    annual = [point.annual_m3_std for point in network.service_points]
    return np.bincount(at, annual, len(network.junctions)) / 8760.0


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return Comparison()


def _lost_in_balance(state: HydraulicState, solution: Solution) -> float:
    taken = float((state.demand_m3h_std * solution.supplied).sum())
    return abs(float(solution.gate_flow_m3h_std.sum()) - taken - float(solution.orifice_flow_m3h_std.sum()))


def _zone_pressure(network: Network, solution: Solution, zone: str) -> NDArray[np.float64]:
    return solution.pressure_kpa_gauge[[k for k, j in enumerate(network.junctions) if j.zone == zone]]


@pytest.mark.parametrize("load", [0.1, 1.0, 2.0, 4.0])
def test_pressures_agree_with_pandapipes_within_a_millibar(comparison: Comparison, load: float) -> None:
    kg_s = comparison.loads(load * np.random.default_rng(3).uniform(0.5, 1.5, comparison.consumers))
    assert np.abs(comparison.ours(kg_s) - comparison.theirs(kg_s)).max() < 0.1


@pytest.mark.slow
def test_the_benchmark_runs_and_we_are_faster() -> None:
    (row,) = rows(quick=True)
    assert row["name"] == "hydraulics.vs_pandapipes"
    assert row["ratio"] > 1.0


@pytest.mark.parametrize("load", [0.01, 1.0, 4.0, 20.0, 60.0])
def test_what_comes_in_is_what_is_taken_at_any_load(
    hydraulics: Hydraulics, mean_demand: NDArray[np.float64], load: float
) -> None:
    state = hydraulics.normal_state(load * mean_demand)
    solution = hydraulics.solve(state)
    assert _lost_in_balance(state, solution) < 0.2
    assert np.isfinite(solution.pressure_kpa_gauge).all()


def test_at_winter_peak_the_lowest_pressure_is_far_above_its_limit(
    network: Network, hydraulics: Hydraulics, mean_demand: NDArray[np.float64]
) -> None:
    solution = hydraulics.solve(hydraulics.normal_state(4.0 * mean_demand))
    for zone in ("north", "east", "south", "west"):
        assert _zone_pressure(network, solution, zone).min() > 95.0
    assert _zone_pressure(network, solution, "feeder").min() > 360.0


def test_a_warm_start_needs_few_iterations(hydraulics: Hydraulics, mean_demand: NDArray[np.float64]) -> None:
    rng = np.random.default_rng(1)
    solution = hydraulics.solve(hydraulics.normal_state(mean_demand))
    iterations = []
    for _ in range(10):
        state = hydraulics.normal_state(mean_demand * rng.uniform(0.8, 1.2, len(mean_demand)))
        solution = hydraulics.solve(state, after=solution, dt_s=60.0)
        iterations.append(solution.iterations)
    assert np.mean(iterations) <= 4


def test_a_part_that_is_shut_off_loses_pressure_gradually(
    network: Network, hydraulics: Hydraulics, mean_demand: NDArray[np.float64]
) -> None:
    state = hydraulics.normal_state(mean_demand)
    solution = hydraulics.solve(state)
    shut = with_regulator(state, hydraulics.regulator["reg-east-1"], low=0.0, high=0.0)
    lowest = [float(_zone_pressure(network, solution, "east").min())]
    for _ in range(120):
        solution = hydraulics.solve(shut, after=solution, dt_s=60.0)
        lowest.append(float(_zone_pressure(network, solution, "east").min()))
    assert np.isfinite(lowest).all()
    assert max(np.diff(lowest)) <= 0.01
    assert 60.0 < lowest[5] < lowest[0] - 5.0
    assert lowest[-1] < 2.0
    assert _zone_pressure(network, solution, "west").min() > 95.0


def test_line_pack_loses_exactly_what_is_taken_from_a_shut_off_part(
    hydraulics: Hydraulics, mean_demand: NDArray[np.float64]
) -> None:
    state = hydraulics.normal_state(mean_demand)
    before = hydraulics.solve(state)
    shut = with_regulator(state, hydraulics.regulator["reg-east-1"], low=0.0, high=0.0)
    after = hydraulics.solve(shut, after=before, dt_s=60.0)
    east = hydraulics.zones.index("east")
    in_east = np.array([junction.zone == "east" for junction in town.build(seed=1).network.junctions])
    taken = float((mean_demand * after.supplied)[in_east].sum()) * 60.0 / 3600.0
    assert before.linepack_m3_std[east] - after.linepack_m3_std[east] == pytest.approx(taken, rel=0.01)


def test_a_regulator_failing_open_lifts_its_zone_towards_its_inlet(
    network: Network, hydraulics: Hydraulics, mean_demand: NDArray[np.float64]
) -> None:
    state = with_regulator(hydraulics.normal_state(mean_demand), hydraulics.regulator["reg-east-1"], low=1.0, high=1.0)
    solution = hydraulics.solve(state)
    assert 200.0 < _zone_pressure(network, solution, "east").min() < 380.0
    assert _zone_pressure(network, solution, "west").max() < 101.0


def _two_levels(inlet_kpa: float, set_point_kpa: float, capacity_m3h: float) -> Network:
    """gate a → regulator → b ─ pipe ─ c"""
    return Network(
        name="two levels",
        zones=[Zone(id="z", name_en="Z", name_zh="区")],
        junctions=[Junction(id=name, zone="z", x_m=0.0, y_m=0.0) for name in "abc"],
        pipes=[
            Pipe(
                id="p",
                zone="z",
                from_junction="b",
                to_junction="c",
                length_m=100.0,
                inner_diameter_mm=100.0,
                roughness_mm=0.1,
            )
        ],
        valves=[Valve(id="v", zone="z", from_junction="b", to_junction="c", normally_open=False)],
        regulators=[
            Regulator(
                id="r",
                zone="z",
                station="s",
                from_junction="a",
                to_junction="b",
                set_point_kpa_gauge=set_point_kpa,
                slam_shut_kpa_gauge=2 * set_point_kpa,
                capacity_m3h_std=capacity_m3h,
            )
        ],
        gate_inlets=[GateInlet(id="g", junction="a", pressure_kpa_gauge=inlet_kpa)],
    )


def test_a_regulator_never_compresses() -> None:
    hydraulics = Hydraulics(_two_levels(inlet_kpa=60.0, set_point_kpa=100.0, capacity_m3h=500.0))
    solution = hydraulics.solve(hydraulics.normal_state(np.array([0.0, 0.0, 50.0])))
    assert solution.pressure_kpa_gauge.max() == pytest.approx(60.0)
    assert 40.0 < solution.pressure_kpa_gauge[2] < 60.0


def test_a_regulator_passes_its_capacity_and_no_more() -> None:
    hydraulics = Hydraulics(_two_levels(inlet_kpa=400.0, set_point_kpa=100.0, capacity_m3h=500.0))
    solution = hydraulics.solve(hydraulics.normal_state(np.array([0.0, 0.0, 800.0])))
    assert solution.regulator_flow_m3h_std[0] == pytest.approx(500.0, rel=0.01)
    assert solution.pressure_kpa_gauge[2] < 5.0


def test_a_regulator_holds_its_outlet_within_its_droop() -> None:
    hydraulics = Hydraulics(_two_levels(inlet_kpa=400.0, set_point_kpa=100.0, capacity_m3h=500.0))
    for demand in (1.0, 100.0, 400.0):
        solution = hydraulics.solve(hydraulics.normal_state(np.array([0.0, 0.0, demand])))
        assert 98.0 < solution.pressure_kpa_gauge[1] <= 100.0


def test_a_torn_main_chokes_and_empties_its_zone_within_minutes(
    network: Network, hydraulics: Hydraulics, mean_demand: NDArray[np.float64]
) -> None:
    pipe = max((p for p in network.pipes if p.zone == "east" and p.inner_diameter_mm > 100), key=lambda p: p.length_m)
    state = hydraulics.normal_state(mean_demand)
    solution = hydraulics.solve(state)
    torn = replace(state, orifices=(Orifice(area_mm2=np.pi / 4 * pipe.inner_diameter_mm**2, pipe=pipe.id),))
    flows = []
    for _ in range(120):
        solution = hydraulics.solve(torn, after=solution, dt_s=1.0)
        flows.append(float(solution.orifice_flow_m3h_std[0]))
    assert 3_000.0 < flows[0] < 12_000.0
    assert flows[-1] < 1_500.0
    assert _zone_pressure(network, solution, "east").min() < 30.0


@pytest.mark.parametrize("along", [0.1, 0.5, 0.9])
def test_a_hole_loses_what_its_choked_area_says(along: float) -> None:
    hydraulics = Hydraulics(_two_levels(inlet_kpa=400.0, set_point_kpa=150.0, capacity_m3h=500.0))
    state = hydraulics.normal_state(np.zeros(3))
    solution = hydraulics.solve(replace(state, orifices=(Orifice(area_mm2=50.0, pipe="p", along=along),)))
    # 50 mm², 0.8, 251 kPa absolute: m = 0.8 · 5e-5 m² · 251e3 Pa · 0.667 / sqrt(503 J/(kg K) · 283 K)
    assert solution.orifice_flow_m3h_std[0] == pytest.approx(
        0.8 * 5e-5 * 251e3 * 0.667 / 377.3 / 0.687 * 3600, rel=0.02
    )
    assert solution.regulator_flow_m3h_std[0] == pytest.approx(solution.orifice_flow_m3h_std[0], abs=0.01)


def test_two_holes_in_one_pipe_both_count() -> None:
    hydraulics = Hydraulics(_two_levels(inlet_kpa=400.0, set_point_kpa=150.0, capacity_m3h=500.0))
    holes = tuple(Orifice(area_mm2=50.0, pipe="p", along=along) for along in (0.7, 0.3))
    state = replace(hydraulics.normal_state(np.zeros(3)), orifices=holes)
    solution = hydraulics.solve(state)
    near, far = solution.orifice_flow_m3h_std[1], solution.orifice_flow_m3h_std[0]
    assert solution.regulator_flow_m3h_std[0] == pytest.approx(near + far, abs=0.01)
    assert near >= far


def test_a_hole_nowhere_is_refused(hydraulics: Hydraulics, mean_demand: NDArray[np.float64]) -> None:
    with pytest.raises(InvalidValue):
        Orifice(area_mm2=1.0)
    state = replace(hydraulics.normal_state(mean_demand), orifices=(Orifice(area_mm2=1.0, pipe="nothing"),))
    with pytest.raises(NotFound):
        hydraulics.solve(state)


def test_sensitivity_foretells_what_more_outflow_does(hydraulics: Hydraulics, mean_demand: NDArray[np.float64]) -> None:
    state = hydraulics.normal_state(mean_demand)
    solution = hydraulics.solve(state)
    rng = np.random.default_rng(2)
    observers = rng.choice(len(mean_demand), 12, replace=False)
    sensitivity = hydraulics.sensitivity(state, solution, observers=observers)
    assert sensitivity.shape == (12, len(mean_demand))
    for candidate in rng.choice(len(mean_demand), 6, replace=False):
        more = mean_demand.copy()
        more[candidate] += 1.0
        fallen = (
            solution.pressure_kpa_gauge
            - hydraulics.solve(hydraulics.normal_state(more), after=solution).pressure_kpa_gauge
        )
        assert sensitivity[:, candidate] == pytest.approx(fallen[observers], rel=0.1, abs=2e-4)


def test_the_response_to_a_small_outflow_is_what_the_sensitivity_says_and_to_a_large_one_more(
    hydraulics: Hydraulics, mean_demand: NDArray[np.float64]
) -> None:
    state = hydraulics.normal_state(mean_demand)
    solution = hydraulics.solve(state)
    at = np.random.default_rng(5).choice(len(mean_demand), 5, replace=False)
    slope = hydraulics.sensitivity(state, solution, observers=at)[:, at]
    small = hydraulics.response(state, solution, observers=at, candidates=at, outflow_m3h_std=1.0)
    large = hydraulics.response(state, solution, observers=at, candidates=at, outflow_m3h_std=100.0)
    assert small == pytest.approx(slope, rel=0.1, abs=2e-4)
    assert (np.diag(large) > 100.0 * np.diag(slope)).all()


def test_closing_every_valve_leaves_an_answer(hydraulics: Hydraulics, mean_demand: NDArray[np.float64]) -> None:
    state = hydraulics.normal_state(mean_demand)
    shut = replace(state, valve_open=np.zeros_like(state.valve_open))
    solution = hydraulics.solve(shut)
    assert _lost_in_balance(shut, solution) < 0.2
    assert np.abs(solution.valve_flow_m3h_std).max() == 0.0
