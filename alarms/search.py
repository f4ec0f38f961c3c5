"""Searches for the places of leaks, beside the judging.

A leak's incident is opened with its place, because crews and notices start from it at once. The search costs a good
part of a second of processor time, so it runs in a thread, one search at a time; meanwhile everything else is judged
and recorded, and only what concerns the same zone is held until its search is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from gashub.clock import stopwatch_s

from .inbox import Delivery
from .record import Place
from .rules import Test, Transition

SEARCH_S: Final = 1.5

Search = Callable[..., Place]


@dataclass(slots=True, kw_only=True)
class Held:
    """What waits for the search in a zone: transitions to record, and the messages to acknowledge afterwards."""

    transitions: list[Transition] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)


class Searches:
    """`found` has the newest place of each zone that was searched."""

    def __init__(self) -> None:
        self.found: dict[str, Place] = {}
        self.held: dict[str, Held] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="search")

    def hold(self, found: Sequence[Transition]) -> tuple[list[Transition], list[str]]:
        """Hold back what concerns zones that are searched; returns the rest, and the zones to be searched from now."""
        fresh = {t.condition.zone for t in found if _has_a_place_to_find(t)} - set(self.held)
        self.held |= {zone: Held() for zone in fresh}
        for transition in found:
            if transition.condition.zone in self.held:
                self.held[transition.condition.zone].transitions.append(transition)
        return [t for t in found if t.condition.zone not in self.held], sorted(fresh)

    async def find(self, zone: str, search: Search) -> Place:
        """Run a search, for at most a second and a half of its own."""
        self.found[zone] = await asyncio.get_running_loop().run_in_executor(self._thread, _bounded, search)
        return self.found[zone]

    def close(self) -> None:
        """No further searches; one that is under way ends by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _has_a_place_to_find(transition: Transition) -> bool:
    return transition.active and transition.condition.rule.test in (Test.LEAK, Test.RUPTURE)


def _bounded(search: Search) -> Place:
    began = stopwatch_s()
    return search(given_up=lambda: stopwatch_s() - began > SEARCH_S)
