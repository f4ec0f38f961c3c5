"""Every route of the application, and the document that describes them."""

from __future__ import annotations

from typing import Any, cast

from fastapi.routing import iter_route_contexts

from api.app import create_app

_NO_FILES = {"console", "assets", "live"}
APP = create_app(cast("Any", None), cast("Any", None), cast("Any", None))
ROUTES = sorted(
    (method, str(route.path))
    for route in iter_route_contexts(APP.routes)
    if route.name not in _NO_FILES
    for method in route.methods or ()
)
DOCUMENT: dict[str, Any] = APP.openapi()
