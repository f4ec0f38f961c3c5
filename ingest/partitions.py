"""One table for each day (UTC), made ahead of need.

A table is made aside and then attached: attaching locks the parent so lightly that a COPY into it goes on, while
CREATE ... PARTITION OF would wait for every reader and make every writer wait.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from psycopg import AsyncConnection, sql

AHEAD_DAYS: Final = 7
_LOCK: Final = 0x6761736875620003
_PREFIX: Final = "frame_"


def _name(day: date) -> str:
    return f"{_PREFIX}{day:%Y%m%d}"


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


async def existing(connection: AsyncConnection[Any]) -> set[date]:
    """The days that have a table."""
    cursor = await connection.execute(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = 'frame'::regclass"
    )
    names = [name for (name,) in await cursor.fetchall()]
    return {datetime.strptime(name, f"{_PREFIX}%Y%m%d").replace(tzinfo=UTC).date() for name in names}


async def make(connection: AsyncConnection[Any], days: Iterable[date]) -> list[date]:
    """Make the tables of these days that are missing, in a transaction of its own; returns the days made."""
    made: list[date] = []
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        have = await existing(connection)
        for day in sorted(set(days) - have):
            await _make_one(connection, day)
            made.append(day)
    return made


async def _make_one(connection: AsyncConnection[Any], day: date) -> None:
    name = sql.Identifier(_name(day))
    await connection.execute(sql.SQL("CREATE TABLE {} (LIKE frame INCLUDING ALL)").format(name))
    await connection.execute(
        sql.SQL("ALTER TABLE frame ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
            name, sql.Literal(_start(day)), sql.Literal(_start(day + timedelta(days=1)))
        )
    )


async def make_ahead(connection: AsyncConnection[Any], now: datetime) -> list[date]:
    """Make yesterday's table, today's and those of the coming days."""
    today = now.astimezone(UTC).date()
    return await make(connection, [today + timedelta(days=offset) for offset in range(-1, AHEAD_DAYS + 1)])


async def drop_older(connection: AsyncConnection[Any], *, than: datetime) -> list[date]:
    """Drop the tables of days that ended before `than`; returns those days.

    One at a time, each in a transaction of its own that gives way to readers instead of making writers queue behind it.
    """
    dropped: list[date] = []
    for day in sorted(await existing(connection)):
        if _start(day + timedelta(days=1)) <= than:
            async with connection.transaction():
                await connection.execute("SET LOCAL lock_timeout = '2s'")
                await connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(_name(day))))
            dropped.append(day)
    return dropped
