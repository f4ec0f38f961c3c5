"""Where a leak probably is: which place explains best how pressures fell.

A leak of the size that the balance found is put at one junction after the other, a few dozen spread over the zone, and
the network model says how far each observed pressure falls. The model is run with what the live meters take now and
what is expected of everybody else, and what customers changed since before the leak is taken out of the falls:

    seen(i) = p before(i) - p now(i) - (model before(i) - model now(i))
    weight(j) = exp(-½ · Σ over i of ((seen(i) - s · response(i, j)) / σ(i, j))²)      summed over sizes s near 1

All observers may be wrong by something in common, as when the regulators hold their pressure a little differently. A
rupture is more than the stations can pass, so no steady state says anything of it: its response is that of the first
seconds. A pipe is as probable as the junction nearest to it, the longer the likelier,
and much the likelier the wider: service lines hardly lose what a balance can see.

What a crew shuts off is a section between valves, so the likeliest section comes first, and in it its likeliest pipes.
Where the model cannot be solved, nearness takes the place of the response.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from gashub.frames import SLOTS
from gashub.network.hydraulics import STEADY, DidNotConverge, Hydraulics, HydraulicState, Solution
from gashub.network.model import Network, Pipe
from gashub.network.trace import sections
from gashub.registry import Registry, Role

from .balance import Traces
from .rules import Bools, Floats, Ints

Positions = npt.NDArray[np.intp]

LISTED: Final = 10
FROM_ONE_SECTION: Final = 4
TRIED: Final = 72
NOISE_KPA: Final = 0.015
MODEL_ERROR: Final = 0.05
SIZE_SPREAD: Final = 0.05
COMMON_KPA: Final = 0.005
NEAR_M: Final = 400.0
NEAR_NOISE_KPA: Final = 0.06
NEAR_ERROR: Final = 0.15
NEAR_SPREAD: Final = 0.7
LOAD_OF_MEAN: Final = 1.3
HOURS_A_YEAR: Final = 8_760
RUPTURE_OF_CAPACITY: Final = 0.5
RUPTURE_AGE_S: Final = 9.0
RUPTURE_ERROR: Final = 0.2
RUPTURE_SPREAD: Final = 0.2


def never() -> bool:
    """Nothing gives up."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """What a leak at each place tried would show [kPa], shape (observer, place), and how far that may be wrong.

    A place that could not be tried has NaN.
    """

    response: Floats
    noise_kpa: float
    error: float
    spread: float


class Model:
    """The network's hydraulics and what it usually takes, made once for all zones. Not for two threads at a time."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.hydraulics = Hydraulics(network) if network.gate_inlets else None
        self.position = {junction.id: k for k, junction in enumerate(network.junctions)}
        self.place = np.array([(junction.x_m, junction.y_m) for junction in network.junctions]).reshape(-1, 2)
        self.zone = np.array([junction.zone for junction in network.junctions])
        section = sections(network)
        self.section: Ints = np.array([section[junction.id] for junction in network.junctions], np.int64)
        self.usual = np.zeros(len(network.junctions))
        self.unmetered = np.zeros(len(network.junctions))
        for point in network.service_points:
            mean_m3h = LOAD_OF_MEAN * point.annual_m3_std / HOURS_A_YEAR
            self.usual[self.position[point.junction]] += mean_m3h
            self.unmetered[self.position[point.junction]] += 0.0 if point.metered_live else mean_m3h
        self.served = {point.id: point for point in network.service_points}

    def ends(self, pipes: Sequence[Pipe]) -> Positions:
        """Both ends of each pipe as positions of junctions; shape (pipe, 2)."""
        at = [(self.position[pipe.from_junction], self.position[pipe.to_junction]) for pipe in pipes]
        return np.array(at, np.intp).reshape(-1, 2)


class Locator:
    """Ranks the pipes of one zone."""

    def __init__(self, model: Model, registry: Registry, zone: str) -> None:
        self._model = model
        self._in_zone: Bools = model.zone == zone
        self._observers: dict[int, int] = {}
        self._customers: dict[int, tuple[int, float]] = {}
        self._read(registry, zone)
        self._pipes = [pipe for pipe in model.network.pipes if pipe.zone == zone]
        self._ends = model.ends(self._pipes)
        self._tried = self._spread_out()
        self._nearest = self._nearest_tried()
        self._capacity_m3h = sum(r.capacity_m3h_std for r in model.network.regulators if r.zone == zone) or np.inf
        worth = np.array([pipe.length_m * pipe.inner_diameter_mm**3 for pipe in self._pipes])
        self._worth: Floats = worth / worth.sum() if len(worth) else worth

    def _read(self, registry: Registry, zone: str) -> None:
        """Where this zone's pressures are observed, and where its live meters take and how much they usually do."""
        devices = {device.id: device for device in registry.devices}
        stations = {station.id: station for station in registry.stations}
        device_of = {block.id: devices[block.device] for block in registry.blocks}
        for point in registry.points:
            device = device_of[point.id // SLOTS]
            station = stations[device.station]
            served = self._model.served.get(device.service_point or "")
            if station.zone != zone:
                continue
            if point.role in (Role.NETWORK_PRESSURE, Role.STATION_OUTLET_PRESSURE):
                self._observers[point.id] = self._model.position[station.junction]
            elif point.role is Role.OFFTAKE_FLOW and served is not None:
                usual_m3h = LOAD_OF_MEAN * served.annual_m3_std / HOURS_A_YEAR
                self._customers[point.id] = (self._model.position[served.junction], usual_m3h)

    def _spread_out(self) -> Positions:
        """The junctions to be tried: every so many along the mains of each section, service lines left out."""
        if not self._pipes:
            return np.zeros(0, np.intp)
        degree = np.bincount(self._ends.ravel(), minlength=len(self._model.position))
        walks = [[k for k in walk if degree[k] > 1] or walk[:1] for walk in self._walks()]
        every = -(-sum(len(walk) for walk in walks) // TRIED)
        chosen = np.array([k for walk in walks for k in walk[::every]], np.intp)
        # Should there be no time for all of them, those that were tried are spread out too.
        return np.concatenate([chosen[start::3] for start in range(3)])

    def _walks(self) -> list[list[int]]:
        """For each part that hangs together by pipes its junctions, each after one next to it where that can be."""
        beside: dict[int, list[int]] = defaultdict(list)
        for start, end in self._ends.tolist():
            beside[start].append(end)
            beside[end].append(start)
        seen: set[int] = set()
        walks = []
        for first in beside:
            walk, ahead = [], [first]
            while ahead:
                here = ahead.pop()
                if here not in seen:
                    seen.add(here)
                    walk.append(here)
                    ahead += beside[here]
            if walk:
                walks.append(walk)
        return walks

    def _nearest_tried(self) -> Ints:
        """For each pipe which of the tried junctions is nearest along the pipes."""
        count = len(self._model.position)
        if not self._pipes:
            return np.zeros(0, np.int64)
        length = np.array([pipe.length_m for pipe in self._pipes])
        graph = coo_matrix((length, (self._ends[:, 0], self._ends[:, 1])), (count, count)).tocsr()
        way = dijkstra(graph, directed=False, indices=self._tried)
        nearest: Ints = way[:, self._ends[:, 0]].argmin(axis=0).astype(np.int64)
        return nearest

    def rank(self, traces: Traces, *, given_up: Callable[[], bool] = never) -> list[dict[str, Any]]:
        """The likeliest pipes, best first. Once `given_up` says so, no further junction is tried."""
        if not self._pipes:
            return []
        weight = self._worth
        seen = [point for point in self._observers if point in traces.drops_kpa]
        if seen:
            fall = np.array([traces.drops_kpa[point] for point in seen])
            observers = np.array([self._observers[point] for point in seen], np.intp)
            changed, pattern = self._explained(traces, observers, given_up)
            weight = weight * _likelihood(fall - changed, pattern)[self._nearest]
        return self._listed(weight)

    def _explained(self, traces: Traces, observers: Positions, given_up: Callable[[], bool]) -> tuple[Floats, Pattern]:
        """How far each observed pressure fell because of what customers take, and what a leak would show."""
        hydraulics = self._model.hydraulics
        if hydraulics is not None:
            now = hydraulics.normal_state(self._demand(traces.offtakes_m3h, traces.unmetered_m3h))
            before = self._demand(traces.offtakes_before_m3h, traces.unmetered_before_m3h)
            try:
                solution = hydraulics.solve(now)
                earlier = hydraulics.solve(replace(now, demand_m3h_std=before), after=solution)
            except DidNotConverge:
                return np.zeros(len(observers)), self._nearness(observers, traces.lost_m3h)
            response = self._response(hydraulics, now, solution, observers, traces, given_up)
            if np.isfinite(response).any():
                changed: Floats = (earlier.pressure_kpa_gauge - solution.pressure_kpa_gauge)[observers]
                torn = self._torn(traces)
                return changed, Pattern(
                    response=response,
                    noise_kpa=NOISE_KPA,
                    error=RUPTURE_ERROR if torn else MODEL_ERROR,
                    spread=RUPTURE_SPREAD if torn else SIZE_SPREAD,
                )
        return np.zeros(len(observers)), self._nearness(observers, traces.lost_m3h)

    def _torn(self, traces: Traces) -> bool:
        """Whether more is lost than can be for long."""
        return traces.lost_m3h > RUPTURE_OF_CAPACITY * self._capacity_m3h

    def _demand(self, offtakes_m3h: Mapping[int, float], unmetered_m3h: float) -> Floats:
        """What is taken at each junction: measured, expected, and in other zones as usual."""
        model = self._model
        expected = float(model.unmetered[self._in_zone].sum())
        scale = max(unmetered_m3h, 0.0) / expected if expected > 0.0 else 0.0
        demand: Floats = np.where(self._in_zone, scale * model.unmetered, model.usual)
        for point, (junction, usual_m3h) in self._customers.items():
            demand[junction] += max(offtakes_m3h.get(point, usual_m3h), 0.0)
        return demand

    def _response(
        self,
        hydraulics: Hydraulics,
        state: HydraulicState,
        solution: Solution,
        observers: Positions,
        traces: Traces,
        given_up: Callable[[], bool],
    ) -> Floats:
        """How far each observed pressure falls for the leak at each tried junction [kPa]; NaN where that is unknown."""
        fall = np.full((len(observers), len(self._tried)), np.nan)
        dt_s = RUPTURE_AGE_S if self._torn(traces) else STEADY
        for k, tried in enumerate(self._tried):
            if given_up():
                break
            demand = state.demand_m3h_std.copy()
            demand[tried] += max(traces.lost_m3h, 1.0)
            try:
                leaking = hydraulics.solve(replace(state, demand_m3h_std=demand), after=solution, dt_s=dt_s)
            except DidNotConverge:
                continue
            fall[:, k] = (solution.pressure_kpa_gauge - leaking.pressure_kpa_gauge)[observers]
        return fall

    def _nearness(self, observers: Positions, lost_m3h: float) -> Pattern:
        """A response that only knows distances."""
        between = self._model.place[observers][:, None, :] - self._model.place[self._tried][None, :, :]
        near = 0.01 * max(lost_m3h, 1.0) / (1.0 + np.linalg.norm(between, axis=2) / NEAR_M)
        return Pattern(response=near, noise_kpa=NEAR_NOISE_KPA, error=NEAR_ERROR, spread=NEAR_SPREAD)

    def _listed(self, weight: Floats) -> list[dict[str, Any]]:
        """The best pipes of the best sections."""
        probability = weight / weight.sum()
        section = self._model.section[self._ends[:, 0]]
        of_section = np.bincount(section, probability)
        order = np.lexsort((-probability, -of_section[section]))
        taken: dict[int, int] = {}
        best = []
        for i in order.tolist():
            number = int(section[i])
            if taken.setdefault(number, 0) < FROM_ONE_SECTION:
                taken[number] += 1
                best.append(i)
        return [
            {"element": "pipe", "id": self._pipes[i].id, "probability": round(float(probability[i]), 4)}
            for i in best[:LISTED]
        ]


def _likelihood(seen: Floats, pattern: Pattern) -> Floats:
    """How well a leak at each place explains what was seen, up to a common factor; 0 where that is unknown."""
    known = np.isfinite(pattern.response).all(axis=0)
    response = np.where(known, pattern.response, 0.0)
    variance = pattern.noise_kpa**2 + (pattern.error * response) ** 2
    lines = []
    for deviation in np.linspace(-2.0, 2.0, 9):
        left = seen[:, None] - np.exp(deviation * pattern.spread) * response
        # What all are wrong by in common counts as little as it is likely (Sherman and Morrison).
        shared = (left / variance).sum(axis=0) ** 2 / (COMMON_KPA**-2 + (1.0 / variance).sum(axis=0))
        misfit = (left**2 / variance).sum(axis=0) - shared
        lines.append(-0.5 * (misfit + np.log(variance).sum(axis=0) + deviation**2))
    likely = np.where(known, np.array(lines), -np.inf)
    total: Floats = np.exp(likely - likely.max()).sum(axis=0)
    return total
