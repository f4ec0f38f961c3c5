"""What is published is stored, told to its gateway, and stored once, whatever breaks meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from gashub.embedded.broker import EmbeddedBroker
from gashub.topics import Source

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
