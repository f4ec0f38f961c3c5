"""Scans of many devices become batches of frames.

A scan is kept as the device gave it until a packet closes, and then all scans of one make are decoded together. What
waits is bounded: the gateway closes a packet every second or `PACKET_SCANS` scans, whichever comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gashub.frames import FrameBatch, concatenate
from gashub.quality import is_good

from .decode import UNCERTAIN_CLOCK, BlockDecoder
from .plan import ReadPlan, plan
from .profile import Profile

PACKET_SCANS: Final = 1000


class Reader:
    """How devices of one profile with the same parameters and blocks are read; shared among them.

    blocks: names of the profile's blocks that are sampled, in the order in which `Scan.block_ids` gives their ids.
    """

    def __init__(self, profile: Profile, blocks: Sequence[str], parameters: dict[str, float]) -> None:
        chosen = [profile.find_block(name) for name in blocks]
        self.plan: ReadPlan = plan(chosen, profile.limits)
        settings = profile.settings(parameters)
        self.decoders = [BlockDecoder(block, chosen, self.plan, settings) for block in chosen]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What one scan of one device brought.

    measured_at_ms: when the device answered, or when it was asked, if it did not. words: one row of the reader's
    plan; zeros where a request failed. failures: a quality byte per request, 0 where it was answered.
    """

    reader: Reader
    block_ids: tuple[int, ...]
    measured_at_ms: int
    words: Sequence[int]
    failures: Sequence[int]
    clock_suspect: bool = False


class Packer:
    """Collects scans until somebody takes them."""

    def __init__(self) -> None:
        self._scans: list[Scan] = []

    def __len__(self) -> int:
        return len(self._scans)

    def add(self, scan: Scan) -> None:
        """Keep a scan for the next packet."""
        self._scans.append(scan)

    def take(self) -> FrameBatch:
        """The frames of all scans since the last call."""
        scans, self._scans = self._scans, []
        groups: dict[int, list[Scan]] = {}
        for scan in scans:
            groups.setdefault(id(scan.reader), []).append(scan)
        return concatenate([batch for group in groups.values() for batch in _decode(group)])


def _decode(scans: list[Scan]) -> list[FrameBatch]:
    """One batch per block of scans that share a reader."""
    words = np.array([scan.words for scan in scans], np.uint16)
    failures = np.array([scan.failures for scan in scans], np.uint8)
    measured_at_ms = np.array([scan.measured_at_ms for scan in scans], np.int64)
    suspect = np.array([scan.clock_suspect for scan in scans], np.bool_)
    batches: list[FrameBatch] = []
    for position, decoder in enumerate(scans[0].reader.decoders):
        decoded = decoder.decode(words, failures, measured_at_ms)
        if suspect.any():
            decoded.quality[suspect[:, None] & is_good(decoded.quality)] = UNCERTAIN_CLOCK
        batches.append(
            FrameBatch(
                block_id=np.array([scan.block_ids[position] for scan in scans], np.int32),
                measured_at_ms=measured_at_ms,
                values=decoded.values,
                quality=decoded.quality,
            )
        )
    return batches
