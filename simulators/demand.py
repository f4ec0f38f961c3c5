"""What every customer takes: the load profile of its class, and how it strays from it.

Each customer strays by a factor of its own that wanders over minutes to hours (a log-normal process of mean 1). So
the sum over many is close to the profile while no single one is: what a balance has to live with.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gashub.network.load_profile import HOURS_A_YEAR, load_factor
from gashub.network.model import CustomerClass, Network

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Straying:
    """How far (spread of the logarithm) and how slowly [s] customers of a class stray from their profile."""

    spread: float
    memory_s: float


STRAYING: Final = {
    CustomerClass.RESIDENT: Straying(spread=0.9, memory_s=1_200.0),
    CustomerClass.COMMERCIAL: Straying(spread=0.25, memory_s=1_800.0),
    CustomerClass.PUBLIC_SERVICE: Straying(spread=0.15, memory_s=3_600.0),
    CustomerClass.INDUSTRY: Straying(spread=0.10, memory_s=2_700.0),
    CustomerClass.HEATING: Straying(spread=0.08, memory_s=7_200.0),
}
_CLASSES: Final = list(CustomerClass)


class Demand:
    """The customers of a network, with how far each strays now."""

    def __init__(self, network: Network, rng: np.random.Generator) -> None:
        self._rng = rng
        points = network.service_points
        self._annual = np.array([point.annual_m3_std for point in points])
        self._class = np.array([_CLASSES.index(point.customer_class) for point in points], np.intp)
        self._spread = np.array([STRAYING[each].spread for each in _CLASSES])[self._class]
        self._memory_s = np.array([STRAYING[each].memory_s for each in _CLASSES])[self._class]
        self._stray = rng.standard_normal(len(points))

    def expected(self, local_time: datetime, air_c: float) -> Floats:
        """Flow of each service point by its profile [m³/h std]."""
        factors = np.array([load_factor(each, local_time, air_c) for each in _CLASSES])
        result: Floats = self._annual * factors[self._class] / HOURS_A_YEAR
        return result

    def advance(self, seconds: float) -> None:
        """Let every customer stray on."""
        kept = np.exp(-seconds / self._memory_s)
        fresh = self._rng.standard_normal(len(self._stray))
        self._stray = kept * self._stray + np.sqrt(1.0 - kept**2) * fresh

    def flow(self, local_time: datetime, air_c: float) -> Floats:
        """Flow of each service point now [m³/h std], in the order of the network's service points."""
        factor = np.exp(self._spread * self._stray - 0.5 * self._spread**2)
        result: Floats = self.expected(local_time, air_c) * factor
        return result
