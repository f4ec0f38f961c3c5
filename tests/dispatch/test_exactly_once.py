"""One ticket and one notice per incident, whatever dies and whoever races."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection, AsyncCursor, sql

from dispatch import queries
from dispatch.follower import Follower
from dispatch.service import Service, run
from gashub.config import HubConfig

from .conftest import Counting, Incidents, at, configured

TIMEOUT_S = 30.0


class Crash(Exception):
    """What a test throws where a process would have died."""


class CrashingCursor(AsyncCursor[Any]):
    """Dies before the statement whose turn it is; counts the statements of all connections that use it."""

    before: int = -1
    statements: int = 0

    async def execute(self, query: Any, params: Sequence[Any] | Mapping[str, Any] | None = None, **extra: Any) -> Any:
        cls = type(self)
        if cls.statements == cls.before:
            raise Crash
        cls.statements += 1
        return await super().execute(query, params, **extra)


async def everything(connection: AsyncConnection[Any]) -> list[tuple[Any, ...]]:
    """Every row that dispatch writes."""
    tables = ["ticket", "ticket_step", "notice", "notice_version", "notice_service_point", "dispatch_number"]
    rows: list[tuple[Any, ...]] = []
    for table in [*tables, "journal", "journal_follower"]:
        cursor = await connection.execute(sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.Identifier(table)))
        rows += [(table, *row) for row in await cursor.fetchall()]
    return rows


async def tell_a_story(incidents: Incidents) -> None:
    """A leak that moves, and whose alarm then goes."""
    incident = await incidents.open("leak", at("pipe", "pe3"))
    await incidents.tell("incident_changed", incident, "leak", at("pipe", "pe2"))
    await incidents.tell("incident_closed", incident, "leak", at("pipe", "pe2"))


async def test_dying_before_any_statement_or_the_commit_leaves_nothing_behind_and_loses_nothing(
    service: Service, connection: AsyncConnection[Any], incidents: Incidents, town_dsn: str
) -> None:
    await tell_a_story(incidents)
    # Read beforehand, so that the followers' statements are the same however often they are tried.
    await service._network.current(connection)
    deaths, more = 0, True
    async with await AsyncConnection.connect(town_dsn, cursor_factory=CrashingCursor) as mortal:
        while more:
            more = False
            for follower in service.followers:
                died, went_on = await advance_dying_everywhere(follower, mortal, connection)
                deaths, more = deaths + died, more or went_on
    assert deaths > 50
    assert await kinds_told(connection) == [
        "ticket_opened",
        "notice_issued",
        "ticket_changed",
        "notice_amended",
        "ticket_step",
    ]
    assert await (await connection.execute("SELECT series, last FROM dispatch_number ORDER BY series")).fetchall() == [
        ("N", 1),
        ("T", 1),
    ]
    (ticket,) = await queries.tickets(connection)
    detail = await queries.ticket(connection, ticket.id)
    assert [step.step for step in detail.steps] == ["opened", "incident_changed", "incident_closed"]
    (notice,) = await queries.notices(connection)
    assert (notice.version, notice.service_point_count) == (2, 3)


async def kinds_told(connection: AsyncConnection[Any]) -> list[str]:
    cursor = await connection.execute("SELECT kind FROM journal WHERE kind NOT LIKE 'incident%' ORDER BY number")
    return [row[0] for row in await cursor.fetchall()]


async def advance_dying_everywhere(
    follower: Follower, mortal: AsyncConnection[Any], witness: AsyncConnection[Any]
) -> tuple[int, bool]:
    """Take one entry after a death before the commit, and before the first, second, third ... statement.

    Returns how often it died, and whether there was an entry.
    """
    before = await everything(witness)
    CrashingCursor.before = -1
    with pytest.raises(Crash):
        async with mortal.transaction():
            await follower.advance(mortal)
            raise Crash
    assert await everything(witness) == before
    for died in range(200):
        CrashingCursor.before, CrashingCursor.statements = died, 0
        try:
            return died + 1, await follower.advance(mortal)
        except Crash:
            assert await everything(witness) == before, f"death before statement {died} left something behind"
    raise AssertionError("it never got through")


async def test_two_services_in_one_race_make_one_ticket_and_one_notice_each(
    config: HubConfig, connection: AsyncConnection[Any], incidents: Incidents, count: Counting
) -> None:
    stop = asyncio.Event()
    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(run(config, stop))
        for _ in range(20):
            await incidents.open("leak", at("pipe", "pe2"))
        while await count("notice") < 20:
            await asyncio.sleep(0.05)
        stop.set()
    assert (await count("ticket"), await count("notice")) == (20, 20)
    numbers = sorted(ticket.number[-4:] for ticket in await queries.tickets(connection))
    assert numbers == [f"{n:04}" for n in range(1, 21)]


@asynccontextmanager
async def started(directory: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The service as a process of its own, once it says that it is ready; killed at the end if nobody stopped it."""
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "dispatch",
        "--config",
        str(directory / "hub.toml"),
        pass_fds=[writing],
        env={**os.environ, "GASHUB_READY_FD": str(writing)},
        stderr=asyncio.subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            said = await asyncio.to_thread(os.read, reading, 16)
        assert said == b"ready\n"
        yield process
    finally:
        os.close(reading)
        if process.returncode is None:
            process.kill()
            await process.wait()


async def behind(connection: AsyncConnection[Any]) -> int:
    """How many journal entries the slower follower has still to see."""
    cursor = await connection.execute(
        "SELECT (SELECT number FROM journal_counter) - (SELECT min(number) FROM journal_follower)"
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def test_killing_the_service_again_and_again_loses_and_doubles_nothing(
    town_dsn: str, tmp_path: Path, connection: AsyncConnection[Any], incidents: Incidents, count: Counting
) -> None:
    configured(town_dsn, tmp_path)
    for burst in range(1, 4):
        async with started(tmp_path) as process:
            for _ in range(12):
                incident = await incidents.open("leak", at("pipe", "pe3"))
                await incidents.tell("incident_changed", incident, "leak", at("pipe", "pe2"))
            async with asyncio.timeout(TIMEOUT_S):
                # Twice it dies in the middle of the work, wherever that is; the third time it may finish.
                while await count("ticket") < burst * 12 - 9 if burst < 3 else await behind(connection) > 0:
                    await asyncio.sleep(0.001 if burst < 3 else 0.05)
            if burst == 3:
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
    assert (await count("ticket"), await count("notice"), await count("ticket_step")) == (36, 36, 72)
    assert {notice.service_point_count for notice in await queries.notices(connection)} == {3}
    numbers = sorted(int(ticket.number[-4:]) for ticket in await queries.tickets(connection))
    assert numbers == list(range(1, 37))


async def test_the_database_stopping_every_session_is_survived(
    config: HubConfig, incidents: Incidents, count: Counting, connection: AsyncConnection[Any]
) -> None:
    stop = asyncio.Event()
    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(run(config, stop))
        for number in range(1, 4):
            await incidents.open("leak", at("pipe", "pe2"))
            while await count("notice") < number:
                await asyncio.sleep(0.02)
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name LIKE 'gashub-%'"
            )
        stop.set()
    assert await count("ticket") == 3


async def test_an_entry_whose_hint_nobody_heard_is_found_by_looking(
    config: HubConfig, connection: AsyncConnection[Any], count: Counting
) -> None:
    stop = asyncio.Event()
    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(run(config, stop))
        await connection.execute(
            "INSERT INTO incident (group_key, zone, kind, priority, emergency, opened_at, place, evidence) "
            "VALUES ('x', 'east', 'leak', 'emergency', true, now(), '[]', '{}')"
        )
        while await count("journal_follower") < 2:
            await asyncio.sleep(0.02)
        await connection.execute(
            sql.SQL(
                "WITH n AS (UPDATE journal_counter SET number = number + 1 RETURNING number) "
                "INSERT INTO journal (number, at, kind, subject, actor, body) SELECT number, now(), 'incident_opened', "
                "'incident:1', 'alarms', {} FROM n"
            ).format(sql.Literal('{"incident": 1, "zone": "east", "kind": "leak", "emergency": true, "place": []}'))
        )
        while await count("ticket") < 1:
            await asyncio.sleep(0.02)
        stop.set()


def test_a_configuration_with_mistakes_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "hub.toml").write_text("[database]\n[hub]\ngas_day_hour = 25\n")
    done = subprocess.run(
        [sys.executable, "-m", "dispatch", "--config", str(tmp_path / "hub.toml")],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 2
    assert "gas_day_hour" in done.stderr and "dsn_file" in done.stderr
