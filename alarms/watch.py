"""Everything that is judged, in one place: points, presence of devices, balances of zones.

`Watch` is told what comes over the bus and what time it is, and says which conditions came or went. It touches neither
clock nor network, so a service, a test and a replay drive it alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from gashub.frames import SLOTS, FrameBatch
from gashub.network.model import Network
from gashub.registry import Registry
from gashub.topics import Source

from .balance import Balance, Reading, unmetered_profile, zone_meters
from .localise import Locator, Model
from .rules import STALE_AT_LEAST_S, Condition, Evaluator, Ints, Presence, Rule, Test, Transition, conditions, members


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """What is watched: the network, what stands in it, and the rules."""

    network: Network
    registry: Registry
    rules: Sequence[Rule]
    timezone: ZoneInfo

    @property
    def zones(self) -> list[str]:
        """All zones, in order."""
        return sorted(zone.id for zone in self.network.zones)

    def upstream(self) -> dict[str, list[str]]:
        """For each zone the zones that feed it through a regulator."""
        zone_of = {junction.id: junction.zone for junction in self.network.junctions}
        feeds: dict[str, set[str]] = defaultdict(set)
        for regulator in self.network.regulators:
            source, fed = zone_of[regulator.from_junction], zone_of[regulator.to_junction]
            if source != fed:
                feeds[fed].add(source)
        return {zone: sorted(sources) for zone, sources in feeds.items()}


class Watch:
    """The state of all rules of a plant."""

    def __init__(self, plant: Plant, *, started_s: float, silence_s: float = STALE_AT_LEAST_S) -> None:
        found = conditions(plant.rules, plant.registry, plant.zones)
        slots: dict[int, list[int]] = defaultdict(list)
        for point in plant.registry.points:
            slots[point.id // SLOTS].append(point.id % SLOTS)
        self.conditions = {condition.key: condition for condition in found}
        self.points = Evaluator(found, slots)
        self.presence = Presence(
            found,
            {block.id: block.scan_s for block in plant.registry.blocks},
            started_s=started_s,
            at_least_s=silence_s,
        )
        self.balances = self._balances(plant, found)
        model = Model(plant.network)
        self._locators = {zone: Locator(model, plant.registry, zone) for zone in self.balances}
        self._blocks_of = _blocks_by_source(plant.registry)
        self._regulator = {device.id: device.regulator for device in plant.registry.devices}

    @staticmethod
    def _balances(plant: Plant, found: Sequence[Condition]) -> dict[str, Balance]:
        """A balance for each zone whose inflow is metered."""
        rules = {(c.zone, c.rule.test): c for c in found if c.rule.test in (Test.LEAK, Test.RUPTURE)}
        return {
            zone: Balance(
                meters,
                leak=rules.get((zone, Test.LEAK)),
                rupture=rules.get((zone, Test.RUPTURE)),
                profile=unmetered_profile(plant.network, zone, plant.timezone),
            )
            for zone in plant.zones
            if (meters := zone_meters(plant.network, plant.registry, zone)).inlets
        }

    def trusted(self, source: Source, batch: FrameBatch) -> FrameBatch:
        """The frames that this gateway may speak for, by the registry."""
        own = self._blocks_of.get(source)
        return batch.take(members(own, batch.block_id)) if own is not None else batch.take(slice(0))

    def frames(self, batch: FrameBatch, *, now_s: float) -> list[Transition]:
        """Judge frames that came over the bus."""
        self.presence.heard(batch, now_s)
        found = self.points.evaluate(batch)
        for balance in self.balances.values():
            found += balance.frames(batch)
        return found

    def metered_otherwise(self, former: Watch) -> set[str]:
        """The zones whose balance has other meters than in the watch of an earlier registry."""
        return {
            zone
            for zone, balance in self.balances.items()
            if zone not in former.balances or former.balances[zone].meters != balance.meters
        }

    def teach(self, zones: set[str], batch: FrameBatch) -> None:
        """Let the balances of these zones learn from frames; what they find is not told."""
        for zone in zones:
            self.balances[zone].frames(batch)

    def adopt(self, former: Watch) -> None:
        """Go on where the watch of an earlier registry stopped, for all that stayed the same.

        The balances that still have the same meters are moved here, so the former watch is of no use any more.
        """
        otherwise = self.metered_otherwise(former)
        self.points.adopt(former.points)
        self.presence.adopt(former.presence)
        for zone in set(self.balances) & set(former.balances):
            before = former.balances[zone]
            if zone in otherwise:
                self.balances[zone].restore_from(before)
            else:
                before.judge_by(self.balances[zone])
                self.balances[zone] = before

    def restore(self, key: str, *, active: bool, at_ms: int) -> None:
        """Take over what the alarm table says of a condition."""
        self.points.restore(key, active=active, at_ms=at_ms)
        self.presence.restore(key, active=active)
        for balance in self.balances.values():
            balance.restore(key, active=active)

    def active(self) -> dict[str, bool]:
        """Each condition about which something is known: does it stand now."""
        known = {
            c.key: bool(on)
            for c, on, seen in zip(self.points.conditions, self.points.active, self.points.seen, strict=True)
            if seen
        }
        known |= {c.key: bool(on) for c, on in zip(self.presence.conditions, self.presence.active, strict=True)}
        for balance in self.balances.values():
            known |= balance.active()
        return known

    def readings(self) -> list[Reading]:
        """The newest balance of each zone that has one."""
        return [reading for balance in self.balances.values() if (reading := balance.reading) is not None]

    def leaks(self) -> dict[str, Condition]:
        """By zone the leaks that stand; not ruptures, whose pressures soon tell nothing any more about their place."""
        return {zone: leak for zone, balance in self.balances.items() if (leak := balance.standing_leak()) is not None}

    def search(self, zone: str) -> Callable[..., list[dict[str, Any]]]:
        """A search for the place of a zone's leak, by what is known now; see `Locator.rank`.

        It takes a good part of a second and may run in a thread, but not two of them at a time.
        """
        return partial(self._locators[zone].rank, self.balances[zone].traces())

    def place(self, condition: Condition) -> list[dict[str, Any]]:
        """Where the cause of a condition probably is."""
        if condition.rule.test in (Test.LEAK, Test.RUPTURE):
            return self.search(condition.zone)()
        regulator = self._regulator.get(condition.device or "")
        if regulator is not None:
            return [{"element": "regulator", "id": regulator, "probability": 1.0}]
        if condition.station is not None:
            return [{"element": "station", "id": condition.station, "probability": 1.0}]
        return []


def _blocks_by_source(registry: Registry) -> dict[Source, Ints]:
    sources = {gateway.id: Source(zone=gateway.zone, gateway=gateway.id) for gateway in registry.gateways}
    gateway_of = {device.id: device.gateway for device in registry.devices}
    blocks: dict[Source, list[int]] = defaultdict(list)
    for block in registry.blocks:
        blocks[sources[gateway_of[block.device]]].append(block.id)
    return {source: np.array(sorted(ids), np.int64) for source, ids in blocks.items()}


def surviving(active: Mapping[str, bool], standing: Mapping[str, bool]) -> tuple[list[str], list[str]]:
    """Compare the rules with the table: conditions to raise, and alarms to return."""
    raised = [key for key, on in active.items() if on and not standing.get(key, False)]
    returned = [key for key, on in standing.items() if on and active.get(key) is False]
    return raised, returned
