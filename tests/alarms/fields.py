"""A town whose instruments are read straight into frames, as the line would carry them, without the line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np

from gashub.frames import FrameBatch, to_ms
from gashub.quality import GOOD
from gashub.registry import Quantity
from simulators.field import Field
from simulators.town import Town

NOISE = {Quantity.PRESSURE: 0.02, Quantity.STATE: 0.0}
START = datetime(2026, 11, 10, 9, tzinfo=UTC)


class Instruments:
    """Every block of a town, read at its scan period by a clock of its own that is wrong by up to two seconds."""

    def __init__(self, town: Town, *, seed: int, start: datetime = START) -> None:
        self.town = town
        self.field = Field(town, seed=seed, start=start)
        self.dead: set[int] = set()
        self._rng = np.random.default_rng(seed)
        signal = {f"{d.id}/{slot}": name for d in town.devices for slot, name in d.signals.items()}
        known = set(self.field.signals)
        points = [p for p in town.registry.points if signal.get(p.tag) in known]
        self._at = self.field.index([signal[p.tag] for p in points])
        self._block = np.array([p.id // 8 for p in points])
        self._slot = np.array([p.id % 8 for p in points])
        flow = np.array([p.quantity is Quantity.FLOW for p in points])
        self._gain = np.where(flow, 1 + 0.005 * self._rng.standard_normal(len(points)), 1.0)
        self._relative = np.where(flow, 0.004, 0.0)
        self._absolute = np.array([NOISE.get(p.quantity, 0.0) for p in points])
        self._scan = {b.id: b.scan_s for b in town.registry.blocks}
        self._offset = {b: float(self._rng.uniform(-2, 2)) for b in self._scan}
        self._due = {b: float(self._rng.uniform(0, scan)) for b, scan in self._scan.items()}

    def run(self, seconds: float, *, step_s: float = 5.0) -> Iterator[FrameBatch]:
        """The frames of the next `seconds`, one batch a step."""
        end = self.field.now + timedelta(seconds=seconds)
        while self.field.now < end:
            self.field.step(self.field.now + timedelta(seconds=step_s))
            yield self._frames()

    def _frames(self) -> FrameBatch:
        now_ms = to_ms(self.field.now)
        truth = self.field.values[self._at]
        noise = self._rng.standard_normal(len(truth))
        shown = truth * self._gain * (1 + self._relative * noise) + self._absolute * noise
        blocks = []
        for block, due in self._due.items():
            self._due[block] = due - 5.0
            if self._due[block] <= 0:
                self._due[block] += max(self._scan[block], 5.0)
                if block not in self.dead:
                    blocks.append(block)
        row = {block: i for i, block in enumerate(blocks)}
        values = np.full((len(blocks), 8), np.nan)
        quality = np.zeros((len(blocks), 8), np.uint8)
        for i, block in enumerate(self._block.tolist()):
            if block in row:
                values[row[block], self._slot[i]] = shown[i]
                quality[row[block], self._slot[i]] = GOOD
        times = [now_ms + round(1000 * self._offset[block]) for block in blocks]
        return FrameBatch(
            block_id=np.array(blocks, np.int32),
            measured_at_ms=np.array(times, np.int64),
            values=values,
            quality=quality,
        )
