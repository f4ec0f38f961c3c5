"""What the historian last knew of every point, so that a console shows something, with its age, right after a start."""

from __future__ import annotations

import numpy as np

from gashub.frames import to_ms
from ingest import queries

from .hub import Hub


async def preload(hub: Hub) -> None:
    """Fill the live values from the historian; what the bus brings later is newer and wins."""
    point_ids = [int(point) for point in hub.live.values.point_id]
    if not point_ids:
        return
    async with hub.pool.connection(timeout=10.0) as connection:
        rows = await queries.latest(connection, point_ids)
    hub.live.values.take(
        np.array([row.point_id for row in rows], np.int64),
        np.array([to_ms(row.measured_at) for row in rows], np.int64),
        np.array([np.nan if row.value is None else row.value for row in rows], np.float64),
        np.array([row.quality for row in rows], np.uint8),
    )
