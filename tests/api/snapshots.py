"""The binary snapshot, read as a console reads it."""

from __future__ import annotations

import struct
from typing import NamedTuple

from api.live import MAGIC


class Reading(NamedTuple):
    at_ms: float
    value: float
    quality: int


class Snapshot(NamedTuple):
    hub_time_ms: float
    readings: dict[int, Reading]


def parse(snapshot: bytes) -> Snapshot:
    """Raises if the snapshot is not exactly what the format says."""
    assert snapshot[:4] == MAGIC
    n, hub_time_ms = struct.unpack_from("<Id", snapshot, 4)
    padded = n + n % 2
    layout = struct.Struct(f"<{padded}i{n}d{n}d{n}B")
    assert len(snapshot) == 16 + layout.size
    columns = layout.unpack_from(snapshot, 16)
    ids, rest = columns[:n], columns[padded:]
    assert all(filler == 0 for filler in columns[n:padded])
    readings = map(Reading, rest[:n], rest[n : 2 * n], rest[2 * n :])
    return Snapshot(hub_time_ms, dict(zip(ids, readings, strict=True)))
