"""What can be asked about alarms, incidents, rules and balances. Each reads in the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from gashub.errors import NotFound

from . import rulebook
from .balance import Reading
from .lifecycle import Standing, State
from .rules import Rule
from .statements import statement

Connection = AsyncConnection[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm as the list shows it."""

    id: int
    condition: str
    rule: str
    zone: str
    station: str | None
    point_id: int | None
    incident_id: int
    first_out: bool
    priority: str
    active: bool
    acknowledged: bool
    shelved_until: datetime | None
    shelved_by: str | None
    shelved_reason: str | None
    raised_at: datetime
    returned_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    closed_at: datetime | None
    value: float | None
    limit_value: float | None
    evidence: dict[str, Any]

    @property
    def state(self) -> State:
        """Its state after ISA-18.2."""
        if self.closed_at is not None:
            return State.NORMAL
        return Standing(active=self.active, acknowledged=self.acknowledged, shelved_until=self.shelved_until).state


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An incident with the numbers of its alarms, the first out first."""

    id: int
    group_key: str
    zone: str
    kind: str
    priority: str
    emergency: bool
    opened_at: datetime
    closed_at: datetime | None
    place: list[dict[str, Any]]
    evidence: dict[str, Any]
    alarm_ids: list[int]


async def alarms(
    connection: Connection,
    *,
    standing_only: bool = True,
    zone: str | None = None,
    incident_id: int | None = None,
    limit: int = 1_000,
) -> list[Alarm]:
    """Alarms, the most urgent first."""
    async with connection.cursor(row_factory=class_row(Alarm)) as cursor:
        await cursor.execute(
            statement("alarms"),
            {"standing_only": standing_only, "zone": zone, "incident_id": incident_id, "limit": limit},
        )
        return await cursor.fetchall()


async def incidents(
    connection: Connection, *, open_only: bool = True, zone: str | None = None, limit: int = 500
) -> list[Incident]:
    """Incidents, the newest first."""
    return await _incidents(connection, open_only=open_only, zone=zone, limit=limit)


async def incident(connection: Connection, incident_id: int) -> Incident:
    """One incident. Raises NotFound."""
    found = await _incidents(connection, incident_id=incident_id)
    if not found:
        raise NotFound("incident", incident_id)
    return found[0]


async def _incidents(
    connection: Connection,
    *,
    open_only: bool = False,
    zone: str | None = None,
    incident_id: int | None = None,
    limit: int = 1,
) -> list[Incident]:
    async with connection.cursor(row_factory=class_row(Incident)) as cursor:
        await cursor.execute(
            statement("incidents"), {"open_only": open_only, "zone": zone, "id": incident_id, "limit": limit}
        )
        return await cursor.fetchall()


async def zone_status(connection: Connection) -> dict[str, Reading]:
    """The newest balance of each zone that has one."""
    async with connection.cursor(row_factory=class_row(Reading)) as cursor:
        await cursor.execute(
            "SELECT zone, at, inlet_m3h, offtake_m3h, expected_unmetered_m3h, linepack_rate_m3h, imbalance_m3h, "
            "sigma_m3h, smallest_leak_m3h, ready FROM zone_balance ORDER BY zone"
        )
        return {reading.zone: reading for reading in await cursor.fetchall()}


@cache
def rules(site: Path | None = None) -> tuple[Rule, ...]:
    """The rulebook with its rationalisation, as configured. Raises ConfigurationError."""
    return tuple(rulebook.load(site))
