"""The console's files, built into api/static/; any other path is the console itself, which routes in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles

from .errors import answer

ROOT: Final = Path(__file__).parent / "static"
_NOT_BUILT: Final = "The console is not built. Run: python3 scripts/bootstrap.py runtime\n"


class _Hashed(StaticFiles):
    """Files whose names change with their content: kept by browsers for a year."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def install(app: FastAPI, *, prefix: str) -> None:
    """Serve the console; must come after every other route."""
    if (ROOT / "assets").is_dir():
        app.mount("/assets", _Hashed(directory=ROOT / "assets"), name="assets")

    files = {file.name for file in ROOT.glob("*") if file.is_file()}

    @app.get("/{path:path}", include_in_schema=False, name="console")
    async def console(request: Request, path: str) -> Response:
        if request.url.path.startswith(f"{prefix}/"):
            return answer(404, "not_found", f"no {request.url.path} here")
        if path in files:
            return FileResponse(ROOT / path)
        index = ROOT / "index.html"
        if not index.is_file():
            return PlainTextResponse(_NOT_BUILT, status_code=503)
        return FileResponse(index, headers={"Cache-Control": "no-cache"})
