"""The dispatch service: two followers of the journal, and an ear on NOTIFY that wakes them.

    journal ── dispatch (tickets.follow) ── journal ── dispatch-notices (notices.follow)

Each follower has a connection of its own and looks when it is woken, or after `POLL_S` in case a hint was lost. A
database that is away is tried again with growing pauses; where the followers stand is in the database, so there is
nothing else to remember. Several such services may run: they wait for each other at the watermarks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import psycopg
import structlog
from prometheus_client import CollectorRegistry, Counter, start_http_server
from psycopg import AsyncConnection, sql

from gashub.clock import Clock
from gashub.config import HubConfig
from gashub.embedded.readiness import announce
from gashub.journal import CHANNEL, Entry

from . import notices, tickets
from .follower import Follower
from .network_copy import NetworkCopy

POLL_S: Final = 2.0
PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
# Bounds what a worker that hangs, or whose machine vanished, can hold up.
_OPTIONS: Final = "-c statement_timeout=30s -c lock_timeout=20s -c idle_in_transaction_session_timeout=60s"

log = structlog.get_logger("dispatch")


class Counters:
    """What this process did since it started."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.tickets = Counter("gashub_dispatch_tickets_opened", "Tickets opened", registry=self.registry)
        self.notices = Counter("gashub_dispatch_notices_issued", "Notices issued", registry=self.registry)
        self.unreadable = Counter(
            "gashub_dispatch_entries_unreadable", "Journal entries passed over", registry=self.registry
        )


class Service:
    """The followers of one process."""

    def __init__(self, config: HubConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._dsn = config.dsn()
        self._network = NetworkCopy(self._dsn)
        self.counters = Counters()
        self.followers = (
            Follower(name="dispatch", matters=tickets.matters, effect=self._on_incident),
            Follower(name="dispatch-notices", matters=notices.matters, effect=self._on_ticket),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until `stop`; a transaction that is under way then is given up, and taken again at the next start."""
        wakes = [asyncio.Event() for _ in self.followers]
        listening = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(self._listen(wakes, listening), name="listen"),
                *(
                    tasks.create_task(self._follow(follower, wake), name=follower.name)
                    for follower, wake in zip(self.followers, wakes, strict=True)
                ),
            ]
            ready = tasks.create_task(self._announce(listening), name="ready")
            await stop.wait()
            for task in (*running, ready):
                task.cancel()

    async def _announce(self, listening: asyncio.Event) -> None:
        await listening.wait()
        announce()

    async def _follow(self, follower: Follower, wake: asyncio.Event) -> None:
        async def work(connection: AsyncConnection[Any]) -> None:
            while True:
                wake.clear()
                await follower.catch_up(connection)
                await _wait(wake, POLL_S)

        await self._persist(follower.name, work)

    async def _listen(self, wakes: list[asyncio.Event], listening: asyncio.Event) -> None:
        async def work(connection: AsyncConnection[Any]) -> None:
            await connection.set_autocommit(True)
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
            await self._network.current(connection)
            listening.set()
            _wake(wakes)
            async for _ in connection.notifies():
                _wake(wakes)

        await self._persist("listen", work)

    async def _persist(self, name: str, work: Callable[[AsyncConnection[Any]], Awaitable[None]]) -> None:
        """Do `work` on a connection, and again on a new one whenever that is lost."""
        pauses = iter(PAUSES_S)
        away = False
        while True:
            try:
                async with await self._connect(name) as connection:
                    if away:
                        log.info("database_back", task=name)
                    away, pauses = False, iter(PAUSES_S)
                    await work(connection)
            except psycopg.OperationalError as error:
                if not away:
                    log.warning("database_away", task=name, error=str(error))
                away = True
            await asyncio.sleep(next(pauses, PAUSES_S[-1]))

    async def _connect(self, name: str) -> AsyncConnection[Any]:
        return await AsyncConnection.connect(
            self._dsn, connect_timeout=5, application_name=f"gashub-{name}", options=_OPTIONS
        )

    async def _on_incident(self, connection: AsyncConnection[Any], entry: Entry) -> None:
        try:
            opened = await tickets.follow(connection, entry, now=self._clock.now(), timezone=self._config.hub.zone_info)
        except msgspec.ValidationError as error:
            self.counters.unreadable.inc()
            log.warning("entry_unreadable", number=entry.number, kind=entry.kind, error=str(error))
            return
        if opened is not None:
            self.counters.tickets.inc()
            log.info("ticket_opened", ticket=opened, incident=entry.body["incident"])

    async def _on_ticket(self, connection: AsyncConnection[Any], entry: Entry) -> None:
        isolator = await self._network.current(connection)
        issued = await notices.follow(connection, entry, isolator=isolator, config=self._config, now=self._clock.now())
        if issued is not None:
            self.counters.notices.inc()
            log.info("notice_issued", notice=issued, incident=entry.body["incident"])


async def run(config: HubConfig, stop: asyncio.Event) -> None:
    """Run the service until `stop` is set."""
    service = Service(config, config.make_clock())
    if config.dispatch.metrics_port is None:
        await service.run(stop)
        return
    server, thread = start_http_server(
        config.dispatch.metrics_port, addr="127.0.0.1", registry=service.counters.registry
    )
    try:
        await service.run(stop)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _wake(wakes: list[asyncio.Event]) -> None:
    for wake in wakes:
        wake.set()


async def _wait(wake: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await wake.wait()
    except TimeoutError:
        # No hint came; looking all the same costs little.
        return
