"""When a pile of messages is worth a transaction.

A batch is closed by whichever comes first: enough rows, enough messages, or the age of its oldest message. Rows are
estimated from the payload's size, since nothing is decoded before it is batched. The limit of messages is half of what
may be unacknowledged, so that one batch can be collected while the one before it is being committed; without it a
broker that sends no more than its window would wait for us while we wait for more rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from gashub.errors import InvalidValue

BYTES_A_ROW: Final = 81
"""What a full frame takes on the wire: block id, time offset, mask, eight values, eight qualities."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What closes a batch. window: how many messages may be held unacknowledged in all."""

    rows: int
    age_s: float
    window: int

    def __post_init__(self) -> None:
        if self.rows < 1 or self.age_s <= 0 or self.window < 1:
            raise InvalidValue(f"limits of a batch must be positive: {self}")

    @property
    def messages(self) -> int:
        """How many messages close a batch."""
        return max(1, self.window // 2)


@dataclass(slots=True)
class Pile(Generic[Item]):
    """Messages that wait for their batch, oldest first. Times are monotonic seconds."""

    limits: Limits
    _items: list[Item] = field(default_factory=list)
    _bytes: int = 0
    _oldest_s: float = 0.0

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Item, size_bytes: int, now_s: float) -> None:
        """Put one message on the pile."""
        if not self._items:
            self._oldest_s = now_s
        self._items.append(item)
        self._bytes += size_bytes

    @property
    def full(self) -> bool:
        """Whether rows or messages close the batch now."""
        return len(self._items) >= self.limits.messages or self._bytes >= self.limits.rows * BYTES_A_ROW

    def due_in_s(self, now_s: float) -> float | None:
        """Seconds until the batch must be closed, 0 if now; None while there is nothing."""
        if not self._items:
            return None
        return 0.0 if self.full else max(0.0, self._oldest_s + self.limits.age_s - now_s)

    def take(self) -> list[Item]:
        """The batch; the pile is empty afterwards."""
        items, self._items, self._bytes = self._items, [], 0
        return items
