"""Zones with their balance, and the smallest leak the hub can see in each now."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel

from alarms import queries
from alarms.balance import Reading
from gashub.frames import from_ms
from gashub.quality import Severity, severity_of
from gashub.registry import Quantity

from ..hub import Caller, Viewer
from ..plant_copy import PlantCopy

router = APIRouter(tags=["zones"])


class LowestPressure(BaseModel):
    """Where the zone's pressure is lowest now."""

    point_id: int
    value: float
    measured_at: datetime


class ZoneAnswer(BaseModel):
    """A zone at a glance."""

    id: str
    name_en: str
    name_zh: str
    balance: Reading | None
    lowest_pressure: LowestPressure | None
    open_incidents: int


@router.get("/zones")
async def zones(caller: Viewer, request: Request) -> list[ZoneAnswer]:
    """All zones."""
    copy: PlantCopy = request.app.state.plant.copy
    async with caller.reading() as connection:
        balances = await queries.zone_status(connection)
        incidents = await queries.incidents(connection, open_only=True)
    return [
        ZoneAnswer(
            id=zone.id,
            name_en=zone.name_en,
            name_zh=zone.name_zh,
            balance=balances.get(zone.id),
            lowest_pressure=_lowest(caller, copy, zone.id),
            open_incidents=sum(incident.zone == zone.id for incident in incidents),
        )
        for zone in copy.network.zones
    ]


def _lowest(caller: Caller, copy: PlantCopy, zone: str) -> LowestPressure | None:
    values = caller.hub.live.values
    wanted = [
        point_id
        for point_id, place in copy.points.items()
        if place.zone == zone and place.point.role == "network_pressure" and place.point.quantity is Quantity.PRESSURE
    ]
    where = np.flatnonzero(np.isin(values.point_id, wanted) & np.isfinite(values.value))
    where = where[[severity_of(int(code)) is Severity.GOOD for code in values.quality[where]]]
    if not len(where):
        return None
    lowest = int(where[np.argmin(values.value[where])])
    return LowestPressure(
        point_id=int(values.point_id[lowest]),
        value=float(values.value[lowest]),
        measured_at=from_ms(int(values.measured_at_ms[lowest])),
    )
