"""Whoever watches the live feed: one bounded queue each, into which journal and bus put what is new.

A follower that does not keep up is marked overrun; its client is cut off and resumes by number, so that no journal
entry is ever dropped unseen.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from prometheus_client import Gauge

from gashub.journal import Entry

QUEUE_LENGTH: Final = 2_000
CONSOLES: Final = Gauge("gashub_api_consoles", "Consoles that follow the live feed")

News = Entry | dict[str, Any]
"""A journal entry, or the body of an alarm that could not be recorded yet."""


class Follower:
    """One client's queue. `overrun` is set when it did not keep up."""

    def __init__(self) -> None:
        self.news: asyncio.Queue[News] = asyncio.Queue(QUEUE_LENGTH)
        self.overrun = False

    def offer(self, news: News) -> None:
        """Queue something, or note that the client is too slow."""
        try:
            self.news.put_nowait(news)
        except asyncio.QueueFull:
            self.overrun = True


class Followers:
    """All that follow now."""

    def __init__(self) -> None:
        self._all: set[Follower] = set()

    def join(self) -> Follower:
        """A queue that gets everything from now on; give it back with `leave`."""
        follower = Follower()
        self._all.add(follower)
        CONSOLES.inc()
        return follower

    def leave(self, follower: Follower) -> None:
        """Put nothing into this queue any more."""
        self._all.remove(follower)
        CONSOLES.dec()

    def offer(self, news: News) -> None:
        """Tell all of them."""
        for follower in self._all:
            follower.offer(news)
