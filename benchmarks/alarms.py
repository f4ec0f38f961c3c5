"""How soon an alarm stands in the database, and how many readings a second the rules can judge.

alarms.publish_to_alarm_p99_ms   from handing a frame over its limit to the publisher until a listening client hears
                                 that the alarm's row is committed, with its incident and journal entries, while
                                 1,000 other values a second come in; reference: aiomqtt and psycopg in one loop that
                                 compares one value and inserts one row, nothing else, under the same load
alarms.publish_to_alarm_p50_ms   likewise the median
alarms.readings_per_s            readings through all rules and balances in one process; reference: one numpy
                                 comparison of the same columns with one limit
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import aiomqtt
import numpy as np
import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

from alarms import rulebook
from alarms.watch import Plant, Watch
from gashub import plant, wire
from gashub.clock import stopwatch_s
from gashub.embedded.broker import EmbeddedBroker
from gashub.embedded.postgres import EmbeddedPostgres
from gashub.frames import SLOTS, FrameBatch, to_ms
from gashub.journal import CHANNEL
from gashub.network.model import Junction, Network, Zone
from gashub.quality import GOOD
from gashub.registry import Block, Device, Gateway, Point, Quantity, Registry, Role, Station, StationKind
from gashub.schema import migrate

TOPIC: Final = "gas/v1/z1/gw-bench/data"
BACKGROUND_FRAMES: Final = 25
BACKGROUND_HZ: Final = 5.0
BACKGROUND_BLOCK: Final = 10_000
TIMEOUT_S: Final = 30.0
_ROOT: Final = Path(__file__).resolve().parents[1]


def rows(quick: bool) -> list[dict[str, Any]]:
    """The rows of this benchmark."""
    alarms, bare = _latencies(5 if quick else 300)
    judged, compared = _throughput(quick)
    return [
        _row("alarms.publish_to_alarm_p99_ms", "ms", _quantile(alarms, 99), _quantile(bare, 99)),
        _row("alarms.publish_to_alarm_p50_ms", "ms", _quantile(alarms, 50), _quantile(bare, 50)),
        _row("alarms.readings_per_s", "1/s", judged, compared),
    ]


def _row(name: str, unit: str, value: float, reference: float) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "reference": reference, "ratio": value / reference}


def _quantile(seconds: list[float], percent: int) -> float:
    return 1000 * float(np.percentile(seconds, percent))


def _registry(stations: int) -> tuple[Network, Registry]:
    """Stations with one slam-shut each, and background devices with eight pressures each that stay as they are."""
    network = Network(
        name="bench",
        zones=[Zone(id="z1", name_en="z1", name_zh="z1")],
        junctions=[Junction(id="j1", zone="z1", x_m=0, y_m=0)],
        pipes=[],
    )
    blocks = [*range(1, stations + 1), *range(BACKGROUND_BLOCK, BACKGROUND_BLOCK + BACKGROUND_FRAMES)]
    points = [
        Point(id=block * SLOTS, tag=f"d{block}/slam_shut", quantity=Quantity.STATE, role=Role.SLAM_SHUT)
        for block in blocks[:stations]
    ]
    points += [
        Point(
            id=block * SLOTS + slot,
            tag=f"d{block}/p{slot}",
            quantity=Quantity.PRESSURE,
            role=Role.NETWORK_PRESSURE,
            nominal=3.0,
            normal_low=2.0,
            normal_high=3.6,
        )
        for block in blocks[stations:]
        for slot in range(SLOTS)
    ]
    return network, Registry(
        gateways=[Gateway(id="gw-bench", zone="z1")],
        stations=[
            Station(id="s1", zone="z1", kind=StationKind.REGULATOR, name_en="s1", name_zh="s1", junction="j1"),
        ],
        devices=[Device(id=f"d{block}", gateway="gw-bench", station="s1", profile="any") for block in blocks],
        blocks=[Block(id=block, device=f"d{block}", name="main", scan_s=2.0) for block in blocks],
        points=points,
    )


def _frames(blocks: list[int], value: float, slots: int) -> FrameBatch:
    n = len(blocks)
    values = np.full((n, SLOTS), np.nan)
    quality = np.zeros((n, SLOTS), np.uint8)
    values[:, :slots], quality[:, :slots] = value, GOOD
    return FrameBatch(
        block_id=np.array(blocks, np.int32),
        measured_at_ms=np.full(n, to_ms(datetime.now(UTC)), np.int64),
        values=values,
        quality=quality,
    )


class _Publisher:
    """A gateway's session, with a background of ordinary values in a thread of its own."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="gateway-bench")
        self._client.username_pw_set("field", broker.users["field"])
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        self._seq = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._background, daemon=True)
        self._thread.start()

    def publish(self, frames: FrameBatch) -> None:
        with self._lock:
            self._seq += 1
            header = wire.Header(gateway="gw-bench", boot="b1", lane=wire.Lane.LIVE, seq=self._seq)
        self._client.publish(TOPIC, wire.encode(header, frames), qos=1)

    def _background(self) -> None:
        blocks = list(range(BACKGROUND_BLOCK, BACKGROUND_BLOCK + BACKGROUND_FRAMES))
        while not self._stop.wait(1 / BACKGROUND_HZ):
            self.publish(_frames(blocks, 3.0, SLOTS))

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()


def _latencies(count: int) -> tuple[list[float], list[float]]:
    with tempfile.TemporaryDirectory(prefix="gashub-") as name:
        directory = Path(name)
        with EmbeddedPostgres(directory / "postgres") as postgres, EmbeddedBroker(directory / "broker") as broker:
            migrate(postgres.dsn)
            network, registry = _registry(count)
            with psycopg.connect(postgres.dsn) as connection:
                plant.store(connection, network, registry, at=datetime.now(UTC))
            publisher = _Publisher(broker)
            try:
                with _service(directory, postgres, broker):
                    alarms = _measure(postgres.dsn, publisher, count, CHANNEL)
                with _bare(postgres.dsn, broker):
                    bare = _measure(postgres.dsn, publisher, count, "bare")
            finally:
                publisher.close()
    return alarms, bare


def _measure(dsn: str, publisher: _Publisher, count: int, channel: str) -> list[float]:
    """Seconds from publish to the first notification that a commit sends, one alarm after the other."""
    taken = []
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute(f"LISTEN {channel}")
        for block in range(1, count + 1):
            began = stopwatch_s()
            publisher.publish(_frames([block], 1.0, 1))
            if not list(listener.notifies(timeout=TIMEOUT_S, stop_after=1)):
                raise TimeoutError(f"no alarm from block {block}")
            taken.append(stopwatch_s() - began)
            # The other notifications of the same commit.
            list(listener.notifies(timeout=0.005))
    return taken


@contextmanager
def _service(directory: Path, postgres: EmbeddedPostgres, broker: EmbeddedBroker) -> Iterator[None]:
    (directory / "dsn").write_text(postgres.dsn)
    config = directory / "hub.toml"
    config.write_text(
        f'[database]\ndsn_file = "{directory / "dsn"}"\n'
        f'[broker]\nport = {broker.port}\npassword_file = "{broker.password_file("hub")}"\n'
    )
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "alarms", "--config", str(config)],
        cwd=_ROOT,
        env={**os.environ, "GASHUB_READY_FD": str(writer)},
        pass_fds=[writer],
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    try:
        if os.read(reader, 6) != b"ready\n":
            raise RuntimeError("the alarm service did not start")
        yield
    finally:
        os.close(reader)
        process.terminate()
        process.wait(TIMEOUT_S)


@contextmanager
def _bare(dsn: str, broker: EmbeddedBroker) -> Iterator[None]:
    """What an afternoon's script does: compare, insert, commit; no incident, no journal, nothing remembered."""
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE bare_alarm (block integer, at timestamptz, value float8)")
    ready, loop = threading.Event(), asyncio.new_event_loop()
    task = loop.create_task(_bare_loop(dsn, broker, ready.set))
    thread = threading.Thread(target=_run, args=(loop, task), daemon=True)
    thread.start()
    if not ready.wait(TIMEOUT_S):
        raise TimeoutError("the reference did not start")
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(TIMEOUT_S)


def _run(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    try:
        loop.run_until_complete(task)
    except asyncio.CancelledError:
        pass
    finally:
        loop.close()


async def _bare_loop(dsn: str, broker: EmbeddedBroker, ready: Callable[[], None]) -> None:
    async with (
        await psycopg.AsyncConnection.connect(dsn) as connection,
        aiomqtt.Client("127.0.0.1", broker.port, username="hub", password=broker.users["hub"]) as client,
    ):
        await client.subscribe("gas/v1/+/+/data", qos=1)
        ready()
        async for message in client.messages:
            decoded = wire.decode(bytes(message.payload))  # type: ignore[arg-type]
            assert isinstance(decoded, wire.Message)
            frames = decoded.frames
            for i in np.flatnonzero((frames.values[:, 0] == 1.0) & (frames.block_id < BACKGROUND_BLOCK)):
                await connection.execute(
                    "INSERT INTO bare_alarm VALUES (%s, now(), %s)", (int(frames.block_id[i]), 1.0)
                )
                await connection.execute("SELECT pg_notify('bare', '')")
                await connection.commit()


def _throughput(quick: bool) -> tuple[float, float]:
    """Readings a second through a watch of 1,000 pressures in batches of 200 readings, and through one comparison."""
    network, registry = _registry(1)
    watched = Plant(network=network, registry=registry, rules=rulebook.load(), timezone=ZoneInfo("UTC"))
    watch = Watch(watched, started_s=0.0)
    blocks = list(range(BACKGROUND_BLOCK, BACKGROUND_BLOCK + BACKGROUND_FRAMES))
    batches = []
    for i in range(20 if quick else 2_000):
        batch = _frames(blocks, 3.0, SLOTS)
        batch.measured_at_ms[:] += i * 1000
        batches.append(batch)
    readings = sum(batch.readings for batch in batches)
    began = stopwatch_s()
    for batch in batches:
        watch.frames(batch, now_s=0.0)
    judged = readings / (stopwatch_s() - began)
    return judged, readings / statistics.median(_compare(batches) for _ in range(5))


def _compare(batches: list[FrameBatch]) -> float:
    began = stopwatch_s()
    for batch in batches:
        np.flatnonzero(batch.values > 3.6)
    return stopwatch_s() - began
