"""Small plants and frames for the alarm tests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from alarms import rulebook
from alarms.watch import Plant
from gashub.frames import FrameBatch, to_ms
from gashub.network.model import Junction, Network, Pipe, Regulator, Zone
from gashub.quality import GOOD
from gashub.registry import Block, Device, Gateway, Point, Quantity, Registry, Role, Station, StationKind

TIMEZONE = ZoneInfo("Asia/Shanghai")
T0 = datetime(2026, 11, 10, 4, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def frames(*rows: tuple[int, datetime, Mapping[int, float]], quality: int = GOOD) -> FrameBatch:
    """Each row: block, when, value by slot."""
    values = np.full((len(rows), 8), np.nan)
    codes = np.zeros((len(rows), 8), np.uint8)
    for i, (_, _, slots) in enumerate(rows):
        for slot, value in slots.items():
            values[i, slot] = value
            codes[i, slot] = quality
    return FrameBatch(
        block_id=np.array([row[0] for row in rows], np.int32),
        measured_at_ms=np.array([to_ms(row[1]) for row in rows], np.int64),
        values=values,
        quality=codes,
    )


def network(zone: str) -> Network:
    """A gate, a regulator and four low-pressure junctions in a row."""
    return Network(
        name="small",
        zones=[Zone(id=zone, name_en=zone, name_zh=zone), Zone(id=f"{zone}-up", name_en="up", name_zh="up")],
        junctions=[
            Junction(id="j0", zone=f"{zone}-up", x_m=0, y_m=0),
            *(Junction(id=f"j{i}", zone=zone, x_m=200.0 * i, y_m=0) for i in range(1, 5)),
        ],
        pipes=[
            Pipe(
                id=f"p{i}",
                zone=zone,
                from_junction=f"j{i}",
                to_junction=f"j{i + 1}",
                length_m=200,
                inner_diameter_mm=150,
                roughness_mm=0.1,
            )
            for i in range(1, 4)
        ],
        regulators=[
            Regulator(
                id="reg-1",
                zone=zone,
                station="drs-1",
                from_junction="j0",
                to_junction="j1",
                set_point_kpa_gauge=3.0,
                slam_shut_kpa_gauge=4.5,
                capacity_m3h_std=2000,
            )
        ],
    )


def registry(zone: str, *, first_block: int = 1) -> Registry:
    """A regulator station (block +0: outlet, slam-shut, gas), its meter (+1), two loggers (+2, +3), a customer (+4)."""
    b = first_block

    def station(name: str, kind: StationKind, junction: str) -> Station:
        return Station(id=name, zone=zone, kind=kind, name_en=name, name_zh=name, junction=junction)

    def device(name: str, where: str, regulator: str | None = None) -> Device:
        return Device(id=name, gateway=f"gw-{zone}", station=where, profile="any", regulator=regulator)

    def pressure(block: int, slot: int, tag: str, role: Role) -> Point:
        return Point(
            id=block * 8 + slot,
            tag=tag,
            quantity=Quantity.PRESSURE,
            role=role,
            nominal=3.0,
            normal_low=2.0,
            normal_high=3.6,
        )

    return Registry(
        gateways=[Gateway(id=f"gw-{zone}", zone=zone)],
        stations=[
            station("drs-1", StationKind.REGULATOR, "j1"),
            station("pp-1", StationKind.PRESSURE_POINT, "j2"),
            station("pp-2", StationKind.PRESSURE_POINT, "j4"),
            station("cust-1", StationKind.CUSTOMER, "j3"),
        ],
        devices=[
            device("rtu-1", "drs-1", "reg-1"),
            device("meter-1", "drs-1", "reg-1"),
            device("log-1", "pp-1"),
            device("log-2", "pp-2"),
            device("cust-1-meter", "cust-1"),
        ],
        blocks=[
            Block(id=b + i, device=name, name="main", scan_s=2.0)
            for i, name in enumerate(["rtu-1", "meter-1", "log-1", "log-2", "cust-1-meter"])
        ],
        points=[
            pressure(b, 1, "rtu-1/outlet_pressure", Role.STATION_OUTLET_PRESSURE),
            Point(id=b * 8 + 4, tag="rtu-1/slam_shut", quantity=Quantity.STATE, role=Role.SLAM_SHUT),
            Point(id=b * 8 + 6, tag="rtu-1/gas", quantity=Quantity.GAS_CONCENTRATION, role=Role.STATION_GAS),
            Point(id=(b + 1) * 8 + 1, tag="meter-1/flow", quantity=Quantity.FLOW, role=Role.ZONE_INLET_FLOW),
            pressure(b + 2, 0, "log-1/pressure", Role.NETWORK_PRESSURE),
            pressure(b + 3, 0, "log-2/pressure", Role.NETWORK_PRESSURE),
            Point(id=(b + 4) * 8 + 1, tag="cust-1-meter/flow", quantity=Quantity.FLOW, role=Role.OFFTAKE_FLOW),
        ],
    )


def plant(zone: str = "z1", *, first_block: int = 1) -> Plant:
    return Plant(
        network=network(zone),
        registry=registry(zone, first_block=first_block),
        rules=rulebook.load(),
        timezone=TIMEZONE,
    )
