"""Where a leak probably is: which place explains best how pressures fell.

More outflow at a junction lowers each observed pressure by an amount the network model knows (its sensitivity). For
every junction of the zone the model's pattern is compared with what was seen, both taken relative to the stations'
outlets, so that it does not matter whether the regulators still hold their pressure. The size that fits best must also
be like the size the balance found. A pipe is as probable as its ends, and the longer the likelier.

What a crew shuts off is a section between valves, so the likeliest section comes first, and in it its likeliest pipes.

    weight(j) = exp(-½ · misfit(j)) · exp(-½ · (ln(size(j) / balance) / 0.7)²)

Where the model cannot be solved, nearness takes the place of sensitivity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from gashub.frames import SLOTS
from gashub.network.hydraulics import DidNotConverge, Hydraulics
from gashub.network.model import Network, Pipe
from gashub.registry import Registry, Role

from .rules import Bools, Floats, Ints

CANDIDATES: Final = 10
FROM_ONE_SECTION: Final = 4
NOISE_KPA: Final = 0.06
MODEL_ERROR: Final = 0.15
SIZE_SPREAD: Final = 0.7
NEAR_M: Final = 400.0
LOAD_OF_MEAN: Final = 1.3


class Model:
    """The network's response to leaks, computed once for all zones."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._position = {junction.id: k for k, junction in enumerate(network.junctions)}
        self._place = np.array([(junction.x_m, junction.y_m) for junction in network.junctions])
        self._solved = self._solve()

    def _solve(self) -> tuple[Hydraulics, Any, Any] | None:
        if not self.network.gate_inlets:
            return None
        hydraulics = Hydraulics(self.network)
        demand = np.zeros(len(self.network.junctions))
        for point in self.network.service_points:
            demand[self._position[point.junction]] += LOAD_OF_MEAN * point.annual_m3_std / 8_760
        state = hydraulics.normal_state(demand)
        try:
            return hydraulics, state, hydraulics.solve(state)
        except DidNotConverge:
            return None

    def sections(self) -> Ints:
        """For each junction the number of its section: what stays connected when every valve is shut."""
        pairs = [(self._position[p.from_junction], self._position[p.to_junction]) for p in self.network.pipes]
        at = np.array(pairs, np.intp).reshape(-1, 2)
        count = len(self._position)
        graph = coo_matrix((np.ones(len(at)), (at[:, 0], at[:, 1])), (count, count))
        number: Ints = connected_components(graph, directed=False)[1].astype(np.int64)
        return number

    def response(self, observers: Sequence[str]) -> Floats:
        """How far each pressure falls [kPa] for 1 m³/h more at each junction; shape (observer, junction)."""
        at = np.array([self._position[name] for name in observers], np.intp)
        if self._solved is not None:
            hydraulics, state, solution = self._solved
            return hydraulics.sensitivity(state, solution, observers=at)
        distance = np.linalg.norm(self._place[at][:, None, :] - self._place[None, :, :], axis=2)
        nearness: Floats = 0.01 / (1.0 + distance / NEAR_M)
        return nearness


class Locator:
    """Ranks the pipes of one zone."""

    def __init__(self, model: Model, registry: Registry, zone: str) -> None:
        device_of = {block.id: block.device for block in registry.blocks}
        station_of = {device.id: device.station for device in registry.devices}
        stations = {station.id: station for station in registry.stations}
        self._points: list[int] = []
        outlet, junctions = [], []
        for point in registry.points:
            station = stations[station_of[device_of[point.id // SLOTS]]]
            if station.zone == zone and point.role in (Role.NETWORK_PRESSURE, Role.STATION_OUTLET_PRESSURE):
                self._points.append(point.id)
                outlet.append(point.role is Role.STATION_OUTLET_PRESSURE)
                junctions.append(station.junction)
        self._outlet = np.array(outlet, np.bool_)
        self._pipes: list[Pipe] = [pipe for pipe in model.network.pipes if pipe.zone == zone]
        position = {junction.id: k for k, junction in enumerate(model.network.junctions)}
        ends = [(position[pipe.from_junction], position[pipe.to_junction]) for pipe in self._pipes]
        self._length = np.array([pipe.length_m for pipe in self._pipes])
        self._section = model.sections()[np.array([start for start, _ in ends], np.intp)]
        # A pipe's pattern is the mean of its ends'; only the zone's own pipes are kept.
        whole = model.response(junctions) if junctions else np.zeros((0, len(position)))
        at = np.array(ends, np.intp).reshape(-1, 2)
        self._response: Floats = (whole[:, at[:, 0]] + whole[:, at[:, 1]]) / 2

    def rank(self, drops: Mapping[int, float], missing_m3h: float) -> list[dict[str, Any]]:
        """The likeliest pipes, best first. drops: by how much each pressure point fell [kPa]."""
        seen = np.array([point in drops for point in self._points], np.bool_)
        if not self._pipes:
            return []
        weight = self._length / self._length.sum()
        if seen.any():
            fall = np.array([drops[point] for point in np.array(self._points)[seen].tolist()])
            weight = weight * self._fit(fall, self._response[seen], self._outlet[seen], missing_m3h)
        return self._listed(weight)

    @staticmethod
    def _fit(fall: Floats, response: Floats, outlet: Bools, missing_m3h: float) -> Floats:
        """How well a leak in each pipe explains the falls, up to a common factor."""
        if outlet.any() and not outlet.all():
            fall = (fall - fall[outlet].mean())[~outlet]
            response = (response - response[outlet].mean(axis=0))[~outlet]
        sigma = NOISE_KPA + MODEL_ERROR * float(np.abs(fall).max(initial=0.0))
        power = np.maximum((response * response).sum(axis=0), 1e-18)
        size = np.maximum(fall @ response / power, 1e-6)
        misfit = (((fall[:, None] - size * response) / sigma) ** 2).sum(axis=0)
        likely = -0.5 * misfit - 0.5 * (np.log(size / max(missing_m3h, 1.0)) / SIZE_SPREAD) ** 2
        weights: Floats = np.exp(likely - likely.max())
        return weights

    def _listed(self, weight: Floats) -> list[dict[str, Any]]:
        probability = weight / weight.sum()
        of_section = np.bincount(self._section, probability)
        order = np.lexsort((-probability, -of_section[self._section]))
        taken: dict[int, int] = {}
        best = []
        for i in order.tolist():
            section = int(self._section[i])
            if taken.setdefault(section, 0) < FROM_ONE_SECTION:
                taken[section] += 1
                best.append(i)
        return [
            {"element": "pipe", "id": self._pipes[i].id, "probability": round(float(probability[i]), 4)}
            for i in best[:CANDIDATES]
        ]
