"""The ingest service: the line, and beside it what keeps it going - partitions, retention, the registry, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import psycopg
import structlog
from prometheus_client import start_http_server
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from gashub import database, topics
from gashub.clock import Clock
from gashub.config import HubConfig
from gashub.embedded import readiness

from . import field, partitions
from .batching import Limits
from .inbox import Endpoint, Inbox
from .line import Line
from .metrics import Metrics

REGISTRY_POLL_S: Final = 2.0
HOUSEKEEPING_S: Final = 60.0
DEAD_LETTERS_KEPT: Final = 10_000

_RETRY_S: Final = 1.0

log = structlog.get_logger()
T = TypeVar("T")
Pool = AsyncConnectionPool[AsyncConnection[Any]]


def endpoint_of(config: HubConfig) -> Endpoint:
    """Where to read, as which worker."""
    broker = config.broker
    return Endpoint(
        host=broker.host,
        port=broker.port,
        username=broker.username,
        password=config.broker_password(),
        client_id=f"ingest-{config.ingest.worker}",
        tls_ca_file=None if broker.tls_ca_file is None else str(broker.tls_ca_file),
    )


def filters_of(config: HubConfig) -> list[str]:
    """The topics this worker reads: all gateways' data, or those of its zones."""
    if not config.ingest.zones:
        return [topics.ALL_DATA]
    return [f"{topics.ROOT}/{topics.check_id('zone', zone)}/+/data" for zone in config.ingest.zones]


async def run(config: HubConfig, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. A database or broker that is away delays the start and nothing else."""
    metrics = Metrics()
    with _published(metrics, config.ingest.metrics_port):
        async with database.pool(config.dsn(), name="ingest", max_size=2) as pool, asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(_serve(config, pool, metrics), name="ingest")
            await stop.wait()
            serving.cancel()


@contextmanager
def _published(metrics: Metrics, port: int | None) -> Iterator[None]:
    """The metrics for Prometheus on loopback, if a port is given."""
    if port is None:
        yield
        return
    server, thread = start_http_server(port, addr="127.0.0.1", registry=metrics.registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def _serve(config: HubConfig, pool: Pool, metrics: Metrics) -> None:
    clock, settings = config.make_clock(), config.ingest
    limits = Limits(rows=settings.batch_rows, age_s=settings.batch_age_s * clock.speed, window=settings.window_messages)
    known = await _patiently(pool, field.load)
    await _patiently(pool, lambda connection: partitions.make_ahead(connection, clock.now()))
    async with Inbox(endpoint_of(config), filters_of(config), limits, clock) as inbox:
        line = Line(dsn=config.dsn(), inbox=inbox, field=known, settings=settings, clock=clock, metrics=metrics)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(line.run(), name="ingest-line")
            tasks.create_task(inbox.watch(), name="ingest-inbox")
            tasks.create_task(_follow_registry(pool, line), name="ingest-registry")
            tasks.create_task(_keep_house(pool, settings.retention_days, clock), name="ingest-housekeeping")
            tasks.create_task(_announce(inbox), name="ingest-ready")


async def _announce(inbox: Inbox) -> None:
    await inbox.ready()
    readiness.announce()


async def _patiently(pool: Pool, work: Callable[[AsyncConnection[Any]], Awaitable[T]]) -> T:
    """Do a piece of work on a connection as soon as the database lets us."""
    while True:
        try:
            async with pool.connection() as connection:
                return await work(connection)
        except (psycopg.OperationalError, PoolTimeout) as error:
            log.warning("database_away", error=str(error).strip())
            await asyncio.sleep(_RETRY_S)


async def _follow_registry(pool: Pool, line: Line) -> None:
    """Take newly enrolled devices without a restart."""
    while True:
        await asyncio.sleep(REGISTRY_POLL_S)
        if await _patiently(pool, field.version) != line.field.version:
            line.field = await _patiently(pool, field.load)
            log.info("registry_read", version=line.field.version)


async def _keep_house(pool: Pool, retention_days: int, clock: Clock) -> None:
    """Tables for the coming days; what is past its retention goes."""
    while True:
        now = clock.now()
        await _patiently(pool, lambda connection, now=now: partitions.make_ahead(connection, now))  # type: ignore[misc]
        await _patiently(pool, lambda connection, now=now: discard(connection, retention_days=retention_days, now=now))  # type: ignore[misc]
        await asyncio.sleep(HOUSEKEEPING_S)


async def discard(connection: AsyncConnection[Any], *, retention_days: int, now: datetime) -> None:
    """Drop frames and ledgers past their retention, and all but the newest dead letters."""
    oldest = now - timedelta(days=retention_days)
    await partitions.drop_older(connection, than=oldest)
    await connection.execute("DELETE FROM ingest_ledger WHERE updated_at < %s", (oldest,))
    await connection.execute(
        "DELETE FROM dead_letter WHERE id <= (SELECT max(id) FROM dead_letter) - %s", (DEAD_LETTERS_KEPT,)
    )
