"""What an incident cuts off: the valves to close, who loses supply, and where that is.

    leak, rupture   the probable place is isolated between valves; lost is what then has no way to a source
    slam_shut       the regulators named are shut; lost is what only they fed
    supply_low      what hangs between the valves around the place has no supply; there is nothing to close

Other kinds cut nobody off. Those who can be fed another way are not lost: the trace looks for any way that is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gashub.errors import NotFound
from gashub.network.model import Network, Sensitivity, ServicePoint
from gashub.network.trace import Element, ElementKind, isolate, supply_lost

from .area import Ring, polygons

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


def cutoff(network: Network, kind: str, ranked: Sequence[Place]) -> Cutoff | None:
    """What an incident of `kind` cuts off; None where that is nobody, or where no place is known yet."""
    if kind not in NOTICE_KINDS:
        return None
    if kind == "slam_shut":
        return _behind(network, supply_lost(network, closed_regulators=_regulators(network, ranked)))
    element = _first_known(ranked)
    return None if element is None else _around(network, element, close=kind in _ISOLATED_KINDS)


def _around(network: Network, element: Element, *, close: bool) -> Cutoff | None:
    try:
        isolation = isolate(network, element)
    except NotFound:
        # The network changed since the place was found; the ticket stands, the notice waits for a better place.
        return None
    if not isolation.service_points_lost:
        return None
    lost = _ordered(network, isolation.service_points_lost)
    junctions = set(isolation.junctions) | {point.junction for point in lost}
    return Cutoff(
        valves=isolation.valves_to_close if close else (),
        regulators=isolation.regulators_inside if close else (),
        service_points=lost,
        area=_area(network, junctions),
    )


def _behind(network: Network, lost_ids: Sequence[str]) -> Cutoff | None:
    if not lost_ids:
        return None
    lost = _ordered(network, lost_ids)
    area = _area(network, {point.junction for point in lost})
    return Cutoff(valves=(), regulators=(), service_points=lost, area=area)


def _regulators(network: Network, ranked: Sequence[Place]) -> frozenset[str]:
    """Every regulator named, itself or by its station."""
    named = {(place.element, place.id) for place in ranked}
    return frozenset(
        regulator.id
        for regulator in network.regulators
        if ("regulator", regulator.id) in named or ("station", regulator.station) in named
    )


def _first_known(ranked: Sequence[Place]) -> Element | None:
    kinds = {str(kind) for kind in ElementKind}
    return next((Element(kind=ElementKind(p.element), id=p.id) for p in ranked if p.element in kinds), None)


def _ordered(network: Network, ids: Sequence[str]) -> tuple[ServicePoint, ...]:
    wanted = set(ids)
    found = [point for point in network.service_points if point.id in wanted]
    return tuple(sorted(found, key=lambda point: (_TOLD_ORDER.index(point.sensitivity), point.id)))


def _area(network: Network, junctions: set[str]) -> list[Ring]:
    positions = {j.id: (j.x_m, j.y_m) for j in network.junctions if j.id in junctions}
    return polygons(positions, _links(network))


def _links(network: Network) -> list[tuple[str, str]]:
    """What joins junctions into one part: pipes, and valves that normally stand open."""
    return [(pipe.from_junction, pipe.to_junction) for pipe in network.pipes] + [
        (valve.from_junction, valve.to_junction) for valve in network.valves if valve.normally_open
    ]
