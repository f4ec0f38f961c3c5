"""Where an incident is: a search moves the place of a leak, never that of a closed slam-shut."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from alarms import record

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
STATION = [{"element": "station", "id": "drs-east-1", "probability": 1.0}]
PIPE = [{"element": "pipe", "id": "p1", "probability": 0.4}]


@pytest.mark.parametrize(("kind", "moves"), [("leak", True), ("rupture", True), ("slam_shut", False)])
async def test_a_search_moves_the_place_of_what_is_placed_by_search_alone(
    kind: str, moves: bool, database_dsn: str
) -> None:
    async with await AsyncConnection.connect(database_dsn) as connection:
        await connection.execute(
            "INSERT INTO incident (group_key, zone, kind, priority, emergency, opened_at, place, evidence) "
            "VALUES ('zone:east:supply', 'east', %s, 'emergency', true, %s, %s, '{}')",
            (kind, NOON, Jsonb(STATION)),
        )
        said = await record.place(connection, "zone:east:supply", PIPE, zone="east", at=NOON)
        cursor = await connection.execute("SELECT place FROM incident")
        assert await cursor.fetchone() == ((PIPE if moves else STATION),)
        assert [announcement.kind for announcement in said] == (["incident_changed"] if moves else [])
