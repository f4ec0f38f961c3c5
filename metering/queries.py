"""Reading accounts, and what they used.

Names and telephone numbers are customer data: whoever hands them on masks them for roles that do not need them
(`masked`), and a search by name is only for roles that may see names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final
from zoneinfo import ZoneInfo

from psycopg import AsyncConnection
from psycopg.rows import class_row, dict_row

from gashub.errors import NotFound
from ingest.counters import Interval
from ingest.queries import consumption, latest

from .consumption import Installation, Step, clip, edges, join, total

LIMIT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A customer's contract. meters: how many of its service points are read live now."""

    id: str
    name: str
    phone: str
    customer_class: str
    service_points: list[str]
    meters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """One installation of a meter."""

    id: str
    service_point: str
    device: str
    volume_point_id: int
    installed_at: datetime
    removed_at: datetime | None
    counter_modulus: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What a meter's counter shows [m³ std]; `value` is None where the device gave none."""

    meter: str
    service_point: str
    measured_at: datetime
    value: float | None
    quality: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDetail:
    """An account with its meters, past ones too, and the newest index of each that is installed."""

    account: Account
    meters: list[Meter]
    indexes: list[Index]


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What one service point used, by interval; `total_m3` is None where any interval has no volume."""

    service_point: str
    step: Step
    intervals: list[Interval]
    total_m3: float | None


async def accounts(
    connection: AsyncConnection[Any], search: str = "", *, by_name: bool = True, limit: int = LIMIT
) -> list[Account]:
    """Accounts whose id, service point or (`by_name`) name contains `search`; live-metered ones first."""
    pattern = f"%{_literal(search.strip())}%" if search.strip() else None
    return await _accounts(connection, account_id=None, pattern=pattern, by_name=by_name, limit=limit)


async def account(connection: AsyncConnection[Any], account_id: str) -> AccountDetail:
    """One account. Raises NotFound."""
    found = await _accounts(connection, account_id=account_id)
    if not found:
        raise NotFound("account", account_id)
    meters = await _meters(connection, account_id)
    return AccountDetail(account=found[0], meters=meters, indexes=await _indexes(connection, meters))


async def readings(
    connection: AsyncConnection[Any],
    account_id: str,
    start: datetime,
    end: datetime,
    step: str,
    *,
    timezone: ZoneInfo,
    gas_day_hour: int,
) -> list[Readings]:
    """What an account used at each of its live-metered service points, by hour or gas day [m³ std].

    An interval that has not ended yet has no volume. Raises NotFound, and InvalidValue for an impossible period.
    """
    moments = edges(start, end, Step(step), timezone=timezone, gas_day_hour=gas_day_hour)
    if not await _accounts(connection, account_id=account_id):
        raise NotFound("account", account_id)
    meters = await _meters(connection, account_id)
    by_service_point: dict[str, list[Meter]] = {}
    for meter in meters:
        by_service_point.setdefault(meter.service_point, []).append(meter)
    return [
        await _readings(connection, service_point, installed, moments, Step(step))
        for service_point, installed in by_service_point.items()
    ]


def masked(found: Account) -> Account:
    """The account as somebody sees it who need not know whose it is."""
    return replace(found, name=found.name[:1] + "**", phone="*" * 7 + found.phone[-4:] if found.phone else "")


async def _readings(
    connection: AsyncConnection[Any],
    service_point: str,
    meters: Iterable[Meter],
    moments: Sequence[datetime],
    step: Step,
) -> Readings:
    pieces: list[Interval] = []
    for meter in meters:
        asked = clip(moments, Installation(installed_at=meter.installed_at, removed_at=meter.removed_at))
        if asked:
            pieces += await consumption(connection, meter.volume_point_id, asked, meter.counter_modulus)
    joined = join(moments, pieces)
    return Readings(service_point=service_point, step=step, intervals=joined, total_m3=total(joined))


async def _indexes(connection: AsyncConnection[Any], meters: Iterable[Meter]) -> list[Index]:
    installed = {meter.volume_point_id: meter for meter in meters if meter.removed_at is None}
    return [
        Index(
            meter=installed[found.point_id].id,
            service_point=installed[found.point_id].service_point,
            measured_at=found.measured_at,
            value=found.value,
            quality=found.quality,
        )
        for found in await latest(connection, list(installed))
    ]


async def _accounts(
    connection: AsyncConnection[Any],
    *,
    account_id: str | None,
    pattern: str | None = None,
    by_name: bool = False,
    limit: int = 1,
) -> list[Account]:
    facts = {"id": account_id, "pattern": pattern, "by_name": by_name, "limit": limit}
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_query("accounts"), facts)
        rows = await cursor.fetchall()
    return [Account(**{**row, "service_points": row["service_points"] or []}) for row in rows]


async def _meters(connection: AsyncConnection[Any], account_id: str) -> list[Meter]:
    async with connection.cursor(row_factory=class_row(Meter)) as cursor:
        await cursor.execute(_query("meters"), {"account": account_id})
        return await cursor.fetchall()


def _literal(search: str) -> str:
    """The text as a pattern that matches only itself."""
    return search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


@cache
def _query(name: str) -> bytes:
    return (files(__package__) / "sql" / f"{name}.sql").read_bytes()
