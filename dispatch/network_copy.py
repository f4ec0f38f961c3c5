"""The network as dispatch last read it, ready to be traced; read again when the registry's version has moved."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
from psycopg import AsyncConnection

from gashub import plant

from .isolation import Isolator


class NetworkCopy:
    """Keeps one network in memory; `dsn` is where it is read from."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._read_last: tuple[int, Isolator] | None = None

    async def current(self, connection: AsyncConnection[Any]) -> Isolator:
        """The network of the database's present registry version."""
        cursor = await connection.execute("SELECT version FROM registry_version")
        row = await cursor.fetchone()
        assert row is not None
        if self._read_last is None or row[0] != self._read_last[0]:
            self._read_last = await asyncio.to_thread(self._read)
        return self._read_last[1]

    def _read(self) -> tuple[int, Isolator]:
        with psycopg.connect(self._dsn, connect_timeout=5, application_name="gashub-dispatch-network") as connection:
            # The version first: what changes meanwhile is then read again.
            version = plant.registry_version(connection)
            stations = {station.id: station.junction for station in plant.load_registry(connection).stations}
            return version, Isolator(plant.load_network(connection), stations)
