"""What is published is stored, told to its gateway, and stored once, whatever breaks meanwhile."""

from __future__ import annotations

import asyncio
import socket
import urllib.request
from pathlib import Path

import pytest

from gashub.config import load
from gashub.embedded.broker import EmbeddedBroker
from gashub.topics import Source
from ingest.service import run

from .stage import configure, enrol, eventually, frames, gateway, now, rows, serving


@pytest.fixture
def source(zone: str) -> Source:
    return Source(zone=zone, gateway=f"gw-{zone}")


async def test_a_published_frame_is_stored_and_its_gateway_is_told(
    tmp_path: Path, database_dsn: str, broker: EmbeddedBroker, source: Source
) -> None:
    enrol(database_dsn, source)
    batch = frames(25, at=now())
    async with serving(configure(tmp_path, database_dsn, broker, source.zone)), gateway(broker, source) as sender:
        sender.send(1, batch)
        await eventually(lambda: sender.committed_up_to() == 1)
    stored = await rows(database_dsn, "SELECT block_id, v0, v7, quality FROM frame ORDER BY block_id")
    assert [row[:3] for row in stored] == list(
        zip(batch.block_id.tolist(), batch.values[:, 0].tolist(), batch.values[:, 7].tolist(), strict=True)
    )
    assert await rows(database_dsn, "SELECT count(*) FROM reading") == [(200,)]


async def test_what_was_done_is_counted_for_monitoring(
    tmp_path: Path, database_dsn: str, broker: EmbeddedBroker, source: Source
) -> None:
    enrol(database_dsn, source)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = configure(tmp_path, database_dsn, broker, source.zone, metrics_port=port)
    async with serving(path), gateway(broker, source) as sender:
        sender.send(1, frames(5, at=now()))
        sender.send(1, frames(5, at=now()))
        sender.send(2, frames(2, at=now(), first_block=999))
        await eventually(lambda: sender.committed_up_to() == 2)
        with await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
    assert "gashub_ingest_readings_total 40.0" in lines
    assert "gashub_ingest_messages_total 2.0" in lines
    assert "gashub_ingest_duplicates_total 1.0" in lines
    assert 'gashub_ingest_rejected_total{fault="unknown_block"} 1.0' in lines


async def test_the_worker_stops_cleanly_while_the_broker_is_unreachable(
    tmp_path: Path, database_dsn: str, broker: EmbeddedBroker, source: Source
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        path = configure(tmp_path, database_dsn, broker, source.zone)
        path.write_text(path.read_text().replace(f"port = {broker.port}", f"port = {nobody.getsockname()[1]}"))
        stop = asyncio.Event()
        task = asyncio.create_task(run(load(path), stop))
        await asyncio.sleep(0)
        stop.set()
        async with asyncio.timeout(20):
            await task
