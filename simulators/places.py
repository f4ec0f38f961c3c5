"""Places in one town: things named outright, and rules that pick one in any town, written `rule:zone`.

largest_main        the widest main, the longest of those
central_main        of the wider half of the mains, the one nearest to the middle
regulator           the regulator with the largest capacity
sectional_valve     the valve whose closing leaves most customers without gas, if one, with a pressure point among them
largest_meter       the meter of the customer that takes most in a year
pressure_logger, station_rtu, inlet_meter, network_pressure, outlet_pressure
                    the last by name of the devices or points in that role
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from gashub.errors import InvalidValue, NotFound
from gashub.network.model import CustomerClass, Network, ServicePoint
from gashub.network.trace import Trace
from gashub.registry import Registry, Role, StationKind


class PlaceKind(StrEnum):
    """What kind of thing an event happens to."""

    PIPE = "pipe"
    JUNCTION = "junction"
    SERVICE_POINT = "service_point"
    REGULATOR = "regulator"
    VALVE = "valve"
    DEVICE = "device"
    POINT = "point"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One thing of the town: an element of the network, a device, or a point by its tag."""

    kind: PlaceKind
    id: str


_SEEN: Final = 1e9
PICKS: Final[Mapping[str, PlaceKind]] = {
    "largest_main": PlaceKind.PIPE,
    "central_main": PlaceKind.PIPE,
    "regulator": PlaceKind.REGULATOR,
    "sectional_valve": PlaceKind.VALVE,
    "pressure_logger": PlaceKind.DEVICE,
    "station_rtu": PlaceKind.DEVICE,
    "largest_meter": PlaceKind.DEVICE,
    "inlet_meter": PlaceKind.DEVICE,
    "network_pressure": PlaceKind.POINT,
    "outlet_pressure": PlaceKind.POINT,
}
_PICK_ROLE: Final = {
    "pressure_logger": Role.NETWORK_PRESSURE,
    "station_rtu": Role.SLAM_SHUT,
    "inlet_meter": Role.ZONE_INLET_FLOW,
    "network_pressure": Role.NETWORK_PRESSURE,
    "outlet_pressure": Role.STATION_OUTLET_PRESSURE,
}


class Places:
    """Where things stand in one town: checks named places and answers picks."""

    def __init__(self, network: Network, registry: Registry) -> None:
        self._network = network
        self._registry = registry
        self._zone: dict[Place, str] = _zones(network, registry)

    def zone(self, place: Place) -> str:
        """The zone a place lies in. Raises NotFound."""
        try:
            return self._zone[place]
        except KeyError:
            raise NotFound(place.kind.value, place.id) from None

    def pick(self, rule: str, zone: str) -> Place:
        """The one place of that zone that the rule names. Raises NotFound, InvalidValue."""
        candidates = self._candidates(rule, zone)
        if not candidates:
            raise NotFound(rule, zone)
        _, key = max(candidates)
        return Place(kind=PICKS[rule], id=key)

    def _candidates(self, rule: str, zone: str) -> list[tuple[float, str]]:
        """Ids with a weight; the heaviest is picked."""
        match rule:
            case "largest_main":
                return [(p.inner_diameter_mm * 1e6 + p.length_m, p.id) for p in self._network.pipes if p.zone == zone]
            case "central_main":
                return self._central_mains(zone)
            case "regulator":
                return [(r.capacity_m3h_std, r.id) for r in self._network.regulators if r.zone == zone]
            case "sectional_valve":
                return self._sectional_valves(zone)
            case "largest_meter":
                return self._meters(zone)
            case "pressure_logger" | "station_rtu" | "inlet_meter":
                return [(0.0, tag.partition("/")[0]) for tag in self._tags(_PICK_ROLE[rule], zone)]
            case "network_pressure" | "outlet_pressure":
                return [(0.0, tag) for tag in self._tags(_PICK_ROLE[rule], zone)]
        raise InvalidValue(f"no rule {rule!r} to pick by")

    def _central_mains(self, zone: str) -> list[tuple[float, str]]:
        """Mains of at least the zone's median bore, the nearest to its middle heaviest."""
        pipes = [p for p in self._network.pipes if p.zone == zone]
        if not pipes:
            return []
        bores = sorted(p.inner_diameter_mm for p in pipes)
        at = {j.id: (j.x_m, j.y_m) for j in self._network.junctions}
        x = sum(at[p.from_junction][0] for p in pipes) / len(pipes)
        y = sum(at[p.from_junction][1] for p in pipes) / len(pipes)
        return [
            (-((at[p.from_junction][0] - x) ** 2) - (at[p.from_junction][1] - y) ** 2, p.id)
            for p in pipes
            if p.inner_diameter_mm >= bores[len(bores) // 2]
        ]

    def _sectional_valves(self, zone: str) -> list[tuple[float, str]]:
        """Valves whose closing cuts off a part of the zone; those that a pressure point would see weigh most."""
        half = sum(point.zone == zone for point in self._network.service_points) / 2
        seen = Trace(replace(self._network, service_points=self._probes()))
        supply = Trace(self._network)
        weights = []
        for valve in [v.id for v in self._network.valves if v.zone == zone and v.normally_open]:
            lost = len(supply.supply_lost(closed_valves={valve}))
            if 0 < lost <= half:
                weights.append((_SEEN * bool(seen.supply_lost(closed_valves={valve})) + lost, valve))
        return weights

    def _probes(self) -> list[ServicePoint]:
        """A customer that takes nothing at every pressure point, to trace what happens to it."""
        return [
            ServicePoint(
                id=s.id, zone=s.zone, junction=s.junction, customer_class=CustomerClass.RESIDENT, annual_m3_std=0.0
            )
            for s in self._registry.stations
            if s.kind is StationKind.PRESSURE_POINT
        ]

    def _meters(self, zone: str) -> list[tuple[float, str]]:
        annual = {p.id: p.annual_m3_std for p in self._network.service_points if p.zone == zone}
        return [(annual[d.service_point], d.id) for d in self._registry.devices if d.service_point in annual]

    def _tags(self, role: Role, zone: str) -> list[str]:
        return [
            p.tag
            for p in self._registry.points
            if p.role is role and self._zone.get(Place(kind=PlaceKind.POINT, id=p.tag)) == zone
        ]


def _zones(network: Network, registry: Registry) -> dict[Place, str]:
    found: dict[Place, str] = {}
    for kind, nouns in (
        (PlaceKind.PIPE, network.pipes),
        (PlaceKind.JUNCTION, network.junctions),
        (PlaceKind.SERVICE_POINT, network.service_points),
        (PlaceKind.REGULATOR, network.regulators),
        (PlaceKind.VALVE, network.valves),
    ):
        found |= {Place(kind=kind, id=noun.id): noun.zone for noun in nouns}
    station = {s.id: s.zone for s in registry.stations}
    found |= {Place(kind=PlaceKind.DEVICE, id=d.id): station[d.station] for d in registry.devices}
    for point in registry.points:
        device = Place(kind=PlaceKind.DEVICE, id=point.tag.partition("/")[0])
        if device in found:
            found[Place(kind=PlaceKind.POINT, id=point.tag)] = found[device]
    return found
