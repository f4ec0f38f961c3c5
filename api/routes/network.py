"""The pipe network, its stations and points, as columns that a map draws without a loop of lookups."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from gashub.network.model import CustomerClass, Sensitivity
from gashub.registry import Quantity, Role

from ..hub import Viewer
from ..plant_copy import PlantCopy, station_rows

router = APIRouter(tags=["network"])


class ZoneRow(BaseModel):
    """A supply area."""

    id: str
    name_en: str
    name_zh: str


class JunctionColumns(BaseModel):
    """Junctions, in metres on a plane."""

    id: list[str]
    x_m: list[float]
    y_m: list[float]
    zone: list[str]


class EdgeColumns(BaseModel):
    """Edges; their ends are positions in the junctions' columns."""

    id: list[str]
    zone: list[str]
    from_junction: list[int]
    to_junction: list[int]


class PipeColumns(EdgeColumns):
    """Pipes."""

    inner_diameter_mm: list[float]
    pressure_level: list[str]
    length_m: list[float]


class ValveColumns(EdgeColumns):
    """Valves, and how they are normally set."""

    normally_open: list[bool]


class StationRow(BaseModel):
    """A station and where it stands."""

    id: str
    zone: str
    kind: str
    name_en: str
    name_zh: str
    x_m: float
    y_m: float


class RegulatorRow(BaseModel):
    """A regulator run and what it holds."""

    id: str
    zone: str
    station: str
    set_point_kpa_gauge: float
    slam_shut_kpa_gauge: float
    capacity_m3h_std: float


class ServicePointColumns(BaseModel):
    """Service points; `junction` is a position in the junctions' columns."""

    id: list[str]
    junction: list[int]
    customer_class: list[CustomerClass]
    sensitivity: list[Sensitivity]
    zone: list[str]


class NetworkAnswer(BaseModel):
    """The whole network. Changes only when the registry's version does (see the ETag)."""

    version: int
    zones: list[ZoneRow]
    junctions: JunctionColumns
    pipes: PipeColumns
    valves: ValveColumns
    stations: list[StationRow]
    regulators: list[RegulatorRow]
    service_points: ServicePointColumns


class PointRow(BaseModel):
    """A point and where it stands."""

    id: int
    tag: str
    quantity: Quantity
    unit: str
    role: Role
    device: str
    station: str
    zone: str
    x_m: float
    y_m: float
    nominal: float | None
    normal_low: float | None
    normal_high: float | None
    scan_s: float


@router.get(
    "/network", response_model=NetworkAnswer, responses={304: {"description": "what the client has is the newest"}}
)
async def network(caller: Viewer, request: Request, response: Response) -> Any:
    """The pipe network."""
    copy: PlantCopy = request.app.state.plant.copy
    tag = f'"network-{copy.version}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304)
    response.headers["ETag"] = tag
    return _columns(copy)


@router.get("/points")
async def points(caller: Viewer, request: Request) -> list[PointRow]:
    """Every point the hub knows."""
    copy: PlantCopy = request.app.state.plant.copy
    return [
        PointRow(
            id=place.point.id,
            tag=place.point.tag,
            quantity=place.point.quantity,
            unit=place.unit,
            role=place.point.role,
            device=place.device,
            station=place.station,
            zone=place.zone,
            x_m=place.x_m,
            y_m=place.y_m,
            nominal=place.point.nominal,
            normal_low=place.point.normal_low,
            normal_high=place.point.normal_high,
            scan_s=place.scan_s,
        )
        for place in copy.points.values()
    ]


def _columns(copy: PlantCopy) -> dict[str, Any]:
    net = copy.network
    position = {junction.id: index for index, junction in enumerate(net.junctions)}

    def column(nouns: list[Any], name: str) -> list[Any]:
        return [getattr(noun, name) for noun in nouns]

    def ends(nouns: list[Any]) -> dict[str, list[Any]]:
        return {
            "id": column(nouns, "id"),
            "zone": column(nouns, "zone"),
            "from_junction": [position[noun.from_junction] for noun in nouns],
            "to_junction": [position[noun.to_junction] for noun in nouns],
        }

    return {
        "version": copy.version,
        "zones": [{"id": z.id, "name_en": z.name_en, "name_zh": z.name_zh} for z in net.zones],
        "junctions": {name: column(net.junctions, name) for name in ("id", "x_m", "y_m", "zone")},
        "pipes": ends(net.pipes)
        | {name: column(net.pipes, name) for name in ("inner_diameter_mm", "pressure_level", "length_m")},
        "valves": ends(net.valves) | {"normally_open": column(net.valves, "normally_open")},
        "stations": station_rows(copy),
        "regulators": [{name: getattr(r, name) for name in RegulatorRow.model_fields} for r in net.regulators],
        "service_points": {
            name: column(net.service_points, name) for name in ("id", "customer_class", "sensitivity", "zone")
        }
        | {"junction": [position[point.junction] for point in net.service_points]},
    }
