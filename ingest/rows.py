"""Frames as the bytes of a binary COPY, and the rule by which two frames of one moment merge.

Merging. Two frames of the same block and time are joined slot by slot. A slot is occupied if its quality byte is not 0.
Of two occupied slots the one with the higher rank stays: better severity, then live before historical, then the higher
reason, and for equal qualities the larger value. A rank is a total order, so the result depends neither on the order in
which frames arrive nor on how often. `sql/merge.sql` and the function `slot_wins` in the database say the same.

COPY. A row's length depends only on which of its values are NULL, so rows are grouped by that pattern (a hub has a few
patterns, of 256 possible) and each group is one structured array: no loop over rows.

Source: PostgreSQL's manual, COPY, "Binary Format".
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gashub.frames import F64, I64, SLOTS, U8, FrameBatch
from gashub.quality import HISTORICAL, NOT_SAMPLED

_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_YEAR_2000_MS: Final = 946_684_800_000
_FIELDS: Final = 3 + SLOTS
_NULL: Final = -1


def merged(frames: FrameBatch) -> FrameBatch:
    """The same frames ordered by block and time, those of the same block and time joined into one."""
    order = np.lexsort((frames.measured_at_ms, frames.block_id))
    ordered = frames.take(order)
    same = (np.diff(ordered.block_id) == 0) & (np.diff(ordered.measured_at_ms) == 0)
    if not same.any():
        return ordered
    group = np.concatenate([np.zeros(1, np.intp), np.cumsum(~same)])
    first = np.concatenate([np.ones(1, np.bool_), ~same])
    winner = _winners(ordered, group)
    slots = np.arange(SLOTS)
    return FrameBatch(
        block_id=ordered.block_id[first],
        measured_at_ms=ordered.measured_at_ms[first],
        values=ordered.values[winner, slots],
        quality=ordered.quality[winner, slots],
    )


def _winners(frames: FrameBatch, group: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Shape (groups, 8): which row's slot stays. group: shape (n,), ascending."""
    ranks = rank(frames.quality)
    values = np.where(np.isnan(frames.values), -np.inf, frames.values)
    last = np.flatnonzero(np.append(np.diff(group) != 0, np.True_))
    return np.stack([np.lexsort((values[:, i], ranks[:, i], group))[last] for i in range(SLOTS)], axis=1)


def rank(quality: U8) -> U8:
    """The order of slots, any shape: 0 for an empty one, above that the better ones higher."""
    return np.where(quality == NOT_SAMPLED, 0, quality ^ HISTORICAL).astype(np.uint8)


def copy_rows(frames: FrameBatch) -> bytearray:
    """The bytes that COPY frame FROM STDIN (FORMAT BINARY) reads; a value that is NaN becomes NULL."""
    ts_us = (frames.measured_at_ms - _YEAR_2000_MS) * 1_000
    quality = np.ascontiguousarray(frames.quality).view("<i8")[:, 0]
    pattern = np.packbits(np.isnan(frames.values), axis=1, bitorder="little")[:, 0]
    parts: list[Any] = [_SIGNATURE]
    for nulls in np.unique(pattern):
        rows = slice(None) if pattern[0] == nulls and (pattern == nulls).all() else pattern == nulls
        parts.append(_block(int(nulls), frames.block_id[rows], ts_us[rows], frames.values[rows], quality[rows]))
    parts.append(_TRAILER)
    return bytearray().join(parts)


def _block(nulls: int, block_id: npt.NDArray[np.int32], ts_us: I64, values: F64, quality: I64) -> bytes:
    """Rows that have NULL in the same slots."""
    rows = np.empty(len(block_id), _row_type(nulls))
    rows[:] = _row_template(nulls)
    rows["block_id"] = block_id
    rows["ts"] = ts_us
    rows["quality"] = quality
    for slot in range(SLOTS):
        if not nulls >> slot & 1:
            rows[f"v{slot}"] = values[:, slot]
    return rows.tobytes()


@cache
def _row_type(nulls: int) -> np.dtype[np.void]:
    fields = [("fields", ">i2"), ("n_block_id", ">i4"), ("block_id", ">i4"), ("n_ts", ">i4"), ("ts", ">i8")]
    for slot in range(SLOTS):
        fields.append((f"n{slot}", ">i4"))
        if not nulls >> slot & 1:
            fields.append((f"v{slot}", ">f8"))
    return np.dtype([*fields, ("n_quality", ">i4"), ("quality", ">i8")])


@cache
def _row_template(nulls: int) -> npt.NDArray[np.void]:
    """A row with every length in its place."""
    row = np.zeros((), _row_type(nulls))
    row["fields"] = _FIELDS
    for name, size in (("n_block_id", 4), ("n_ts", 8), ("n_quality", 8)):
        row[name] = size
    for slot in range(SLOTS):
        row[f"n{slot}"] = _NULL if nulls >> slot & 1 else 8
    return row
