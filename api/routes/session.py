"""Logging in and out, and changing one's password."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from psycopg import AsyncConnection
from pydantic import BaseModel, ConfigDict, StringConstraints

from gashub.roles import Role

from .. import audit, passwords, sessions
from ..errors import WrongCredentials, refusals
from ..hub import AnyRole, Hub, TheHub, address_of
from ..sessions import COOKIE, Session

router = APIRouter(tags=["session"])
Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Password = Annotated[str, StringConstraints(min_length=1, max_length=passwords.MAX_LENGTH)]


class Credentials(BaseModel):
    """Who wants in."""

    model_config = ConfigDict(extra="forbid")
    username: Name
    password: Password


class PasswordChange(BaseModel):
    """The password until now and the one from now on."""

    model_config = ConfigDict(extra="forbid")
    old: Password
    new: Annotated[str, StringConstraints(min_length=passwords.MIN_LENGTH, max_length=passwords.MAX_LENGTH)]


class SessionAnswer(BaseModel):
    """Who is logged in. Requests that change something carry `csrf_token` in X-CSRF-Token."""

    username: str
    role: Role
    csrf_token: str
    must_change_password: bool
    expires_at: datetime

    @classmethod
    def of(cls, session: Session) -> SessionAnswer:
        """What the client may know of a session."""
        return cls(
            username=session.name,
            role=session.role,
            csrf_token=session.csrf_token,
            must_change_password=session.must_change_password,
            expires_at=session.expires_at,
        )


@router.post("/session", responses=refusals(400, 413, 422, 429))
async def log_in(credentials: Credentials, request: Request, response: Response, hub: TheHub) -> SessionAnswer:
    """Log in; the session's token comes as a cookie."""
    lifetime = timedelta(hours=hub.config.api.session_hours)
    try:
        token, session = await _checked(credentials, hub, address_of(request), lifetime)
    except WrongCredentials:
        async with hub.pool.connection(timeout=5.0) as connection:
            await _record(connection, credentials.username, "refused", hub, address_of(request))
        raise
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(lifetime.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=hub.config.api.tls_certificate_file is not None,
        path="/",
    )
    return SessionAnswer.of(session)


async def _checked(credentials: Credentials, hub: Hub, address: str, lifetime: timedelta) -> tuple[str, Session]:
    name = credentials.username
    async with (
        hub.tries.attempt(name, address, now_s=hub.wall.monotonic_s()),
        hub.pool.connection(timeout=5.0) as connection,
    ):
        await sessions.check_password(connection, name=name, password=credentials.password)
        opened = await sessions.open_session(connection, name=name, now=hub.wall.now(), lifetime=lifetime)
        await _record(connection, name, "done", hub, address)
    return opened


async def _record(connection: AsyncConnection[Any], name: str, result: str, hub: Hub, address: str) -> None:
    await audit.record(
        connection, at=hub.wall.now(), actor=name, action="log_in", subject="", result=result, address=address
    )


@router.get("/session")
async def show_session(caller: AnyRole) -> SessionAnswer:
    """Who is logged in."""
    return SessionAnswer.of(caller.session)


@router.delete("/session", status_code=204, responses=refusals(413))
async def log_out(caller: AnyRole, response: Response) -> None:
    """End this session."""
    async with caller.acting("log_out", "") as connection:
        await sessions.close_session(connection, caller.session)
    response.delete_cookie(COOKIE, path="/")


@router.post("/session/password", status_code=204, responses=refusals(400, 413, 422, 429))
async def change_password(change: PasswordChange, caller: AnyRole) -> None:
    """Change one's own password; other sessions of the same user end."""
    async with (
        caller.hub.tries.attempt(caller.name, caller.address, now_s=caller.hub.wall.monotonic_s()),
        caller.acting("password_changed", caller.name) as connection,
    ):
        await sessions.change_password(connection, caller.session, old=change.old, new=change.new)
