"""What others may ask of the historian. Every function reads only, on a connection of the caller's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import class_row

from gashub.errors import InvalidValue, NotFound
from gashub.frames import F64, I64, U8, block_and_slot, to_ms

from .counters import Around, Interval, Sample, intervals
from .sqlfiles import statement

MAX_BUCKETS: Final = 10_000
_REACH: Final = timedelta(days=40)
_RECENT: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latest:
    """The newest sample of a point; its value is None where the device gave none."""

    point_id: int
    measured_at: datetime
    value: float | None
    quality: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trend:
    """A point in equal buckets; all columns have shape (buckets,).

    t_ms: where each bucket begins, milliseconds since 1970. minimum, maximum, mean, last: of the samples that are not
    bad, NaN where there is none. quality_worst: 0 where nothing was sampled. count: all samples, bad ones too.
    """

    t_ms: I64
    minimum: F64
    maximum: F64
    mean: F64
    last: F64
    quality_worst: U8
    count: I64


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterRow:
    """Input that was not taken; payload_bytes is its whole length."""

    id: int
    received_at: datetime
    topic: str
    gateway: str | None
    fault: str
    detail: str
    frames: int
    payload_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """What became of one gateway's messages in one boot and lane (0 live, 1 historical).

    missing: numbers below the highest settled one that have not come. rejected: messages of which something was not
    taken. duplicate: messages that came again.
    """

    gateway: str
    boot: str
    lane: int
    committed_seq: int
    missing: int
    messages: int
    readings: int
    frames: int
    rejected: int
    frames_rejected: int
    duplicate: int
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownBlock:
    """A block that sends and is not enrolled with that gateway."""

    gateway: str
    block_id: int
    first_seen: datetime
    last_seen: datetime
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """How many frames a block should have by its scan class, has, and has with at least one answer of the device."""

    block_id: int
    device: str
    name: str
    scan_s: float
    expected: float
    stored: int
    answered: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A stretch without frames."""

    start: datetime
    end: datetime


async def latest(connection: AsyncConnection[Any], points: Sequence[int]) -> list[Latest]:
    """The newest sample of each point, in the order asked for; points never sampled are absent."""
    async with connection.cursor(row_factory=class_row(Latest)) as cursor:
        await cursor.execute(statement("latest"), {"points": list(points)})
        return await cursor.fetchall()


async def trend(
    connection: AsyncConnection[Any], point: int, start: datetime, end: datetime, buckets: int = 500
) -> Trend:
    """A point from start up to end at the resolution of a screen. Raises InvalidValue for an empty period."""
    if not start < end or not 0 < buckets <= MAX_BUCKETS:
        raise InvalidValue(f"a trend needs start before end and 1 to {MAX_BUCKETS} buckets")
    block, slot = block_and_slot(point)
    step_s = (end - start).total_seconds() / buckets
    cursor = await connection.execute(
        statement("trend"), {"block": block, "slot": slot, "start": start, "end": end, "step_s": step_s}
    )
    return _columns(await cursor.fetchall(), start, step_s, buckets)


def _columns(rows: Sequence[Sequence[Any]], start: datetime, step_s: float, buckets: int) -> Trend:
    at = np.minimum(np.array([row[0] for row in rows], np.int64), buckets - 1)
    figures = np.full((4, buckets), np.nan)
    figures[:, at] = np.array([row[1:5] for row in rows], np.float64).reshape(-1, 4).T
    quality, count = np.zeros(buckets, np.uint8), np.zeros(buckets, np.int64)
    quality[at] = [row[5] for row in rows]
    count[at] = [row[6] for row in rows]
    return Trend(
        t_ms=to_ms(start) + np.round(np.arange(buckets) * step_s * 1000).astype(np.int64),
        minimum=figures[0],
        maximum=figures[1],
        mean=figures[2],
        last=figures[3],
        quality_worst=quality,
        count=count,
    )


async def consumption(
    connection: AsyncConnection[Any],
    point: int,
    edges: Sequence[datetime],
    modulus: float | None,
    *,
    recent: timedelta = _RECENT,
) -> list[Interval]:
    """What a counter counted between consecutive edges; see `ingest.counters`."""
    block, slot = block_and_slot(point)
    cursor = await connection.execute(
        statement("counter_at"), {"edges": list(edges), "block": block, "slot": slot, "reach": _REACH}
    )
    around = [
        Around(edge=edge, before=_sample(*before), after=_sample(*after))
        for edge, *rest in await cursor.fetchall()
        for before, after in [(rest[:3], rest[3:])]
    ]
    return intervals(around, modulus=modulus, recent=recent)


def _sample(at: datetime | None, value: float | None, quality: int | None) -> Sample | None:
    if at is None or value is None or quality is None:
        return None
    return Sample(at=at, value=value, quality=quality)


async def completeness(
    connection: AsyncConnection[Any], start: datetime, end: datetime, *, device: str | None = None
) -> list[Completeness]:
    """Completeness of every block in service, or of one device's."""
    async with connection.cursor(row_factory=class_row(Completeness)) as cursor:
        await cursor.execute(statement("completeness"), {"start": start, "end": end, "device": device})
        return await cursor.fetchall()


async def gaps(
    connection: AsyncConnection[Any],
    block: int,
    start: datetime,
    end: datetime,
    *,
    longer_than_s: float,
    limit: int = 1_000,
) -> list[Gap]:
    """Stretches without a frame of a block, oldest first."""
    arguments = {"block": block, "start": start, "end": end, "longer_than_s": longer_than_s, "limit": limit}
    async with connection.cursor(row_factory=class_row(Gap)) as cursor:
        await cursor.execute(statement("gaps"), arguments)
        return await cursor.fetchall()


async def dead_letters(
    connection: AsyncConnection[Any], limit: int = 100, before: int | None = None
) -> list[DeadLetterRow]:
    """The newest dead letters with an id below `before`, newest first, without their payloads."""
    async with connection.cursor(row_factory=class_row(DeadLetterRow)) as cursor:
        await cursor.execute(
            "SELECT id, received_at, topic, gateway, fault, detail, frames, payload_bytes FROM dead_letter "
            "WHERE %(before)s::bigint IS NULL OR id < %(before)s ORDER BY id DESC LIMIT %(limit)s",
            {"before": before, "limit": limit},
        )
        return await cursor.fetchall()


async def dead_letter_payload(connection: AsyncConnection[Any], number: int) -> bytes:
    """What was sent, or its beginning. Raises NotFound."""
    cursor = await connection.execute("SELECT payload FROM dead_letter WHERE id = %s", (number,))
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("dead letter", number)
    return bytes(row[0])


async def ledger(connection: AsyncConnection[Any], *, limit: int = 1_000) -> list[LedgerRow]:
    """The ledger's newest entries, newest first."""
    async with connection.cursor(row_factory=class_row(LedgerRow)) as cursor:
        await cursor.execute(statement("ledger"), {"limit": limit})
        return await cursor.fetchall()


async def unknown_blocks(connection: AsyncConnection[Any], *, limit: int = 10_000) -> list[UnknownBlock]:
    """What sends and is not enrolled, most recently seen first. A block that has been enrolled since is not listed."""
    async with connection.cursor(row_factory=class_row(UnknownBlock)) as cursor:
        await cursor.execute(statement("unknown_blocks"), {"limit": limit})
        return await cursor.fetchall()
