"""Daily readings: every meter's counter as it stood when the gas day began, kept for good.

What is billed must not change when readings come late, so a frozen reading is never written again; a meter whose
counter is not known at that hour gets its reading by freezing again later.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, Final
from zoneinfo import ZoneInfo

from psycopg import AsyncConnection

from .consumption import gas_day_start

# A counter read this long before the hour stands for it; older ones are waited for.
FRESH: Final = timedelta(minutes=15)


async def freeze(
    connection: AsyncConnection[Any], gas_day: date, *, timezone: ZoneInfo, gas_day_hour: int, now: datetime
) -> int:
    """Keep the index at the beginning of `gas_day` of every meter installed then that has none yet; how many."""
    begins = gas_day_start(gas_day, timezone=timezone, gas_day_hour=gas_day_hour)
    cursor = await connection.execute(
        _freeze(), {"gas_day": gas_day, "begins": begins, "earliest": begins - FRESH, "now": now}
    )
    return cursor.rowcount


@cache
def _freeze() -> bytes:
    return (files(__package__) / "sql" / "freeze.sql").read_bytes()
