"""The loop: take a batch, judge it, store it, acknowledge it, tell the gateways.

Two tasks and a queue of one batch between them, so that the next batch is decoded while PostgreSQL works on the last.
While the database is away the batch in hand is tried again with back-off; nothing is acknowledged, the window fills,
and the inbox stops reading. A batch that the database refuses for its content is halved until the message at fault
stands alone; that one becomes a dead letter and the line goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import psycopg
import structlog
from psycopg import AsyncConnection

from gashub import frames, wire
from gashub.clock import Clock, stopwatch_s
from gashub.config import IngestSection

from .admission import Admitted, DeadLetter, Field, TimeWindow, admit
from .inbox import Delivery, Inbox
from .metrics import Metrics
from .store import Store, Stored

_BACKOFF_S: Final = (0.1, 5.0)
_CONNECT_TIMEOUT_S: Final = 10
_WRITE_TIMEOUT_S: Final = 60.0

log = structlog.get_logger()


class Line:
    """From the inbox to the historian."""

    def __init__(
        self, *, dsn: str, inbox: Inbox, field: Field, settings: IngestSection, clock: Clock, metrics: Metrics
    ) -> None:
        self.field = field
        self._dsn = dsn
        self._inbox = inbox
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._store = Store()
        self._connection: AsyncConnection[Any] | None = None
        self._judged: asyncio.Queue[tuple[list[Delivery], Admitted]] = asyncio.Queue(maxsize=1)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._take(), name="ingest-take")
                tasks.create_task(self._write(), name="ingest-write")
        finally:
            await self._drop_connection()

    async def _take(self) -> None:
        while True:
            deliveries = await self._inbox.batch()
            await self._judged.put((deliveries, self._judge(deliveries)))

    def _judge(self, deliveries: Sequence[Delivery]) -> Admitted:
        window = TimeWindow.around(
            self._clock.now(), oldest_days=self._settings.oldest_days, future_limit_s=self._settings.future_limit_s
        )
        return admit([(delivery.topic, delivery.payload) for delivery in deliveries], self.field, window)

    async def _write(self) -> None:
        while True:
            deliveries, admitted = await self._judged.get()
            await self._settle(deliveries, admitted)

    async def _settle(self, deliveries: Sequence[Delivery], admitted: Admitted) -> None:
        """Store, acknowledge, tell; halve the batch if the database refuses its content."""
        try:
            stored = await self._store_patiently(admitted)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            await self._isolate(deliveries, error)
            return
        self._inbox.done(deliveries)
        for mark in stored.watermarks:
            self._inbox.publish(mark.source.topic("committed"), wire.encode_committed(mark.boot, mark.lane, mark.seq))
        self._tell(stored, admitted)

    async def _isolate(self, deliveries: Sequence[Delivery], error: psycopg.Error) -> None:
        if len(deliveries) > 1:
            middle = len(deliveries) // 2
            for half in (deliveries[:middle], deliveries[middle:]):
                await self._settle(half, self._judge(half))
            return
        log.error("message_unstorable", topic=deliveries[0].topic, error=str(error))
        await self._settle(deliveries, self._refuse(deliveries[0], str(error)))

    def _refuse(self, delivery: Delivery, why: str) -> Admitted:
        """The message as a dead letter, nothing of it stored, and settled, so that it is not sent again."""
        judged = self._judge([delivery])
        letter = DeadLetter(
            topic=delivery.topic,
            gateway=judged.settlements[0].source.gateway if judged.settlements else None,
            fault=wire.Fault.UNSTORABLE,
            detail=why[:500],
            payload=delivery.payload,
            frames=len(judged.frames),
        )
        return Admitted(
            frames=frames.empty(),
            message=judged.message[:0],
            settlements=[
                replace(one, refused=True, frames_refused=one.frames_refused + len(judged.frames))
                for one in judged.settlements
            ],
            letters=[letter],
            unknown_blocks={},
        )

    async def _store_patiently(self, admitted: Admitted) -> Stored:
        """Try until the database takes it. Raises psycopg's DataError or IntegrityError if it refuses the content."""
        pause_s = _BACKOFF_S[0]
        away = False
        while True:
            begun_s = stopwatch_s()
            try:
                async with asyncio.timeout(_WRITE_TIMEOUT_S):
                    stored = await self._store.write(await self._connected(), admitted, self._clock.now())
            except (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError) as error:
                if not away:
                    log.warning("database_away", error=str(error).strip() or "no answer in time")
                away = True
                self._metrics.retries.inc()
                self._store.forget()
                await self._drop_connection()
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _BACKOFF_S[1])
            else:
                if away:
                    log.info("database_back")
                self._metrics.commit_s.observe(stopwatch_s() - begun_s)
                return stored

    async def _connected(self) -> AsyncConnection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = await AsyncConnection.connect(
                self._dsn,
                autocommit=True,
                connect_timeout=_CONNECT_TIMEOUT_S,
                application_name="gashub-ingest-writer",
                keepalives_idle=10,
                keepalives_interval=5,
                keepalives_count=3,
                tcp_user_timeout=30_000,
            )
        return self._connection

    async def _drop_connection(self) -> None:
        if self._connection is not None:
            await self._connection.close()
        self._connection = None

    def _tell(self, stored: Stored, admitted: Admitted) -> None:
        metrics = self._metrics
        metrics.readings.inc(stored.readings)
        metrics.frames.inc(stored.frames)
        metrics.messages.inc(stored.messages)
        metrics.duplicates.inc(stored.duplicate)
        metrics.batches.inc()
        metrics.merges.inc(stored.merged)
        metrics.window.set(self._inbox.window_use)
        for letter in admitted.letters:
            metrics.rejected.labels(letter.fault).inc()
