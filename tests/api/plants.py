"""A town of one street, with one of everything the API shows: an alarm, an incident, its ticket and its notice."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from dispatch.service import Service
from gashub import journal, plant
from gashub.clock import ManualClock
from gashub.config import HubConfig
from gashub.network.model import (
    CustomerClass,
    GateInlet,
    Junction,
    Network,
    Pipe,
    Regulator,
    Sensitivity,
    ServicePoint,
    Valve,
    Zone,
)
from gashub.quality import GOOD
from gashub.registry import Block, Device, Gateway, Point, Quantity, Registry, Role, Station, StationKind
from ingest import partitions
from metering.plant import store as store_accounts

NOW = datetime(2026, 11, 10, 9, 30, tzinfo=UTC)
OUTLET, LOGGER, VOLUME = 9, 16, 24
POINTS = (OUTLET, LOGGER, VOLUME)

NETWORK = Network(
    name="a street",
    zones=[Zone(id="feeder", name_en="Feeder", name_zh="中压"), Zone(id="east", name_en="East", name_zh="东区")],
    junctions=[
        Junction(id="f1", zone="feeder", x_m=0, y_m=100),
        *(Junction(id=f"e{n}", zone="east", x_m=100.0 * n, y_m=0) for n in range(1, 5)),
    ],
    pipes=[
        Pipe(
            id=f"pe{n}",
            zone="east",
            from_junction=one,
            to_junction=other,
            length_m=100,
            inner_diameter_mm=150,
            roughness_mm=0.1,
        )
        for n, (one, other) in enumerate([("e1", "e2"), ("e3", "e4")], 1)
    ],
    valves=[Valve(id="ve1", zone="east", from_junction="e2", to_junction="e3")],
    regulators=[
        Regulator(
            id="reg-east",
            zone="east",
            station="drs-east",
            from_junction="f1",
            to_junction="e1",
            set_point_kpa_gauge=3,
            slam_shut_kpa_gauge=5,
            capacity_m3h_std=2000,
        )
    ],
    gate_inlets=[GateInlet(id="gate", junction="f1", pressure_kpa_gauge=300)],
    service_points=[
        ServicePoint(
            id="sp1",
            zone="east",
            junction="e2",
            customer_class=CustomerClass.COMMERCIAL,
            annual_m3_std=9_000,
            metered_live=True,
        ),
        ServicePoint(
            id="sp2",
            zone="east",
            junction="e4",
            customer_class=CustomerClass.PUBLIC_SERVICE,
            annual_m3_std=900,
            sensitivity=Sensitivity.HOSPITAL,
        ),
    ],
)


def _station(key: str, kind: StationKind, junction: str) -> Station:
    return Station(id=key, zone="east", kind=kind, name_en=key, name_zh="站", junction=junction)


def _pressure(key: int, tag: str, role: Role) -> Point:
    return Point(id=key, tag=tag, quantity=Quantity.PRESSURE, role=role, nominal=3.0, normal_low=2.0, normal_high=3.6)


REGISTRY = Registry(
    gateways=[Gateway(id="gw-east", zone="east")],
    stations=[
        _station("drs-east", StationKind.REGULATOR, "e1"),
        _station("pp-east", StationKind.PRESSURE_POINT, "e4"),
        _station("cust-1", StationKind.CUSTOMER, "e2"),
    ],
    devices=[
        Device(id="rtu", gateway="gw-east", station="drs-east", profile="rtu-regulator-a", regulator="reg-east"),
        Device(id="logger", gateway="gw-east", station="pp-east", profile="pressure-logger-b"),
        Device(id="meter", gateway="gw-east", station="cust-1", profile="evc-bcd-c"),
    ],
    blocks=[
        Block(id=n, device=device, name="main", scan_s=2.0) for n, device in enumerate(("rtu", "logger", "meter"), 1)
    ],
    points=[
        _pressure(OUTLET, "rtu/outlet_pressure", Role.STATION_OUTLET_PRESSURE),
        _pressure(LOGGER, "logger/pressure", Role.NETWORK_PRESSURE),
        Point(
            id=VOLUME,
            tag="meter/volume",
            quantity=Quantity.VOLUME,
            role=Role.OFFTAKE_VOLUME,
            counter_modulus=1e10,
        ),
    ],
)
ACCOUNTS = {
    "accounts": [
        {
            "id": "a1",
            "name": "Golden Bakery",
            "phone": "13800001234",
            "customer_class": "commercial",
            "service_points": ["sp1"],
        }
    ],
    "meters": [
        {
            "id": "m1",
            "service_point": "sp1",
            "device": "meter",
            "volume_point_tag": "meter/volume",
            "installed_at": "2026-01-01T00:00:00+08:00",
        }
    ],
}


def store(config: HubConfig, directory: Path) -> None:
    """Put the street, its account, a few frames and one emergency with ticket and notice into the database."""
    accounts = directory / "accounts.json"
    accounts.write_text(json.dumps(ACCOUNTS), encoding="utf-8")
    with psycopg.connect(config.dsn()) as connection:
        plant.store(connection, NETWORK, REGISTRY, at=NOW)
        store_accounts(connection, accounts, NETWORK, REGISTRY)
    asyncio.run(_fill(config))


async def _fill(config: HubConfig) -> None:
    async with await AsyncConnection.connect(config.dsn(), autocommit=True) as connection:
        await partitions.make(connection, [NOW.date()])
        await _frames(connection)
        await emergency(connection, at=NOW)
        service = Service(config, ManualClock(moment=NOW + timedelta(seconds=2)))
        for follower in service.followers:
            await follower.catch_up(connection)


async def _frames(connection: AsyncConnection[Any]) -> None:
    for block, column, value in ((1, 1, 3.1), (2, 0, 2.9), (3, 0, 1000.0)):
        for minute in range(10):
            values = [None] * 8
            values[column] = value + minute
            await connection.execute(
                "INSERT INTO frame (block_id, ts, v0, v1, v2, v3, v4, v5, v6, v7, quality) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (block, NOW - timedelta(minutes=minute), *values, GOOD << (8 * column)),
            )


async def emergency(connection: AsyncConnection[Any], *, at: datetime, group: str = "zone:east:supply") -> int:
    """An incident with one alarm, as alarms/ records them; returns the alarm's number."""
    async with connection.transaction():
        cursor = await connection.execute(
            "INSERT INTO incident (group_key, zone, kind, priority, emergency, opened_at, place, evidence) "
            "VALUES (%s, 'east', 'leak', 'emergency', true, %s, %s, '{}') RETURNING id",
            (group, at, Jsonb([{"element": "pipe", "id": "pe2", "probability": 0.9}])),
        )
        (incident,) = await cursor.fetchone() or (0,)
        cursor = await connection.execute(
            "INSERT INTO alarm (condition, rule, zone, incident_id, first_out, priority, active, acknowledged, "
            "raised_at, value, limit_value, evidence) VALUES "
            "(%s, 'zone_leak', 'east', %s, true, 'emergency', true, false, %s, 130, 40, '{}') RETURNING id",
            (f"zone_leak:{group}", incident, at),
        )
        (alarm,) = await cursor.fetchone() or (0,)
        body = {
            "incident": incident,
            "zone": "east",
            "kind": "leak",
            "priority": "emergency",
            "emergency": True,
            "place": [{"element": "pipe", "id": "pe2", "probability": 0.9}],
            "opened_at": at.isoformat(),
        }
        await journal.append(
            connection, at=at, kind="incident_opened", subject=f"incident:{incident}", actor="alarms", body=body
        )
        await journal.append(
            connection, at=at, kind="alarm_raised", subject=f"alarm:{alarm}", actor="alarms", body={"alarm": alarm}
        )
    return int(alarm)
