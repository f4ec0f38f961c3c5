"""What the historian answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from psycopg import AsyncConnection

from gashub.frames import SLOTS, FrameBatch, concatenate, from_ms, to_ms
from gashub.quality import BAD_COMM_FAILURE, GOOD, HISTORICAL, Reason, Severity, quality, reason_of, severity_of
from gashub.topics import Source
from ingest import partitions, queries
from ingest.rows import copy_rows, merged
from ingest.store import days_of

from .stage import enrol

START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
async def connection(database_dsn: str) -> AsyncIterator[AsyncConnection[Any]]:
    async with await AsyncConnection.connect(database_dsn, autocommit=True) as opened:
        yield opened


async def put(connection: AsyncConnection[Any], batch: FrameBatch) -> None:
    await partitions.make(connection, days_of(batch))
    async with connection.cursor() as cursor, cursor.copy("COPY frame FROM STDIN (FORMAT BINARY)") as copy:
        await copy.write(copy_rows(merged(batch)))


def series(
    block: int, values: list[float | None], *, slot: int = 0, every_s: float = 60, code: int = GOOD
) -> FrameBatch:
    """One slot of one block, sampled regularly from START; None: the device did not answer."""
    n = len(values)
    columns, codes = np.full((n, SLOTS), np.nan), np.zeros((n, SLOTS), np.uint8)
    columns[:, slot] = [np.nan if value is None else value for value in values]
    codes[:, slot] = [BAD_COMM_FAILURE if value is None else code for value in values]
    return FrameBatch(
        block_id=np.full(n, block, np.int32),
        measured_at_ms=to_ms(START) + (np.arange(n) * every_s * 1000).astype(np.int64),
        values=columns,
        quality=codes,
    )


async def test_the_latest_value_is_the_newest_sample_of_that_slot(connection: AsyncConnection[Any]) -> None:
    await put(connection, series(7, [1.0, 2.0, None], slot=3))
    await put(connection, series(8, [5.0], slot=0))
    found = await queries.latest(connection, [7 * 8 + 3, 64, 7 * 8 + 4, 99 * 8])
    assert [(row.point_id, row.measured_at, row.value, row.quality) for row in found] == [
        (59, START + timedelta(minutes=2), None, BAD_COMM_FAILURE),
        (64, START, 5.0, GOOD),
    ]


async def test_the_latest_value_is_found_behind_empty_days_and_frames_without_that_slot(
    connection: AsyncConnection[Any],
) -> None:
    await put(connection, concatenate([series(7, [1.0], slot=3), series(7, [9.0] * 3, slot=2, every_s=2 * 86_400)]))
    await partitions.make_ahead(connection, START + timedelta(days=9))
    (found,) = await queries.latest(connection, [59])
    assert (found.measured_at, found.value) == (START, 1.0)


async def test_a_trend_keeps_the_extremes_of_each_bucket(connection: AsyncConnection[Any]) -> None:
    values = [float(i % 10) for i in range(120)]
    values[61] = -50.0
    await put(connection, series(7, values, slot=7, every_s=60))
    trend = await queries.trend(connection, 63, START, START + timedelta(hours=3), buckets=6)
    assert from_ms(int(trend.t_ms[0])) == START
    assert from_ms(int(trend.t_ms[1])) == START + timedelta(minutes=30)
    assert trend.count.tolist() == [30, 30, 30, 30, 0, 0]
    assert trend.minimum[:4].tolist() == [0, 0, -50, 0]
    assert trend.maximum[:4].tolist() == [9, 9, 9, 9]
    assert trend.last[:4].tolist() == [9, 9, 9, 9]
    assert np.isnan(trend.mean[4:]).all()
    assert trend.quality_worst.tolist() == [GOOD, GOOD, GOOD, GOOD, 0, 0]


async def test_a_bad_sample_shows_in_the_quality_of_a_trend_and_not_in_its_values(
    connection: AsyncConnection[Any],
) -> None:
    await put(connection, series(7, [1.0, None, 3.0], every_s=60))
    trend = await queries.trend(connection, 56, START, START + timedelta(minutes=3), buckets=1)
    assert (trend.minimum[0], trend.mean[0], trend.maximum[0], trend.count[0]) == (1.0, 2.0, 3.0, 3)
    assert trend.quality_worst[0] == BAD_COMM_FAILURE


async def test_consumption_adds_up_over_a_roll_over_and_an_outage(connection: AsyncConnection[Any]) -> None:
    readings: list[float | None] = [(9_990.0 + i * 0.5) % 10_000 for i in range(181)]
    readings[61:119] = [None] * 58
    await put(connection, series(7, readings, every_s=60))
    edges = [START + timedelta(minutes=m) for m in (0, 60, 90, 120, 180)]
    found = await queries.consumption(connection, 56, edges, 10_000)
    assert [i.volume_m3 for i in found] == [30.0, 15.0, 15.0, 30.0]
    assert [severity_of(i.quality) for i in found] == [
        Severity.GOOD,
        Severity.UNCERTAIN,
        Severity.UNCERTAIN,
        Severity.GOOD,
    ]


async def test_a_counter_that_goes_back_has_no_volume_and_says_why(connection: AsyncConnection[Any]) -> None:
    await put(connection, series(7, [500.0, 501.0, 3.0, 4.0], every_s=600))
    edges = [START + timedelta(minutes=m) for m in (0, 10, 20, 30)]
    found = await queries.consumption(connection, 56, edges, 1_000_000)
    assert [i.volume_m3 for i in found] == [1.0, None, 1.0]
    assert reason_of(found[1].quality) is Reason.COUNTER_BACK


async def test_late_readings_count_like_live_ones(connection: AsyncConnection[Any]) -> None:
    await put(connection, series(7, [1.0, 2.5], every_s=600, code=GOOD | HISTORICAL))
    (interval,) = await queries.consumption(connection, 56, [START, START + timedelta(minutes=10)], None)
    assert interval.volume_m3 == 1.5
    assert severity_of(interval.quality) is Severity.GOOD


async def test_no_reading_means_no_volume(connection: AsyncConnection[Any]) -> None:
    (interval,) = await queries.consumption(connection, 56, [START, START + timedelta(hours=1)], None)
    assert interval.volume_m3 is None
    assert severity_of(interval.quality) is Severity.BAD


async def test_completeness_and_gaps_show_what_did_not_come(
    connection: AsyncConnection[Any], database_dsn: str
) -> None:
    enrol(database_dsn, Source(zone="z", gateway="g"), range(7, 8))
    values: list[float | None] = [1.0] * 30 + [None] * 10
    await put(connection, series(7, values, every_s=1))
    (row,) = await queries.completeness(connection, START, START + timedelta(seconds=50), device="d-g-7")
    assert (row.expected, row.stored, row.answered) == (50, 40, 30)
    (gap,) = await queries.gaps(connection, 7, START, START + timedelta(seconds=50), longer_than_s=5)
    assert gap.start == START + timedelta(seconds=39)
    assert gap.end == START + timedelta(seconds=50)


async def test_old_days_are_dropped_and_the_others_stay(connection: AsyncConnection[Any]) -> None:
    await put(connection, series(7, [1.0] * 4, every_s=86_400))
    dropped = await partitions.drop_older(connection, than=START + timedelta(days=2, hours=1))
    assert dropped == [START.date(), START.date() + timedelta(days=1)]
    cursor = await connection.execute("SELECT min(ts), count(*) FROM frame")
    assert await cursor.fetchone() == (START + timedelta(days=2), 2)


async def test_the_plain_view_shows_sampled_slots_only(connection: AsyncConnection[Any]) -> None:
    code = quality(Severity.UNCERTAIN, Reason.STUCK)
    await put(connection, series(7, [1.5], slot=7, code=code))
    cursor = await connection.execute("SELECT point_id, ts, value, quality FROM reading")
    assert await cursor.fetchall() == [(63, START, 1.5, code)]
