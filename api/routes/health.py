"""For whoever runs the hub: alive, ready, figures. Open to all, and tells nothing about the network."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from gashub.errors import NotAllowed

router = APIRouter(tags=["health"])
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Health(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Readiness(BaseModel):
    """Whether everything the API stands on is there; live values go on without the database."""

    ready: bool
    database: bool
    broker: bool


@router.get("/healthz")
async def healthz() -> Health:
    """The process is alive."""
    return Health()


@router.get("/readyz", responses={503: {"model": Readiness, "description": "something is away"}})
async def readyz(request: Request, response: Response) -> Readiness:
    """Whether database and broker are there; 503 if not."""
    database = request.app.state.tail.database_up.is_set()
    broker = request.app.state.hub.live.connected.is_set()
    if not (database and broker):
        response.status_code = 503
    return Readiness(ready=database and broker, database=database, broker=broker)


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Figures for Prometheus, from this machine only."""
    if request.client is None or request.client.host not in _LOOPBACK:
        raise NotAllowed("reading metrics", "a client on this machine")
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
