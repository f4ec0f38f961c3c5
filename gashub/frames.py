"""Frames: up to eight values of one device, taken together at one time.

One scan of one device yields one frame per block, and a frame is the unit everywhere: on the wire, in a batch, in a
row of the historian. A point is one slot of one block:

    point_id = block_id * 8 + slot

`FrameBatch` holds many frames as columns, which numpy reads without a loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from .errors import InvalidValue

SLOTS: Final = 8
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]


def point_id(block_id: int, slot: int) -> int:
    """The number of the point in `slot` of block `block_id`."""
    if not 0 <= slot < SLOTS:
        raise InvalidValue(f"slot {slot} is outside 0..{SLOTS - 1}")
    return block_id * SLOTS + slot


def block_and_slot(point: int) -> tuple[int, int]:
    """The block and slot in which a point's values stand."""
    return divmod(point, SLOTS)


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970 UTC of an aware datetime. Raises InvalidValue for a naive one."""
    if moment.tzinfo is None:
        raise InvalidValue(f"{moment.isoformat()} has no time zone")
    return (moment - EPOCH) // timedelta(milliseconds=1)


def from_ms(milliseconds: int) -> datetime:
    """The aware UTC datetime of milliseconds since 1970."""
    return EPOCH + timedelta(milliseconds=int(milliseconds))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameBatch:
    """Frames as columns.

    block_id: shape (n,), positive.
    measured_at_ms: shape (n,), milliseconds since 1970 UTC, when the device answered (or was asked, if it did not).
    values: shape (n, 8), canonical units; NaN where the slot was not sampled or has no value.
    quality: shape (n, 8), one byte each (see `gashub.quality`); 0 where the slot was not sampled.
    """

    block_id: I32
    measured_at_ms: I64
    values: F64
    quality: U8

    def __post_init__(self) -> None:
        n = len(self.block_id)
        shapes = (self.block_id.shape, self.measured_at_ms.shape, self.values.shape, self.quality.shape)
        if shapes != ((n,), (n,), (n, SLOTS), (n, SLOTS)):
            raise InvalidValue(f"frame columns do not fit together: {shapes}")

    def __len__(self) -> int:
        return len(self.block_id)

    @property
    def readings(self) -> int:
        """How many slots were sampled."""
        return int(np.count_nonzero(self.quality))

    def take(self, index: npt.NDArray[np.bool_] | npt.NDArray[np.intp] | slice) -> FrameBatch:
        """The frames that `index` selects."""
        return FrameBatch(
            block_id=self.block_id[index],
            measured_at_ms=self.measured_at_ms[index],
            values=self.values[index],
            quality=self.quality[index],
        )


def empty() -> FrameBatch:
    """A batch of no frames."""
    return FrameBatch(
        block_id=np.empty(0, np.int32),
        measured_at_ms=np.empty(0, np.int64),
        values=np.empty((0, SLOTS), np.float64),
        quality=np.empty((0, SLOTS), np.uint8),
    )


def concatenate(batches: list[FrameBatch]) -> FrameBatch:
    """All frames of several batches, in order."""
    if not batches:
        return empty()
    return FrameBatch(
        block_id=np.concatenate([b.block_id for b in batches]),
        measured_at_ms=np.concatenate([b.measured_at_ms for b in batches]),
        values=np.concatenate([b.values for b in batches]),
        quality=np.concatenate([b.quality for b in batches]),
    )
