"""Numbers that people read out over the telephone: by series and day, without gaps.

The counter's row stays locked until the caller's transaction ends, and a transaction that fails gives its number back.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from psycopg import AsyncConnection


async def draw(connection: AsyncConnection[Any], series: str, *, now: datetime, timezone: ZoneInfo) -> str:
    """The next number of `series` on the day that `now` falls on in `timezone`, e.g. T20261121-0001."""
    day = now.astimezone(timezone).date()
    cursor = await connection.execute(
        "INSERT INTO dispatch_number AS n (series, day, last) VALUES (%s, %s, 1) "
        "ON CONFLICT (series, day) DO UPDATE SET last = n.last + 1 RETURNING last",
        (series, day),
    )
    row = await cursor.fetchone()
    assert row is not None
    return f"{series}{day:%Y%m%d}-{row[0]:04}"
