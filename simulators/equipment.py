"""What stands in the field: stations, devices, blocks and points, and how each device is reached.

Every zone has one gateway. A district or gate station has an RTU and a flow meter at its outlet, a pressure point a
logger, a customer that is metered live a meter. A gateway reaches its devices over Modbus TCP lines of a few units.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from gashub.frames import SLOTS
from gashub.network.model import CustomerClass, Junction, Network, Regulator, ServicePoint
from gashub.network.trace import sections
from gashub.registry import Block, Device, Gateway, Point, Quantity, Registry, Role, Station, StationKind

from .layout import FEEDER, FEEDER_KPA_GAUGE, GATE_KPA_GAUGE, TOWN_KPA_GAUGE

UNITS_A_LINE: Final = 6
ATMOSPHERIC_KPA: Final = 101.325
_LOGGERS: Final = {"north": 6, "east": 5, "south": 6, "west": 5, FEEDER: 2}
# A section of fewer junctions on mains than this gets no pressure point of its own.
_LEAST_SECTION: Final = 10
_CLASS_ZH: Final = {
    CustomerClass.COMMERCIAL: "商业用户",
    CustomerClass.PUBLIC_SERVICE: "公共服务用户",
    CustomerClass.INDUSTRY: "工业用户",
    CustomerClass.HEATING: "采暖用户",
    CustomerClass.RESIDENT: "居民用户",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One slot of a profile's block: the name in its points' tags, and which signal of the field it shows."""

    name: str
    quantity: Quantity
    signal: str
    role: Role = Role.OTHER


def _slots(*rows: tuple[str, Quantity] | tuple[str, Quantity, str] | tuple[str, Quantity, str, Role]) -> list[Slot]:
    return [
        Slot(
            name=row[0],
            quantity=row[1],
            signal=row[2] if len(row) > 2 else row[0],
            role=row[3] if len(row) > 3 else Role.OTHER,
        )
        for row in rows
    ]


# A signal that starts with "device_" is made by the simulated device itself.
PROFILES: Final[dict[str, list[Slot]]] = {
    "rtu-regulator-a": _slots(
        ("inlet_pressure", Quantity.PRESSURE, "inlet_pressure", Role.STATION_INLET_PRESSURE),
        ("outlet_pressure", Quantity.PRESSURE, "outlet_pressure", Role.STATION_OUTLET_PRESSURE),
        ("filter_differential", Quantity.PRESSURE_DIFFERENTIAL, "filter_differential", Role.FILTER_DIFFERENTIAL),
        ("temperature", Quantity.TEMPERATURE),
        ("slam_shut", Quantity.STATE, "slam_shut", Role.SLAM_SHUT),
        ("position", Quantity.POSITION),
        ("gas", Quantity.GAS_CONCENTRATION, "gas", Role.STATION_GAS),
        ("battery", Quantity.BATTERY, "device_battery"),
    ),
    "pressure-logger-b": _slots(
        ("pressure", Quantity.PRESSURE, "pressure", Role.NETWORK_PRESSURE),
        ("temperature", Quantity.TEMPERATURE, "ground_temperature"),
        ("battery", Quantity.BATTERY, "device_battery"),
        ("clock_offset", Quantity.CLOCK_OFFSET, "device_clock_offset"),
    ),
    "evc-bcd-c": _slots(
        ("volume", Quantity.VOLUME),
        ("flow", Quantity.FLOW),
        ("pressure_absolute", Quantity.PRESSURE_ABSOLUTE),
        ("temperature", Quantity.TEMPERATURE),
        ("volume_actual", Quantity.VOLUME_ACTUAL),
        ("status", Quantity.STATE, "device_status"),
    ),
    "meter-fraction-d": _slots(
        ("volume", Quantity.VOLUME),
        ("flow", Quantity.FLOW),
        ("pressure", Quantity.PRESSURE),
        ("temperature", Quantity.TEMPERATURE),
    ),
    "meter-resolution-e": _slots(
        ("volume", Quantity.VOLUME),
        ("flow", Quantity.FLOW),
        ("battery", Quantity.BATTERY, "device_battery"),
        ("status", Quantity.STATE, "device_status"),
    ),
}
_METER_OF: Final = {
    CustomerClass.INDUSTRY: "evc-bcd-c",
    CustomerClass.HEATING: "evc-bcd-c",
    CustomerClass.COMMERCIAL: "meter-fraction-d",
    CustomerClass.PUBLIC_SERVICE: "meter-resolution-e",
    CustomerClass.RESIDENT: "meter-resolution-e",
}
RESOLUTION_EXPONENT: Final = 2
MODULUS: Final = {
    "evc-bcd-c": 1e10,
    "meter-fraction-d": 1e9,
    "meter-resolution-e": 2.0**32 * 10.0**-RESOLUTION_EXPONENT,
}
SCAN_S: Final = {
    "rtu-regulator-a": 2.0,
    "pressure-logger-b": 5.0,
    "evc-bcd-c": 5.0,
    "meter-fraction-d": 5.0,
    "meter-resolution-e": 10.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedDevice:
    """One Modbus unit to simulate.

    `signals` says which signal of `simulators.field` each slot of its profile's block shows; a name that starts with
    "device_" is the device's own. `parameters` are those of its profile, e.g. atmospheric_kpa. `first_volume_m3` is
    what its counters stood at when the simulation began.
    """

    id: str
    gateway: str
    profile: str
    port: int
    unit: int
    scan_s: float
    block: int
    signals: dict[str, str]
    parameters: dict[str, float] = field(default_factory=dict)
    first_volume_m3: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A device before it has a number: where it stands, what it measures (`subject` of its signals)."""

    id: str
    zone: str
    station: Station
    profile: str
    subject: str
    volume_role: Role = Role.OTHER
    flow_role: Role = Role.OTHER
    regulator: str | None = None
    service_point: str | None = None


def equip(network: Network, rng: np.random.Generator) -> tuple[Registry, list[SimulatedDevice]]:
    """Registry and simulated devices of a network; ports count from 0."""
    planned = [*_station_devices(network), *_loggers(network), *_customer_meters(network)]
    planned.sort(key=lambda device: [zone.id for zone in network.zones].index(device.zone))
    registry = Registry(
        gateways=[Gateway(id=gateway_of(zone.id), zone=zone.id) for zone in network.zones],
        stations=list({device.station.id: device.station for device in planned}.values()),
    )
    regulators = {regulator.id: regulator for regulator in network.regulators}
    simulated: list[SimulatedDevice] = []
    line, unit, zone = -1, UNITS_A_LINE, ""
    for block, device in enumerate(planned, 1):
        if unit == UNITS_A_LINE or device.zone != zone:
            line, unit, zone = line + 1, 0, device.zone
        unit += 1
        _enrol(registry, device, block, regulators)
        simulated.append(_simulated(device, block, line, unit, rng))
    return registry, simulated


def gateway_of(zone: str) -> str:
    """The gateway that reads a zone's devices."""
    return f"gw-{zone}"


def _station_devices(network: Network) -> Iterator[Planned]:
    by_id = {junction.id: junction for junction in network.junctions}
    zone_zh = {zone.id: zone.name_zh for zone in network.zones}
    for regulator in network.regulators:
        station = _regulator_station(regulator, by_id[regulator.to_junction], zone_zh[regulator.zone])
        yield Planned(
            id=f"{station.id}-rtu",
            zone=regulator.zone,
            station=station,
            profile="rtu-regulator-a",
            subject=regulator.id,
            regulator=regulator.id,
        )
        yield Planned(
            id=f"{station.id}-meter",
            zone=regulator.zone,
            station=station,
            profile="evc-bcd-c" if regulator.id.endswith("1") else "meter-fraction-d",
            subject=regulator.id,
            regulator=regulator.id,
            flow_role=Role.ZONE_INLET_FLOW,
            volume_role=Role.ZONE_INLET_VOLUME,
        )


def _regulator_station(regulator: Regulator, outlet: Junction, zone_zh: str) -> Station:
    number = regulator.id.rsplit("-", 1)[1]
    gate = regulator.zone == FEEDER
    return Station(
        id=regulator.station,
        zone=regulator.zone,
        kind=StationKind.GATE if gate else StationKind.REGULATOR,
        name_en=f"Gate station {number}" if gate else f"{regulator.zone.title()} district station {number}",
        name_zh=f"{number}号门站" if gate else f"{zone_zh}{number}号调压站",
        junction=outlet.id,
    )


def _loggers(network: Network) -> Iterator[Planned]:
    """Pressure points: one at the far end of each section, so that a leak can be told to its section, then where
    the mains lie farthest from any other.
    """
    zone_zh = {zone.id: zone.name_zh for zone in network.zones}
    mains = {j for p in network.pipes if p.inner_diameter_mm > 60.0 for j in (p.from_junction, p.to_junction)}
    outlets = {regulator.to_junction for regulator in network.regulators}
    section_of = sections(network)
    for zone, count in _LOGGERS.items():
        places = [j for j in network.junctions if j.zone == zone and j.id in mains]
        near = [j for j in network.junctions if j.zone == zone and j.id in outlets]
        for number, junction in enumerate(_spread(places, near, section_of, count), 1):
            station = Station(
                id=f"pp-{zone}-{number}",
                zone=zone,
                kind=StationKind.PRESSURE_POINT,
                name_en=f"{zone.title()} pressure point {number}",
                name_zh=f"{zone_zh[zone]}{number}号测压点",
                junction=junction.id,
            )
            yield Planned(
                id=f"{station.id}-logger",
                zone=zone,
                station=station,
                profile="pressure-logger-b",
                subject=junction.id,
            )


def _spread(places: list[Junction], taken: list[Junction], section_of: dict[str, int], count: int) -> list[Junction]:
    """`count` of `places`, each as far as can be from those before and from `taken`, every section having its turn."""
    xy = np.array([(j.x_m, j.y_m) for j in places])
    section = np.array([section_of[j.id] for j in places])
    nearest = np.min([np.hypot(*(xy - (j.x_m, j.y_m)).T) for j in taken], axis=0)
    waiting = np.array([(section == each).sum() >= _LEAST_SECTION for each in section])
    chosen: list[Junction] = []
    for _ in range(count):
        best = int(np.where(waiting, nearest, 0.0).argmax()) if waiting.any() else int(nearest.argmax())
        chosen.append(places[best])
        waiting &= section != section[best]
        nearest = np.minimum(nearest, np.hypot(*(xy - (places[best].x_m, places[best].y_m)).T))
    return chosen


def _customer_meters(network: Network) -> Iterator[Planned]:
    for point in network.service_points:
        if point.metered_live:
            station = Station(
                id=f"mr-{point.id}",
                zone=point.zone,
                kind=StationKind.CUSTOMER,
                name_en=f"{point.customer_class.value.replace('_', ' ').capitalize()} customer {point.id}",
                name_zh=f"{_CLASS_ZH[point.customer_class]}{point.id}",
                junction=point.junction,
            )
            yield Planned(
                id=meter_device(point),
                zone=point.zone,
                station=station,
                profile=_METER_OF[point.customer_class],
                subject=point.id,
                service_point=point.id,
                flow_role=Role.OFFTAKE_FLOW,
                volume_role=Role.OFFTAKE_VOLUME,
            )


def meter_device(point: ServicePoint) -> str:
    """The id of the device that meters a service point."""
    return f"mt-{point.id}"


def _enrol(registry: Registry, device: Planned, block: int, regulators: dict[str, Regulator]) -> None:
    registry.devices.append(
        Device(
            id=device.id,
            gateway=gateway_of(device.zone),
            station=device.station.id,
            profile=device.profile,
            service_point=device.service_point,
            regulator=device.regulator,
        )
    )
    registry.blocks.append(Block(id=block, device=device.id, name="main", scan_s=SCAN_S[device.profile]))
    for number, slot in enumerate(PROFILES[device.profile]):
        role = {"flow": device.flow_role, "volume": device.volume_role}.get(slot.name, slot.role)
        nominal, low, high = _normal(device, slot, regulators)
        registry.points.append(
            Point(
                id=block * SLOTS + number,
                tag=f"{device.id}/{slot.name}",
                quantity=slot.quantity,
                role=role,
                nominal=nominal,
                normal_low=low,
                normal_high=high,
                counter_modulus=_modulus(device.profile, slot),
            )
        )


def _modulus(profile: str, slot: Slot) -> float | None:
    if slot.quantity is Quantity.VOLUME:
        return MODULUS[profile]
    return 1e10 if slot.quantity is Quantity.VOLUME_ACTUAL else None


def _normal(
    device: Planned, slot: Slot, regulators: dict[str, Regulator]
) -> tuple[float | None, float | None, float | None]:
    """Nominal value and usual bounds of a point, None where there are none."""
    gate = device.zone == FEEDER
    level = FEEDER_KPA_GAUGE if gate else TOWN_KPA_GAUGE
    if slot.role is Role.STATION_INLET_PRESSURE:
        inlet = GATE_KPA_GAUGE if gate else FEEDER_KPA_GAUGE
        return inlet, 0.8 * inlet, 1.1 * inlet
    if slot.role in {Role.STATION_OUTLET_PRESSURE, Role.NETWORK_PRESSURE}:
        return level, 0.85 * level, 1.08 * level
    if slot.role is Role.FILTER_DIFFERENTIAL:
        return None, 0.0, 10.0
    if slot.role is Role.STATION_GAS:
        return 0.0, 0.0, 5.0
    if device.regulator and slot.quantity is Quantity.FLOW:
        return None, 0.0, regulators[device.regulator].capacity_m3h_std
    return None, None, None


def _simulated(device: Planned, block: int, line: int, unit: int, rng: np.random.Generator) -> SimulatedDevice:
    parameters = {"atmospheric_kpa": ATMOSPHERIC_KPA} if device.profile == "pressure-logger-b" else {}
    if device.profile == "meter-resolution-e":
        parameters = {"resolution_exponent": float(RESOLUTION_EXPONENT)}
    return SimulatedDevice(
        id=device.id,
        gateway=gateway_of(device.zone),
        profile=device.profile,
        port=line,
        unit=unit,
        scan_s=SCAN_S[device.profile],
        block=block,
        signals={
            slot.name: slot.signal if slot.signal.startswith("device_") else f"{slot.signal}:{device.subject}"
            for slot in PROFILES[device.profile]
        },
        parameters=parameters,
        first_volume_m3=float(rng.integers(10_000, 2_000_000)) if "volume" in _names(device.profile) else 0.0,
    )


def _names(profile: str) -> set[str]:
    return {slot.name for slot in PROFILES[profile]}
