"""The registry as ingest needs it, read again when its version has moved."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection

from .admission import Field


async def version(connection: AsyncConnection[Any]) -> int:
    """Grows with every change of the registry."""
    cursor = await connection.execute("SELECT version FROM registry_version")
    row = await cursor.fetchone()
    assert row is not None
    number: int = row[0]
    return number


async def load(connection: AsyncConnection[Any]) -> Field:
    """The gateways and blocks that are not retired."""
    async with connection.transaction():
        number = await version(connection)
        cursor = await connection.execute("SELECT id, zone FROM gateway WHERE retired_at IS NULL")
        gateways = dict(await cursor.fetchall())
        cursor = await connection.execute(
            "SELECT b.id, d.gateway FROM block b JOIN device d ON d.id = b.device WHERE d.retired_at IS NULL"
        )
        return Field.of(number, gateways, dict(await cursor.fetchall()))
