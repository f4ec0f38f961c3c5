"""A small town and its incidents: enough pipes to know by hand what each fault cuts off.

    gate - f1 ---- f2                       feeder
           |  \\      \\
    reg-east  reg-west-1  reg-west-2
           |        \\         \\
    e1 pe1 e2 =ve1= e3 pe2 e4 =ve2= e5 pe3 e6       east: one feed
          spe1           spe2 spe3        spe4
             w1 pw1 w2 =vw1= w3 pw2 w4              west: a feed at each end
                   spw1     spw2
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from dispatch.service import Service
from gashub import journal, plant
from gashub.clock import ManualClock
from gashub.config import BrokerSection, DatabaseSection, HubConfig
from gashub.frames import SLOTS
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
from gashub.registry import Block, Device, Gateway, Point, Quantity, Registry, Role, Station, StationKind

NOW = datetime(2026, 11, 10, 9, 30, tzinfo=UTC)


def pipe(key: str, one: str, other: str) -> Pipe:
    return Pipe(
        id=key,
        zone=_zone(one),
        from_junction=one,
        to_junction=other,
        length_m=100,
        inner_diameter_mm=200,
        roughness_mm=0.1,
    )


def regulator(key: str, one: str, other: str) -> Regulator:
    return Regulator(
        id=key,
        zone=_zone(other),
        station=key.replace("reg", "drs"),
        from_junction=one,
        to_junction=other,
        set_point_kpa_gauge=3,
        slam_shut_kpa_gauge=5,
        capacity_m3h_std=5000,
    )


def service_point(
    key: str,
    junction: str,
    customer_class: CustomerClass = CustomerClass.RESIDENT,
    sensitivity: Sensitivity = Sensitivity.NONE,
) -> ServicePoint:
    return ServicePoint(
        id=key,
        zone=_zone(junction),
        junction=junction,
        customer_class=customer_class,
        annual_m3_std=500,
        sensitivity=sensitivity,
    )


def _zone(junction: str) -> str:
    return {"f": "feeder", "e": "east", "w": "west"}[junction[0]]


POSITIONS: dict[str, tuple[float, float]] = {
    "f1": (0, 200),
    "f2": (300, 200),
    **{f"e{n}": (100.0 * n, 0.0) for n in range(1, 7)},
    **{f"w{n}": (100.0 * n, 500.0) for n in range(1, 5)},
}

NETWORK = Network(
    name="small",
    zones=[
        Zone(id="feeder", name_en="the feeder ring", name_zh="中压环网"),
        Zone(id="east", name_en="East District", name_zh="东区"),
        Zone(id="west", name_en="West District", name_zh="西区"),
    ],
    junctions=[Junction(id=key, zone=_zone(key), x_m=x, y_m=y) for key, (x, y) in POSITIONS.items()],
    pipes=[
        pipe("pf1", "f1", "f2"),
        pipe("pe1", "e1", "e2"),
        pipe("pe2", "e3", "e4"),
        pipe("pe3", "e5", "e6"),
        pipe("pw1", "w1", "w2"),
        pipe("pw2", "w3", "w4"),
    ],
    valves=[
        Valve(id="ve1", zone="east", from_junction="e2", to_junction="e3"),
        Valve(id="ve2", zone="east", from_junction="e4", to_junction="e5"),
        Valve(id="vw1", zone="west", from_junction="w2", to_junction="w3"),
    ],
    regulators=[
        regulator("reg-east", "f1", "e1"),
        regulator("reg-west-1", "f1", "w1"),
        regulator("reg-west-2", "f2", "w4"),
    ],
    gate_inlets=[GateInlet(id="gate", junction="f1", pressure_kpa_gauge=300)],
    service_points=[
        service_point("spe1", "e2"),
        service_point("spe2", "e4"),
        service_point("spe3", "e4", CustomerClass.PUBLIC_SERVICE, Sensitivity.HOSPITAL),
        service_point("spe4", "e6"),
        service_point("spw1", "w2", CustomerClass.COMMERCIAL),
        service_point("spw2", "w3"),
    ],
)
REGISTRY = Registry(
    stations=[
        Station(
            id=each.station,
            zone=each.zone,
            kind=StationKind.REGULATOR,
            name_en=each.station,
            name_zh=each.station,
            junction=each.to_junction,
        )
        for each in NETWORK.regulators
    ]
    + [
        Station(
            id="pp-e4", zone="east", kind=StationKind.PRESSURE_POINT, name_en="pp-e4", name_zh="pp-e4", junction="e4"
        )
    ],
    gateways=[Gateway(id="gw", zone="feeder")],
    devices=[
        Device(id=each.id + "-rtu", gateway="gw", station=each.station, profile="", regulator=each.id)
        for each in NETWORK.regulators
    ],
    blocks=[
        Block(id=n, device=each.id + "-rtu", name="main", scan_s=2) for n, each in enumerate(NETWORK.regulators, 1)
    ],
    points=[
        Point(id=n * SLOTS, tag=each.id + "-rtu/slam_shut", quantity=Quantity.STATE, role=Role.SLAM_SHUT)
        for n, each in enumerate(NETWORK.regulators, 1)
    ],
)


def at(element: str, key: str, probability: float = 1.0) -> dict[str, Any]:
    """A place as incidents list them."""
    return {"element": element, "id": key, "probability": probability}


@dataclass
class Incidents:
    """Opens and changes incidents as the alarms do: the row and the journal entry in one transaction."""

    connection: AsyncConnection[Any]

    async def open(
        self, kind: str, *place: dict[str, Any], zone: str = "east", emergency: bool = True, at: datetime = NOW
    ) -> int:
        async with self.connection.transaction():
            cursor = await self.connection.execute(
                "INSERT INTO incident (group_key, zone, kind, priority, emergency, opened_at, place, evidence) "
                "VALUES (gen_random_uuid()::text, %s, %s, %s, %s, %s, %s, '{}') RETURNING id",
                (zone, kind, "emergency" if emergency else "high", emergency, at, Jsonb(list(place))),
            )
            row = await cursor.fetchone()
            assert row is not None
            await self.tell("incident_opened", row[0], kind, *place, zone=zone, emergency=emergency, at=at)
        return int(row[0])

    async def slam_shut(self, incident: int, regulator: str) -> None:
        """Raise the alarm of a slam-shut that closed, as one of the incident's."""
        point = (1 + [each.id for each in NETWORK.regulators].index(regulator)) * SLOTS
        async with self.connection.transaction():
            await self.connection.execute(
                "INSERT INTO alarm (condition, rule, zone, point_id, incident_id, first_out, priority, active, "
                "acknowledged, raised_at, evidence) VALUES (%s, 'slam_shut_closed', 'west', %s, %s, false, "
                "'emergency', true, false, %s, '{}')",
                (f"slam_shut_closed:{point}", point, incident, NOW),
            )
            body = {"incident": incident, "rule": "slam_shut_closed", "point_id": point}
            await journal.append(
                self.connection, at=NOW, kind="alarm_raised", subject="alarm:1", actor="alarms", body=body
            )

    async def tell(
        self,
        entry: str,
        incident: int,
        kind: str,
        *place: dict[str, Any],
        zone: str = "east",
        emergency: bool = True,
        at: datetime = NOW,
    ) -> None:
        body = {
            "incident": incident,
            "zone": zone,
            "kind": kind,
            "priority": "emergency" if emergency else "high",
            "emergency": emergency,
            "place": list(place),
            "opened_at": at.isoformat(),
        }
        async with self.connection.transaction():
            await journal.append(
                self.connection, at=at, kind=entry, subject=f"incident:{incident}", actor="alarms", body=body
            )


@pytest.fixture
def town_dsn(database_dsn: str) -> str:
    """A database that knows the small town."""
    with psycopg.connect(database_dsn) as connection:
        plant.store(connection, NETWORK, REGISTRY, at=NOW)
    return database_dsn


@pytest.fixture
async def connection(town_dsn: str) -> AsyncIterator[AsyncConnection[Any]]:
    async with await AsyncConnection.connect(town_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def incidents(connection: AsyncConnection[Any]) -> Incidents:
    return Incidents(connection)


@pytest.fixture
def config(town_dsn: str, tmp_path: Path) -> HubConfig:
    return configured(town_dsn, tmp_path)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(moment=NOW + timedelta(seconds=2))


@pytest.fixture
def service(config: HubConfig, clock: ManualClock) -> Service:
    return Service(config, clock)


async def catch_up(service: Service, connection: AsyncConnection[Any]) -> None:
    """Let every follower deal with what the journal holds."""
    for follower in service.followers:
        await follower.catch_up(connection)


def configured(dsn: str, directory: Path) -> HubConfig:
    """A hub's configuration for `dsn`, written to hub.toml in `directory` too."""
    (directory / "dsn").write_text(dsn)
    (directory / "broker-password").write_text("unused")
    (directory / "hub.toml").write_text(
        '[database]\ndsn_file = "dsn"\n[broker]\npassword_file = "broker-password"\n', encoding="utf-8"
    )
    return HubConfig(
        database=DatabaseSection(dsn_file=directory / "dsn"),
        broker=BrokerSection(password_file=directory / "broker-password"),
    )


Counting = Callable[[str], Any]


@pytest.fixture
def count(connection: AsyncConnection[Any]) -> Counting:
    async def counted(table: str) -> int:
        cursor = await connection.execute(f"SELECT count(*) FROM {table}".encode())
        row = await cursor.fetchone()
        assert row is not None
        return int(row[0])

    return counted
