"""Any order of delivery, with repeats, gives the same store, and numpy and the database agree on what it is."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection

from gashub.frames import SLOTS, FrameBatch, concatenate, to_ms
from gashub.quality import GOOD, HISTORICAL, NOT_SAMPLED, is_sampled
from gashub.topics import Source
from gashub.wire import Header, Lane
from ingest import partitions
from ingest.admission import Admitted, Settlement
from ingest.rows import merged, rank
from ingest.store import Store, days_of

START = datetime(2026, 3, 1, tzinfo=UTC)
SOURCE = Source(zone="z", gateway="g")

qualities = st.sampled_from([NOT_SAMPLED, NOT_SAMPLED, GOOD, GOOD | HISTORICAL, 0x41, 0x61, 0x85])
slots = st.lists(st.tuples(qualities, st.sampled_from([-1.5, 0.0, 2.0, 1e300])), min_size=SLOTS, max_size=SLOTS)
frame = st.tuples(st.integers(1, 2), st.integers(0, 2), slots)
messages = st.lists(st.lists(frame, min_size=1, max_size=4), min_size=1, max_size=5)


def batch_of(message: list[tuple[int, int, list[tuple[int, float]]]]) -> FrameBatch:
    quality = np.array([[code for code, _ in slot] for _, _, slot in message], np.uint8)
    values = np.array([[value for _, value in slot] for _, _, slot in message])
    return FrameBatch(
        block_id=np.array([block for block, _, _ in message], np.int32),
        measured_at_ms=to_ms(START) + 1_000 * np.array([second for _, second, _ in message], np.int64),
        values=np.where(quality >= 0x80, values, np.nan),
        quality=quality,
    )


def admitted(batches: list[tuple[int, FrameBatch]], boot: str) -> Admitted:
    """Messages (number, frames) as if they had been judged."""
    counts = [len(batch) for _, batch in batches]
    return Admitted(
        frames=concatenate([batch for _, batch in batches]),
        message=np.repeat(np.arange(len(batches)), counts),
        settlements=[
            Settlement(source=SOURCE, header=Header(gateway="g", boot=boot, lane=Lane.LIVE, seq=seq), refused=False)
            for seq, _ in batches
        ],
        letters=[],
        unknown_blocks={},
    )


async def stored(connection: AsyncConnection[Any]) -> list[tuple[Any, ...]]:
    cursor = await connection.execute("SELECT * FROM frame ORDER BY block_id, ts")
    return await cursor.fetchall()


async def deliver(connection: AsyncConnection[Any], batches: list[FrameBatch], *, seed: int) -> list[tuple[Any, ...]]:
    """Store messages in a random order, cut into transactions at random, each also repeated under another number."""
    dice = random.Random(seed)
    numbered = [(seq, batch) for seq, batch in enumerate(batches * 2, 1)]
    numbered += dice.sample(numbered, len(numbered) // 2)
    dice.shuffle(numbered)
    await connection.execute("TRUNCATE frame, ingest_ledger")
    store = Store()
    while numbered:
        cut = dice.randint(1, len(numbered))
        await store.write(connection, admitted(numbered[:cut], "b"), START)
        numbered = numbered[cut:]
    return await stored(connection)


@pytest.mark.timeout(300)
async def test_any_order_of_delivery_with_repeats_gives_the_same_store(database_dsn: str) -> None:
    async with await AsyncConnection.connect(database_dsn, autocommit=True) as connection:
        await partitions.make(connection, [START.date()])
        loop = asyncio.get_running_loop()

        def check(said: list[list[tuple[int, int, list[tuple[int, float]]]]], seed: int) -> None:
            batches = [batch_of(message) for message in said]

            async def both() -> None:
                first = await deliver(connection, batches, seed=seed)
                assert await deliver(connection, batches[::-1], seed=seed + 1) == first
                assert_same(first, merged(concatenate(batches)))

            asyncio.run_coroutine_threadsafe(both(), loop).result(60)

        law = settings(max_examples=40, deadline=None)(given(messages, st.integers(0, 2**30))(check))
        await asyncio.to_thread(law)


def assert_same(table: list[tuple[Any, ...]], frames: FrameBatch) -> None:
    """The table's rows are these frames."""
    assert [row[0] for row in table] == frames.block_id.tolist()
    assert [to_ms(row[1]) for row in table] == frames.measured_at_ms.tolist()
    values = np.array([[np.nan if value is None else value for value in row[2:10]] for row in table])
    assert np.array_equal(values, frames.values, equal_nan=True)
    codes = np.array([row[10] for row in table], np.int64).view(np.uint8).reshape(-1, SLOTS)
    assert np.array_equal(codes, frames.quality)


@given(messages)
def test_merging_is_idempotent_and_keeps_every_block_and_time_once(
    said: list[list[tuple[int, int, list[tuple[int, float]]]]],
) -> None:
    whole = concatenate([batch_of(message) for message in said])
    once = merged(whole)
    again = merged(concatenate([once, whole]))
    assert np.array_equal(once.quality, again.quality)
    assert np.array_equal(once.values, again.values, equal_nan=True)
    keys = list(zip(once.block_id.tolist(), once.measured_at_ms.tolist(), strict=True))
    assert keys == sorted(set(zip(whole.block_id.tolist(), whole.measured_at_ms.tolist(), strict=True)))
    assert is_sampled(once.quality).sum() >= max(is_sampled(whole.quality).sum(axis=1))


def test_a_slot_that_is_empty_never_wins_and_live_goes_before_historical() -> None:
    order = np.array([NOT_SAMPLED, 0x41 | HISTORICAL, 0x41, 0x81 | HISTORICAL, 0x81, GOOD | HISTORICAL, GOOD], np.uint8)
    assert rank(order).tolist() == sorted(rank(order).tolist())
    assert len(set(rank(order).tolist())) == len(order)


async def test_a_repeat_touches_no_row(database_dsn: str) -> None:
    batch = batch_of([(1, 0, [(GOOD, 1.0)] * SLOTS)])
    async with await AsyncConnection.connect(database_dsn, autocommit=True) as connection:
        await partitions.make(connection, days_of(batch))
        store = Store()
        assert not (await store.write(connection, admitted([(1, batch)], "a"), START)).merged
        before = await (await connection.execute("SELECT xmin, ctid FROM frame")).fetchall()
        assert (await store.write(connection, admitted([(1, batch)], "b"), START)).merged
        assert await (await connection.execute("SELECT xmin, ctid FROM frame")).fetchall() == before
