"""The journal: every business change, numbered without gaps, and readers that resume where they stopped.

The number comes from one counter row that is locked by the appending transaction. A sequence would be faster, but a
slow transaction would then commit a number that a follower has already passed, and its entry would be lost to it.

A follower reads what lies beyond its watermark and moves the watermark in the very transaction of its effects, so that
each entry has its effect exactly once, across any crash. NOTIFY only says that looking again is worthwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

CHANNEL: Final = "gashub_journal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change: when it happened, what kind, to what, by whom, and its facts."""

    number: int
    at: datetime
    kind: str
    subject: str
    actor: str
    body: dict[str, Any]


async def append(
    connection: AsyncConnection[Any], *, at: datetime, kind: str, subject: str, actor: str, body: Mapping[str, Any]
) -> int:
    """Append one entry in the caller's transaction and return its number."""
    cursor = await connection.execute(
        "WITH n AS (UPDATE journal_counter SET number = number + 1 RETURNING number) "
        "INSERT INTO journal (number, at, kind, subject, actor, body) "
        "SELECT number, %s, %s, %s, %s, %s FROM n RETURNING number, pg_notify(%s, number::text)",
        (at, kind, subject, actor, Jsonb(dict(body)), CHANNEL),
    )
    row = await cursor.fetchone()
    assert row is not None
    number: int = row[0]
    return number


async def read(connection: AsyncConnection[Any], *, after: int, limit: int = 500) -> list[Entry]:
    """Entries with a number above `after`, in order."""
    async with connection.cursor(row_factory=class_row(Entry)) as cursor:
        await cursor.execute(
            "SELECT number, at, kind, subject, actor, body FROM journal WHERE number > %s ORDER BY number LIMIT %s",
            (after, limit),
        )
        return await cursor.fetchall()


async def history(connection: AsyncConnection[Any], *, subject: str, limit: int = 500) -> list[Entry]:
    """The entries about one subject, oldest first."""
    async with connection.cursor(row_factory=class_row(Entry)) as cursor:
        await cursor.execute(
            "SELECT number, at, kind, subject, actor, body FROM journal WHERE subject = %s ORDER BY number LIMIT %s",
            (subject, limit),
        )
        return await cursor.fetchall()


async def lock_watermark(connection: AsyncConnection[Any], follower: str) -> int:
    """The last number `follower` has dealt with, locked until the caller's transaction ends."""
    await connection.execute(
        "INSERT INTO journal_follower (name, number) VALUES (%s, 0) ON CONFLICT DO NOTHING", (follower,)
    )
    cursor = await connection.execute("SELECT number FROM journal_follower WHERE name = %s FOR UPDATE", (follower,))
    row = await cursor.fetchone()
    assert row is not None
    number: int = row[0]
    return number


async def move_watermark(connection: AsyncConnection[Any], follower: str, number: int) -> None:
    """Say that `follower` has dealt with everything up to `number`, in the caller's transaction."""
    await connection.execute("UPDATE journal_follower SET number = %s WHERE name = %s", (number, follower))


async def last_number(connection: AsyncConnection[Any]) -> int:
    """The number of the newest entry; 0 if there is none."""
    cursor = await connection.execute("SELECT number FROM journal_counter")
    row = await cursor.fetchone()
    assert row is not None
    number: int = row[0]
    return number
