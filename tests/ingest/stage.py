"""A hub in small for the tests: a registry, a gateway that publishes, the service here or in its own process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

from gashub import wire
from gashub.config import HubConfig, load
from gashub.embedded.broker import EmbeddedBroker
from gashub.frames import SLOTS, FrameBatch, to_ms
from gashub.quality import GOOD
from gashub.topics import Source
from gashub.wire import Header, Lane
from ingest.service import run

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = range(1, 41)


def enrol(dsn: str, source: Source, blocks: range = BLOCKS) -> None:
    """Put a gateway and its blocks into the registry."""
    with psycopg.connect(dsn) as connection:
        junction, station = f"j-{source.zone}", f"s-{source.gateway}"
        device = f"d-{source.gateway}-{blocks.start}"
        run_ = connection.execute
        run_("INSERT INTO zone VALUES (%s, 'z', 'z') ON CONFLICT DO NOTHING", (source.zone,))
        run_("INSERT INTO junction VALUES (%s, %s, 0, 0, 0) ON CONFLICT DO NOTHING", (junction, source.zone))
        run_(
            "INSERT INTO station VALUES (%s, %s, 'regulator', 's', 's', %s) ON CONFLICT DO NOTHING",
            (station, source.zone, junction),
        )
        run_("INSERT INTO gateway VALUES (%s, %s) ON CONFLICT DO NOTHING", (source.gateway, source.zone))
        run_(
            "INSERT INTO device (id, gateway, station, profile, enrolled_at) VALUES (%s, %s, %s, 'p', now())",
            (device, source.gateway, station),
        )
        run_(
            "INSERT INTO block SELECT b, %s, 'b' || b, 1 FROM generate_series(%s::integer, %s) b",
            (device, blocks.start, blocks.stop - 1),
        )
        run_("UPDATE registry_version SET version = version + 1")


def frames(n: int, *, at: datetime, first_block: int = 1, seed: int = 0, step_ms: int = 0) -> FrameBatch:
    """n full frames of consecutive blocks."""
    return FrameBatch(
        block_id=np.arange(first_block, first_block + n, dtype=np.int32),
        measured_at_ms=to_ms(at) + step_ms * np.arange(n, dtype=np.int64),
        values=np.random.default_rng(seed).normal(size=(n, SLOTS)),
        quality=np.full((n, SLOTS), GOOD, np.uint8),
    )


async def eventually(what: Callable[[], bool | Awaitable[bool]], *, within_s: float = 20.0) -> None:
    """Wait until `what` is true."""
    async with asyncio.timeout(within_s):
        while True:
            answer = what()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.02)


@dataclass
class Gateway:
    """Publishes messages as a gateway does and hears what is committed."""

    source: Source
    client: mqtt.Client
    boot: str = "boot-1"
    acknowledged: set[int] = field(default_factory=set)
    committed: dict[tuple[str, int], int] = field(default_factory=dict)

    def send(self, seq: int, batch: FrameBatch, *, lane: Lane = Lane.LIVE, boot: str | None = None) -> bytes:
        header = Header(gateway=self.source.gateway, boot=boot or self.boot, lane=lane, seq=seq)
        payload = wire.encode(header, batch)
        self.send_raw(payload)
        return payload

    def send_raw(self, payload: bytes, *, topic: str | None = None) -> None:
        self.client.publish(topic or self.source.topic("data"), payload, qos=1)

    def committed_up_to(self, lane: Lane = Lane.LIVE) -> int:
        return self.committed.get((self.boot, lane), 0)


@asynccontextmanager
async def gateway(broker: EmbeddedBroker, source: Source) -> AsyncIterator[Gateway]:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"test-{source.zone}-{source.gateway}")
    client.username_pw_set("field", broker.users["field"])
    made = Gateway(source, client)
    subscribed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_connect(*_: Any) -> None:
        client.subscribe(source.topic("committed"), qos=1)

    def on_message(_c: Any, _d: Any, message: mqtt.MQTTMessage) -> None:
        said = wire.decode_committed(message.payload)
        assert said is not None
        made.committed[said.boot, said.lane] = said.seq

    client.max_queued_messages_set(0)
    client.max_inflight_messages_set(1000)
    client.reconnect_delay_set(1, 1)
    client.on_connect = on_connect
    client.on_message = on_message
    client.on_subscribe = lambda *_: loop.call_soon_threadsafe(subscribed.set)
    client.connect_async(broker.host, broker.port)
    client.loop_start()
    try:
        async with asyncio.timeout(20):
            await subscribed.wait()
        yield made
    finally:
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)


def configure(directory: Path, dsn: str, broker: EmbeddedBroker, zone: str, **ingest: object) -> Path:
    """A hub.toml whose ingest worker reads one zone."""
    (directory / "dsn").write_text(dsn)
    (directory / "password").write_text(broker.users["hub"])
    settings = {"worker": zone, "batch_age_s": 0.02, **ingest}
    lines = [
        f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}" for name, value in settings.items()
    ]
    path = directory / "hub.toml"
    path.write_text(
        f'[database]\ndsn_file = "dsn"\n[broker]\nhost = "{broker.host}"\nport = {broker.port}\n'
        f'password_file = "password"\n[ingest]\nzones = ["{zone}"]\n' + "\n".join(lines) + "\n"
    )
    return path


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[HubConfig]:
    """The service in this process, ready."""
    stop = asyncio.Event()
    config = load(path)
    read, write = os.pipe()
    os.environ["GASHUB_READY_FD"] = str(write)
    task = asyncio.create_task(run(config, stop))
    try:
        await _said_ready(read)
        yield config
    finally:
        stop.set()
        async with asyncio.timeout(20):
            await task


async def _said_ready(descriptor: int) -> None:
    os.set_blocking(descriptor, False)
    readable = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, readable.set)
    try:
        async with asyncio.timeout(30):
            await readable.wait()
        assert os.read(descriptor, 16) == b"ready\n"
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


class Worker:
    """The service in a process of its own, to be killed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Return when it says that it is ready."""
        read, write = os.pipe()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ingest",
            "--config",
            str(self._path),
            cwd=ROOT,
            pass_fds=[write],
            env={**os.environ, "GASHUB_READY_FD": str(write)},
        )
        os.close(write)
        await _said_ready(read)

    async def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            return await self._process.wait()


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


async def rows(dsn: str, query: str, *arguments: object) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute(query.encode(), arguments)
        return await cursor.fetchall()
