"""Leaks in the town, found by the balance through noisy instruments: is the section to be shut the right one?"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest

from alarms import rulebook
from alarms.localise import Locator, Model
from alarms.watch import Plant, Watch
from gashub.network.trace import Element, ElementKind, sections
from simulators import town as towns
from simulators.field import FieldEvent, FieldEventKind
from simulators.places import Places

from .fields import Instruments
from .plants import TIMEZONE

ZONES = ("north", "east", "south", "west")
MAIN_MM = 60.0
RIGHT_OF_12 = 10


class Story:
    """A town whose balances have learned for a quarter of an hour; each run tells what happens to a copy of it."""

    def __init__(self) -> None:
        self.town = towns.build(7)
        network = self.town.network
        plant = Plant(network=network, registry=self.town.registry, rules=rulebook.load(), timezone=TIMEZONE)
        self.start = Instruments(self.town, seed=3), Watch(plant, started_s=0.0)
        for batch in self.start[0].run(900):
            self.start[1].frames(batch, now_s=0.0)
        section = sections(network)
        self.pipes = {pipe.id: pipe for pipe in network.pipes}
        self.section = {pipe.id: section[pipe.from_junction] for pipe in network.pipes}

    def mains(self, rng: random.Random) -> dict[str, str]:
        """One main of each zone."""
        return {
            zone: rng.choice(
                [
                    p.id
                    for p in self.pipes.values()
                    if p.zone == zone and p.inner_diameter_mm > MAIN_MM and p.length_m > 3
                ]
            )
            for zone in ZONES
        }

    def placed(
        self, leaks: dict[str, str], *, size_m3h: float = 0.0, torn: bool = False
    ) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Let one main leak in each zone, or tear; yields zone and candidates at the moment that is raised."""
        instruments, watch = copy.deepcopy(self.start)
        for pipe in leaks.values():
            leak = FieldEvent(
                kind=FieldEventKind.RUPTURE if torn else FieldEventKind.LEAK,
                element=Element(kind=ElementKind.PIPE, id=pipe),
                size_m3h=size_m3h,
                growth_s=0.0 if torn else 60.0,
            )
            instruments.field.inject(leak)
        missing = set(leaks)
        for batch in instruments.run(600):
            for transition in watch.frames(batch, now_s=0.0):
                raised = transition.condition.rule.id == ("zone_rupture" if torn else "zone_leak")
                if raised and transition.condition.zone in missing:
                    missing.remove(transition.condition.zone)
                    yield transition.condition.zone, watch.place(transition.condition)
            if not missing:
                return

    def right(self, leaks: dict[str, str], *, size_m3h: float = 0.0, torn: bool = False) -> list[bool]:
        """Of each leak whether the first candidate lies in its section."""
        return [
            self.section[candidates[0]["id"]] == self.section[leaks[zone]]
            for zone, candidates in self.placed(leaks, size_m3h=size_m3h, torn=torn)
        ]


@pytest.fixture(scope="module")
def story() -> Story:
    return Story()


def test_of_a_dozen_leaks_in_all_zones_nearly_all_are_placed_in_the_section_to_be_shut(story: Story) -> None:
    rng = random.Random(11)
    right = [ok for size in (120.0, 200.0, 400.0) for ok in story.right(story.mains(rng), size_m3h=size)]
    assert len(right) == 12
    assert sum(right) >= RIGHT_OF_12


def test_the_leak_of_the_shipped_scenario_is_placed_exactly_in_its_section(story: Story) -> None:
    main = Places(story.town.network, story.town.registry).pick("central_main", "east").id
    assert story.right({"east": main}, size_m3h=80.0) == [True]


def test_torn_central_mains_are_placed_in_their_sections(story: Story) -> None:
    places = Places(story.town.network, story.town.registry)
    right = story.right({zone: places.pick("central_main", zone).id for zone in ZONES}, torn=True)
    assert right == [True] * 4


def test_the_candidates_of_one_section_stand_together_and_the_likeliest_section_comes_first(story: Story) -> None:
    main = Places(story.town.network, story.town.registry).pick("central_main", "east").id
    ((_, candidates),) = story.placed({"east": main}, size_m3h=200.0)
    order = [story.section[one["id"]] for one in candidates]
    assert order == sorted(order, key=order.index)
    assert 0.0 < sum(one["probability"] for one in candidates) <= 1.0


def test_a_search_that_is_given_up_still_says_something(story: Story) -> None:
    instruments, watch = copy.deepcopy(story.start)
    del instruments
    search = watch.search("east")
    assert search(given_up=lambda: True)[0]["element"] == "pipe"


def test_a_zone_without_pipes_has_no_place(story: Story) -> None:
    locator = Locator(Model(story.town.network), story.town.registry, "nowhere")
    _, watch = story.start
    assert locator.rank(watch.balances["east"].traces()) == []
