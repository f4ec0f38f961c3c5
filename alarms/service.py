"""The alarm service: takes frames from the bus, judges them, records what changes for the zones it holds.

Every worker judges every zone, so that a standby is warm; it records only for zones it holds a lease on. When it wins
a zone it compares what the rules say with what the table says and records the difference, which is also how it
starts, and how it catches up after the database was away.

A change of the registry is noticed within seconds: a watch of the new plant takes over what is known of everything
that stayed the same, and goes on.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool

from gashub import plant
from gashub.clock import Clock
from gashub.config import HubConfig
from gashub.database import pool
from gashub.embedded.readiness import announce
from gashub.errors import InvalidValue
from gashub.frames import FrameBatch, concatenate, to_ms
from gashub.topics import parse
from gashub.wire import Rejection, decode, decode_state

from . import metrics, rulebook
from .grouping import supply_group
from .inbox import Delivery, Inbox
from .lease import Lease
from .record import Place, Surroundings
from .recorder import AWAY, Recorder
from .rules import STALE_AT_LEAST_S, Condition, Rule, Test, Transition
from .search import Searches
from .statements import statement
from .watch import Plant, Watch, surviving

TAKE_LIMIT: Final = 200
TICK_S: Final = 1.0
LEASE_S: Final = 1.0
COMPARE_S: Final = 10.0
HOUSEKEEPING_S: Final = 2.0
LOOK_AGAIN_S: Final = (30.0, 90.0, 300.0)
FUTURE_LIMIT_MS: Final = 300_000
SILENCE_REAL_S: Final = 10.0
REGISTRY_S: Final = 3.0
REGISTRY_TIMEOUT_S: Final = 3.0
CAUGHT_UP_BATCHES: Final = 5_000
REPLAY_S: Final = 1_800.0
REPLAY_FRAMES: Final = 500_000

log = structlog.get_logger()


def worker_name() -> str:
    """The name of this worker's session on the bus: GASHUB_WORKER, else the machine's name."""
    return os.environ.get("GASHUB_WORKER") or socket.gethostname().lower()


async def run(config: HubConfig, stop: asyncio.Event, *, worker: str | None = None) -> None:
    """Serve until `stop` is set. Raises Unavailable or psycopg.OperationalError if a server is away at the start."""
    rules = rulebook.load(config.alarms.rulebook_file)
    if config.alarms.metrics_port is not None:
        metrics.serve(config.alarms.metrics_port)
    clock = config.make_clock()
    dsn = config.dsn()
    watched, version = await asyncio.to_thread(_read_plant, dsn, rules, config.hub.zone_info)
    async with pool(dsn, name="alarms", max_size=4) as connections, Inbox(config, worker or worker_name()) as inbox:
        service = Service(watched, version, clock, connections, inbox, Lease(dsn, watched.zones), dsn=dsn)
        await service.serve(stop)


def _read_plant(dsn: str, rules: Sequence[Rule], timezone: ZoneInfo) -> tuple[Plant, int]:
    with psycopg.connect(dsn, connect_timeout=10) as connection:
        version = plant.registry_version(connection)
        network = plant.load_network(connection)
        registry = plant.load_registry(connection)
    return Plant(network=network, registry=registry, rules=rules, timezone=timezone), version


class Service:
    """The loops of one worker."""

    def __init__(
        self,
        watched: Plant,
        version: int,
        clock: Clock,
        connections: AsyncConnectionPool[psycopg.AsyncConnection[Any]],
        inbox: Inbox,
        lease: Lease,
        *,
        dsn: str,
    ) -> None:
        self._plant, self._version = watched, version
        self._clock = clock
        self._connections = connections
        self._inbox = inbox
        self._lease = lease
        self._dsn = dsn
        # On a hub whose time runs faster, the way through the bus still takes real seconds.
        self._silence_s = max(STALE_AT_LEAST_S, SILENCE_REAL_S * clock.speed)
        self._watch = self._watch_of(watched)
        self._missed: deque[FrameBatch] | None = None
        self._searches = Searches()
        self._searching: set[asyncio.Task[None]] = set()
        self._looks: dict[str, list[float]] = {}
        self._last: dict[str, Transition] = {}
        self._recorder = Recorder(
            connections,
            inbox.publish,
            Surroundings(upstream=watched.upstream(), place=self._place),
        )

    def _watch_of(self, plant: Plant) -> Watch:
        return Watch(plant, started_s=self._clock.monotonic_s(), silence_s=self._silence_s)

    def _place(self, condition: Condition) -> Place:
        """Where a condition's cause probably is, as far as it is known at once."""
        if condition.rule.test in (Test.LEAK, Test.RUPTURE):
            return self._searches.found.get(condition.zone, [])
        return self._watch.place(condition)

    async def serve(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set."""
        await self._restore()
        won = await self._lease.renew()
        await self._compare(won)
        announce()
        log.info("alarms_ready", zones=sorted(self._lease.zones), conditions=len(self._watch.conditions))
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._judge(group), name="judge"),
                group.create_task(self._tick(), name="tick"),
                group.create_task(self._keep_lease(), name="lease"),
                group.create_task(self._keep_house(), name="housekeeping"),
                group.create_task(self._keep_registry(), name="registry"),
            ]
            await stop.wait()
            for task in [*tasks, *self._searching]:
                task.cancel()
        self._searches.close()
        await self._lease.close()

    async def _restore(self) -> None:
        """Take over the standing alarms, then judge the frames of the last half hour as if they came now."""
        now = self._clock.now()
        since = now - timedelta(seconds=REPLAY_S)
        async with self._connections.connection() as connection:
            cursor = await connection.execute(
                statement("latest_decisions"), {"zones": self._plant.zones, "since": since}
            )
            for condition, active, decided_at in await cursor.fetchall():
                self._watch.restore(condition, active=active, at_ms=to_ms(decided_at))
        for batch in await self._recent_frames():
            # What it finds is not recorded one by one: the comparison that follows records where it ended.
            self._noted(self._watch.frames(batch, now_s=self._clock.monotonic_s()))
            await asyncio.sleep(0)

    async def _recent_frames(self) -> list[FrameBatch]:
        """The frames of the last half hour, in order."""
        now = self._clock.now()
        since = now - timedelta(seconds=REPLAY_S)
        async with self._connections.connection() as connection:
            cursor = await connection.execute(
                statement("recent_frames"), {"since": since, "until": now, "limit": REPLAY_FRAMES}
            )
            rows = await cursor.fetchall()
        return [_batch(rows[start : start + 2_000]) for start in range(0, len(rows), 2_000)]

    async def _judge(self, group: asyncio.TaskGroup) -> None:
        while True:
            deliveries = await self._inbox.take(limit=TAKE_LIMIT)
            free, fresh = self._searches.hold(found := self._take(deliveries))
            for zone in fresh:
                task = group.create_task(self._search(zone), name=f"search {zone}")
                self._searching.add(task)
                task.add_done_callback(self._searching.discard)
            if free:
                await self._recorder.transitions(free)
            if len(free) == len(found):
                self._inbox.acknowledge(deliveries)
            else:
                self._keep_for_later(deliveries, found)

    def _keep_for_later(self, deliveries: Sequence[Delivery], found: Sequence[Transition]) -> None:
        """Acknowledge these messages when the held of what they caused is recorded, or now if that is done."""
        waiting = [held for t in found if (held := self._searches.held.get(t.condition.zone)) is not None]
        if waiting:
            waiting[-1].deliveries.extend(deliveries)
        else:
            self._inbox.acknowledge(deliveries)

    async def _search(self, zone: str) -> None:
        """Find where a zone's leak is, then record it with all that the zone had to say meanwhile."""
        await self._searches.find(zone, self._watch.search(zone))
        held = self._searches.held.pop(zone)
        await self._recorder.transitions(held.transitions)
        self._inbox.acknowledge(held.deliveries)

    def _take(self, deliveries: Sequence[Delivery]) -> list[Transition]:
        batches = [batch for delivery in deliveries if (batch := self._open(delivery)) is not None]
        if not batches:
            return []
        frames = concatenate(batches)
        metrics.READINGS.inc(frames.readings)
        if self._missed is not None:
            self._missed.append(frames)
        return self._noted(self._watch.frames(frames, now_s=self._clock.monotonic_s()))

    def _open(self, delivery: Delivery) -> FrameBatch | None:
        """The frames of a message; None if it holds none that may be judged."""
        try:
            source, leaf = parse(delivery.topic)
        except InvalidValue:
            metrics.MESSAGES.labels(outcome="wrong_topic").inc()
            return None
        if leaf == "state":
            self._gateway(source.gateway, delivery.payload)
            return None
        message = decode(delivery.payload)
        if isinstance(message, Rejection):
            metrics.MESSAGES.labels(outcome=message.fault.value).inc()
            return None
        if message.header.gateway != source.gateway:
            metrics.MESSAGES.labels(outcome="wrong_topic").inc()
            return None
        metrics.MESSAGES.labels(outcome="judged").inc()
        # A device far ahead of us would make everything after it look old.
        limit = to_ms(self._clock.now()) + FUTURE_LIMIT_MS
        frames = self._watch.trusted(source, message.frames)
        return frames.take(frames.measured_at_ms <= limit)

    def _gateway(self, gateway: str, payload: bytes) -> None:
        state = decode_state(payload)
        if state is None:
            metrics.MESSAGES.labels(outcome="undecodable").inc()
            return
        self._watch.presence.gateway(gateway, online=state.online, now_s=self._clock.monotonic_s())

    def _noted(self, found: Sequence[Transition]) -> list[Transition]:
        """Remember each condition's last transition; returns those this worker has to record."""
        self._last.update((transition.condition.key, transition) for transition in found)
        return [transition for transition in found if transition.condition.zone in self._lease.zones]

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._clock.real_s(TICK_S))
            found = self._noted(self._watch.presence.tick(self._clock.monotonic_s(), to_ms(self._clock.now())))
            if found:
                await self._recorder.transitions(found)

    async def _keep_lease(self) -> None:
        """Real seconds throughout: how soon another takes over has nothing to do with the hub's time."""
        since_compared = 0.0
        while True:
            await asyncio.sleep(LEASE_S)
            since_compared += LEASE_S
            try:
                won = await self._lease.renew()
                metrics.ZONES.set(len(self._lease.zones))
                if await self._recorder.catch_up() and (won or since_compared >= COMPARE_S):
                    await self._compare(self._lease.zones if since_compared >= COMPARE_S else won)
                    since_compared = 0.0 if since_compared >= COMPARE_S else since_compared
            except AWAY as error:
                log.debug("lease_not_renewed", error=str(error))

    async def _compare(self, zones: set[str]) -> None:
        """Record whatever differs between the rules and the table in these zones."""
        if zones:
            await self._recorder.differences(zones, self._differing)

    def _differing(self, zones: set[str], standing: Mapping[str, bool]) -> list[Transition]:
        conditions = self._watch.conditions
        # What is held for a search is recorded when that is over.
        zones = zones - set(self._searches.held)
        known = {key: on for key, on in self._watch.active().items() if conditions[key].zone in zones}
        raised, returned = surviving(known, standing)
        if raised or returned:
            log.info("differences_found", raised=raised, returned=returned)
        return [self._known(key, active=True) for key in raised] + [self._known(key, active=False) for key in returned]

    def _known(self, key: str, *, active: bool) -> Transition:
        """The transition that brought a condition where it is, or one that says so now."""
        last = self._last.get(key)
        if last is not None and last.active == active:
            return last
        return Transition(condition=self._watch.conditions[key], active=active, at_ms=to_ms(self._clock.now()))

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            readings = [reading for reading in self._watch.readings() if reading.zone in self._lease.zones]
            try:
                await self._recorder.housekeeping(readings, sorted(self._lease.zones), now=self._clock.now())
                await self._place_leaks()
            except AWAY as error:
                log.debug("housekeeping_put_off", error=str(error))

    async def _place_leaks(self) -> None:
        """A leak's pattern in the pressures grows clearer with it: look again a few times, then leave it."""
        leaks = {zone: leak for zone, leak in self._watch.leaks().items() if zone in self._lease.zones}
        now_s = self._clock.monotonic_s()
        self._looks = {zone: self._looks.get(zone) or self._first_looks(zone, now_s) for zone in leaks}
        for zone, due in self._looks.items():
            if now_s >= due[0]:
                # The last look stays, so that there is no further one.
                due[:] = due[1:] or [math.inf]
                candidates = await self._searches.find(zone, self._watch.search(zone))
                await self._recorder.place(supply_group(zone), candidates, zone=zone, at=self._clock.now())

    def _first_looks(self, zone: str, now_s: float) -> list[float]:
        """When to look for a leak again; at once if it stood before this worker had a say."""
        at_once = [] if zone in self._searches.found else [0.0]
        return [now_s + wait for wait in [*at_once, *LOOK_AGAIN_S]]

    async def _keep_registry(self) -> None:
        """Real seconds, as with the lease: who changed the registry is waiting for it."""
        while True:
            await asyncio.sleep(REGISTRY_S)
            try:
                async with asyncio.timeout(REGISTRY_TIMEOUT_S), self._connections.connection() as connection:
                    cursor = await connection.execute("SELECT version FROM registry_version")
                    row = await cursor.fetchone()
                if row is not None and row[0] != self._version:
                    await self._follow_registry()
            except AWAY as error:
                log.debug("registry_not_read", error=str(error))

    async def _follow_registry(self) -> None:
        """Watch the plant as it is registered now. What the registry no longer knows returns to normal."""
        plant, version = await asyncio.to_thread(_read_plant, self._dsn, self._plant.rules, self._plant.timezone)
        watch = await asyncio.to_thread(self._watch_of, plant)
        await self._teach(watch)
        gone = self._gone(watch)
        watch.adopt(self._watch)
        self._plant, self._version, self._watch = plant, version, watch
        self._lease.want(plant.zones)
        self._recorder.surroundings = Surroundings(upstream=plant.upstream(), place=self._place)
        log.info("registry_followed", version=version, conditions=len(watch.conditions), gone=len(gone))
        if gone:
            await self._recorder.transitions(gone)

    async def _teach(self, watch: Watch) -> None:
        """Have balances that are metered otherwise now learn from the last half hour, up to this moment."""
        zones = watch.metered_otherwise(self._watch)
        if not zones:
            return
        self._missed = deque(maxlen=CAUGHT_UP_BATCHES)
        try:
            for batch in await self._recent_frames():
                await asyncio.to_thread(watch.teach, zones, batch)
            for batch in self._missed:
                watch.teach(zones, batch)
        finally:
            self._missed = None

    def _gone(self, watch: Watch) -> list[Transition]:
        """Returns of conditions that stand and that the new watch does not have."""
        now_ms, conditions = to_ms(self._clock.now()), self._watch.conditions
        return [
            Transition(condition=conditions[key], active=False, at_ms=now_ms)
            for key, on in self._watch.active().items()
            if on and key not in watch.conditions and conditions[key].zone in self._lease.zones
        ]


def _batch(rows: Sequence[tuple[Any, ...]]) -> FrameBatch:
    """Rows of the `frame` table as columns."""
    values = np.array([row[2:10] for row in rows], np.float64).reshape(-1, 8)
    quality = np.array([row[10] for row in rows], "<i8").view(np.uint8).reshape(-1, 8)
    return FrameBatch(
        block_id=np.array([row[0] for row in rows], np.int32),
        measured_at_ms=np.array([row[1] for row in rows], np.int64),
        values=values,
        quality=quality,
    )
