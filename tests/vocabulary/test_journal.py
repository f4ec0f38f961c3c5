"""The journal numbers without gaps in the order of commits, and its followers miss nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import AsyncConnection

from gashub import journal

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


async def append(connection: AsyncConnection[tuple[object, ...]], subject: str) -> int:
    return await journal.append(connection, at=NOON, kind="test", subject=subject, actor="test", body={"a": 1})


async def test_an_entry_comes_back_as_it_was_written(database_dsn: str) -> None:
    async with await AsyncConnection.connect(database_dsn) as connection:
        number = await append(connection, "thing:1")
        (entry,) = await journal.read(connection, after=0)
        assert (entry.number, entry.kind, entry.subject, entry.body, entry.at) == (
            number,
            "test",
            "thing:1",
            {"a": 1},
            NOON,
        )
        assert await journal.history(connection, subject="thing:1") == [entry]
        assert await journal.last_number(connection) == number == 1


async def test_a_rolled_back_entry_leaves_no_gap(database_dsn: str) -> None:
    async with await AsyncConnection.connect(database_dsn) as connection:
        await append(connection, "lost")
        await connection.rollback()
        assert await append(connection, "kept") == 1


async def test_a_slow_transaction_is_never_passed_by_a_follower(database_dsn: str) -> None:
    async with (
        await AsyncConnection.connect(database_dsn) as slow,
        await AsyncConnection.connect(database_dsn) as quick,
    ):
        first = await append(slow, "slow")
        second = asyncio.create_task(append(quick, "quick"))
        done, _ = await asyncio.wait({second}, timeout=0.2)
        assert not done, "a later number was given while an earlier one was not committed"
        await slow.commit()
        assert (first, await second) == (1, 2)
        await quick.commit()


@pytest.mark.parametrize("change", ["UPDATE journal SET actor = 'me'", "DELETE FROM journal", "TRUNCATE journal"])
async def test_nothing_written_can_be_changed(database_dsn: str, change: str) -> None:
    async with await AsyncConnection.connect(database_dsn) as connection:
        await append(connection, "thing:1")
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            await connection.execute(change)


async def test_a_watermark_moves_with_the_effects_or_not_at_all(database_dsn: str) -> None:
    async with await AsyncConnection.connect(database_dsn) as connection:
        assert await journal.lock_watermark(connection, "me") == 0
        await journal.move_watermark(connection, "me", 7)
        await connection.rollback()
        assert await journal.lock_watermark(connection, "me") == 0
        await journal.move_watermark(connection, "me", 7)
        await connection.commit()
        assert await journal.lock_watermark(connection, "me") == 7
