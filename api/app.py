"""The application: routes, error answers, security headers, the console's files.

Deny by default: every route under /api/v1 asks for a role through `hub.py`; the few that are open are listed in
`OPEN_PATHS`, and a test walks all routes to see that it is so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute

from . import errors, feed, static
from .errors import Answer, answer, refusals
from .hub import SAFE_METHODS, Hub, Viewer, same_origin
from .plant_copy import PlantKeeper
from .routes import (
    accounts,
    alarms,
    health,
    ingest,
    journal,
    network,
    notices,
    points,
    session,
    simulation,
    tickets,
    users,
    zones,
)
from .routes import status as status_routes
from .tail import JournalTail

PREFIX: Final = "/api/v1"
OPEN_PATHS: Final = frozenset(
    {("POST", f"{PREFIX}/session"), ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics")}
)
MAX_BODY_BYTES: Final = 256 * 1024
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}

_ROUTERS: Final = (
    session.router,
    network.router,
    points.router,
    alarms.router,
    zones.router,
    tickets.router,
    notices.router,
    accounts.router,
    ingest.router,
    users.router,
    journal.router,
    simulation.router,
    status_routes.router,
)


def create_app(hub: Hub, plant: PlantKeeper, tail: JournalTail) -> FastAPI:
    """The application on its parts; what runs beside it is started in `service.py`."""
    app = FastAPI(
        title="gashub",
        version="1",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        default_response_class=Answer,
    )
    app.state.hub = hub
    app.state.plant = plant
    app.state.tail = tail
    errors.install(app)
    for router in _ROUTERS:
        app.include_router(router, prefix=PREFIX, responses=refusals(401, 403, 503))
    app.include_router(health.router)
    _describe(app)
    feed.install(app, path=f"{PREFIX}/live")
    static.install(app, prefix=PREFIX)
    app.middleware("http")(_guard)
    return app


def _describe(app: FastAPI) -> None:
    """Serve the OpenAPI document to whoever has a session."""

    @app.get(f"{PREFIX}/openapi.json", include_in_schema=False)
    async def openapi(caller: Viewer) -> dict[str, Any]:
        return app.openapi()


def _operation_id(route: APIRoute) -> str:
    return route.name


async def _guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Bounds the body, refuses foreign origins, and sets the security headers."""
    refusal = _refusal(request)
    response = refusal or await call_next(request)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if request.url.path.startswith(PREFIX):
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def _refusal(request: Request) -> Response | None:
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > MAX_BODY_BYTES or "transfer-encoding" in request.headers:
        return answer(413, "too_large", f"a body has at most {MAX_BODY_BYTES} bytes and says its length")
    if request.method not in SAFE_METHODS and not same_origin(request):
        return answer(403, "not_allowed", "this request came from another site", {"needs": "the console's own origin"})
    return None
