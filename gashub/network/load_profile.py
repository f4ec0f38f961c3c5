"""How much gas a customer of a class is expected to take at an hour, from its yearly volume.

    flow = yearly volume / 8,760 h · temperature factor · weekday factor · hour factor

Each factor has mean 1 over a normal year, so that the hours of the year sum to its volume. The shapes follow the
synthetic load profiles of the German gas trade (BDEW/VKU/GEODE: sigmoid of temperature, weekday factors, hour shares
by class); households have three cooking peaks instead, as surveys of Chinese towns without gas heating show them,
and a water heater that works harder in winter. The figures are this module's own.

Measured offtake replaces it wherever there is a meter; the balance of a zone needs it for those without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .model import CustomerClass

Floats = NDArray[np.float64]

HOURS_A_YEAR: Final = 8_760.0
_MEAN_C: Final = 14.0
_SEASON_C: Final = 12.5
_COLDEST_DAY: Final = 20
_DAY_SWING_C: Final = 4.0
_WARMEST_HOUR: Final = 15.0


def normal_temperature_c(local_time: datetime) -> float:
    """Air temperature of a normal year at this local time, for a town with cold winters and hot summers."""
    moment = _day_of_year(local_time), _hour(local_time)
    return float(_climate(np.array([moment[0]]), np.array([moment[1]]))[0])


def expected_flow_m3h_std(
    customer_class: CustomerClass, annual_m3: Floats, local_time: datetime, air_temperature_c: float
) -> Floats:
    """Expected flow [m³/h std] of customers of one class with these yearly volumes; shape as `annual_m3`."""
    result: Floats = annual_m3 * (load_factor(customer_class, local_time, air_temperature_c) / HOURS_A_YEAR)
    return result


def load_factor(customer_class: CustomerClass, local_time: datetime, air_temperature_c: float) -> float:
    """Flow at this time as a multiple of the mean of the year."""
    shape = _SHAPES[customer_class]
    weekday = shape.weekend if local_time.weekday() >= 5 else (7.0 - 2.0 * shape.weekend) / 5.0
    hour = float(np.interp(_hour(local_time), _HOURS, shape.hours))
    warmth = float(shape.temperature(np.array([air_temperature_c]))[0])
    return warmth * weekday * hour


def _day_of_year(local_time: datetime) -> float:
    return float(local_time.timetuple().tm_yday)


def _hour(local_time: datetime) -> float:
    return local_time.hour + local_time.minute / 60.0 + local_time.second / 3600.0


def _climate(day: Floats, hour: Floats) -> Floats:
    season = np.cos(2 * np.pi * (day - _COLDEST_DAY) / 365.25)
    swing = np.cos(2 * np.pi * (hour - _WARMEST_HOUR) / 24.0)
    result: Floats = _MEAN_C - _SEASON_C * season + _DAY_SWING_C * swing
    return result


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shape:
    """The factors of a class. `hours` at _HOURS; `weekend` of each of its two days; the rest is its thermometer."""

    hours: Floats
    weekend: float
    heating: float
    water_per_c: float
    heating_mean: float = 1.0

    def temperature(self, air_c: Floats) -> Floats:
        """Temperature factor: a share of heating by a sigmoid, the rest nearly flat."""
        heat = heating_sigmoid(air_c) / self.heating_mean
        water = 1.0 + self.water_per_c * np.clip(_MEAN_C - air_c, -20.0, 30.0)
        result: Floats = self.heating * heat + (1.0 - self.heating) * water
        return result


def heating_sigmoid(air_c: Floats) -> Floats:
    """Relative heat load: near none above 18 °C, saturating in hard frost."""
    result: Floats = 1.0 / (1.0 + np.exp((air_c - 6.0) / 3.2)) + 0.01
    return result


_HOURS: Final = np.arange(0.0, 24.01, 0.25)


def _peaks(base: float, peaks: Mapping[float, tuple[float, float]]) -> Floats:
    """A day's curve with mean 1: `base` and bells, each at an hour with a height and a width [h]."""
    curve = np.full(len(_HOURS), base)
    for at, (height, width) in peaks.items():
        distance = np.abs(_HOURS - at)
        curve += height * np.exp(-0.5 * (np.minimum(distance, 24.0 - distance) / width) ** 2)
    result: Floats = curve / np.trapezoid(curve, _HOURS) * 24.0
    return result


def _normal_heating_mean() -> float:
    """Mean of the heating sigmoid over a normal year."""
    day, hour = np.meshgrid(np.arange(1.0, 366.0), np.arange(24.0))
    return float(heating_sigmoid(_climate(day, hour)).mean())


def _shape(hours: Floats, *, weekend: float, heating: float = 0.0, water_per_c: float = 0.0) -> Shape:
    return Shape(
        hours=hours, weekend=weekend, heating=heating, water_per_c=water_per_c, heating_mean=_normal_heating_mean()
    )


_SHAPES: Final[dict[CustomerClass, Shape]] = {
    CustomerClass.RESIDENT: _shape(
        _peaks(0.15, {7.0: (1.0, 0.9), 11.7: (1.6, 0.9), 18.3: (2.2, 1.1), 21.0: (0.8, 1.2)}),
        weekend=1.08,
        water_per_c=0.018,
    ),
    CustomerClass.COMMERCIAL: _shape(
        _peaks(0.2, {7.0: (0.5, 1.0), 11.3: (1.9, 1.2), 17.8: (2.0, 1.6)}), weekend=1.12, water_per_c=0.012
    ),
    CustomerClass.PUBLIC_SERVICE: _shape(
        _peaks(0.45, {6.5: (0.8, 1.1), 10.8: (1.4, 1.3), 16.8: (1.1, 1.4)}),
        weekend=0.82,
        heating=0.35,
        water_per_c=0.008,
    ),
    CustomerClass.INDUSTRY: _shape(_peaks(0.7, {10.0: (0.45, 2.5), 15.5: (0.4, 2.5)}), weekend=0.78, water_per_c=0.002),
    CustomerClass.HEATING: _shape(_peaks(0.75, {6.5: (0.6, 1.6), 19.0: (0.45, 2.5)}), weekend=1.0, heating=1.0),
}
