"""What an incident cuts off: the valves to close, who loses supply, and where that is.

    leak, rupture   the probable place is isolated between valves; lost is what then has no way to a source
    slam_shut       the regulators named are shut; lost is what only they fed
    supply_low      what hangs between the valves around the place has no supply; there is nothing to close

Other kinds cut nobody off. Those who can be fed another way are not lost: the trace looks for any way that is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gashub.errors import NotFound
from gashub.network.model import Network, Sensitivity, ServicePoint
from gashub.network.trace import Element, ElementKind, Trace

from .area import Ring, Segment, polygons

NOTICE_KINDS: Final = frozenset({"leak", "rupture", "slam_shut", "supply_low"})
_ISOLATED_KINDS: Final = frozenset({"leak", "rupture"})
# As the enumeration lists them, with the customers of no sensitivity last.
_TOLD_ORDER: Final = [*(each for each in Sensitivity if each is not Sensitivity.NONE), Sensitivity.NONE]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One element where an incident probably is."""

    element: str
    id: str
    probability: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutoff:
    """What an incident cuts off.

    valves: to close, in the order to walk them. regulators: feed the part shut off and must be shut too.
    service_points: in the order to tell them, sensitive customers first. area: open rings [m].
    """

    valves: tuple[str, ...]
    regulators: tuple[str, ...]
    service_points: tuple[ServicePoint, ...]
    area: list[Ring]

    @property
    def customers_by_class(self) -> dict[str, int]:
        """How many of each customer class lose supply."""
        return dict(sorted(Counter(str(point.customer_class) for point in self.service_points).items()))

    @property
    def sensitive_count(self) -> int:
        """How many must be told one by one."""
        return sum(point.sensitivity is not Sensitivity.NONE for point in self.service_points)


def places(ranked: Iterable[Mapping[str, Any]]) -> list[Place]:
    """The places of an incident as its journal entry lists them, best first; items of another shape are left out."""
    return [
        Place(element=str(item["element"]), id=str(item["id"]), probability=float(item.get("probability") or 0.0))
        for item in ranked
        if "element" in item and "id" in item
    ]


class Isolator:
    """A network, made ready once for all that may be asked about it."""

    def __init__(self, network: Network, stations: Mapping[str, str] | None = None) -> None:
        """stations: the junction at which each station stands, by its id."""
        self.network = network
        # A regulator, and its station, are looked for where they deliver: what they take from has more feeds than this.
        self._junction_of = {
            **{("station", station): junction for station, junction in (stations or {}).items()},
            **{("station", regulator.station): regulator.to_junction for regulator in network.regulators},
            **{("regulator", regulator.id): regulator.to_junction for regulator in network.regulators},
        }
        self._trace = Trace(network)
        self._position = {junction.id: (junction.x_m, junction.y_m) for junction in network.junctions}
        self._service_points = {point.id: point for point in network.service_points}

    def cutoff(self, kind: str, ranked: Sequence[Place], *, shut: frozenset[str] = frozenset()) -> Cutoff | None:
        """What an incident of `kind` cuts off; None where that is nobody, or where no place is known yet.

        shut: regulators known to be shut besides those at the place; they matter to the kind `slam_shut`.
        """
        if kind not in NOTICE_KINDS:
            return None
        if kind == "slam_shut":
            return self._cutoff(self._trace.supply_lost(closed_regulators=self._regulators(ranked) | shut))
        element = self._first_known(ranked)
        return None if element is None else self._around(element, close=kind in _ISOLATED_KINDS)

    def _around(self, element: Element, *, close: bool) -> Cutoff | None:
        try:
            isolation = self._trace.isolate(element)
        except NotFound:
            # The network changed since the place was found; the ticket stands, the notice waits for a better place.
            return None
        found = self._cutoff(isolation.service_points_lost, closed=isolation.valves_to_close)
        if found is None or not close:
            return found
        return replace(found, valves=isolation.valves_to_close, regulators=isolation.regulators_inside)

    def _cutoff(self, lost_ids: Sequence[str], closed: Sequence[str] = ()) -> Cutoff | None:
        if not lost_ids:
            return None
        lost = sorted(
            (self._service_points[key] for key in lost_ids),
            key=lambda point: (_TOLD_ORDER.index(point.sensitivity), point.id),
        )
        area = polygons(self._segments({point.junction for point in lost}, frozenset(closed)))
        return Cutoff(valves=(), regulators=(), service_points=tuple(lost), area=area)

    def _regulators(self, ranked: Sequence[Place]) -> frozenset[str]:
        """Every regulator named, itself or by its station."""
        named = {(place.element, place.id) for place in ranked}
        return frozenset(
            regulator.id
            for regulator in self.network.regulators
            if ("regulator", regulator.id) in named or ("station", regulator.station) in named
        )

    def _segments(self, without_gas: set[str], closed: frozenset[str]) -> list[Segment]:
        """All pipes that hang together with junctions that have no gas, and those junctions themselves."""
        reached, at_junction = set(without_gas), self._links(closed)
        todo = list(reached)
        while todo:
            for other in at_junction.get(todo.pop(), ()):
                if other not in reached:
                    reached.add(other)
                    todo.append(other)
        pipes = [
            (self._position[pipe.from_junction], self._position[pipe.to_junction])
            for pipe in self.network.pipes
            if pipe.from_junction in reached
        ]
        return [*pipes, *((self._position[name], self._position[name]) for name in without_gas)]

    def _links(self, closed: frozenset[str]) -> dict[str, list[str]]:
        """The neighbours of each junction along pipes and valves that stay open: they have gas, or not, together."""
        edges = [(pipe.from_junction, pipe.to_junction) for pipe in self.network.pipes] + [
            (valve.from_junction, valve.to_junction)
            for valve in self.network.valves
            if valve.normally_open and valve.id not in closed
        ]
        neighbours: dict[str, list[str]] = {}
        for one, other in edges:
            neighbours.setdefault(one, []).append(other)
            neighbours.setdefault(other, []).append(one)
        return neighbours

    def _first_known(self, ranked: Sequence[Place]) -> Element | None:
        kinds = {str(kind) for kind in ElementKind}
        for place in ranked:
            if junction := self._junction_of.get((place.element, place.id)):
                return Element(kind=ElementKind.JUNCTION, id=junction)
            if place.element in kinds:
                return Element(kind=ElementKind(place.element), id=place.id)
        return None
