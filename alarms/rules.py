"""Rules judged on frames: arrays of state per (rule, point), moved on by numpy, no loop over points.

A *rule* is written for roles; a *condition* is one rule on one point, block, gateway or zone, with its limit as a
number. Each point condition has a level that must be passed to raise, a lower one that must be undercut to clear
(deadband), and delays that run on the device's time:

    x ──┬── raise_at ───────────── above for on_delay  → raised
        │   (deadband: nothing changes)
        └── clear_at ───────────── below for off_delay → returned

Frames of one block are taken in the order of their time. A frame not newer than the last one, a historical or a bad
value neither raises nor clears anything, nor does it count as time passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gashub.frames import SLOTS, FrameBatch, block_and_slot
from gashub.quality import HISTORICAL, NOT_SAMPLED, SEVERITY_MASK, Severity
from gashub.registry import Point, Registry, Role

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RING: Final = 32
"""How many samples a rate-of-change rule looks back on at most."""
STALE_AT_LEAST_S: Final = 30.0


class Test(StrEnum):
    """What a rule asks."""

    __test__ = False  # not a test case, whatever pytest thinks of the name

    ABOVE = "above"
    BELOW = "below"
    EQUALS = "equals"
    FALL = "fall"
    STALE = "stale"
    BAD_QUALITY = "bad_quality"
    OFFLINE = "offline"
    LEAK = "leak"
    RUPTURE = "rupture"


ON_POINTS: Final = (Test.ABOVE, Test.BELOW, Test.EQUALS, Test.FALL)


class Priority(StrEnum):
    """How urgent, by consequence and the time left to respond."""

    EMERGENCY = "emergency"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


RANK: Final[Mapping[Priority, int]] = {priority: rank for rank, priority in enumerate(Priority)}


class Reference(StrEnum):
    """Which figure of the point a limit is a multiple of."""

    NOMINAL = "nominal"
    NORMAL_LOW = "normal_low"
    NORMAL_HIGH = "normal_high"
    ABSOLUTE = "absolute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """`factor` times a figure of the point; with ABSOLUTE, `factor` itself in the point's unit."""

    of: Reference
    factor: float

    def of_point(self, point: Point) -> float | None:
        """The limit in the point's unit; None if the point lacks the figure it refers to."""
        if self.of is Reference.ABSOLUTE:
            return self.factor
        figure: float | None = getattr(point, self.of.value)
        return None if figure is None else figure * self.factor


@dataclass(frozen=True, slots=True, kw_only=True)
class Rationale:
    """Why the alarm is there and what to do about it, in one language (ISA-18.2's rationalisation)."""

    cause: str
    consequence: str
    response: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the rulebook. Delays and windows in seconds; `scans` is how many may be missed before stale."""

    id: str
    test: Test
    priority: Priority
    time_to_respond_s: float
    en: Rationale
    zh: Rationale
    roles: tuple[Role, ...] = ()
    limit: Limit | None = None
    deadband: Limit | None = None
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0
    window_s: float = 0.0
    scans: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One rule on one thing. `key` names it in the alarm table; `subject` is the point, block, gateway or zone."""

    key: str
    rule: Rule
    zone: str
    station: str | None = None
    device: str | None = None
    point_id: int | None = None
    limit: float | None = None
    deadband: float = 0.0
    gateway: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A condition came on or went off at `at_ms`, with the value and limit that decided it."""

    condition: Condition
    active: bool
    at_ms: int
    value: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


def conditions(rules: Sequence[Rule], registry: Registry, zones: Sequence[str]) -> list[Condition]:
    """Every rule on everything it is meant for. Points that lack the figure a limit refers to have no condition."""
    place = _Places(registry)
    found: list[Condition] = []
    for rule in rules:
        match rule.test:
            case Test.LEAK | Test.RUPTURE:
                found += [Condition(key=f"{rule.id}:{zone}", rule=rule, zone=zone) for zone in zones]
            case Test.OFFLINE:
                found += [
                    Condition(key=f"{rule.id}:{g.id}", rule=rule, zone=g.zone, gateway=g.id) for g in registry.gateways
                ]
            case Test.STALE | Test.BAD_QUALITY:
                found += [place.condition(rule, point, None) for point in place.first_points()]
            case _:
                found += place.limits(rule)
    return found


class _Places:
    """Where the points of a registry stand."""

    def __init__(self, registry: Registry) -> None:
        self._points = sorted(registry.points, key=lambda point: point.id)
        self._device_of_block = {block.id: block.device for block in registry.blocks}
        self._devices = {device.id: device for device in registry.devices}
        self._stations = {station.id: station for station in registry.stations}

    def first_points(self) -> list[Point]:
        """The first point of each block: it stands for its device where all of a block fails together."""
        return list({point.id // SLOTS: point for point in reversed(self._points)}.values())[::-1]

    def limits(self, rule: Rule) -> list[Condition]:
        found = []
        for point in self._points:
            limit = rule.limit.of_point(point) if rule.limit and point.role in rule.roles else None
            if limit is not None:
                found.append(self.condition(rule, point, limit))
        return found

    def condition(self, rule: Rule, point: Point, limit: float | None) -> Condition:
        device = self._devices[self._device_of_block[point.id // SLOTS]]
        return Condition(
            key=f"{rule.id}:{point.id}",
            rule=rule,
            zone=self._stations[device.station].zone,
            station=device.station,
            device=device.id,
            gateway=device.gateway,
            point_id=point.id,
            limit=limit,
            deadband=(rule.deadband.of_point(point) or 0.0) if rule.deadband else 0.0,
        )


def members(known: Ints, ids: npt.NDArray[np.integer[Any]]) -> Bools:
    """Which of `ids` are among `known`, which is sorted; several times as fast as numpy's own for small arrays."""
    if len(known) == 0:
        return np.zeros(len(ids), np.bool_)
    found: Bools = known[np.minimum(np.searchsorted(known, ids), len(known) - 1)] == ids
    return found


def rounds(frames: FrameBatch, blocks: Ints) -> list[npt.NDArray[np.intp]]:
    """Frames of `blocks` (sorted), split so that no part has a block twice, each block's frames in order of time."""
    own = np.flatnonzero(members(blocks, frames.block_id))
    if len(own) == 0:
        return []
    order = own[np.lexsort((frames.measured_at_ms[own], frames.block_id[own]))]
    block = frames.block_id[order]
    firsts = np.flatnonzero(np.r_[True, block[1:] != block[:-1]])
    rank = np.arange(len(block)) - np.repeat(firsts, np.diff(np.r_[firsts, len(block)]))
    last = int(rank.max())
    return [order] if last == 0 else [order[rank == r] for r in range(last + 1)]


class Evaluator:
    """The state of every condition on points (limits, states, rates, bad quality), moved on frame by frame.

    known_slots: for each block id, which of its slots hold points; bad quality of any of them counts.
    """

    def __init__(self, found: Sequence[Condition], known_slots: Mapping[int, Sequence[int]]) -> None:
        judged = [c for c in found if c.rule.test in (*ON_POINTS, Test.BAD_QUALITY) and c.point_id is not None]
        self.conditions = sorted(judged, key=lambda c: c.point_id or 0)
        self.index = {c.key: i for i, c in enumerate(self.conditions)}
        where = np.array([block_and_slot(c.point_id or 0) for c in self.conditions], np.int64).reshape(-1, 2)
        self._slot = where[:, 1]
        self._blocks, self._start, self._count = np.unique(where[:, 0], return_index=True, return_counts=True)
        self._constants(known_slots, where[:, 0])
        n = len(self.conditions)
        self.active = np.zeros(n, np.bool_)
        self.seen = np.zeros(n, np.bool_)
        self.last_ms = np.full(n, np.iinfo(np.int64).min // 2, np.int64)
        self._pending_ms = np.full(n, -1, np.int64)

    def _constants(self, known_slots: Mapping[int, Sequence[int]], block_ids: Ints) -> None:
        found = self.conditions
        tests = np.array([c.rule.test.value for c in found], "U16")
        self._below, self._equals = tests == Test.BELOW, tests == Test.EQUALS
        self._fall, self._bad = tests == Test.FALL, tests == Test.BAD_QUALITY
        self._target = np.array([c.limit if c.limit is not None else 0.5 for c in found])
        sign = np.where(self._below, -1.0, 1.0)
        self._raise_at = np.where(self._equals | self._bad, 0.5, self._target * sign)
        self._clear_at = self._raise_at - np.array([c.deadband for c in found])
        self._on_ms = np.array([round(c.rule.on_delay_s * 1000) for c in found], np.int64)
        self._off_ms = np.array([round(c.rule.off_delay_s * 1000) for c in found], np.int64)
        self._known = np.zeros((len(found), SLOTS), np.bool_)
        for row, block in enumerate(block_ids.tolist()):
            self._known[row, list(known_slots.get(block, range(SLOTS)))] = True
        self._ring_of = np.where(self._fall, np.cumsum(self._fall) - 1, -1)
        self._window_ms = np.array([round(c.rule.window_s * 1000) for c in found], np.int64)
        rings = int(np.count_nonzero(self._fall))
        self._ring_ms = np.full((rings, RING), np.iinfo(np.int64).min // 2, np.int64)
        self._ring_value = np.full((rings, RING), np.nan)
        self._ring_next = np.zeros(rings, np.int64)

    def restore(self, key: str, *, active: bool, at_ms: int) -> None:
        """Take over what the alarm table says of a condition: frames up to `at_ms` were judged by a former worker."""
        row = self.index.get(key)
        if row is not None:
            self.active[row] = active
            self.last_ms[row] = at_ms

    def adopt(self, former: Evaluator) -> None:
        """Take over the state of every condition that the former evaluator judged too."""
        both = [(row, former.index[key]) for key, row in self.index.items() if key in former.index]
        if not both:
            return
        row, was = np.array(both, np.int64).T
        for name in ("active", "seen", "last_ms", "_pending_ms"):
            getattr(self, name)[row] = getattr(former, name)[was]
        falling = self._fall[row] & former._fall[was]
        ring, before = self._ring_of[row[falling]], former._ring_of[was[falling]]
        for name in ("_ring_ms", "_ring_value", "_ring_next"):
            getattr(self, name)[ring] = getattr(former, name)[before]

    def evaluate(self, frames: FrameBatch) -> list[Transition]:
        """Judge frames in any order; returns what changed, in order of time for each condition."""
        found: list[Transition] = []
        for chosen in rounds(frames, self._blocks):
            found += self._round(frames.take(chosen))
        return found

    def _round(self, frames: FrameBatch) -> list[Transition]:
        at = np.searchsorted(self._blocks, frames.block_id)
        counts = self._count[at]
        frame = np.repeat(np.arange(len(frames)), counts)
        offset = np.arange(len(frame)) - np.repeat(np.cumsum(counts) - counts, counts)
        row = np.repeat(self._start[at], counts) + offset
        slot = self._slot[row]
        time = frames.measured_at_ms[frame]
        value, x, usable = self._measure(frames, frame, row, slot)
        usable &= time > self.last_ms[row]
        if not usable.all():
            row, time, value, x = row[usable], time[usable], value[usable], x[usable]
        self.last_ms[row] = time
        self.seen[row] = True
        falling = self._fall[row]
        if falling.any():
            x = x.copy()
            x[falling] = self._fallen(self._ring_of[row[falling]], row[falling], time[falling], value[falling])
        return self._move(row, time, value, x)

    def _measure(
        self, frames: FrameBatch, frame: npt.NDArray[np.intp], row: Ints, slot: Ints
    ) -> tuple[Floats, Floats, Bools]:
        """Per (condition, frame): the value, what is compared with the limits, and whether it may be judged."""
        value, quality = frames.values[frame, slot], frames.quality[frame, slot]
        severity = quality & SEVERITY_MASK
        usable = (severity >= Severity.UNCERTAIN) & ((quality & HISTORICAL) == 0) & np.isfinite(value)
        x = np.where(self._below[row], -value, value)
        equals = self._equals[row]
        if equals.any():
            x = np.where(equals, (np.abs(value - self._target[row]) < 0.5).astype(float), x)
        bad = self._bad[row]
        if bad.any():
            codes = frames.quality[frame[bad]]
            sampled = (codes != NOT_SAMPLED) & self._known[row[bad]]
            x[bad] = ((codes & SEVERITY_MASK == Severity.BAD) & sampled).any(axis=1)
            usable[bad] = sampled.any(axis=1) & ~((codes & HISTORICAL != 0) & sampled).any(axis=1)
        return value, x, usable

    def _fallen(self, ring: Ints, row: Ints, time: Ints, value: Floats) -> Floats:
        """How far each value lies below the highest of the last `window_s`, itself included."""
        place = self._ring_next[ring] % RING
        self._ring_ms[ring, place], self._ring_value[ring, place] = time, value
        self._ring_next[ring] += 1
        recent = self._ring_ms[ring] >= (time - self._window_ms[row])[:, None]
        highest: Floats = np.where(recent, self._ring_value[ring], -np.inf).max(axis=1)
        return highest - value

    def _move(self, row: Ints, time: Ints, value: Floats, x: Floats) -> list[Transition]:
        active = self.active[row]
        wanted = np.where(active, x > self._clear_at[row], x > self._raise_at[row])
        differs = wanted != active
        since = np.where(differs, np.where(self._pending_ms[row] < 0, time, self._pending_ms[row]), -1)
        delay = np.where(wanted, self._on_ms[row], self._off_ms[row])
        due = differs & (time - since >= delay)
        self._pending_ms[row] = np.where(due, -1, since)
        self.active[row[due]] = wanted[due]
        return [
            Transition(
                condition=self.conditions[row[i]],
                active=bool(wanted[i]),
                at_ms=int(time[i]),
                value=float(value[i]) if np.isfinite(value[i]) else None,
            )
            for i in np.flatnonzero(due)
        ]


class Presence:
    """Which blocks and gateways have been heard of lately, by the monotonic clock.

    A block is stale after `scans` of its scan periods without a live frame. While its gateway is offline, the
    gateway's alarm says it all and its blocks are left alone.
    """

    def __init__(
        self,
        found: Sequence[Condition],
        scan_s: Mapping[int, float],
        *,
        started_s: float,
        at_least_s: float = STALE_AT_LEAST_S,
    ) -> None:
        stale = sorted((c for c in found if c.rule.test is Test.STALE), key=lambda c: c.point_id or 0)
        self.conditions = [*stale, *(c for c in found if c.rule.test is Test.OFFLINE)]
        self.index = {c.key: i for i, c in enumerate(self.conditions)}
        self._blocks = np.array([(c.point_id or 0) // SLOTS for c in stale], np.int64)
        self._limit_s = np.array([max(c.rule.scans * scan_s[(c.point_id or 0) // SLOTS], at_least_s) for c in stale])
        self._heard_s = np.full(len(stale), started_s)
        self._gateway = np.array([c.gateway or "" for c in stale], "U64")
        self._gateways = {c.gateway for c in self.conditions}
        self._offline_since: dict[str, float] = {}
        self.active = np.zeros(len(self.conditions), np.bool_)

    def restore(self, key: str, *, active: bool) -> None:
        """Take over what the alarm table says of a condition."""
        if key in self.index:
            self.active[self.index[key]] = active

    def adopt(self, former: Presence) -> None:
        """Take over what was heard of the blocks and gateways that are still known."""
        for key, row in self.index.items():
            if key in former.index:
                self.active[row] = former.active[former.index[key]]
        heard = dict(zip(former._blocks.tolist(), former._heard_s.tolist(), strict=True))
        for row, block in enumerate(self._blocks.tolist()):
            self._heard_s[row] = heard.get(block, self._heard_s[row])
        self._offline_since = {g: since for g, since in former._offline_since.items() if g in self._gateways}

    def heard(self, frames: FrameBatch, now_s: float) -> None:
        """Live frames came in."""
        live = ((frames.quality != NOT_SAMPLED) & ((frames.quality & HISTORICAL) == 0)).any(axis=1)
        block = frames.block_id[live]
        self._heard_s[np.searchsorted(self._blocks, block[members(self._blocks, block)])] = now_s

    def gateway(self, gateway: str, *, online: bool, now_s: float) -> None:
        """A gateway announced itself, or its will did. One that is not in the registry is ignored."""
        if gateway not in self._gateways:
            return
        if online:
            if self._offline_since.pop(gateway, None) is not None:
                # Its devices get their full time again before they count as silent.
                self._heard_s[self._gateway == gateway] = now_s
        else:
            self._offline_since.setdefault(gateway, now_s)

    def tick(self, now_s: float, at_ms: int) -> list[Transition]:
        """What is stale or offline now, as transitions."""
        quiet = self._heard_s + self._limit_s < now_s
        excused = np.isin(self._gateway, list(self._offline_since))
        stale = np.where(excused, self.active[: len(quiet)], quiet)
        offline = [
            now_s - self._offline_since.get(c.gateway or "", np.inf) >= c.rule.on_delay_s
            for c in self.conditions[len(quiet) :]
        ]
        wanted = np.r_[stale, np.array(offline, np.bool_)].astype(np.bool_)
        changed = np.flatnonzero(wanted != self.active)
        self.active = wanted
        return [Transition(condition=self.conditions[i], active=bool(wanted[i]), at_ms=at_ms) for i in changed.tolist()]
