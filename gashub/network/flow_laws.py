"""How much gas passes for a given pressure: pipes, and everything that throttles.

Pressures enter as absolute squares [kPa²], flows leave in m³/h at standard conditions. Both laws are monotone and
have a finite slope everywhere, which is what lets Newton's method run on them without cases.

A pipe obeys Darcy-Weisbach for isothermal gas with Nikuradse's friction and the laminar term beside it,
λ = 64/Re + 1/(2 lg(3.71 d/k))², so the drop of p² is a·q + b·q|q| and the flow follows in closed form.

A regulator's seat, a hole and a torn pipe are throttles: q = c·sqrt(p_in² - max(p_out, p_in/2)²), which is choked once
the outlet is below half the inlet, and lets nothing pass backwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STANDARD_PRESSURE_KPA: Final = 101.325
STANDARD_TEMPERATURE_K: Final = 293.15
_GAS_CONSTANT: Final = 8.314462
_GRAVITY: Final = 9.81
# Below about this drop of p² [kPa²] a throttle's square root is bent into a finite slope.
_BEND_KPA2: Final = 0.04
_CHOKED_SQUARE: Final = 0.25
# No wall is smoother than drawn plastic.
_SMOOTHEST_MM: Final = 0.0015


@dataclass(frozen=True, slots=True, kw_only=True)
class Gas:
    """The gas in the pipes, as ideal gas with Z falling linearly with absolute pressure.

    `molar_mass_kg_kmol`, `viscosity_pa_s`, `temperature_k` in the pipes, `z_slope_per_kpa`, and the isentropic
    exponent. Defaults: natural gas of group H at 10 °C.
    """

    molar_mass_kg_kmol: float = 16.534465
    viscosity_pa_s: float = 1.0698e-5
    temperature_k: float = 283.15
    z_slope_per_kpa: float = -2.2e-5
    isentropic_exponent: float = 1.3

    @property
    def specific_constant(self) -> float:
        """R of this gas [J/(kg K)]."""
        return 1000.0 * _GAS_CONSTANT / self.molar_mass_kg_kmol

    @property
    def density_kg_m3_std(self) -> float:
        """Density at standard conditions."""
        return 1000.0 * STANDARD_PRESSURE_KPA / (self.specific_constant * STANDARD_TEMPERATURE_K)

    @property
    def std_per_actual_kpa(self) -> float:
        """m³ std in one m³ of pipe for each kPa absolute, at Z = 1."""
        return STANDARD_TEMPERATURE_K / (STANDARD_PRESSURE_KPA * self.temperature_k)

    @property
    def height_rate_per_m(self) -> float:
        """By which exponent p² falls with each metre of height in gas at rest."""
        return 2.0 * _GRAVITY / (self.specific_constant * self.temperature_k)

    def z(self, pressure_kpa_absolute: Floats) -> Floats:
        """Compressibility factor at line temperature."""
        return 1.0 + self.z_slope_per_kpa * pressure_kpa_absolute


def atmospheric_kpa(height_m: Floats) -> Floats:
    """Air pressure at a height above sea level, standard atmosphere."""
    result: Floats = STANDARD_PRESSURE_KPA * (1.0 - height_m * 0.0065 / 288.15) ** 5.255
    return result


def pipe_coefficients(
    gas: Gas, length_m: Floats, inner_diameter_mm: Floats, roughness_mm: Floats
) -> tuple[Floats, Floats]:
    """a [kPa²/(m³/h)] and b [kPa²/(m³/h)²] of each pipe, at Z = 1."""
    d = inner_diameter_mm / 1000.0
    area = np.pi * d**2 / 4.0
    rough = np.maximum(roughness_mm, _SMOOTHEST_MM)
    friction = 1.0 / (2.0 * np.log10(3.71 * inner_diameter_mm / rough)) ** 2
    kg_s = gas.density_kg_m3_std / 3600.0
    common = 1e-6 * gas.specific_constant * gas.temperature_k * length_m / (d * area**2)
    return common * 64.0 * area * gas.viscosity_pa_s / d * kg_s, common * friction * kg_s**2


def pipe_flow(drop_kpa2: Floats, a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Flow for a drop of p² along each pipe, and its slope."""
    root = np.sqrt(a * a + 4.0 * b * np.abs(drop_kpa2))
    return 2.0 * drop_kpa2 / (a + root), 1.0 / root


def throttle(inlet_kpa2: Floats, outlet_kpa2: Floats) -> tuple[Floats, Floats, Floats]:
    """Flow through a throttle of coefficient 1, and its slopes by inlet and outlet p²."""
    choked = outlet_kpa2 < _CHOKED_SQUARE * inlet_kpa2
    drop = inlet_kpa2 - np.maximum(outlet_kpa2, _CHOKED_SQUARE * inlet_kpa2)
    passing = drop > 0.0
    root = np.sqrt(np.where(passing, drop, 0.0) + _BEND_KPA2)
    slope = np.where(passing, 0.5 / root, 0.0)
    by_inlet = slope * np.where(choked, 1.0 - _CHOKED_SQUARE, 1.0)
    return root - np.sqrt(_BEND_KPA2), by_inlet, np.where(choked, 0.0, -slope)


def choked_coefficient(flow_m3h_std: Floats, inlet_kpa_absolute: Floats) -> Floats:
    """The coefficient of a throttle that passes this flow, choked, at this inlet pressure."""
    result: Floats = flow_m3h_std / (inlet_kpa_absolute * np.sqrt(1.0 - _CHOKED_SQUARE))
    return result


def hole_coefficient(gas: Gas, area_mm2: Floats, discharge: float = 0.8) -> Floats:
    """The coefficient of a hole, so that it agrees with isentropic nozzle flow where that is choked."""
    k = gas.isentropic_exponent
    nozzle = np.sqrt(k) * (2.0 / (k + 1.0)) ** ((k + 1.0) / (2.0 * (k - 1.0)))
    kg_s_per_kpa = discharge * area_mm2 * 1e-6 * 1000.0 * nozzle / np.sqrt(gas.specific_constant * gas.temperature_k)
    return choked_coefficient(kg_s_per_kpa * 3600.0 / gas.density_kg_m3_std, np.ones_like(area_mm2))
