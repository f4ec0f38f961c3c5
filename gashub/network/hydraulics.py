"""Gas in the network: pressures and flows, steady or from one moment to the next.

Every junction's gas must balance: what pipes, valves and regulators bring, less what customers take and holes lose,
goes into line pack. Newton's method finds the squares of pressure where it does (`nodal` solves its steps,
`flow_laws` knows what flows). Three things keep it from failing where a network fails:

- line pack: over a time step (implicit Euler) a part that is shut off loses pressure gradually; without one it
  settles at the pressure of the air;
- a regulator is a throttle whose opening grows from 0 to 1 as its outlet falls through `DROOP` below the set-point:
  it never compresses, and saturates at what its seat lets through;
- customers take less as pressure falls below `full_supply_kpa_gauge`, so that a network asked for more than it can
  carry still has an answer.

Arrays are in the order of the network's lists. Flows in m³/h std, pressures in kPa.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from ..errors import HubError, InvalidValue, NotFound
from .flow_laws import (
    Gas,
    atmospheric_kpa,
    choked_coefficient,
    hole_coefficient,
    pipe_coefficients,
    pipe_flow,
    throttle,
)
from .model import Network, Pipe, Valve
from .nodal import Graph, StepSystem, full_matrix

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

DROOP: Final = 0.02
STEADY: Final = float("inf")
_TOLERANCE_M3H: Final = 1e-3
_MAX_ITERATIONS: Final = 60
_MAX_HALVINGS: Final = 8
_SHARE: Final = 0.2
_VALVE_LENGTH_M: Final = 1.0
_VALVE_ROUGHNESS_MM: Final = 0.1
_LEAST_VOLUME_M3: Final = 0.02
# What lets a part without any way in or out settle in a steady solution [m³/h per kPa]; far below any flow.
_BLEED_M3H_KPA: Final = 1e-8
_PLANS_KEPT: Final = 8
_FIRST_STRIDE_S: Final = 2.0
_SETTLED_S: Final = 1e5
_MAX_STRIDES: Final = 80


class DidNotConverge(HubError):
    """No pressures were found that balance the network; `residual_m3h` is what was left at the worst junction."""

    code = "did_not_converge"

    def __init__(self, residual_m3h: float) -> None:
        self.residual_m3h = residual_m3h
        super().__init__(f"the network does not balance: {residual_m3h:.3g} m³/h left")


@dataclass(frozen=True, slots=True, kw_only=True)
class Orifice:
    """A hole through which gas leaves to the air: in a pipe, `along` it from 0 to 1, or at a junction."""

    area_mm2: float
    pipe: str | None = None
    junction: str | None = None
    along: float = 0.5

    def __post_init__(self) -> None:
        if (self.pipe is None) == (self.junction is None) or not 0.0 < self.along < 1.0 or self.area_mm2 < 0.0:
            raise InvalidValue("an orifice is in one pipe, within its length, or at one junction, and has an area")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HydraulicState:
    """How the network is run at a moment.

    `demand_m3h_std` at each junction; `valve_open`; a regulator's opening stays within `opening_low` and
    `opening_high`: 0 and 1 when it regulates, 0 and 0 when its slam-shut is closed, 1 and 1 when it failed open.
    """

    demand_m3h_std: Floats
    valve_open: Bools
    opening_low: Floats
    opening_high: Floats
    set_point_kpa_gauge: Floats
    gate_kpa_gauge: Floats
    orifices: tuple[Orifice, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """What the network does in a state.

    A pipe's flow counts from its from_junction; `supplied` is the part of each junction's demand that is met;
    `linepack_m3_std` per zone. `node_kpa_absolute` has also the nodes where pipes are split, for `after=`.
    """

    pressure_kpa_gauge: Floats
    pipe_flow_m3h_std: Floats
    valve_flow_m3h_std: Floats
    regulator_flow_m3h_std: Floats
    regulator_opening: Floats
    gate_flow_m3h_std: Floats
    orifice_flow_m3h_std: Floats
    supplied: Floats
    linepack_m3_std: Floats
    iterations: int
    node_kpa_absolute: Floats
    splits: tuple[tuple[int, float], ...]
    hole_node: Ints

    def hole_flow_at(self, junctions: Ints) -> Floats:
        """What holes at each of these junctions lose [m³/h std]."""
        lost = np.bincount(self.hole_node, self.orifice_flow_m3h_std, len(self.node_kpa_absolute))
        at: Floats = lost.astype(np.float64, copy=False)[junctions]
        return at


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Plan:
    """The network compiled for one set of split pipes. Edges: pipes, valves, then the far halves of split pipes."""

    graph: Graph
    system: StepSystem
    a: Floats
    b: Floats
    volume_m3: Floats
    air_kpa: Floats
    to_square: Floats
    splits: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Moment:
    """One state made ready: coefficients per edge, throttle coefficients, and the line pack to come from."""

    a: Floats
    b: Floats
    shut: Ints
    demand: Floats
    low: Floats
    high: Floats
    set_point_kpa: Floats
    band_kpa: Floats
    hole_node: Ints
    hole: Floats
    pack: Floats
    before_kpa: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Balance:
    """Flows at some u, the imbalance of each node, and the slopes of the next Newton step."""

    flow: Floats
    slope: Floats
    regulated: Floats
    by_inlet: Floats
    by_outlet: Floats
    opening: Floats
    lost: Floats
    supplied: Floats
    excess: Floats
    from_gates: Floats
    diagonal: Floats


class Hydraulics:
    """A network ready to be solved; it holds no state but what it compiled."""

    def __init__(self, network: Network, *, gas: Gas | None = None, full_supply_kpa_gauge: float = 5.0) -> None:
        self.gas = gas or Gas()
        self.full_supply_kpa = full_supply_kpa_gauge
        self.junction = {junction.id: k for k, junction in enumerate(network.junctions)}
        self.pipe = {pipe.id: k for k, pipe in enumerate(network.pipes)}
        self.valve = {valve.id: k for k, valve in enumerate(network.valves)}
        self.regulator = {regulator.id: k for k, regulator in enumerate(network.regulators)}
        self.zones = [zone.id for zone in network.zones]
        self._read(network)
        self._plans: OrderedDict[tuple[tuple[int, float], ...], _Plan] = OrderedDict()
        self._level_kpa = self._levels()
        capacity = np.array([regulator.capacity_m3h_std for regulator in network.regulators])
        self._seat = choked_coefficient(capacity, self._inlet_kpa())

    def _read(self, network: Network) -> None:
        """Take the network's figures over as arrays."""
        edges: list[Pipe | Valve] = [*network.pipes, *network.valves]
        self._start = self._at([edge.from_junction for edge in edges])
        self._end = self._at([edge.to_junction for edge in edges])
        self._pipes = len(network.pipes)
        self._length = np.array([p.length_m for p in network.pipes] + [_VALVE_LENGTH_M] * len(network.valves))
        self._bore = np.array([edge.inner_diameter_mm for edge in edges])
        self._rough = np.array([p.roughness_mm for p in network.pipes] + [_VALVE_ROUGHNESS_MM] * len(network.valves))
        self._normally_open = np.array([valve.normally_open for valve in network.valves], np.bool_)
        self._regulator_start = self._at([regulator.from_junction for regulator in network.regulators])
        self._regulator_end = self._at([regulator.to_junction for regulator in network.regulators])
        self._set_point = np.array([regulator.set_point_kpa_gauge for regulator in network.regulators])
        self._gates = self._at([gate.junction for gate in network.gate_inlets])
        self._gate_kpa = np.array([gate.pressure_kpa_gauge for gate in network.gate_inlets])
        height = np.array([junction.height_m for junction in network.junctions])
        self._height = height - height.mean()
        self._air = atmospheric_kpa(height)
        zone = {name: k for k, name in enumerate(self.zones)}
        self._zone = np.array([zone[junction.zone] for junction in network.junctions], np.intp)

    def _at(self, names: Sequence[str]) -> Ints:
        return np.array([self.junction[name] for name in names], np.intp)

    def _levels(self) -> Floats:
        """The absolute pressure each junction is meant to have: of the gate or regulators that feed its part."""
        n = len(self._height)
        is_open = np.concatenate([np.ones(self._pipes, np.bool_), self._normally_open])
        graph = coo_matrix((is_open[is_open], (self._start[is_open], self._end[is_open])), (n, n))
        part = connected_components(graph, directed=False)[1]
        level = np.full(int(part.max()) + 1, 0.0)
        np.maximum.at(level, part[self._regulator_end], self._set_point)
        np.maximum.at(level, part[self._gates], self._gate_kpa)
        levels: Floats = level[part] + self._air
        return levels

    def _inlet_kpa(self) -> Floats:
        """The absolute pressure each regulator's capacity is meant at."""
        inlet: Floats = self._level_kpa[self._regulator_start]
        return np.maximum(inlet, self._set_point + self._air[self._regulator_end] + 1.0)

    def normal_state(self, demand_m3h_std: Floats) -> HydraulicState:
        """The network as it is normally run, with this demand at each junction."""
        count = len(self._set_point)
        return HydraulicState(
            demand_m3h_std=demand_m3h_std,
            valve_open=self._normally_open,
            opening_low=np.zeros(count),
            opening_high=np.ones(count),
            set_point_kpa_gauge=self._set_point,
            gate_kpa_gauge=self._gate_kpa,
        )

    def solve(self, state: HydraulicState, *, after: Solution | None = None, dt_s: float = STEADY) -> Solution:
        """Balance the network: steady, or `dt_s` after the solution `after`, which is also where the search starts.

        Raises DidNotConverge; NotFound for an orifice in no known element.
        """
        plan = self._plan(state.orifices)
        before = self._before(plan, after)
        if after is not None and np.isfinite(dt_s):
            return self._balanced(plan, state, before, dt_s)
        try:
            return self._balanced(plan, state, before, STEADY)
        except DidNotConverge:
            return self._settled(plan, state, before)

    def _balanced(self, plan: _Plan, state: HydraulicState, before: Floats, dt_s: float) -> Solution:
        """The solution `dt_s` after the pressures `before`, or the steady one searched from there."""
        moment = self._moment(plan, state, before, dt_s)
        u = (before * plan.to_square) ** 2
        gates = self._gates
        u[gates] = ((state.gate_kpa_gauge + self._air[gates]) * plan.to_square[gates]) ** 2
        u, balance, iterations = self._newton(plan, moment, u)
        return self._solution(plan, moment, u, balance, iterations)

    def _settled(self, plan: _Plan, state: HydraulicState, before: Floats) -> Solution:
        """The steady solution by following the network in time, in strides that grow as it settles."""
        stride_s, left = _FIRST_STRIDE_S, float("nan")
        for _ in range(_MAX_STRIDES):
            try:
                solution = self._balanced(plan, state, before, stride_s)
            except DidNotConverge as error:
                stride_s, left = stride_s / 8.0, error.residual_m3h
                continue
            if stride_s > _SETTLED_S:
                return self._balanced(plan, state, solution.node_kpa_absolute, STEADY)
            before, stride_s = solution.node_kpa_absolute, stride_s * 3.0
        raise DidNotConverge(left)

    def sensitivity(
        self, state: HydraulicState, solution: Solution, *, observers: Ints, dt_s: float = STEADY
    ) -> Floats:
        """How much each observed pressure falls for more outflow at each junction [kPa per m³/h].

        `observers`: junction positions. Shape (observer, junction). Linear around `solution`; with a finite `dt_s`
        the response that long after the outflow began, with line pack helping.
        """
        plan = self._plan(state.orifices)
        before = self._before(plan, solution)
        moment = self._moment(plan, state, before, dt_s)
        balance = self._balance(plan, moment, (before * plan.to_square) ** 2)
        matrix, free = full_matrix(plan.graph, balance.slope, balance.by_inlet, balance.by_outlet, balance.diagonal)
        at = np.full(plan.graph.nodes, -1, np.intp)
        at[free] = np.arange(len(free))
        seen = at[observers] >= 0
        right = np.zeros((len(free), int(seen.sum())))
        right[at[observers[seen]], np.arange(right.shape[1])] = 1.0
        response = np.zeros((len(observers), plan.graph.nodes))
        by_node = np.zeros((right.shape[1], plan.graph.nodes))
        by_node[:, free] = splu(matrix.T.tocsc()).solve(right).T
        response[seen] = by_node
        kpa_per_u = 0.5 / (before[observers] * plan.to_square[observers] ** 2)
        return response[:, : len(self._height)] * kpa_per_u[:, None]

    def response(
        self, state: HydraulicState, solution: Solution, *, observers: Ints, candidates: Ints, outflow_m3h_std: float
    ) -> Floats:
        """How far each observed pressure falls [kPa] for this outflow more at each candidate, one at a time.

        Both are junction positions. Shape (observer, candidate). Unlike `sensitivity` it is not linear, so it holds
        for a large leak too; it costs one steady solution a candidate.
        """
        fall = np.empty((len(observers), len(candidates)))
        for k, candidate in enumerate(candidates):
            demand = state.demand_m3h_std.copy()
            demand[candidate] += outflow_m3h_std
            leaking = self.solve(replace(state, demand_m3h_std=demand), after=solution)
            fall[:, k] = (solution.pressure_kpa_gauge - leaking.pressure_kpa_gauge)[observers]
        return fall

    def _plan(self, orifices: Sequence[Orifice]) -> _Plan:
        """The compiled network with a node at every orifice in a pipe."""
        splits = tuple(sorted({(self._find("pipe", self.pipe, o.pipe), o.along) for o in orifices if o.pipe}))
        if splits not in self._plans:
            self._plans[splits] = self._compile(splits)
            if len(self._plans) > _PLANS_KEPT:
                self._plans.popitem(last=False)
        self._plans.move_to_end(splits)
        return self._plans[splits]

    @staticmethod
    def _find(kind: str, index: dict[str, int], name: str | None) -> int:
        if name not in index:
            raise NotFound(kind, name)
        return index[name]

    def _compile(self, splits: tuple[tuple[int, float], ...]) -> _Plan:
        n = len(self._height)
        start, end, length = self._start.copy(), self._end.copy(), self._length.copy()
        edge = np.concatenate([np.arange(len(start)), np.array([pipe for pipe, _ in splits], np.intp)])
        new_start: list[int] = []
        new_end: list[int] = []
        new_length: list[float] = []
        far_end = dict(enumerate(end.tolist()))
        done: dict[int, float] = {}
        # The first cut of a pipe shortens it; each further one shortens the piece that the last one left.
        for k, (pipe, along) in enumerate(splits):
            node, begin = n + k, done.get(pipe, 0.0)
            if pipe in done:
                new_end[-1], new_length[-1] = node, (along - begin) * self._length[pipe]
            else:
                end[pipe], length[pipe] = node, along * self._length[pipe]
            new_start.append(node)
            new_end.append(far_end[pipe])
            new_length.append((1.0 - along) * self._length[pipe])
            done[pipe] = along
        start = np.concatenate([start, np.array(new_start, np.intp)])
        end = np.concatenate([end, np.array(new_end, np.intp)])
        length = np.concatenate([length, np.array(new_length, float)])
        halves = [0.5 * (self._height[self._start[p]] + self._height[self._end[p]]) for p, _ in splits]
        height = np.concatenate([self._height, np.array(halves, float)])
        air = np.concatenate([self._air, np.array([self._air[self._start[p]] for p, _ in splits], float)])
        a, b = pipe_coefficients(self.gas, length, self._bore[edge], self._rough[edge])
        rise = np.exp(self.gas.height_rate_per_m * 0.5 * (height[start] + height[end]))
        graph = Graph(
            nodes=n + len(splits),
            start=start,
            end=end,
            regulator_start=self._regulator_start,
            regulator_end=self._regulator_end,
            fixed=self._gates,
        )
        half = 0.5 * np.pi / 4.0 * (self._bore[edge] / 1000.0) ** 2 * length
        volume = np.bincount(start, half, graph.nodes) + np.bincount(end, half, graph.nodes)
        return _Plan(
            graph=graph,
            system=StepSystem(graph),
            a=a * rise,
            b=b * rise,
            volume_m3=np.maximum(volume, _LEAST_VOLUME_M3),
            air_kpa=air,
            to_square=np.exp(0.5 * self.gas.height_rate_per_m * height),
            splits=splits,
        )

    def _before(self, plan: _Plan, after: Solution | None) -> Floats:
        """Absolute pressures to start from, a new split node's from the ends of its pipe."""
        n = len(self._height)
        known = self._level_kpa if after is None else after.node_kpa_absolute[:n]
        if after is not None and after.splits == plan.splits:
            return after.node_kpa_absolute
        kept = {} if after is None else dict(zip(after.splits, after.node_kpa_absolute[n:], strict=True))
        extra = [
            kept.get(split, known[self._start[split[0]]] * (1 - split[1]) + known[self._end[split[0]]] * split[1])
            for split in plan.splits
        ]
        return np.concatenate([known, np.array(extra, float)])

    def _moment(self, plan: _Plan, state: HydraulicState, before: Floats, dt_s: float) -> _Moment:
        z = self.gas.z(0.5 * (before[plan.graph.start] + before[plan.graph.end]))
        steady = not np.isfinite(dt_s)
        per_kpa = plan.volume_m3 * self.gas.std_per_actual_kpa / self.gas.z(before)
        extra = np.zeros(len(plan.splits))
        return _Moment(
            a=plan.a * z,
            b=plan.b * z,
            shut=self._pipes + np.flatnonzero(~state.valve_open),
            demand=np.concatenate([state.demand_m3h_std, extra]),
            low=state.opening_low,
            high=state.opening_high,
            set_point_kpa=state.set_point_kpa_gauge + self._air[self._regulator_end],
            band_kpa=np.maximum(DROOP * state.set_point_kpa_gauge, 0.05),
            hole_node=np.array([self._hole_node(plan, orifice) for orifice in state.orifices], np.intp),
            hole=hole_coefficient(self.gas, np.array([orifice.area_mm2 for orifice in state.orifices], float)),
            pack=np.full(plan.graph.nodes, _BLEED_M3H_KPA) if steady else per_kpa * 3600.0 / dt_s,
            before_kpa=plan.air_kpa if steady else before,
        )

    def _hole_node(self, plan: _Plan, orifice: Orifice) -> int:
        if orifice.junction is not None:
            return self._find("junction", self.junction, orifice.junction)
        pipe = self._find("pipe", self.pipe, orifice.pipe)
        return len(self._height) + plan.splits.index((pipe, orifice.along))

    def _newton(self, plan: _Plan, moment: _Moment, u: Floats) -> tuple[Floats, _Balance, int]:
        """Newton's method, each step shortened until the balance is clearly better than before it."""
        balance = self._balance(plan, moment, u)
        for iteration in range(_MAX_ITERATIONS):
            if np.abs(balance.excess).max() < _TOLERANCE_M3H:
                return u, balance, iteration
            step = plan.system.solve(
                balance.slope, balance.by_inlet, balance.by_outlet, balance.diagonal, balance.excess
            )
            u, balance = self._search(plan, moment, u, balance, np.clip(step, -0.6 * u, 1.5 * u))
        raise DidNotConverge(float(np.abs(balance.excess).max()))

    def _search(
        self, plan: _Plan, moment: _Moment, u: Floats, balance: _Balance, step: Floats
    ) -> tuple[Floats, _Balance]:
        """The first of ever shorter steps that improves the balance by its share, or else the best of them.

        Where a flow stops at once, a full Newton step on its square root only turns it round; half a step stops it.
        """
        before, length = float(np.linalg.norm(balance.excess)), 1.0
        best_left, best_u, best = float("inf"), u, balance
        for _ in range(_MAX_HALVINGS):
            tried_u = u + length * step
            tried = self._balance(plan, moment, tried_u)
            left = float(np.linalg.norm(tried.excess))
            if left < best_left:
                best_left, best_u, best = left, tried_u, tried
            if left < before * (1.0 - _SHARE * length):
                break
            length *= 0.5
        return best_u, best

    def _balance(self, plan: _Plan, moment: _Moment, u: Floats) -> _Balance:
        """Every flow at `u`, what is left over at each node, and all slopes by u."""
        graph, n = plan.graph, plan.graph.nodes
        flow, slope = pipe_flow(u[graph.start] - u[graph.end], moment.a, moment.b)
        flow[moment.shut] = slope[moment.shut] = 0.0
        pressure = np.sqrt(u) / plan.to_square
        by_u = 0.5 * pressure / u
        regulated, by_inlet, by_outlet, opening = self._regulate(plan, moment, pressure, by_u)
        lost, lost_by_u = self._lose(plan, moment, pressure, by_u)
        supplied, supplied_by_kpa = self._supply(pressure - plan.air_kpa)
        excess = -moment.demand * supplied - moment.pack * (pressure - moment.before_kpa)
        excess += np.bincount(graph.end, flow, n) - np.bincount(graph.start, flow, n)
        excess += np.bincount(self._regulator_end, regulated, n) - np.bincount(self._regulator_start, regulated, n)
        excess -= np.bincount(moment.hole_node, lost, n)
        diagonal = (moment.demand * supplied_by_kpa + moment.pack) * by_u
        from_gates = -excess[graph.fixed]
        excess[graph.fixed] = 0.0
        return _Balance(
            flow=flow,
            slope=slope,
            regulated=regulated,
            by_inlet=by_inlet,
            by_outlet=by_outlet,
            opening=opening,
            lost=lost,
            supplied=supplied,
            excess=excess,
            from_gates=from_gates,
            diagonal=diagonal + np.bincount(moment.hole_node, lost_by_u, n),
        )

    def _regulate(
        self, plan: _Plan, moment: _Moment, pressure: Floats, by_u: Floats
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Flow of each regulator, its slopes by the u of inlet and outlet, and its opening."""
        inlet, outlet = self._regulator_start, self._regulator_end
        wanted = (moment.set_point_kpa - pressure[outlet]) / moment.band_kpa
        opening = np.clip(wanted, moment.low, moment.high)
        moves = (wanted > moment.low) & (wanted < moment.high)
        through, by_inlet, by_outlet = throttle(pressure[inlet] ** 2, pressure[outlet] ** 2)
        seat = self._seat * opening
        square = 1.0 / plan.to_square**2
        closing = np.where(moves, self._seat * through / moment.band_kpa, 0.0) * by_u[outlet]
        return (
            seat * through,
            seat * by_inlet * square[inlet],
            seat * by_outlet * square[outlet] - closing,
            opening,
        )

    @staticmethod
    def _lose(plan: _Plan, moment: _Moment, pressure: Floats, by_u: Floats) -> tuple[Floats, Floats]:
        """Flow out of each orifice, and its slope by u."""
        if not len(moment.hole):
            return moment.hole, moment.hole
        node = moment.hole_node
        through, by_square, _ = throttle(pressure[node] ** 2, plan.air_kpa[node] ** 2)
        return moment.hole * through, moment.hole * by_square * 2.0 * pressure[node] * by_u[node]

    def _supply(self, gauge_kpa: Floats) -> tuple[Floats, Floats]:
        """The part of its demand that each junction gets at its pressure, and the slope by pressure."""
        if gauge_kpa.min() >= self.full_supply_kpa:
            return np.ones_like(gauge_kpa), np.zeros_like(gauge_kpa)
        x = np.minimum(gauge_kpa / self.full_supply_kpa, 1.0)
        return np.where(x < 0.0, 2.0 * x, x * (2.0 - x)), np.where(x < 0.0, 2.0, 2.0 - 2.0 * x) / self.full_supply_kpa

    def _solution(self, plan: _Plan, moment: _Moment, u: Floats, balance: _Balance, iterations: int) -> Solution:
        n = len(self._height)
        pressure = np.sqrt(u) / plan.to_square
        per_kpa = plan.volume_m3 * self.gas.std_per_actual_kpa / self.gas.z(pressure)
        zone = np.concatenate([self._zone, self._zone[self._start[[pipe for pipe, _ in plan.splits]]]])
        return Solution(
            pressure_kpa_gauge=pressure[:n] - self._air,
            pipe_flow_m3h_std=balance.flow[: self._pipes],
            valve_flow_m3h_std=balance.flow[self._pipes : len(self._start)],
            regulator_flow_m3h_std=balance.regulated,
            regulator_opening=balance.opening,
            gate_flow_m3h_std=balance.from_gates,
            orifice_flow_m3h_std=balance.lost,
            supplied=np.clip(balance.supplied[:n], 0.0, 1.0),
            linepack_m3_std=np.bincount(zone, per_kpa * pressure, len(self.zones)).astype(np.float64),
            iterations=iterations,
            node_kpa_absolute=pressure,
            splits=plan.splits,
            hole_node=moment.hole_node,
        )


def with_regulator(state: HydraulicState, position: int, *, low: float, high: float) -> HydraulicState:
    """The state with one regulator's opening held within other bounds."""
    opening_low, opening_high = state.opening_low.copy(), state.opening_high.copy()
    opening_low[position], opening_high[position] = low, high
    return replace(state, opening_low=opening_low, opening_high=opening_high)
