"""The nouns of the pipe network.

Junctions are points; pipes, valves and regulators are edges between two junctions. A valve has no length. A
regulator passes gas one way only, from a higher pressure level to a lower, and holds `set_point_kpa_gauge` at its
outlet. A gate inlet feeds a junction at a fixed pressure. A service point takes gas at a junction.

Names follow CIM (IEC 61968) where it has one; pressures are gauge.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class CustomerClass(StrEnum):
    """Who takes gas at a service point; the categories a dispatch centre balances and curtails by."""

    RESIDENT = "resident"
    COMMERCIAL = "commercial"
    PUBLIC_SERVICE = "public_service"
    INDUSTRY = "industry"
    HEATING = "heating"


class Sensitivity(StrEnum):
    """Why a customer must be told one by one, and kept supplied longest."""

    NONE = "none"
    HOSPITAL = "hospital"
    SCHOOL = "school"
    DIALYSIS = "dialysis"
    CARE_HOME = "care_home"
    VULNERABLE_RESIDENT = "vulnerable_resident"
    SAFETY_CRITICAL_INDUSTRY = "safety_critical_industry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A supply area fed through known inlets."""

    id: str
    name_en: str
    name_zh: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Junction:
    """A point of the network. Coordinates in metres on a plane (any projected system)."""

    id: str
    zone: str
    x_m: float
    y_m: float
    height_m: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipe:
    """A pipe between two junctions."""

    id: str
    zone: str
    from_junction: str
    to_junction: str
    length_m: float
    inner_diameter_mm: float
    roughness_mm: float
    pressure_level: str = "low"


@dataclass(frozen=True, slots=True, kw_only=True)
class Valve:
    """A valve between two junctions; `normally_open` is how the network is run."""

    id: str
    zone: str
    from_junction: str
    to_junction: str
    normally_open: bool = True
    inner_diameter_mm: float = 150.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Regulator:
    """A pressure regulator run with its slam-shut; `station` is the regulator station it stands in."""

    id: str
    zone: str
    station: str
    from_junction: str
    to_junction: str
    set_point_kpa_gauge: float
    slam_shut_kpa_gauge: float
    capacity_m3h_std: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GateInlet:
    """Where gas enters the network from upstream, at a held pressure."""

    id: str
    junction: str
    pressure_kpa_gauge: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePoint:
    """Where an account takes gas."""

    id: str
    zone: str
    junction: str
    customer_class: CustomerClass
    annual_m3_std: float
    sensitivity: Sensitivity = Sensitivity.NONE
    metered_live: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A whole network. Build it with `gashub.network.check` having found nothing wrong."""

    name: str
    zones: list[Zone]
    junctions: list[Junction]
    pipes: list[Pipe]
    valves: list[Valve] = field(default_factory=list)
    regulators: list[Regulator] = field(default_factory=list)
    gate_inlets: list[GateInlet] = field(default_factory=list)
    service_points: list[ServicePoint] = field(default_factory=list)
