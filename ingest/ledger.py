"""Which messages of a gateway are settled: stored or rejected, once and for all.

A gateway numbers its messages from 1 within each boot and lane. `committed` is the highest number up to which
everything is settled; what is settled beyond a gap stands in `ahead` as closed ranges. A gateway frees its spool up to
`committed`, so the gap closes when it sends the missing message again. A number that is already settled is a repeat.

    committed = 7, ahead = ((9, 12), (15, 15))      settled: 1..7, 9..12, 15; missing: 8, 13, 14

`ahead` is bounded: beyond `MAX_RANGES` the highest ranges are forgotten. That loses nothing, since the gateway sends
those messages again and the historian's merge changes nothing by them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from gashub.errors import InvalidValue
from gashub.wire import Header, Lane

MAX_RANGES: Final = 128

Range = tuple[int, int]


class Sender(NamedTuple):
    """Whoever numbers messages for itself: one boot of one gateway, one lane."""

    gateway: str
    boot: str
    lane: Lane


def sender_of(header: Header) -> Sender:
    """The sender of a message."""
    return Sender(gateway=header.gateway, boot=header.boot, lane=header.lane)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What is settled of one sender's messages; see the module."""

    committed: int = 0
    ahead: tuple[Range, ...] = ()

    def __post_init__(self) -> None:
        last = self.committed
        for first, end in self.ahead:
            if not last + 1 < first <= end:
                raise InvalidValue(f"ranges {self.ahead} do not lie apart beyond {self.committed}")
            last = end

    def __contains__(self, seq: int) -> bool:
        return seq <= self.committed or any(first <= seq <= end for first, end in self.ahead)

    def settle(self, numbers: Iterable[int]) -> Settled:
        """The same with `numbers` settled too; their order and repeats do not matter."""
        ranges = sorted([*self.ahead, *_ranges(sorted(set(numbers)))])
        committed = self.committed
        ahead: list[Range] = []
        for first, end in ranges:
            if first <= committed + 1:
                committed = max(committed, end)
            elif ahead and first <= ahead[-1][1] + 1:
                ahead[-1] = (ahead[-1][0], max(ahead[-1][1], end))
            else:
                ahead.append((first, end))
        return Settled(committed=committed, ahead=tuple(ahead[:MAX_RANGES]))


def _ranges(numbers: list[int]) -> list[Range]:
    """Sorted numbers as closed ranges."""
    if numbers and numbers[-1] - numbers[0] == len(numbers) - 1:
        return [(numbers[0], numbers[-1])]
    ranges: list[Range] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges
