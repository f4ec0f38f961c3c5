"""Network and registry as the API shows them: read once, and again when the registry's version grows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import psycopg
import structlog

from gashub.network.model import Network
from gashub.plant import load_network, load_registry, registry_version
from gashub.registry import UNIT, Point, Registry

_LOOK_EVERY_S: Final = 3.0
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class PointPlace:
    """A point and where it stands."""

    point: Point
    device: str
    station: str
    zone: str
    x_m: float
    y_m: float
    scan_s: float

    @property
    def unit(self) -> str:
        """The sign of the point's unit."""
        return UNIT[self.point.quantity]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantCopy:
    """Network and registry of one version, and the points with their places."""

    version: int
    network: Network
    registry: Registry
    points: dict[int, PointPlace]


def read_copy(dsn: str) -> PlantCopy:
    """Read it all in one transaction."""
    with psycopg.connect(dsn, connect_timeout=5) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        version = registry_version(connection)
        network = load_network(connection)
        registry = load_registry(connection)
    return PlantCopy(version=version, network=network, registry=registry, points=_places(network, registry))


def _places(network: Network, registry: Registry) -> dict[int, PointPlace]:
    junctions = {junction.id: junction for junction in network.junctions}
    stations = {station.id: station for station in registry.stations}
    devices = {device.id: device for device in registry.devices}
    blocks = {block.id: block for block in registry.blocks}
    places: dict[int, PointPlace] = {}
    for point in registry.points:
        block = blocks[point.id // 8]
        station = stations[devices[block.device].station]
        junction = junctions[station.junction]
        places[point.id] = PointPlace(
            point=point,
            device=block.device,
            station=station.id,
            zone=station.zone,
            x_m=junction.x_m,
            y_m=junction.y_m,
            scan_s=block.scan_s,
        )
    return places


class PlantKeeper:
    """Holds the newest copy and tells `on_change` of each."""

    def __init__(self, dsn: str, on_change: Callable[[PlantCopy], None]) -> None:
        self._dsn = dsn
        self._on_change = on_change
        self.copy = PlantCopy(
            version=0, network=Network(name="", zones=[], junctions=[], pipes=[]), registry=Registry(), points={}
        )

    async def refresh(self) -> None:
        """Read again if there is a newer version."""
        if await asyncio.to_thread(self._version) != self.copy.version:
            self.copy = await asyncio.to_thread(read_copy, self._dsn)
            self._on_change(self.copy)
            _log.info("plant_read", version=self.copy.version, points=len(self.copy.points))

    async def run(self) -> None:
        """Look every few seconds; while the database is away the last copy stands."""
        away = False
        while True:
            try:
                await self.refresh()
                away = False
            except psycopg.OperationalError as error:
                if not away:
                    _log.warning("plant_not_read", error=str(error))
                away = True
            await asyncio.sleep(_LOOK_EVERY_S)

    def _version(self) -> int:
        with psycopg.connect(self._dsn, connect_timeout=5) as connection:
            version: int = registry_version(connection)
            return version


def station_rows(copy: PlantCopy) -> list[dict[str, Any]]:
    """Stations with their coordinates."""
    junctions = {junction.id: junction for junction in copy.network.junctions}
    return [
        {
            "id": station.id,
            "zone": station.zone,
            "kind": station.kind,
            "name_en": station.name_en,
            "name_zh": station.name_zh,
            "x_m": junctions[station.junction].x_m,
            "y_m": junctions[station.junction].y_m,
        }
        for station in copy.registry.stations
    ]
