"""Take transitions to the database and the bus, whatever the database does.

    database there   record in one transaction, then announce
    database away    announce at once, flagged unrecorded; keep, bounded; record when it is back

While transitions wait, later ones queue up behind them, so that they are recorded in the order they happened.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

import msgspec
import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from gashub.clock import stopwatch_s
from gashub.errors import NotFound
from gashub.frames import from_ms
from gashub.topics import alarms as topic_of

from . import metrics, record
from .actions import end_shelves
from .balance import Reading
from .record import Announcement, Surroundings
from .rules import Transition
from .statements import statement

RECORD_TIMEOUT_S: Final = 3.0
UNRECORDED_LIMIT: Final = 10_000
AWAY: Final = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, TimeoutError)

log = structlog.get_logger()


class Recorder:
    """publish(topic, payload) hands a message to the bus; False if it could not."""

    def __init__(
        self,
        pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]],
        publish: Callable[[str, bytes], bool],
        surroundings: Surroundings,
    ) -> None:
        self._pool = pool
        self._publish = publish
        self.surroundings = surroundings
        self._waiting: deque[Transition] = deque(maxlen=UNRECORDED_LIMIT)
        self._turn = asyncio.Lock()
        self.away = False

    async def transitions(self, found: Sequence[Transition]) -> None:
        """Record and announce transitions, or announce them unrecorded and keep them."""
        async with self._turn:
            for transition in found:
                metrics.TRANSITIONS.labels(rule=transition.condition.rule.id).inc()
            if self._waiting or not await self._record(found):
                self._keep(found)

    async def catch_up(self) -> bool:
        """Record what waits; True if nothing waits any more."""
        async with self._turn:
            while self._waiting:
                some = [self._waiting[i] for i in range(min(200, len(self._waiting)))]
                if not await self._record(some):
                    return False
                for _ in some:
                    self._waiting.popleft()
            metrics.UNRECORDED.set(0)
            return True

    async def differences(
        self, zones: set[str], differing: Callable[[set[str], Mapping[str, bool]], Sequence[Transition]]
    ) -> None:
        """Record how the rules differ from the table. Nothing else is recorded meanwhile, so neither can be outdated.

        Raises what AWAY lists.
        """
        async with self._turn, asyncio.timeout(2 * RECORD_TIMEOUT_S):
            async with self._pool.connection() as connection:
                cursor = await connection.execute(statement("standing_of_zones"), (sorted(zones),))
                standing: dict[str, bool] = dict(await cursor.fetchall())
            if not self._waiting and (found := differing(zones, standing)):
                await self._record(found)

    def _keep(self, found: Sequence[Transition]) -> None:
        for transition in found:
            if len(self._waiting) == UNRECORDED_LIMIT:
                metrics.DROPPED.inc()
            self._waiting.append(transition)
            self._tell_unrecorded(transition)
        metrics.UNRECORDED.set(len(self._waiting))

    def _tell_unrecorded(self, transition: Transition) -> None:
        condition = transition.condition
        body = {
            "kind": "alarm_raised" if transition.active else "alarm_returned",
            "unrecorded": True,
            "condition": condition.key,
            "rule": condition.rule.id,
            "zone": condition.zone,
            "station": condition.station,
            "point_id": condition.point_id,
            "priority": condition.rule.priority.value,
            "value": transition.value,
            "limit": condition.limit,
            "at": from_ms(transition.at_ms).isoformat(),
        }
        self._publish(topic_of(condition.zone), msgspec.json.encode(body))

    async def _record(self, found: Sequence[Transition]) -> bool:
        """Record in one transaction and announce; False if the database is away."""
        began = stopwatch_s()
        try:
            # In a pipeline only what is fetched waits for an answer: fewer round trips before the commit.
            async with (
                asyncio.timeout(RECORD_TIMEOUT_S),
                self._pool.connection() as connection,
                connection.pipeline(),
            ):
                said = await record.transitions(connection, found, self.surroundings)
        except AWAY as error:
            self._note_away(error)
            return False
        metrics.RECORD_S.observe(stopwatch_s() - began)
        self._note_back()
        self.announce(said)
        return True

    def _note_away(self, error: BaseException) -> None:
        if not self.away:
            log.warning("database_away", error=str(error) or type(error).__name__)
        self.away = True

    def _note_back(self) -> None:
        if self.away:
            log.info("database_back", waiting=len(self._waiting))
        self.away = False

    def announce(self, said: Sequence[Announcement]) -> None:
        """Tell the bus what the journal says already."""
        for one in said:
            self._publish(topic_of(one.zone), msgspec.json.encode({"kind": one.kind, **one.body}))

    async def housekeeping(self, readings: Sequence[Reading], zones: Sequence[str], *, now: datetime) -> None:
        """Write the zones' balances and end shelves whose time has come. Raises what AWAY lists."""
        async with asyncio.timeout(RECORD_TIMEOUT_S), self._pool.connection() as connection:
            for reading in readings:
                await connection.execute(statement("upsert_zone_balance"), asdict(reading))
            cursor = await connection.execute(statement("expired_shelves"), {"now": now, "zones": list(zones)})
            expired = [row[0] for row in await cursor.fetchall()]
        if expired:
            await self._end_shelves(expired, now=now)

    async def _end_shelves(self, expired: Sequence[int], *, now: datetime) -> None:
        try:
            async with asyncio.timeout(RECORD_TIMEOUT_S), self._pool.connection() as connection:
                said = await end_shelves(connection, expired, now=now)
        except NotFound:
            return
        self.announce(said)

    async def place(self, group: str, candidates: record.Place, *, zone: str, at: datetime) -> None:
        """Say better where an open incident's cause is. Raises what AWAY lists."""
        async with asyncio.timeout(RECORD_TIMEOUT_S), self._pool.connection() as connection:
            said = await record.place(connection, group, candidates, zone=zone, at=at)
        self.announce(said)
