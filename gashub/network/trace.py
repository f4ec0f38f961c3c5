"""What a closed valve cuts off: isolation of an element, and who loses supply.

        source ──── v1 ──┬──── v2 ────        section of p: between v1, v2 and v3; to isolate it, shut these three.
                         p                    A stuck v2 joins the section behind it to this one, and its valves
                         └──── v3 ────        have to be shut instead.

Sections are what remains connected when every valve is shut; a regulator also ends a section. To isolate an element
the valves around its section are shut; a stuck valve joins the sections at its two ends. Everything that then finds
no way to a gate inlet, along pipes, open valves and regulators in their direction, has lost its supply.

A `Trace` holds the network as arrays and answers many questions; the two functions are for one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components, dijkstra

from ..errors import NotFound
from .model import Network, Pipe, Regulator, Valve

Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]

# How far a valve or regulator counts, so that no edge is without length [m].
_SHORT_M = 1.0


class ElementKind(StrEnum):
    """What kind of thing of the network an element is."""

    PIPE = "pipe"
    JUNCTION = "junction"
    SERVICE_POINT = "service_point"
    STATION = "station"
    REGULATOR = "regulator"
    VALVE = "valve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One thing of the network, named by its kind and id."""

    kind: ElementKind
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """How to shut an element off, and what that costs.

    `valves_to_close` in the order to walk them, nearest to a source first. `junctions` and `pipes` are the part shut
    off; `service_points_lost` are all that lose every feed, inside that part or behind it. `volume_m3` is the
    geometric volume of the pipes shut off. `regulators_inside` stand at the border or inside and must be shut too.
    """

    valves_to_close: tuple[str, ...]
    regulators_inside: tuple[str, ...]
    junctions: tuple[str, ...]
    pipes: tuple[str, ...]
    service_points_lost: tuple[str, ...]
    volume_m3: float


class Trace:
    """A network compiled for tracing."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._junction = {junction.id: k for k, junction in enumerate(network.junctions)}
        self._pipes = self._ends(network.pipes)
        self._valves = self._ends(network.valves)
        self._regulators = self._ends(network.regulators)
        self._open = np.array([valve.normally_open for valve in network.valves], np.bool_)
        self._sources = np.array([self._junction[gate.junction] for gate in network.gate_inlets], np.intp)
        self._served = np.array([self._junction[point.junction] for point in network.service_points], np.intp)

    def isolate(self, element: Element, *, stuck: Collection[str] = frozenset()) -> Isolation:
        """How to isolate `element` with every valve but those `stuck`. Raises NotFound for an unknown element."""
        network = self._network
        is_stuck = np.array([valve.id in stuck for valve in network.valves], np.bool_)
        inside = self._section(self._seeds(element), is_stuck & self._open, self._own_valve(element))
        crossing = inside[self._valves].any(axis=1)
        crossing &= ~inside[self._valves].all(axis=1) & self._open & ~is_stuck
        shut_off = np.asarray(inside[self._regulators].any(axis=1), np.bool_)
        fed = self._fed(valves_open=self._open & ~crossing, regulators_open=~shut_off, dead=inside)
        pipes = np.flatnonzero(inside[self._pipes].all(axis=1))
        return Isolation(
            valves_to_close=self._in_order(np.flatnonzero(crossing)),
            regulators_inside=tuple(network.regulators[k].id for k in np.flatnonzero(shut_off)),
            junctions=tuple(network.junctions[k].id for k in np.flatnonzero(inside)),
            pipes=tuple(network.pipes[k].id for k in pipes),
            service_points_lost=self._unfed(fed),
            volume_m3=float(sum(_volume_m3(network.pipes[k]) for k in pipes)),
        )

    def supply_lost(
        self, *, closed_regulators: Collection[str] = frozenset(), closed_valves: Collection[str] = frozenset()
    ) -> tuple[str, ...]:
        """Service points with no path to a gate inlet when these are shut, besides the valves that normally are."""
        network = self._network
        shut = np.array([regulator.id in closed_regulators for regulator in network.regulators], np.bool_)
        closed = np.array([valve.id in closed_valves for valve in network.valves], np.bool_)
        nowhere = np.zeros(len(network.junctions), np.bool_)
        return self._unfed(self._fed(valves_open=self._open & ~closed, regulators_open=~shut, dead=nowhere))

    def sections(self) -> dict[str, int]:
        """The section of each junction when every valve is shut, as a number."""
        part = self._parts(self._pipes)
        return {junction.id: int(k) for junction, k in zip(self._network.junctions, part, strict=True)}

    def refeed(self, isolation: Isolation) -> dict[str, tuple[str, ...]]:
        """For each normally closed valve that, opened, would feed again some who lose supply: who that is."""
        network = self._network
        dead = np.zeros(len(network.junctions), np.bool_)
        dead[[self._junction[name] for name in isolation.junctions]] = True
        closed = np.array([valve.id in set(isolation.valves_to_close) for valve in network.valves], np.bool_)
        shut = np.array([r.id in set(isolation.regulators_inside) for r in network.regulators], np.bool_)
        is_open = self._open & ~closed
        fed = self._fed(valves_open=is_open, regulators_open=~shut, dead=dead)
        ends = fed[self._valves]
        useful = ~self._open & (ends[:, 0] != ends[:, 1]) & ~dead[self._valves].any(axis=1)
        lost = set(isolation.service_points_lost)
        again: dict[str, tuple[str, ...]] = {}
        for k in np.flatnonzero(useful):
            is_open[k] = True
            still = set(self._unfed(self._fed(valves_open=is_open, regulators_open=~shut, dead=dead)))
            is_open[k] = False
            if regained := lost - still:
                again[network.valves[k].id] = tuple(sorted(regained))
        return again

    def _ends(self, edges: Sequence[Pipe] | Sequence[Valve] | Sequence[Regulator]) -> Ints:
        """Both ends of each edge as junction positions; shape (edge, 2)."""
        ends = [(self._junction[edge.from_junction], self._junction[edge.to_junction]) for edge in edges]
        return np.array(ends, np.intp).reshape(-1, 2)

    def _seeds(self, element: Element) -> Ints:
        """The junctions that must lie inside the part shut off."""
        network = self._network
        match element.kind:
            case ElementKind.PIPE:
                found = self._ends([pipe for pipe in network.pipes if pipe.id == element.id])
            case ElementKind.VALVE:
                found = self._ends([valve for valve in network.valves if valve.id == element.id])
            case ElementKind.REGULATOR:
                found = self._ends([regulator for regulator in network.regulators if regulator.id == element.id])
            case ElementKind.STATION:
                found = self._ends([regulator for regulator in network.regulators if regulator.station == element.id])
            case ElementKind.SERVICE_POINT:
                at = [self._junction[point.junction] for point in network.service_points if point.id == element.id]
                found = np.array(at, np.intp)
            case ElementKind.JUNCTION:
                found = np.array([self._junction[element.id]] if element.id in self._junction else [], np.intp)
        if not found.size:
            raise NotFound(element.kind, element.id)
        return found.ravel()

    def _own_valve(self, element: Element) -> Bools:
        """The valve that is the element itself: it cannot be what shuts itself off."""
        own = element.id if element.kind is ElementKind.VALVE else None
        return np.array([valve.id == own for valve in self._network.valves], np.bool_)

    def _section(self, seeds: Ints, stuck_open: Bools, own: Bools) -> Bools:
        """What hangs together with `seeds` when every valve that can be is shut; shape (junction,)."""
        part = self._parts(np.concatenate([self._pipes, self._valves[stuck_open | own]]))
        return np.isin(part, part[seeds])

    def _parts(self, ends: Ints) -> Ints:
        n = len(self._network.junctions)
        graph = coo_matrix((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), (n, n))
        return np.asarray(connected_components(graph, directed=False)[1], np.intp)

    def _fed(self, *, valves_open: Bools, regulators_open: Bools, dead: Bools) -> Bools:
        """Which junctions have a way to a gate inlet that avoids `dead` ones; shape (junction,)."""
        ends = np.concatenate([self._pipes, self._valves[valves_open]])
        part = self._parts(ends[~dead[ends].any(axis=1)])
        fed = np.zeros(int(part.max(initial=0)) + 1, np.bool_)
        fed[part[self._sources[~dead[self._sources]]]] = True
        passing = self._regulators[regulators_open]
        inlet, outlet = part[passing[~dead[passing].any(axis=1)]].T
        while (fed[inlet] & ~fed[outlet]).any():
            fed[outlet[fed[inlet]]] = True
        result: Bools = fed[part] & ~dead
        return result

    def _unfed(self, fed: Bools) -> tuple[str, ...]:
        return tuple(self._network.service_points[k].id for k in np.flatnonzero(~fed[self._served]))

    def _in_order(self, valves: Ints) -> tuple[str, ...]:
        """Valves by their way from the nearest gate inlet, as the network is normally run."""
        edges = np.concatenate([self._pipes, self._valves[self._open], self._regulators])
        short = np.full(len(edges) - len(self._pipes), _SHORT_M)
        length = np.concatenate([[pipe.length_m for pipe in self._network.pipes], short])
        n = len(self._network.junctions)
        if not len(self._sources):
            return tuple(self._network.valves[k].id for k in valves)
        # The matrix adds what lies in parallel; that only makes a way look longer, never vanish.
        graph = coo_matrix((length, (edges[:, 0], edges[:, 1])), (n, n)).tocsr()
        way = dijkstra(graph, directed=False, indices=self._sources, min_only=True)
        reach = way[self._valves[valves]].min(axis=1)
        return tuple(self._network.valves[k].id for k in valves[np.argsort(reach, kind="stable")])


def isolate(network: Network, element: Element, *, stuck: frozenset[str] = frozenset()) -> Isolation:
    """How to isolate `element` with every valve but those `stuck`. Raises NotFound for an unknown element."""
    return Trace(network).isolate(element, stuck=stuck)


def supply_lost(
    network: Network, *, closed_regulators: frozenset[str] = frozenset(), closed_valves: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Service points with no path to a gate inlet when these are shut, besides the valves that normally are."""
    return Trace(network).supply_lost(closed_regulators=closed_regulators, closed_valves=closed_valves)


def sections(network: Network) -> dict[str, int]:
    """The section of each junction when every valve is shut, as a number."""
    return Trace(network).sections()


def _volume_m3(pipe: Pipe) -> float:
    return float(np.pi / 4.0 * (pipe.inner_diameter_mm / 1000.0) ** 2 * pipe.length_m)
