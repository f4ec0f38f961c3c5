"""How instruments err: what a device shows when the truth is this.

    shown = quantised( truth · (1 + gain) + offset + drift · days + noise )

Gain, offset and drift are drawn once per instrument; flow and the volume counted from it share one gain, as they come
from one meter. Noise is drawn anew for each second from (seed, second) alone, so that the same second of the same town
shows the same registers however the simulation came there.

Standard deviations follow what such instruments are sold with: 0.1 % pressure transmitters, class 1 meters.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gashub.errors import NotFound

from ..equipment import SimulatedDevice

F64 = NDArray[np.float64]

_DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """Standard deviations of an instrument's errors, in the unit of what it measures.

    `gain` and `relative_noise` are fractions of the reading; `quantum` is the converter's step (0: none); what is
    `floored` never shows less than zero.
    """

    gain: float = 0.0
    offset: float = 0.0
    drift_per_day: float = 0.0
    noise: float = 0.0
    relative_noise: float = 0.0
    quantum: float = 0.0
    floored: bool = False


EXACT: Final = Grade()
GRADES: Final[Mapping[str, Grade]] = {
    "inlet_pressure": Grade(gain=5e-4, offset=0.2, drift_per_day=0.002, noise=0.1, quantum=0.05, floored=True),
    "outlet_pressure": Grade(gain=5e-4, offset=0.05, drift_per_day=2e-4, noise=0.02, quantum=0.01, floored=True),
    "filter_differential": Grade(offset=0.02, noise=0.01, quantum=0.01, floored=True),
    "pressure": Grade(gain=5e-4, offset=0.05, drift_per_day=2e-4, noise=0.02, quantum=0.01),
    "pressure_absolute": Grade(gain=5e-4, offset=0.05, drift_per_day=2e-4, noise=0.02, quantum=0.001),
    "temperature": Grade(offset=0.2, noise=0.05, quantum=0.01),
    "position": Grade(offset=0.3, noise=0.1, quantum=0.1, floored=True),
    "gas": Grade(offset=0.2, noise=0.1, quantum=0.1, floored=True),
    "flow": Grade(gain=0.005, relative_noise=0.004, floored=True),
    "volume": Grade(gain=0.005),
    "volume_actual": Grade(gain=0.005),
}
_COUNTED: Final = frozenset({"volume", "volume_actual"})
_SHARED_GAIN: Final = _COUNTED | {"flow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceClock:
    """A device's own clock: ahead of true time by `offset_s`, and gaining `drift_ppm` microseconds each second."""

    offset_s: float
    drift_ppm: float

    def ahead_s(self, elapsed_s: float) -> float:
        """How far it is ahead `elapsed_s` seconds after the simulation began."""
        return self.offset_s + self.drift_ppm * 1e-6 * elapsed_s


def _rng(seed: int, *path: str) -> np.random.Generator:
    """Random numbers that belong to this seed and name, whatever else is drawn."""
    return np.random.Generator(np.random.Philox(key=[seed, zlib.crc32("/".join(path).encode())]))


def device_clock(device: str, *, seed: int) -> DeviceClock:
    """The clock of that device: within some seconds, and some tens of ppm as cheap crystals are."""
    rng = _rng(seed, device, "clock")
    return DeviceClock(offset_s=float(rng.normal(0.0, 2.0)), drift_ppm=float(rng.normal(0.0, 15.0)))


def _is_own(signal: str) -> bool:
    """Whether a device makes this signal itself: its battery, its clock, its status."""
    return signal.startswith("device_")


class Instruments:
    """All instruments of a town, as columns; channel i measures `channels[i]` = (device, slot).

    The only state is which channels are stuck; everything else follows from the seed and the time.
    """

    def __init__(
        self, devices: Sequence[SimulatedDevice], *, seed: int, counted_m3: Mapping[str, float] | None = None
    ) -> None:
        """`counted_m3`: by point tag, what counters show at the start instead of their devices' first volume."""
        self._seed = seed
        measured = [(d.id, slot, signal) for d in devices for slot, signal in d.signals.items() if not _is_own(signal)]
        self.channels: list[tuple[str, str]] = [(device, slot) for device, slot, _ in measured]
        self.signals: list[str] = [signal for _, _, signal in measured]
        self._index = {channel: i for i, channel in enumerate(self.channels)}
        grades = [GRADES.get(slot, EXACT) for _, slot in self.channels]
        drawn = np.array([self._errors(*channel) for channel in self.channels]).reshape(-1, 3)
        self._gain = 1.0 + drawn[:, 0]
        self._offset = drawn[:, 1]
        self._drift_per_s = drawn[:, 2] / _DAY_S
        self._noise = np.array([g.noise for g in grades])
        self._relative_noise = np.array([g.relative_noise for g in grades])
        self._quantum = np.array([g.quantum for g in grades])
        self._quantised = np.flatnonzero(self._quantum)
        self._floor = np.array([0.0 if g.floored else -np.inf for g in grades])
        first = {f"{d.id}/{slot}": d.first_volume_m3 for d in devices for slot in _COUNTED} | dict(counted_m3 or {})
        self._first = np.array(
            [first[f"{device}/{slot}"] if slot in _COUNTED else 0.0 for device, slot in self.channels]
        )
        self._stuck: dict[int, float] = {}

    def _errors(self, device: str, slot: str) -> tuple[float, float, float]:
        """Gain, offset and drift per day of one instrument."""
        grade = GRADES.get(slot, EXACT)
        gain, offset, drift = _rng(self._seed, device, slot).standard_normal(3)
        if slot in _SHARED_GAIN:
            gain = _rng(self._seed, device, "meter").standard_normal()
        return float(gain) * grade.gain, float(offset) * grade.offset, float(drift) * grade.drift_per_day

    def show(self, truth: F64, *, second: int, elapsed_s: float) -> F64:
        """What every channel shows; shape (channel,).

        truth: shape (channel,), true values in canonical units, counters since the simulation began.
        second: seconds since 1970, which the noise belongs to; elapsed_s: since the simulation began.
        """
        noise = np.random.Generator(np.random.Philox(key=[self._seed, second])).standard_normal(len(truth))
        shown: F64 = truth * self._gain + self._offset + self._drift_per_s * elapsed_s + self._first
        shown += noise * (self._noise + self._relative_noise * np.abs(truth))
        np.maximum(shown, self._floor, out=shown)
        q = self._quantised
        shown[q] = np.round(shown[q] / self._quantum[q]) * self._quantum[q]
        for channel, value in self._stuck.items():
            shown[channel] = value
        return shown

    @property
    def counters(self) -> list[tuple[str, int, int | None]]:
        """Point tag and channel of every counter, and the channel of the flow it counts, if that is measured."""
        return [
            (f"{device}/{slot}", self._index[device, slot], self._index.get((device, "flow")))
            for device, slot in self.channels
            if slot in _COUNTED
        ]

    def stick(self, device: str, slot: str, value: float) -> None:
        """From now on this instrument shows `value`, whatever happens. Raises NotFound."""
        self._stuck[self.channel(device, slot)] = value

    def release_all(self) -> None:
        """Every instrument measures again."""
        self._stuck.clear()

    def channel(self, device: str, slot: str) -> int:
        """Where that instrument stands in the columns. Raises NotFound."""
        try:
            return self._index[device, slot]
        except KeyError:
            raise NotFound("point", f"{device}/{slot}") from None
