"""What stands in the field: gateways, stations, devices, their blocks and points.

    gateway ─ device ─ block (one frame per scan) ─ point (one slot)
                └ station, junction or service point: where it stands

A device's profile says how to read it; the registry says what its points mean to the network.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Quantity(StrEnum):
    """What a point measures, in the one canonical unit of that quantity (`UNIT`)."""

    PRESSURE = "pressure_kpa_gauge"
    PRESSURE_ABSOLUTE = "pressure_kpa_absolute"
    PRESSURE_DIFFERENTIAL = "pressure_kpa_differential"
    FLOW = "flow_m3h_std"
    FLOW_ACTUAL = "flow_m3h_actual"
    VOLUME = "volume_m3_std"
    VOLUME_ACTUAL = "volume_m3_actual"
    TEMPERATURE = "temperature_c"
    GAS_CONCENTRATION = "gas_lel_pct"
    POSITION = "position_pct"
    STATE = "state"
    BATTERY = "battery_pct"
    CLOCK_OFFSET = "clock_offset_s"


UNIT: dict[Quantity, str] = {
    Quantity.PRESSURE: "kPa",
    Quantity.PRESSURE_ABSOLUTE: "kPa",
    Quantity.PRESSURE_DIFFERENTIAL: "kPa",
    Quantity.FLOW: "m³/h",
    Quantity.FLOW_ACTUAL: "m³/h",
    Quantity.VOLUME: "m³",
    Quantity.VOLUME_ACTUAL: "m³",
    Quantity.TEMPERATURE: "°C",
    Quantity.GAS_CONCENTRATION: "% LEL",
    Quantity.POSITION: "%",
    Quantity.STATE: "",
    Quantity.BATTERY: "%",
    Quantity.CLOCK_OFFSET: "s",
}


class Role(StrEnum):
    """What a point is to its zone; rules and balances are written for roles, not for single points."""

    STATION_INLET_PRESSURE = "station_inlet_pressure"
    STATION_OUTLET_PRESSURE = "station_outlet_pressure"
    FILTER_DIFFERENTIAL = "filter_differential"
    SLAM_SHUT = "slam_shut"
    STATION_GAS = "station_gas"
    ZONE_INLET_FLOW = "zone_inlet_flow"
    ZONE_INLET_VOLUME = "zone_inlet_volume"
    OFFTAKE_FLOW = "offtake_flow"
    OFFTAKE_VOLUME = "offtake_volume"
    NETWORK_PRESSURE = "network_pressure"
    OTHER = "other"


class StationKind(StrEnum):
    """What kind of place a station is."""

    GATE = "gate"
    REGULATOR = "regulator"
    PRESSURE_POINT = "pressure_point"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """An edge gateway; its id and zone stand in its topics."""

    id: str
    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A gate station, regulator station, cabinet or customer's meter room."""

    id: str
    zone: str
    kind: StationKind
    name_en: str
    name_zh: str
    junction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device on a gateway, read by a profile."""

    id: str
    gateway: str
    station: str
    profile: str
    service_point: str | None = None
    regulator: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Up to eight points of one device that are sampled together. `id` is positive and unique in the hub."""

    id: int
    device: str
    name: str
    scan_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measured quantity of one device.

    `id` is block * 8 + slot. `tag` is unique and readable: `<device>/<slot name>`. `normal_low` and `normal_high`
    bound what is usual, `nominal` is the set-point where there is one; rules refer to them. `counter_modulus` is
    where a counter rolls over.
    """

    id: int
    tag: str
    quantity: Quantity
    role: Role
    nominal: float | None = None
    normal_low: float | None = None
    normal_high: float | None = None
    counter_modulus: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Everything in the field that the hub trusts."""

    gateways: list[Gateway] = field(default_factory=list)
    stations: list[Station] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
