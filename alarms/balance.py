"""The gas balance of a zone: what flows in and is neither taken, nor expected to be taken unmetered, nor stored.

    imbalance = inlet - offtakes - expected unmetered - line pack rate        all m³/h at standard conditions

Everything happens on event time. Meters are read at different moments by clocks that differ a little, so each step
asks every meter for its value *at one moment*, by interpolation. Two moments are watched: one just behind the inlet
meters, for ruptures, where slow offtakes hold their last value; and one far enough back that all offtakes are known,
for leaks.

What is not metered live is expected from the residents' load profile times a gain, and the meters may disagree by a
share of the inflow; gain and share are learned by a Kalman filter that knows how sure it is. Nothing is learned while
a leak is suspected, so that a leak is not learned away, nor while the zone is without pressure. Noise is estimated
from what is left, with its correlation in time. A leak is declared by windows of several lengths or by a cumulative
sum, each against a limit that is the larger of a multiple of the noise and a share of the flow; so the smallest leak
that would be seen can be said at any moment.

A zone says nothing before it has learned, while an inlet meter or too many offtakes are missing, and for a while after
a gap or after pressure came back.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from gashub.frames import EPOCH, SLOTS, FrameBatch, from_ms
from gashub.network.load_profile import HOURS_A_YEAR, load_factor, normal_temperature_c
from gashub.network.model import CustomerClass, Network
from gashub.quality import HISTORICAL, SEVERITY_MASK, Severity
from gashub.registry import Registry, Role

from .rules import Condition, Floats, Transition, rounds

STEP_MS: Final = 3_000
SLOPE_STEPS: Final = 10
RING: Final = 64
GAP_MS: Final = 60_000
LONGEST_LAG_MS: Final = 90_000
LEARN_STEPS: Final = 140
SETTLE_STEPS: Final = 60
FROZEN_AT_MOST_STEPS: Final = 2_400
SMALLEST_FLOW_M3H: Final = 5.0
MISSING_SHARE: Final = 0.05
RETURN_STEPS: Final = 60
STANDARD_KPA: Final = 101.325

Profile = Callable[[datetime], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Mean imbalance over `steps` is a leak above `sigmas` times its noise and above `share` of the zone's flow."""

    steps: int
    sigmas: float
    share: float


WINDOWS: Final = (
    Window(steps=20, sigmas=6.0, share=0.25),
    Window(steps=100, sigmas=5.0, share=0.11),
    Window(steps=400, sigmas=4.5, share=0.07),
    Window(steps=1_200, sigmas=4.5, share=0.05),
)
CUSUM_SHARE: Final = 0.05
CUSUM_STEPS: Final = 100
SUSPECT: Final = 0.3
"""The share of a limit from which nothing is learned any more."""
RUPTURE_STEPS: Final = 3
RUPTURE_SHARE: Final = 0.4
RUPTURE_SHARE_ALONE: Final = 0.8
RISING: Final = 0.001
UNSTEADY_SHARE: Final = 0.4
RUPTURE_FALL: Final = 0.08
FRONT_STEPS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Meters:
    """What a zone is balanced by: ids of points, and what its pipes hold.

    `outlets` are live offtakes and the inlets of zones fed from this one. `volume_m3` is geometric.
    """

    zone: str
    inlets: tuple[int, ...]
    outlets: tuple[int, ...]
    pressures: tuple[int, ...]
    scan_ms: Mapping[int, int]
    volume_m3: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What a leak or rupture shows at the front of time, for finding its place.

    `drops_kpa`: by how much each pressure point fell, by its id. `offtakes_m3h`: what each live meter takes, likewise,
    now and before anything was suspected; `unmetered_m3h` is what is expected of the others.
    """

    drops_kpa: Mapping[int, float]
    lost_m3h: float
    offtakes_m3h: Mapping[int, float]
    offtakes_before_m3h: Mapping[int, float]
    unmetered_m3h: float
    unmetered_before_m3h: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """One step at the front of time: the imbalance, and what was measured."""

    error: float
    expected: float
    pressures: Floats
    offtakes: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A zone's balance at a moment, as the operator sees it."""

    zone: str
    at: datetime
    inlet_m3h: float
    offtake_m3h: float
    expected_unmetered_m3h: float
    linepack_rate_m3h: float
    imbalance_m3h: float
    sigma_m3h: float
    smallest_leak_m3h: float
    ready: bool


def zone_meters(network: Network, registry: Registry, zone: str) -> Meters:
    """What there is to balance a zone by."""
    zone_of = {junction.id: junction.zone for junction in network.junctions}
    regulators = {regulator.id: regulator for regulator in network.regulators}
    stations = {station.id: station.zone for station in registry.stations}
    devices = {device.id: device for device in registry.devices}
    blocks = {block.id: block for block in registry.blocks}
    chosen: dict[str, list[int]] = {"inlets": [], "outlets": [], "pressures": []}
    for point in registry.points:
        device = devices[blocks[point.id // SLOTS].device]
        regulator = regulators.get(device.regulator or "")
        source = zone_of[regulator.from_junction] if regulator else None
        if point.role is Role.ZONE_INLET_FLOW and stations[device.station] == zone:
            chosen["inlets"].append(point.id)
        elif (point.role is Role.ZONE_INLET_FLOW and source == zone) or (
            point.role is Role.OFFTAKE_FLOW and stations[device.station] == zone
        ):
            chosen["outlets"].append(point.id)
        elif point.role in (Role.NETWORK_PRESSURE, Role.STATION_OUTLET_PRESSURE) and stations[device.station] == zone:
            chosen["pressures"].append(point.id)
    points = [*chosen["inlets"], *chosen["outlets"], *chosen["pressures"]]
    return Meters(
        zone=zone,
        inlets=tuple(chosen["inlets"]),
        outlets=tuple(chosen["outlets"]),
        pressures=tuple(chosen["pressures"]),
        scan_ms={point: round(blocks[point // SLOTS].scan_s * 1000) for point in points},
        volume_m3=sum(
            math.pi / 4 * (pipe.inner_diameter_mm / 1000) ** 2 * pipe.length_m
            for pipe in network.pipes
            if pipe.zone == zone
        ),
    )


def unmetered_profile(network: Network, zone: str, timezone: ZoneInfo) -> Profile:
    """What customers of a zone without a live meter are expected to take at a moment [m³/h std], to the minute."""
    annual: dict[CustomerClass, float] = defaultdict(float)
    for point in network.service_points:
        if point.zone == zone and not point.metered_live:
            annual[point.customer_class] += point.annual_m3_std

    @lru_cache(maxsize=256)
    def at_minute(minute: int) -> float:
        local = (EPOCH + timedelta(minutes=minute)).astimezone(timezone)
        air_c = normal_temperature_c(local)
        return sum(volume * load_factor(each, local, air_c) for each, volume in annual.items()) / HOURS_A_YEAR

    return lambda moment: at_minute((moment - EPOCH) // timedelta(minutes=1))


class Series:
    """The last samples of some points, and their values at any moment of the recent past."""

    def __init__(self, points: Sequence[int]) -> None:
        ids = np.array(points, np.int64)
        self.blocks, self._block_of = np.unique(ids // SLOTS, return_inverse=True)
        self._slot = ids % SLOTS
        self._ms = np.full((len(points), RING), np.iinfo(np.int64).min // 2, np.int64)
        self._value = np.full((len(points), RING), np.nan)
        self._next = np.zeros(len(points), np.int64)
        self.last_ms = np.full(len(points), np.iinfo(np.int64).min // 2, np.int64)
        self.last_value = np.full(len(points), np.nan)

    def add(self, frames: FrameBatch) -> None:
        """Take good samples that are newer than the last; `frames` has no block twice."""
        row_of = np.full(len(self.blocks), -1, np.int64)
        row_of[np.searchsorted(self.blocks, frames.block_id)] = np.arange(len(frames))
        row = row_of[self._block_of]
        value, code = frames.values[row, self._slot], frames.quality[row, self._slot]
        time = frames.measured_at_ms[row]
        good = ((code & SEVERITY_MASK) >= Severity.UNCERTAIN) & ((code & HISTORICAL) == 0) & np.isfinite(value)
        taken = np.flatnonzero((row >= 0) & good & (time > self.last_ms))
        place = self._next[taken] % RING
        self._ms[taken, place], self._value[taken, place] = time[taken], value[taken]
        self._next[taken] += 1
        self.last_ms[taken], self.last_value[taken] = time[taken], value[taken]

    def at(self, moment_ms: int) -> Floats:
        """Each point's value at `moment_ms`: between two samples by line, after the last one held; NaN before any."""
        rows = np.arange(len(self.last_ms))
        before = np.where(self._ms <= moment_ms, self._ms, np.iinfo(np.int64).min // 2)
        after = np.where(self._ms > moment_ms, self._ms, np.iinfo(np.int64).max // 2)
        left, right = before.argmax(axis=1), after.argmin(axis=1)
        t0, t1 = self._ms[rows, left], self._ms[rows, right]
        v0, v1 = self._value[rows, left], self._value[rows, right]
        inside = (t0 <= moment_ms) & (t1 > moment_ms)
        share = np.where(inside, (moment_ms - t0) / np.maximum(t1 - t0, 1), 0.0)
        return np.where(t0 > moment_ms, np.nan, v0 + share * np.where(inside, v1 - v0, 0.0))


@dataclass(slots=True)
class Learned:
    """The gain of the residents' profile and the share by which the meters disagree, and how sure that is."""

    state: Floats = field(default_factory=lambda: np.array([1.0, 0.0]))
    spread: Floats = field(default_factory=lambda: np.diag([0.3**2, 0.02**2]))

    def drift(self, hours: float) -> None:
        """Time passes: what was learned may have changed a little."""
        self.spread = self.spread + np.diag([0.05**2, 0.005**2]) * hours

    def uncertainty(self, h: Floats) -> float:
        """Variance of the expected flow for the loads `h` = (profile, inflow) [(m³/h)²]."""
        return float(h @ self.spread @ h)

    def learn(self, h: Floats, error: float, noise: float) -> None:
        """Move by what the expectation was wrong. `noise`: variance of one observation [(m³/h)²]."""
        weight = self.spread @ h / (self.uncertainty(h) + noise)
        self.state = self.state + weight * error
        self.spread = self.spread - np.outer(weight, h @ self.spread)


@dataclass(slots=True)
class Noise:
    """Variance of the imbalance from step to step, and its correlation with the step before."""

    variance: float = 0.0
    covariance: float = 0.0
    before: float = 0.0
    count: int = 0

    def learn(self, error: float) -> None:
        """Take one imbalance; a wild one counts for no more than four sigmas once some are known."""
        if self.count > 40:
            bound = 4 * math.sqrt(self.variance)
            error = min(max(error, -bound), bound)
        self.count += 1
        weight = max(1 / self.count, 1 / 600)
        self.variance += weight * (error * error - self.variance)
        self.covariance += weight * (error * self.before - self.covariance)
        self.before = error

    def of_mean(self, steps: int) -> float:
        """Variance of the mean over so many steps, were the noise an autoregression of the first order."""
        rho = min(max(self.covariance / self.variance, -0.5), 0.98) if self.variance > 0 else 0.0
        return min(self.variance, self.variance / steps * (1 + rho) / (1 - rho))


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """Flows and pressures at one moment."""

    at_ms: int
    inlet: float
    offtake: float
    pressures: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """The terms of the balance over some steps up to a moment, flows and line pack over the same time.

    `unsure_m3h` is the flow of meters that are held too long; `rise_kpa` is by how much pressure rose on the way.
    """

    inlet: float
    offtake: float
    linepack: float
    pressures: Floats
    offtakes: Floats
    unsure_m3h: float
    rise_kpa: float

    @property
    def unexplained(self) -> float:
        """What is left for unmetered customers and leaks."""
        return self.inlet - self.offtake - self.linepack


class Balance:
    """The balance of one zone, stepped by the frames that come in."""

    def __init__(self, meters: Meters, *, leak: Condition | None, rupture: Condition | None, profile: Profile) -> None:
        self.meters = meters
        self.reading: Reading | None = None
        self.missing_m3h = 0.0
        self._conditions = {"leak": leak, "rupture": rupture}
        self._on = {"leak": False, "rupture": False}
        self._quiet = {"leak": 0, "rupture": 0}
        self._profile = profile
        points = [*meters.inlets, *meters.outlets, *meters.pressures]
        self._series = Series(points)
        edges = np.cumsum([0, len(meters.inlets), len(meters.outlets), len(meters.pressures)])
        self._inlets, self._outlets, self._pressures = (slice(*edges[i : i + 2]) for i in range(3))
        scan = np.array([meters.scan_ms[point] for point in points], np.int64)
        self._hold_ms = np.maximum(5 * scan, GAP_MS)
        slowest = int(scan[: edges[2]].max(initial=STEP_MS))
        self._lag_ms = min(round(1.5 * slowest), LONGEST_LAG_MS)
        self._learned, self._noise = Learned(), Noise()
        self._errors: deque[float] = deque(maxlen=WINDOWS[-1].steps)
        self._past: deque[Glance] = deque(maxlen=SLOPE_STEPS + 1)
        self._fast_past: deque[Glance] = deque(maxlen=SLOPE_STEPS // 2 + 1)
        self._next_ms: int | None = None
        self._cusum = 0.0
        self._learned_steps = self._settle = self._frozen = self._fast_hits = 0
        self._flow = 0.0
        self._baseline = np.full(len(meters.pressures), np.nan)
        self._offtakes_before = np.full(len(meters.outlets), np.nan)
        self._expected_before = 0.0
        self._front: deque[Front] = deque(maxlen=FRONT_STEPS)

    @property
    def ready(self) -> bool:
        """True once enough is learned and nothing that matters is missing."""
        return self._learned_steps >= LEARN_STEPS and self._settle == 0

    def restore(self, key: str, *, active: bool) -> None:
        """Take over what the alarm table says of this zone's conditions."""
        for name, condition in self._conditions.items():
            if condition is not None and condition.key == key:
                self._on[name] = active

    def restore_from(self, former: Balance) -> None:
        """Take over what stands from a balance by other meters."""
        self._on = dict(former._on)

    def judge_by(self, newer: Balance) -> None:
        """Take over rules and profile of a balance by the same meters."""
        self._conditions, self._profile = newer._conditions, newer._profile

    def active(self) -> dict[str, bool]:
        """This zone's conditions, where the balance knows: nothing while it is not ready, but what stands stands."""
        return {
            condition.key: self._on[name]
            for name, condition in self._conditions.items()
            if condition is not None and (self.ready or self._on[name])
        }

    def standing_leak(self) -> Condition | None:
        """The leak's condition while it stands and is no rupture."""
        return self._conditions["leak"] if self._on["leak"] and not self._on["rupture"] else None

    def traces(self) -> Traces:
        """What is missing and how pressures fell, lately: a rupture's over a few steps, a leak's over more."""
        sudden = self._on["rupture"]
        front = list(self._front)[-RUPTURE_STEPS if sudden else -FRONT_STEPS :]
        drops = self._baseline - _mean_known([step.pressures for step in front], like=self._baseline)
        taken = _mean_known([step.offtakes for step in front], like=self._offtakes_before)
        return Traces(
            drops_kpa=_known(self.meters.pressures, drops),
            lost_m3h=max(_mean([step.error for step in front]), self.missing_m3h) if front else self.missing_m3h,
            offtakes_m3h=_known(self.meters.outlets, taken),
            offtakes_before_m3h=_known(self.meters.outlets, self._offtakes_before),
            unmetered_m3h=_mean([step.expected for step in front]) if front else self._expected_before,
            unmetered_before_m3h=self._expected_before,
        )

    def frames(self, batch: FrameBatch) -> list[Transition]:
        """Take frames and step as far as they reach."""
        found: list[Transition] = []
        for chosen in rounds(batch, self._series.blocks):
            self._series.add(batch.take(chosen))
            found += self._advance()
        return found

    def _advance(self) -> list[Transition]:
        """Step up to where all inlets that are alive are known."""
        last = self._series.last_ms[self._inlets]
        newest = int(last.max())
        alive = last[newest - last <= self._hold_ms[self._inlets]]
        frontier = int(alive.min()) if newest > 0 else 0
        if frontier <= 0:
            return []
        if self._next_ms is None or frontier - self._next_ms > GAP_MS:
            self._start_over(frontier)
        assert self._next_ms is not None
        found: list[Transition] = []
        while self._next_ms <= frontier:
            found += self._step(self._next_ms)
            self._next_ms += STEP_MS
        return found

    def _start_over(self, frontier: int) -> None:
        """A gap, or the start: what lies before it says nothing about what comes."""
        if self._next_ms is not None:
            self._learned.drift((frontier - self._next_ms) / 3.6e6)
            self._settle = SETTLE_STEPS
        self._next_ms = frontier - frontier % STEP_MS + STEP_MS
        self._forget()

    def _forget(self) -> None:
        self._errors.clear()
        self._past.clear()
        self._fast_past.clear()
        self._front.clear()
        self._cusum = 0.0
        self._fast_hits = 0

    def _step(self, now_ms: int) -> list[Transition]:
        found = self._watch_rupture(now_ms)
        moment = now_ms - self._lag_ms
        sums = self._sums(moment, self._past)
        if sums is None:
            self._settle = max(self._settle, SETTLE_STEPS // 3)
            return found
        load = np.array([self._profile(from_ms(moment)), sums.inlet])
        expected = float(load @ self._learned.state)
        error = sums.unexplained - expected
        if self._steady(sums):
            self._errors.append(error)
            self.missing_m3h = _mean(list(self._errors)[-WINDOWS[0].steps :])
            found += self._watch_leak(now_ms, sums, load, error)
            self._learn(sums, load, error)
        self._write(moment, sums, expected, error, load)
        return found

    def _sums(self, moment: int, past: deque[Glance]) -> Sums | None:
        """The balance's terms at a moment; None while they cannot be known."""
        values = self._series.at(moment)
        held = moment - self._series.last_ms > self._hold_ms
        inlets, outlets, pressures = values[self._inlets], values[self._outlets], values[self._pressures]
        unsure = float(np.nansum(np.abs(outlets[held[self._outlets]])))
        if not np.isfinite(inlets).all() or held[self._inlets].any():
            return None
        if np.isnan(outlets).any() and self._learned_steps < LEARN_STEPS:
            return None
        if unsure > MISSING_SHARE * max(self._flow, SMALLEST_FLOW_M3H):
            return None
        pressures = np.where(held[self._pressures], np.nan, pressures)
        past.append(
            Glance(at_ms=moment, inlet=float(inlets.sum()), offtake=float(np.nansum(outlets)), pressures=pressures)
        )
        rise_kpa, linepack = self._linepack_rate(past)
        return Sums(
            inlet=_mean([glance.inlet for glance in past]),
            offtake=_mean([glance.offtake for glance in past]),
            linepack=linepack,
            pressures=pressures,
            offtakes=outlets,
            unsure_m3h=unsure,
            rise_kpa=rise_kpa,
        )

    def _linepack_rate(self, past: deque[Glance]) -> tuple[float, float]:
        """By how much the pressures known at both ends rose [kPa], and what the pipes took up meanwhile [m³/h]."""
        rises = past[-1].pressures - past[0].pressures
        rises = rises[np.isfinite(rises)]
        took_ms = past[-1].at_ms - past[0].at_ms
        if took_ms == 0 or len(rises) == 0:
            return 0.0, 0.0
        rise_kpa = float(rises.mean())
        return rise_kpa, self.meters.volume_m3 / STANDARD_KPA * rise_kpa / (took_ms / 3.6e6)

    def _sigma(self, steps: int, load: Floats) -> float:
        floor = 0.005 * self._flow
        return math.sqrt(self._noise.of_mean(steps) + self._learned.uncertainty(load) + floor * floor)

    def _limit(self, window: Window, load: Floats, unsure: float) -> float:
        reference = max(self._flow, SMALLEST_FLOW_M3H)
        return max(window.sigmas * self._sigma(window.steps, load), window.share * reference) + unsure

    def _watch_leak(self, now_ms: int, sums: Sums, load: Floats, error: float) -> list[Transition]:
        unit = max(1.2 * self._sigma(CUSUM_STEPS, load), CUSUM_SHARE * max(self._flow, SMALLEST_FLOW_M3H))
        unit += sums.unsure_m3h
        self._cusum = min(max(0.0, self._cusum + (error / unit - 1) / CUSUM_STEPS), 3.0)
        errors = np.fromiter(self._errors, float, len(self._errors))
        excess = self._cusum
        for window in WINDOWS:
            if len(errors) >= window.steps:
                mean = float(errors[-window.steps :].mean())
                excess = max(excess, mean / self._limit(window, load, sums.unsure_m3h))
        self._frozen = self._frozen + 1 if excess > SUSPECT or self._on["leak"] or self._on["rupture"] else 0
        if self._settle > 0 or not self.ready:
            return []
        if excess <= 1 and self._on["leak"]:
            # It is over when the imbalance has been small for a while, not when one window has emptied.
            excess = 1.5 if self.missing_m3h > 0.5 * self._limit(WINDOWS[1], load, sums.unsure_m3h) else 0.0
        evidence = {
            "imbalance_m3h": round(self.missing_m3h, 1),
            "inlet_m3h": round(sums.inlet, 1),
            "sigma_m3h": round(self._sigma(CUSUM_STEPS, load), 1),
        }
        return self._decide("leak", now_ms, excess > 1, evidence)

    def _watch_rupture(self, now_ms: int) -> list[Transition]:
        """At the front of time: a huge imbalance, or a large one while pressure falls, for three steps in a row."""
        sums = self._sums(now_ms, self._fast_past)
        if sums is None or not self.ready:
            self._fast_hits = 0
            return []
        load = np.array([self._profile(from_ms(now_ms)), sums.inlet])
        expected = float(load @ self._learned.state)
        error = sums.unexplained - expected
        self._front.append(Front(error=error, expected=expected, pressures=sums.pressures, offtakes=sums.offtakes))
        reference = max(self._flow, SMALLEST_FLOW_M3H)
        known = np.isfinite(self._baseline)
        share = error / reference
        with np.errstate(invalid="ignore"):
            fallen = bool(np.any(sums.pressures < (1 - RUPTURE_FALL) * self._baseline))
        clear_of_noise = error > 6 * self._sigma(1, load) + sums.unsure_m3h
        # Where gas is lost, pressure does not rise: a zone that is being filled is no rupture.
        filling = sums.rise_kpa > RISING * float(np.nanmean(self._baseline)) if known.any() else False
        hit = clear_of_noise and not filling and (share > RUPTURE_SHARE_ALONE or (share > RUPTURE_SHARE and fallen))
        self._fast_hits = self._fast_hits + 1 if hit else 0
        lasting = self._on["rupture"] and share > RUPTURE_SHARE / 2
        evidence = {"imbalance_m3h": round(error, 1), "inlet_m3h": round(sums.inlet, 1), "pressure_fallen": fallen}
        if hit:
            self.missing_m3h = error
        return self._decide("rupture", now_ms, self._fast_hits >= RUPTURE_STEPS or lasting, evidence)

    def _decide(self, name: str, now_ms: int, wanted: bool, evidence: Mapping[str, Any]) -> list[Transition]:
        """Raise at once, return after a while of quiet."""
        condition = self._conditions[name]
        self._quiet[name] = 0 if wanted else self._quiet[name] + 1
        if condition is None or wanted == self._on[name]:
            return []
        if not wanted and self._quiet[name] < RETURN_STEPS:
            return []
        self._on[name] = wanted
        if not wanted:
            self._cusum = 0.0
        return [
            Transition(
                condition=condition,
                active=wanted,
                at_ms=now_ms,
                value=evidence["imbalance_m3h"],
                evidence=evidence,
            )
        ]

    def _learn(self, sums: Sums, load: Floats, error: float) -> None:
        """Learn from this step, unless a leak is suspected or the zone has no pressure."""
        if not self._supplied(sums):
            self._settle = SETTLE_STEPS
            self._forget()
            return
        self._settle = max(0, self._settle - 1)
        stands = self._on["leak"] or self._on["rupture"]
        if stands or (0 < self._frozen < FROZEN_AT_MOST_STEPS and self._learned_steps >= LEARN_STEPS):
            return
        weight = max(1 / (self._learned_steps + 1), 1 / 200)
        self._flow += weight * (sums.inlet - self._flow)
        self._baseline = _moved(self._baseline, sums.pressures, max(weight, 0.02))
        self._offtakes_before = _moved(self._offtakes_before, sums.offtakes, max(weight, 0.02))
        self._expected_before += max(weight, 0.02) * (float(load @ self._learned.state) - self._expected_before)
        self._learned_steps += 1
        self._learned.drift(STEP_MS / 3.6e6)
        # The filter thinks errors independent; they are not, so each counts for less.
        self._learned.learn(load, error, 20 * max(self._noise.variance, (0.02 * self._flow) ** 2, 0.01))
        self._noise.learn(error)

    def _steady(self, sums: Sums) -> bool:
        """False while so much gas goes into or out of the pipes that the balance is a difference of large numbers."""
        if self._learned_steps < LEARN_STEPS or abs(sums.linepack) < UNSTEADY_SHARE * max(
            self._flow, SMALLEST_FLOW_M3H
        ):
            return True
        self._settle = max(self._settle, SETTLE_STEPS // 3)
        return False

    def _supplied(self, sums: Sums) -> bool:
        known = np.isfinite(sums.pressures) & np.isfinite(self._baseline)
        if not known.any():
            return True
        return bool(sums.pressures[known].mean() > 0.6 * self._baseline[known].mean())

    def _write(self, moment: int, sums: Sums, expected: float, error: float, load: Floats) -> None:
        smallest = min(self._limit(window, load, sums.unsure_m3h) for window in WINDOWS[:-1])
        self.reading = Reading(
            zone=self.meters.zone,
            at=from_ms(moment),
            inlet_m3h=sums.inlet,
            offtake_m3h=sums.offtake,
            expected_unmetered_m3h=expected,
            linepack_rate_m3h=sums.linepack,
            imbalance_m3h=self.missing_m3h,
            sigma_m3h=self._sigma(CUSUM_STEPS, load),
            smallest_leak_m3h=smallest,
            ready=self.ready,
        )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _moved(usual: Floats, seen: Floats, weight: float) -> Floats:
    """`usual` moved towards what is seen, where something is seen."""
    target = np.where(np.isnan(usual), seen, usual + weight * (seen - usual))
    return np.where(np.isfinite(seen), target, usual)


def _mean_known(rows: Sequence[Floats], *, like: Floats) -> Floats:
    """The mean of each column's known values; NaN where there is none."""
    known = np.isfinite(rows).reshape(-1, len(like))
    total = np.where(known, np.reshape(rows, (-1, len(like))), 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _known(points: Sequence[int], values: Floats) -> dict[int, float]:
    return {point: float(value) for point, value in zip(points, values, strict=True) if np.isfinite(value)}
