"""How the town's pipes are made into a run network: zones, feeder ring, stations, valves.

                 gate-1                      gate-2
                   │ 1,600 kPa                 │
              ─── regulator ──── feeder ring, 380 kPa ──── regulator ───
                   │                │                │
                drs-north-1      drs-east-1  ...   drs-west-1        district regulators
                   │ 100 kPa        │                │
                 north  ··×··     east   ··×··     west              × closed border valves

Schutterwald's mains are a tree fed from one place. Here the tree is cut where that halves its customers best, twice
over, into four zones; a closed valve stands in each cut. Mains that end near each other are linked, inside a zone
openly, across a border with a closed valve. Inside a zone every main between two sections of some 50 to 150
customers has an open valve. Stations stand where the way to the customers is shortest.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components, shortest_path

from gashub.network.model import GateInlet, Junction, Pipe, Regulator, Valve, Zone

from .schutterwald import Source, as_pipe

FEEDER: Final = "feeder"
FEEDER_KPA_GAUGE: Final = 380.0
TOWN_KPA_GAUGE: Final = 100.0
GATE_KPA_GAUGE: Final = 1600.0
ZONES: Final = (
    Zone(id="north", name_en="North", name_zh="北区"),
    Zone(id="east", name_en="East", name_zh="东区"),
    Zone(id="south", name_en="South", name_zh="南区"),
    Zone(id="west", name_en="West", name_zh="西区"),
    Zone(id=FEEDER, name_en="Feeder ring", name_zh="中压环线"),
)
_STATIONS: Final = {"north": 2, "east": 1, "south": 2, "west": 1}
_STATION_CAPACITY_M3H: Final = 900.0
_GATE_CAPACITY_M3H: Final = 4000.0
_SECTION_CUSTOMERS: Final = 70
_RING_JUNCTIONS: Final = 24
_RING_VALVE_EVERY: Final = 3
_LINK_MM: Final = 102.2
_LINK_REACH_M: Final = 90.0
_LINK_DETOUR_M: Final = 350.0
_LINKS_A_ZONE: Final = 3
_BORDER_LINKS: Final = 5
_FIRST_NEW: Final = 3001

Ints = NDArray[np.intp]
Floats = NDArray[np.float64]


@dataclass(slots=True, kw_only=True)
class Draft:
    """The network being drawn; new junctions, pipes and valves get the next free number."""

    junctions: list[Junction]
    pipes: list[Pipe]
    valves: list[Valve]
    regulators: list[Regulator]
    gate_inlets: list[GateInlet]
    next_number: int = _FIRST_NEW

    def junction(self, zone: str, x_m: float, y_m: float, height_m: float) -> Junction:
        """Add a junction."""
        new = Junction(
            id=f"j{self._number()}", zone=zone, x_m=round(float(x_m), 2), y_m=round(float(y_m), 2), height_m=height_m
        )
        self.junctions.append(new)
        return new

    def pipe(self, start: Junction, end: Junction, *, zone: str, mm: float, level: str) -> Pipe:
        """Add a straight pipe."""
        length = max(1.0, float(np.hypot(start.x_m - end.x_m, start.y_m - end.y_m)))
        new = Pipe(
            id=f"p{self._number()}",
            zone=zone,
            from_junction=start.id,
            to_junction=end.id,
            length_m=round(length, 2),
            inner_diameter_mm=mm,
            roughness_mm=0.1,
            pressure_level=level,
        )
        self.pipes.append(new)
        return new

    def valve(self, start: Junction, end: Junction, *, zone: str, is_open: bool, mm: float) -> Valve:
        """Add a valve; valves have numbers of their own."""
        new = Valve(
            id=f"v{len(self.valves) + 1}",
            zone=zone,
            from_junction=start.id,
            to_junction=end.id,
            normally_open=is_open,
            inner_diameter_mm=mm,
        )
        self.valves.append(new)
        return new

    def _number(self) -> int:
        self.next_number += 1
        return self.next_number - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mains:
    """The mains as a graph over all of the source's junctions.

    `ends`: shape (main, 2), with the links added; `source_pipe` is the pipe's position in the source, -1 for a link;
    `customers` at each junction; `zone_of` and `section_of` each junction, -1 where no main touches it.
    """

    ends: Ints
    length_m: Floats
    source_pipe: Ints
    customers: Floats
    zone_of: Ints
    section_of: Ints


def draw(source: Source) -> Draft:
    """The whole network but its service points."""
    mains, sites = plan_mains(source)
    draft = Draft(junctions=[], pipes=[], valves=[], regulators=[], gate_inlets=[])
    _draw_town(draft, source, mains)
    _draw_feeder(draft, source, sites)
    return draft


def plan_mains(source: Source) -> tuple[Mains, dict[str, list[int]]]:
    """Zones, links and sections of the mains, and the junction each zone's stations feed."""
    main = np.flatnonzero(source.is_main)
    ends = np.stack([source.from_junction[main], source.to_junction[main]], axis=1)
    customers = _customers_at(source)
    zone_of = _four_zones(source, ends, customers)
    ends, length, source_pipe = _with_links(source, main, ends, zone_of)
    sites = {
        ZONES[k].id: _station_sites(ends, length, customers, zone_of == k, _STATIONS[ZONES[k].id]) for k in range(4)
    }
    section_of = np.full(len(zone_of), -1, np.intp)
    for k in range(4):
        inside = (zone_of[ends] == k).all(axis=1)
        _cut_sections(section_of, ends[inside], customers, sites[ZONES[k].id][0])
    mains = Mains(
        ends=ends,
        length_m=length,
        source_pipe=source_pipe,
        customers=customers,
        zone_of=zone_of,
        section_of=section_of,
    )
    return mains, sites


def _customers_at(source: Source) -> Floats:
    """Customers counted at the main their house connection leaves from; shape (junction,)."""
    lines = ~source.is_main
    on_main = np.zeros(len(source.x_m), np.bool_)
    on_main[source.from_junction[source.is_main]] = on_main[source.to_junction[source.is_main]] = True
    start, end = source.from_junction[lines], source.to_junction[lines]
    return np.bincount(np.where(on_main[start], start, end), minlength=len(source.x_m)).astype(float)


def _graph(ends: Ints, n: int, weight: Floats | None = None) -> csr_matrix:
    data = np.ones(len(ends)) if weight is None else weight
    return coo_matrix((data, (ends[:, 0], ends[:, 1])), (n, n)).tocsr()


def _subtree_sums(graph: csr_matrix, root: int, weight: Floats) -> tuple[Ints, Ints, Floats]:
    """Breadth-first order from `root`, each node's parent, and the weight at and below each node."""
    order, parent = breadth_first_order(graph, root, directed=False)
    below = weight.copy()
    for node in order[:0:-1]:
        below[parent[node]] += below[node]
    return order.astype(np.intp), parent.astype(np.intp), below


def _four_zones(source: Source, ends: Ints, customers: Floats) -> Ints:
    """Each junction's zone, as position in ZONES; -1 where no main touches it."""
    n = len(customers)
    used = np.zeros(n, np.bool_)
    used[ends] = True
    kept = ends
    for _ in range(3):
        part_of = _parts(kept, n)
        largest = int(np.bincount(part_of[used], weights=customers[used]).argmax())
        kept = _halve(kept, part_of == largest, customers)
    part_of = np.where(used, _parts(kept, n), -1)
    parts = np.unique(part_of[used])
    centre = np.array([[source.x_m[part_of == p].mean(), source.y_m[part_of == p].mean()] for p in parts])
    names = _compass(centre - centre.mean(axis=0))
    zone_of = np.full(n, -1, np.intp)
    for p, name in zip(parts, names, strict=True):
        zone_of[part_of == p] = name
    return zone_of


def _parts(ends: Ints, n: int) -> Ints:
    return np.asarray(connected_components(_graph(ends, n), directed=False)[1], np.intp)


def _halve(ends: Ints, inside: NDArray[np.bool_], customers: Floats) -> Ints:
    """The edges without those that join the two best halves of the part that is `inside`."""
    weight = np.where(inside, customers, 0.0)
    mine = inside[ends].all(axis=1)
    root = int(ends[mine][0, 0])
    order, parent, below = _subtree_sums(_graph(ends[mine], len(customers)), root, weight)
    cut = int(order[1:][np.abs(below[order[1:]] - weight.sum() / 2).argmin()])
    far = np.zeros(len(customers), np.bool_)
    far[cut] = True
    for node in order[1:]:
        far[node] |= far[parent[node]]
    kept: Ints = ends[~(mine & (far[ends[:, 0]] != far[ends[:, 1]]))]
    return kept


def _compass(offset: Floats) -> tuple[int, ...]:
    """Which of north, east, south, west each of four places is, so that the whole deviates least."""
    direction = np.array([[0, 1], [1, 0], [0, -1], [-1, 0]], float)
    fit = (offset / np.linalg.norm(offset, axis=1, keepdims=True)) @ direction.T
    return max(itertools.permutations(range(4)), key=lambda names: sum(fit[k, name] for k, name in enumerate(names)))


def _with_links(source: Source, main: Ints, ends: Ints, zone_of: Ints) -> tuple[Ints, Floats, Ints]:
    """The mains with links between those that pass near each other but are far apart along the pipes."""
    length = source.length_m[main]
    inside = zone_of[ends[:, 0]] == zone_of[ends[:, 1]]
    nodes = np.flatnonzero(zone_of >= 0)
    x, y = source.x_m[nodes], source.y_m[nodes]
    gap = np.hypot(x[:, None] - x, y[:, None] - y)
    links: list[tuple[int, int]] = []
    graph = _graph(ends[inside], len(zone_of), length[inside])
    way = shortest_path(graph, directed=False, indices=nodes)[:, nodes]
    same = zone_of[nodes][:, None] == zone_of[nodes]
    for k in range(4):
        here = same & (zone_of[nodes] == k)[:, None] & (way > _LINK_DETOUR_M)
        links += _nearest_pairs(nodes, gap, here, _LINKS_A_ZONE)
    links += _nearest_pairs(nodes, gap, ~same, _BORDER_LINKS)
    extra = np.array(links, np.intp).reshape(-1, 2)
    new_length = np.maximum(1.0, np.hypot(*(c[extra[:, 0]] - c[extra[:, 1]] for c in (source.x_m, source.y_m)))).round(
        2
    )
    return (
        np.concatenate([ends, extra]),
        np.concatenate([length, new_length]),
        np.concatenate([main, np.full(len(extra), -1, np.intp)]),
    )


def _nearest_pairs(nodes: Ints, gap: Floats, allowed: NDArray[np.bool_], count: int) -> list[tuple[int, int]]:
    """The nearest allowed pairs, each at least 150 m from the ones already taken."""
    distance = np.where(allowed & (gap < _LINK_REACH_M), gap, np.inf)
    pairs: list[tuple[int, int]] = []
    while len(pairs) < count and np.isfinite(distance.min()):
        a, b = np.unravel_index(int(distance.argmin()), distance.shape)
        pairs.append((int(nodes[a]), int(nodes[b])))
        near = (gap[a] < 150.0) | (gap[b] < 150.0)
        distance[near] = distance[:, near] = np.inf
    return pairs


def _station_sites(ends: Ints, length: Floats, customers: Floats, inside: NDArray[np.bool_], count: int) -> list[int]:
    """The one or two junctions from which the customers' way, summed, is shortest."""
    mine = inside[ends].all(axis=1)
    nodes = np.flatnonzero(inside)
    way = shortest_path(_graph(ends[mine], len(customers), length[mine]), directed=False, indices=nodes)[:, nodes]
    weight = customers[nodes] + 0.1
    if count == 1:
        return [int(nodes[(way @ weight).argmin()])]
    cost = np.array([np.minimum(row, way) @ weight for row in way])
    first, second = np.unravel_index(int(cost.argmin()), cost.shape)
    return [int(nodes[first]), int(nodes[second])]


def _cut_sections(section_of: Ints, ends: Ints, customers: Floats, root: int) -> None:
    """Number the sections of one zone in `section_of`: from the far ends inwards, cut when there are enough."""
    order, parent = breadth_first_order(_graph(ends, len(customers)), root, directed=False)
    below = customers.copy()
    cut_here = np.zeros(len(customers), np.bool_)
    for node in order[:0:-1]:
        if below[node] >= _SECTION_CUSTOMERS:
            cut_here[node] = True
        else:
            below[parent[node]] += below[node]
    first = int(section_of.max()) + 1
    section_of[root] = first
    for node in order[1:]:
        if cut_here[node]:
            first += 1
        section_of[node] = first if cut_here[node] else section_of[parent[node]]


def _draw_town(draft: Draft, source: Source, mains: Mains) -> None:
    """Junctions and pipes of the four zones, with their border and section valves."""
    zone_of = mains.zone_of.copy()
    lines = np.flatnonzero(~source.is_main)
    for start, end in ((source.from_junction, source.to_junction), (source.to_junction, source.from_junction)):
        lost = zone_of[end[lines]] < 0
        zone_of[end[lines[lost]]] = zone_of[start[lines[lost]]]
    names = [ZONES[k].id for k in zone_of]
    for k, zone in enumerate(names):
        x, y, height = float(source.x_m[k]), float(source.y_m[k]), float(source.height_m[k])
        draft.junctions.append(Junction(id=f"j{k}", zone=zone, x_m=x, y_m=y, height_m=height))
    for line in lines:
        start_of = draft.junctions[source.from_junction[line]]
        draft.pipes.append(as_pipe(source, int(line), start_of.zone, start_of.id))
    for (start, end), source_pipe in zip(mains.ends.tolist(), mains.source_pipe.tolist(), strict=True):
        at: Junction = draft.junctions[start]
        crosses = zone_of[start] != zone_of[end]
        if crosses or mains.section_of[start] != mains.section_of[end]:
            at = _valve_in(draft, draft.junctions[start], draft.junctions[end], is_open=not crosses)
        if source_pipe >= 0:
            draft.pipes.append(as_pipe(source, source_pipe, names[end], at.id))
        else:
            draft.pipe(at, draft.junctions[end], zone=names[end], mm=_LINK_MM, level="medium_b")


def _valve_in(draft: Draft, start: Junction, end: Junction, *, is_open: bool) -> Junction:
    """A valve at the start of the pipe that leads from `start` to `end`; the pipe begins at the junction returned."""
    x, y = (a + 0.1 * (b - a) for a, b in ((start.x_m, end.x_m), (start.y_m, end.y_m)))
    behind = draft.junction(end.zone, x, y, start.height_m)
    draft.valve(start, behind, zone=start.zone, is_open=is_open, mm=_LINK_MM)
    return behind


def _draw_feeder(draft: Draft, source: Source, sites: dict[str, list[int]]) -> None:
    """The ring around the town, its two gates, and a branch to every district station."""
    ring = _ring(draft, source)
    for number, junction in enumerate((ring[0], ring[_RING_JUNCTIONS // 2]), 1):
        _gate(draft, number, junction)
    for zone, junctions in sites.items():
        for number, site in enumerate(junctions, 1):
            _district_station(draft, ring, draft.junctions[site], zone, number)


def _ring(draft: Draft, source: Source) -> list[Junction]:
    x, y, height = source.x_m, source.y_m, float(np.median(source.height_m))
    middle, half = ((x.min() + x.max()) / 2, (y.min() + y.max()) / 2), (np.ptp(x) / 2, np.ptp(y) / 2)
    angle = 2 * np.pi * np.arange(_RING_JUNCTIONS) / _RING_JUNCTIONS
    ring = [
        draft.junction(FEEDER, middle[0] + 1.08 * half[0] * np.cos(a), middle[1] + 1.08 * half[1] * np.sin(a), height)
        for a in angle
    ]
    for k, start in enumerate(ring):
        end = ring[(k + 1) % len(ring)]
        if k % _RING_VALVE_EVERY == 1:
            behind = draft.junction(FEEDER, 0.9 * start.x_m + 0.1 * end.x_m, 0.9 * start.y_m + 0.1 * end.y_m, height)
            draft.valve(start, behind, zone=FEEDER, is_open=True, mm=200.0)
            start = behind  # noqa: PLW2901 - the pipe begins behind the valve
        draft.pipe(start, end, zone=FEEDER, mm=204.6, level="medium_a")
    return ring


def _gate(draft: Draft, number: int, ring: Junction) -> None:
    side = 1.0 if number == 1 else -1.0
    source = draft.junction(FEEDER, ring.x_m + side * 60.0, ring.y_m, ring.height_m)
    outlet = draft.junction(FEEDER, ring.x_m + side * 30.0, ring.y_m, ring.height_m)
    draft.gate_inlets.append(
        GateInlet(id=f"gate-inlet-{number}", junction=source.id, pressure_kpa_gauge=GATE_KPA_GAUGE)
    )
    draft.regulators.append(
        Regulator(
            id=f"reg-gate-{number}",
            zone=FEEDER,
            station=f"gate-{number}",
            from_junction=source.id,
            to_junction=outlet.id,
            set_point_kpa_gauge=FEEDER_KPA_GAUGE,
            slam_shut_kpa_gauge=450.0,
            capacity_m3h_std=_GATE_CAPACITY_M3H,
        )
    )
    draft.valve(outlet, ring, zone=FEEDER, is_open=True, mm=200.0)


def _district_station(draft: Draft, ring: list[Junction], site: Junction, zone: str, number: int) -> None:
    """A station beside the main at `site`: branch from the ring, inlet valve, regulator, outlet valve."""
    from_ring = min(ring, key=lambda j: float(np.hypot(j.x_m - site.x_m, j.y_m - site.y_m)))
    before, inlet = (draft.junction(FEEDER, site.x_m + dx, site.y_m + 10.0, site.height_m) for dx in (12.0, 8.0))
    outlet = draft.junction(zone, site.x_m + 4.0, site.y_m + 5.0, site.height_m)
    draft.pipe(from_ring, before, zone=FEEDER, mm=102.2, level="medium_a")
    draft.valve(before, inlet, zone=FEEDER, is_open=True, mm=100.0)
    draft.regulators.append(
        Regulator(
            id=f"reg-{zone}-{number}",
            zone=zone,
            station=f"drs-{zone}-{number}",
            from_junction=inlet.id,
            to_junction=outlet.id,
            set_point_kpa_gauge=TOWN_KPA_GAUGE,
            slam_shut_kpa_gauge=130.0,
            capacity_m3h_std=_STATION_CAPACITY_M3H,
        )
    )
    draft.valve(outlet, site, zone=zone, is_open=True, mm=_LINK_MM)
