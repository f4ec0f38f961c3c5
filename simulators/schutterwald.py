"""Pipes and consumers of Schutterwald, a German town, as the `pandapipes` package ships them.

Source: Kisse, Braun, Letzgus, Kneiske: A GIS-Based Planning Approach for Urban Power and Natural Gas Distribution
Grids with Different Heat Pump Scenarios, Energies 2020, 13, 4052. The file is read where the package is installed;
the package itself is found but never imported, since only its data is needed.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from gashub.errors import Unavailable
from gashub.network.model import GateInlet, Junction, Network, Pipe, Zone

_FILE: Final = Path("networks", "network_files", "gas_net_schutterwald_1bar.json")
_SERVICE_LINE_BELOW_M: Final = 0.06


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """The town's data as columns.

    Junctions: `x_m`, `y_m` on a local plane, `height_m`; shape (junction,). Pipes: ends as junction positions,
    length, diameter, roughness, `is_main` (false for house connections); shape (pipe,). Consumers: `sink_junction`
    and `annual_m3`; shape (sink,). All gas enters at `inlet_junction`.
    """

    x_m: NDArray[np.float64]
    y_m: NDArray[np.float64]
    height_m: NDArray[np.float64]
    from_junction: NDArray[np.intp]
    to_junction: NDArray[np.intp]
    length_m: NDArray[np.float64]
    diameter_mm: NDArray[np.float64]
    roughness_mm: NDArray[np.float64]
    is_main: NDArray[np.bool_]
    sink_junction: NDArray[np.intp]
    annual_m3: NDArray[np.float64]
    inlet_junction: int
    inlet_kpa_gauge: float


def data_file() -> Path:
    """Where the data lies. Raises Unavailable if the package is not installed or lacks it."""
    spec = importlib.util.find_spec("pandapipes")
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(location) / _FILE).is_file():
            return path
    raise Unavailable("the town's data needs the package pandapipes (its dependencies are not needed)")


def read(path: Path) -> Source:
    """Read the file; coordinates are moved so that the town's south-west corner lies at (1000, 1000)."""
    tables = msgspec.json.decode(path.read_bytes())["_object"]
    junction, place = _columns(tables["junction"]), _columns(tables["junction_geodata"])
    pipe, sink, inlet = _columns(tables["pipe"]), _columns(tables["sink"]), _columns(tables["ext_grid"])
    position = np.full(max(junction["index"]) + 1, -1, np.intp)
    position[junction["index"]] = np.arange(len(junction["index"]))
    x, y = np.array(place["x"], float), np.array(place["y"], float)
    diameter = np.array(pipe["diameter_m"], float)
    return Source(
        x_m=np.round(x - x.min() + 1000.0, 2),
        y_m=np.round(y - y.min() + 1000.0, 2),
        height_m=np.array(junction["height_m"], float),
        from_junction=position[pipe["from_junction"]],
        to_junction=position[pipe["to_junction"]],
        length_m=np.round(np.array(pipe["length_km"], float) * 1000.0, 3),
        diameter_mm=diameter * 1000.0,
        roughness_mm=np.array(pipe["k_mm"], float),
        is_main=diameter > _SERVICE_LINE_BELOW_M,
        sink_junction=position[sink["junction"]],
        annual_m3=np.array(sink["demand_m3_per_a"], float),
        inlet_junction=int(position[inlet["junction"][0]]),
        inlet_kpa_gauge=100.0 * inlet["p_bar"][0],
    )


def as_built(source: Source) -> Network:
    """The network as the data has it: one zone, one inlet, no regulator and no valve; pipe and junction in order."""
    zone = Zone(id="all", name_en="Schutterwald", name_zh="舒特瓦尔德")
    junctions = [
        Junction(id=f"j{k}", zone=zone.id, x_m=x, y_m=y, height_m=height)
        for k, (x, y, height) in enumerate(
            zip(source.x_m.tolist(), source.y_m.tolist(), source.height_m.tolist(), strict=True)
        )
    ]
    return Network(
        name="Schutterwald as built",
        zones=[zone],
        junctions=junctions,
        pipes=[as_pipe(source, k, zone.id, f"j{start}") for k, start in enumerate(source.from_junction.tolist())],
        gate_inlets=[
            GateInlet(id="inlet", junction=f"j{source.inlet_junction}", pressure_kpa_gauge=source.inlet_kpa_gauge)
        ],
    )


def as_pipe(source: Source, k: int, zone: str, start: str) -> Pipe:
    """The source's pipe `k`, beginning at the junction `start`."""
    return Pipe(
        id=f"p{k}",
        zone=zone,
        from_junction=start,
        to_junction=f"j{source.to_junction[k]}",
        length_m=float(source.length_m[k]),
        inner_diameter_mm=round(float(source.diameter_mm[k]), 3),
        roughness_mm=float(source.roughness_mm[k]),
        pressure_level="medium_b",
    )


def _columns(table: dict[str, Any]) -> dict[str, list[Any]]:
    """One table, stored as JSON inside JSON, by column; `index` is its row labels."""
    frame = msgspec.json.decode(table["_object"])
    columns = {name: [row[k] for row in frame["data"]] for k, name in enumerate(frame["columns"])}
    return columns | {"index": frame["index"]}
