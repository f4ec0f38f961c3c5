"""How the hub is: its time, what it stands on, who is connected."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel

from gashub import __version__

from ..hub import Viewer
from ..live import GatewaySeen

router = APIRouter(tags=["status"])


class StatusAnswer(BaseModel):
    """The hub at a glance."""

    name: str
    version: str
    server_time: datetime
    hub_time: datetime
    speed: float
    timezone: str
    gas_day_hour: int
    hotline: str
    registry_version: int
    journal: int
    database: str
    broker: str


@router.get("/status")
async def status(caller: Viewer, request: Request) -> StatusAnswer:
    """The hub's time, versions, and what is away."""
    hub = caller.hub
    state = request.app.state
    return StatusAnswer(
        name=hub.config.hub.name,
        version=__version__,
        server_time=hub.wall.now(),
        hub_time=hub.clock.now(),
        speed=hub.clock.speed,
        timezone=hub.config.hub.timezone,
        gas_day_hour=hub.config.hub.gas_day_hour,
        hotline=hub.config.dispatch.hotline,
        registry_version=state.plant.copy.version,
        journal=state.tail.number,
        database="up" if state.tail.database_up.is_set() else "down",
        broker="up" if hub.live.connected.is_set() else "down",
    )


@router.get("/gateways")
async def gateways(caller: Viewer) -> list[GatewaySeen]:
    """Gateways as they last announced themselves: online or not, since when, what waits in their spool."""
    return sorted(caller.hub.live.gateways.values(), key=lambda seen: seen.gateway)
