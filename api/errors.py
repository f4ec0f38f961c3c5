"""Every refusal has one shape: a stable code to translate, a message to read, facts to work with.

{"error": {"code": "not_allowed", "message": "acknowledging needs operator", "detail": {"needs": "operator"}}}
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import psycopg
import structlog
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg_pool import PoolTimeout
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from gashub.errors import Conflict, HubError, InvalidValue, NotAllowed, NotFound, Unavailable


class ErrorBody(BaseModel):
    """What went wrong."""

    code: str
    message: str
    detail: dict[str, Any] = {}


class ErrorAnswer(BaseModel):
    """The body of every answer that is not a success."""

    error: ErrorBody


class NotLoggedIn(HubError):
    """No session, or one that has ended."""

    code = "not_logged_in"


class WrongCredentials(HubError):
    """User name or password is wrong; which of them is not said."""

    code = "wrong_credentials"


class TooManyTries(HubError):
    """Too many wrong passwords in a short time; `retry_after_s` says when to try again."""

    code = "too_many_tries"
    retryable = True

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"too many wrong passwords; try again in {retry_after_s} s")


class TooLarge(HubError):
    """The body is larger than any this API takes."""

    code = "too_large"


_STATUS: Final[dict[type[HubError], int]] = {
    InvalidValue: 422,
    NotFound: 404,
    NotAllowed: 403,
    Conflict: 409,
    Unavailable: 503,
    NotLoggedIn: 401,
    WrongCredentials: 401,
    TooManyTries: 429,
    TooLarge: 413,
}
_log = structlog.get_logger()
_FACTS: Final = ("kind", "key", "what", "needs", "state", "allowed", "retry_after_s")

_DESCRIPTIONS: Final = {
    400: "the body cannot be read",
    401: "no session, or it has ended",
    403: "the role or the token does not allow it",
    404: "no such thing",
    409: "not possible in the state it is in",
    413: "the body is too large",
    422: "a value is not allowed; detail says which",
    429: "too many tries",
    503: "the database or the broker is away; try again",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document: what a route may answer beside success."""
    return {status: {"model": ErrorAnswer, "description": _DESCRIPTIONS[status]} for status in statuses}


class Answer(JSONResponse):
    """JSON in which a number that is none (NaN, infinity) is null."""

    def render(self, content: Any) -> bytes:
        try:
            return msgspec.json.encode(content)
        except OverflowError:  # an integer of more than 64 bits, which a jsonb column may hold
            return super().render(content)


def answer(status: int, code: str, message: str, detail: dict[str, Any] | None = None) -> JSONResponse:
    """An error answer."""
    body = {"error": {"code": code, "message": message, "detail": jsonable_encoder(detail or {})}}
    return JSONResponse(body, status_code=status)


def status_of(error: HubError) -> int:
    """The HTTP status of an error of the hub's own."""
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)


def install(app: FastAPI) -> None:
    """Make every error of the hub, of validation and of the database an answer of the one shape."""

    @app.exception_handler(HubError)
    async def hub_error(request: Request, error: HubError) -> JSONResponse:
        facts = {name: getattr(error, name) for name in _FACTS if hasattr(error, name)}
        response = answer(status_of(error), error.code, str(error), facts)
        if isinstance(error, TooManyTries):
            response.headers["Retry-After"] = str(error.retry_after_s)
        return response

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = [
            {"where": ".".join(str(part) for part in item["loc"]), "what": item["msg"]} for item in error.errors()
        ]
        return answer(
            422, "invalid_value", "; ".join(f"{p['where']}: {p['what']}" for p in problems), {"problems": problems}
        )

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        code = {400: "unreadable", 404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
        response = answer(error.status_code, code, str(error.detail))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(psycopg.OperationalError)
    @app.exception_handler(psycopg.InterfaceError)
    async def database_away(request: Request, error: psycopg.Error) -> JSONResponse:
        return answer(503, "unavailable", "the database is away; live values go on, the rest comes back by itself")

    @app.exception_handler(PoolTimeout)
    async def database_busy(request: Request, error: PoolTimeout) -> JSONResponse:
        return answer(503, "unavailable", "the database does not answer in time")

    @app.exception_handler(psycopg.DataError)
    async def unstorable(request: Request, error: psycopg.DataError) -> JSONResponse:
        return answer(422, "invalid_value", "the database takes no such value, for instance a text with a NUL in it")

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        _log.error("request_failed", method=request.method, path=request.url.path, exc_info=error)
        return answer(500, "internal_error", "this is a fault of the hub; its log says more")
