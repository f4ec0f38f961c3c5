"""What operators do to alarms. Each works in the caller's transaction, which also holds the audit entry."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from gashub.errors import Conflict, InvalidValue, NotFound

from .lifecycle import Event
from .record import AlarmRow, Announcement, Connection, apply, by_id, lock_zones

LONGEST_SHELF: Final = timedelta(days=7)


async def acknowledge(connection: Connection, alarm_ids: Sequence[int], *, actor: str, now: datetime) -> list[int]:
    """Acknowledge alarms; returns those that were waiting for it. Raises NotFound for a number that never was."""
    rows = await _lock(connection, alarm_ids)
    return [row.id for row in rows if await apply(connection, row, Event.ACKNOWLEDGE, at=now, actor=actor)]


async def shelve(
    connection: Connection, alarm_id: int, *, until: datetime, reason: str, actor: str, now: datetime
) -> None:
    """Put an alarm aside until a moment at most a week ahead. Raises NotFound, InvalidValue, Conflict."""
    if not now < until <= now + LONGEST_SHELF:
        raise InvalidValue(f"an alarm is shelved for at most {LONGEST_SHELF.days} days, and not into the past")
    if not reason.strip():
        raise InvalidValue("shelving an alarm needs a reason")
    await _one(connection, alarm_id, Event.SHELVE, actor=actor, now=now, until=until, reason=reason)


async def unshelve(connection: Connection, alarm_id: int, *, actor: str, now: datetime) -> None:
    """Take an alarm back before its shelf ends. Raises NotFound, Conflict."""
    await _one(connection, alarm_id, Event.UNSHELVE, actor=actor, now=now)


async def end_shelves(connection: Connection, alarm_ids: Sequence[int], *, now: datetime) -> list[Announcement]:
    """End shelves whose time has come."""
    said: list[Announcement] = []
    for row in await _lock(connection, alarm_ids):
        if row.shelved_until is not None and row.shelved_until <= now:
            said += await apply(connection, row, Event.UNSHELVE, at=now, actor="alarms")
    return said


async def _lock(connection: Connection, alarm_ids: Sequence[int]) -> list[AlarmRow]:
    """The alarms, their zones locked first, as everybody who writes alarms does."""
    cursor = await connection.execute("SELECT id, zone FROM alarm WHERE id = ANY(%s)", (list(alarm_ids),))
    zones: dict[int, str] = dict(await cursor.fetchall())
    for alarm_id in alarm_ids:
        if alarm_id not in zones:
            raise NotFound("alarm", alarm_id)
    await lock_zones(connection, zones.values())
    return await by_id(connection, alarm_ids)


async def _one(
    connection: Connection,
    alarm_id: int,
    event: Event,
    *,
    actor: str,
    now: datetime,
    until: datetime | None = None,
    reason: str = "",
) -> None:
    (row,) = await _lock(connection, [alarm_id])
    if not await apply(connection, row, event, at=now, actor=actor, until=until, reason=reason):
        state = "closed" if row.closed_at is not None else row.standing.state.value
        raise Conflict(event.value, state)
