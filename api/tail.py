"""The journal's newest entries, read once for all clients of the live feed.

NOTIFY wakes the reader, and it looks every few seconds anyway.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any, Final

import psycopg
import structlog
from psycopg import AsyncConnection

from gashub import journal

from .followers import Followers

_LOOK_EVERY_S: Final = 2.0
_RECONNECT_S: Final = 1.0
_log = structlog.get_logger()


class JournalTail:
    """Follows the journal from its end on; `number` is the last entry handed on."""

    def __init__(self, dsn: str, followers: Followers) -> None:
        self._dsn = dsn
        self.number = 0
        self.database_up = asyncio.Event()
        self._started = asyncio.Event()
        self._followers = followers

    async def started(self) -> None:
        """Wait until the end of the journal is known."""
        await self._started.wait()

    async def run(self) -> None:
        """Follow for ever; a database that is away is tried again each second."""
        while True:
            try:
                async with await AsyncConnection.connect(
                    self._dsn, autocommit=True, application_name="gashub-api-tail", connect_timeout=5
                ) as connection:
                    await self._follow(connection)
            except psycopg.OperationalError as error:
                if self.database_up.is_set():
                    _log.warning("database_lost", error=str(error))
            finally:
                self.database_up.clear()
            await asyncio.sleep(_RECONNECT_S)

    async def _follow(self, connection: AsyncConnection[Any]) -> None:
        await connection.execute(f"LISTEN {journal.CHANNEL}")
        if not self._started.is_set():
            self.number = await journal.last_number(connection)
            self._started.set()
        self.database_up.set()
        while True:
            await self._hand_on(connection)
            async with aclosing(connection.notifies(timeout=_LOOK_EVERY_S, stop_after=1)) as hints:
                async for _ in hints:
                    break

    async def _hand_on(self, connection: AsyncConnection[Any]) -> None:
        while entries := await journal.read(connection, after=self.number):
            for entry in entries:
                self._followers.offer(entry)
                self.number = entry.number
