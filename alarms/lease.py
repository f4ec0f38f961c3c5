"""Which zones this worker records for: a PostgreSQL advisory lock per zone, held by one connection.

When the worker dies its connection dies, and another takes the zones within seconds. A worker whose database is away
keeps what it holds: it cannot know better, and the unique indexes settle what two workers saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import psycopg
import structlog

LEASE: Final = "alarms:"
CONNECT_TIMEOUT_S: Final = 3

log = structlog.get_logger()


class Lease:
    """The zones held. `zones` stays valid while the database is away."""

    def __init__(self, dsn: str, wanted: Sequence[str]) -> None:
        self._dsn = dsn
        self._wanted = list(wanted)
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self.zones: set[str] = set()

    def want(self, zones: Sequence[str]) -> None:
        """From now on try for these zones."""
        self._wanted = list(zones)

    async def renew(self) -> set[str]:
        """Try for every zone not held; returns those won. Raises psycopg.OperationalError."""
        fresh = self._connection is None or self._connection.closed
        if fresh:
            self._connection = await psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name="gashub-alarms-lease"
            )
        assert self._connection is not None
        asked = self._wanted if fresh else [zone for zone in self._wanted if zone not in self.zones]
        cursor = await self._connection.execute(
            "SELECT zone, pg_try_advisory_lock(hashtextextended(%s || zone, 0)) FROM unnest(%s::text[]) AS zone",
            (LEASE, asked),
        )
        got = {zone for zone, locked in await cursor.fetchall() if locked}
        held = got if fresh else self.zones | got
        won, lost = held - self.zones, self.zones - held
        self.zones = held
        if won or lost:
            log.info("zones_held", held=sorted(held), won=sorted(won), lost=sorted(lost))
        return won

    async def close(self) -> None:
        """Give all zones up."""
        if self._connection is not None:
            await self._connection.close()
        self.zones = set()
