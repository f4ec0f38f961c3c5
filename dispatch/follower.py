"""Following the journal: each entry that matters has its effect once, in the transaction that moves the watermark.

One transaction takes one entry that matters, with all that does not before it. A worker that dies leaves nothing half
done; two workers wait for each other at the watermark's row; and should an entry come twice all the same, unique
constraints stand behind it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from psycopg import AsyncConnection

from gashub import journal
from gashub.journal import Entry

BATCH_ENTRIES: Final = 200

Effect = Callable[[AsyncConnection[Any], Entry], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """Reads the journal under `name` and has `effect` for the entries that `matters` picks."""

    name: str
    matters: Callable[[Entry], bool]
    effect: Effect

    async def advance(self, connection: AsyncConnection[Any]) -> bool:
        """Deal with the next entry that matters; False if nothing lay beyond the watermark."""
        async with connection.transaction():
            after = await journal.lock_watermark(connection, self.name)
            entries = await journal.read(connection, after=after, limit=BATCH_ENTRIES)
            if not entries:
                return False
            entry = next((entry for entry in entries if self.matters(entry)), None)
            if entry is not None:
                await self.effect(connection, entry)
            else:
                # Only the watermark moves; should a crash take that back, it moves again. No need to wait for the disk.
                await connection.execute("SET LOCAL synchronous_commit TO off")
            await journal.move_watermark(connection, self.name, (entry or entries[-1]).number)
        return True

    async def catch_up(self, connection: AsyncConnection[Any]) -> None:
        """Deal with everything the journal holds now."""
        while await self.advance(connection):
            pass
