"""Which alarms are one incident, and what the incident is.

Everything that can share a cause shares a group: pressures, slam-shut and balance of a zone are one supply group, each
device is a group, gas in a station is always its own. Low pressures of a zone go to the supply incident of the zone
that feeds it, where one is open. The kind of an incident follows from all alarms in it, so it becomes better known
as they come; the one that came first stays marked as first out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from .rules import RANK, Condition, Priority


class Kind(StrEnum):
    """What an incident is about."""

    RUPTURE = "rupture"
    LEAK = "leak"
    SLAM_SHUT = "slam_shut"
    REGULATOR_FAILED_OPEN = "regulator_failed_open"
    SUPPLY_LOW = "supply_low"
    GAS_IN_STATION = "gas_in_station"
    FILTER_BLOCKED = "filter_blocked"
    DEVICE_FAULT = "device_fault"
    OTHER = "other"


PLACED_BY_SEARCH: Final = frozenset({Kind.LEAK, Kind.RUPTURE})
"""Incidents whose place is found from pressures; any other's is where its first alarm stands."""

_OVER: Final = {"outlet_pressure_high_high", "outlet_pressure_high"}
_LOST: Final = {"outlet_pressure_low_low", "outlet_pressure_low", "network_pressure_low_low", "network_pressure_low"}
_SLAM: Final = "slam_shut_closed"
_FALL: Final = "pressure_fall_rate"
_LEAK: Final = "zone_leak"
_RUPTURE: Final = "zone_rupture"
_SUPPLY: Final = _OVER | _LOST | {_SLAM, _FALL, _LEAK, _RUPTURE}
_GAS: Final = {"station_gas_20", "station_gas_40"}
_DEVICE: Final = {"point_stale", "point_bad_quality"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What an incident amounts to, given the alarms in it."""

    kind: Kind
    priority: Priority
    emergency: bool


def supply_group(zone: str) -> str:
    """The group of a zone's supply."""
    return f"zone:{zone}:supply"


def groups(condition: Condition, upstream: Sequence[str] = ()) -> list[str]:
    """Groups the condition may belong to: its own, which it may open, then those it joins if they are open.

    upstream: the zones that feed this one.
    """
    rule = condition.rule.id
    if rule in _SUPPLY:
        above = [supply_group(zone) for zone in upstream] if rule in _LOST | {_FALL} else []
        return [supply_group(condition.zone), *above]
    if rule in _GAS:
        return [f"station:{condition.station}:gas"]
    if rule in _DEVICE:
        return [f"device:{condition.device}"]
    if condition.gateway is not None and condition.point_id is None:
        return [f"gateway:{condition.gateway}"]
    if condition.station is not None:
        return [f"station:{condition.station}:{rule}"]
    return [f"zone:{condition.zone}:{rule}"]


def kind_of(rules: Collection[str]) -> Kind:
    """What the alarms of one incident mean together.

    A slam-shut that closed on over-pressure and took the supply away is, to the customers, a slam-shut; while supply
    lasts, the regulator is what matters.
    """
    seen = set(rules)
    if seen & _OVER:
        return Kind.SLAM_SHUT if _SLAM in seen and seen & _LOST else Kind.REGULATOR_FAILED_OPEN
    if _SLAM in seen:
        return Kind.SLAM_SHUT
    if _RUPTURE in seen or {_FALL, _LEAK} <= seen:
        return Kind.RUPTURE
    if _LEAK in seen:
        return Kind.LEAK
    if seen & _SUPPLY:
        return Kind.SUPPLY_LOW
    if seen & _GAS:
        return Kind.GAS_IN_STATION
    if "filter_differential_high" in seen:
        return Kind.FILTER_BLOCKED
    return Kind.DEVICE_FAULT if seen <= _DEVICE | {"gateway_offline"} else Kind.OTHER


def judge(members: Sequence[tuple[str, Priority]]) -> Judgement:
    """Kind, highest priority and emergency of an incident, from rule and priority of its alarms, at least one."""
    priority = min((priority for _, priority in members), key=RANK.__getitem__)
    return Judgement(
        kind=kind_of([rule for rule, _ in members]), priority=priority, emergency=priority is Priority.EMERGENCY
    )


def place_of(condition: Condition, candidates: Sequence[dict[str, Any]] = ()) -> list[dict[str, Any]]:
    """Where the cause probably is: what localisation found, else the station, else nothing known."""
    if candidates:
        return list(candidates)
    if condition.station is not None:
        return [{"element": "station", "id": condition.station, "probability": 1.0}]
    return []
