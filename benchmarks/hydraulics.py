"""Hydraulics of the town of Schutterwald as its data has it: our steps against pandapipes', on the same demands.

A step is a steady solution for a new demand at every consumer. pandapipes is given its best case, the pressures of
its last step to start from.
"""

from __future__ import annotations

import statistics
import warnings
from typing import Any

import numpy as np

from gashub.clock import stopwatch_s
from gashub.network.flow_laws import Gas
from gashub.network.hydraulics import Hydraulics
from simulators import schutterwald


class Comparison:
    """The same network in both solvers."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pandapipes
            import pandapipes.networks
        self._pandapipes = pandapipes
        self._net: Any = pandapipes.networks.schutterwald_gas()
        normal_kg_m3 = float(self._net.fluid.get_density(273.15))
        # The gas constant that pandapipes implies by its density at 0 °C.
        self._gas = Gas(molar_mass_kg_kmol=normal_kg_m3 * 8314.462 * 273.15 / 101_325.0)
        source = schutterwald.read(schutterwald.data_file())
        self._hydraulics = Hydraulics(schutterwald.as_built(source), gas=self._gas)
        self._sinks = source.sink_junction
        self._kg_s = self._net.sink.mdot_kg_per_s.to_numpy().copy()
        self.consumers = len(self._kg_s)
        self._last: Any = None

    def loads(self, factors: np.ndarray) -> np.ndarray:
        """kg/s at each consumer; `factors` times what the data has."""
        return self._kg_s * factors

    def ours(self, kg_s: np.ndarray) -> np.ndarray:
        """Pressure of each junction [kPa gauge] by us."""
        m3h = kg_s * 3600.0 / self._gas.density_kg_m3_std
        junctions = len(self._hydraulics.junction)
        state = self._hydraulics.normal_state(np.bincount(self._sinks, m3h, junctions))
        self._last = self._hydraulics.solve(state, after=self._last)
        return np.asarray(self._last.pressure_kpa_gauge)

    def theirs(self, kg_s: np.ndarray, *, warm: bool = False) -> np.ndarray:
        """Pressure of each junction [kPa gauge] by pandapipes."""
        self._net.sink["mdot_kg_per_s"] = kg_s
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._pandapipes.pipeflow(self._net, mode="hydraulics", init_results=warm)
        return 100.0 * self._net.res_junction.p_bar.to_numpy()


def rows(quick: bool) -> list[dict[str, Any]]:
    """The table's row: steps a second, ours and pandapipes'."""
    comparison = Comparison()
    rng = np.random.default_rng(1)
    rounds, steps, their_steps = (2, 20, 2) if quick else (5, 300, 10)
    comparison.ours(comparison.loads(np.ones(comparison.consumers)))
    comparison.theirs(comparison.loads(np.ones(comparison.consumers)))
    ours, theirs = [], []
    for _ in range(rounds):
        loads = [
            comparison.loads(rng.uniform(0.5, 3.0) * rng.uniform(0.5, 1.5, comparison.consumers)) for _ in range(steps)
        ]
        began = stopwatch_s()
        for load in loads:
            comparison.ours(load)
        ours.append(steps / (stopwatch_s() - began))
        began = stopwatch_s()
        for load in loads[:their_steps]:
            comparison.theirs(load, warm=True)
        theirs.append(their_steps / (stopwatch_s() - began))
    value, reference = statistics.median(ours), statistics.median(theirs)
    return [
        {
            "name": "hydraulics.vs_pandapipes",
            "value": value,
            "unit": "steps/s",
            "reference": reference,
            "ratio": value / reference,
        }
    ]
