"""What a request works with: configuration, database, clock, live values, and who is asking.

    route ── Viewer / Operator / Supervisor / Administrator ──► Caller(session, connection to act on)

A route that names none of these dependencies is refused by a test: deny unless allowed.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from fastapi import Depends, Request
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool
from pydantic import Field
from starlette.requests import HTTPConnection

from gashub.clock import Clock, SystemClock
from gashub.config import HubConfig
from gashub.errors import HubError, NotAllowed
from gashub.roles import Role

from . import audit, sessions
from .errors import NotLoggedIn
from .followers import Followers
from .live import Live
from .sessions import Session, TryLimit

Id = Annotated[int, Field(ge=1, lt=2**63)]
"""The number of a row, as PostgreSQL's bigint can hold it."""
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(slots=True, kw_only=True)
class Hub:
    """The parts of one API process. `clock` is the hub's; sessions run on the machine's own."""

    config: HubConfig
    pool: AsyncConnectionPool
    clock: Clock
    live: Live
    followers: Followers
    wall: Clock = field(default_factory=SystemClock)
    tries: TryLimit = field(default_factory=TryLimit)


def hub_of(request: Request) -> Hub:
    """The parts of this process."""
    hub: Hub = request.app.state.hub
    return hub


TheHub = Annotated[Hub, Depends(hub_of)]


def same_origin(connection: HTTPConnection) -> bool:
    """Whether a page of this very host sent it, or no page at all (browsers always say which)."""
    origin = connection.headers.get("origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc == connection.headers.get("host")
    except ValueError:
        return False


def address_of(request: Request) -> str:
    """Where the request came from."""
    return request.client.host if request.client else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who is asking, with what they need to act."""

    hub: Hub
    session: Session
    address: str

    @property
    def name(self) -> str:
        """The user's name, as audit and journal know it."""
        return self.session.name

    @property
    def role(self) -> Role:
        """The user's role."""
        return self.session.role

    @property
    def now(self) -> datetime:
        """The hub's time."""
        return self.hub.clock.now()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection to read with."""
        async with self.hub.pool.connection(timeout=5.0) as connection:
            yield connection

    @asynccontextmanager
    async def acting(self, action: str, subject: str, **detail: Any) -> AsyncIterator[AsyncConnection[Any]]:
        """A transaction to act in; its audit entry is part of it. A refusal is audited on its own."""
        async with (
            self.auditing_refusals(action, subject, **detail),
            self.hub.pool.connection(timeout=5.0) as connection,
        ):
            yield connection
            await self.record(connection, action, subject, "done", detail)

    @asynccontextmanager
    async def auditing_refusals(self, action: str, subject: str, **detail: Any) -> AsyncIterator[None]:
        """Audit whatever refusal is raised inside, in a transaction of its own."""
        try:
            yield
        except HubError as error:
            async with self.hub.pool.connection(timeout=5.0) as connection:
                await self.record(connection, action, subject, "refused", detail | {"why": error.code})
            raise

    async def record(
        self, connection: AsyncConnection[Any], action: str, subject: str, result: str, detail: dict[str, Any]
    ) -> None:
        """Append to the audit what the caller did or was refused."""
        await audit.record(
            connection,
            at=self.hub.wall.now(),
            actor=self.name,
            action=action,
            subject=subject,
            result=result,
            address=self.address,
            detail=detail,
        )


async def session_of(hub: Hub, token: str | None) -> Session:
    """The session of a cookie. Raises NotLoggedIn if there is none."""
    if token:
        async with hub.pool.connection(timeout=5.0) as connection:
            session = await sessions.find(connection, token=token, now=hub.wall.now())
        if session is not None:
            return session
    raise NotLoggedIn("log in first")


async def logged_in(request: Request, hub: TheHub) -> Caller:
    """Whoever has a session; a request that changes something must carry its CSRF token too."""
    session = await session_of(hub, request.cookies.get(sessions.COOKIE))
    if request.method not in SAFE_METHODS:
        given = request.headers.get(sessions.CSRF_HEADER, "")
        if not secrets.compare_digest(given.encode(), session.csrf_token.encode()):
            raise NotAllowed("a request that changes something", f"the session's token in {sessions.CSRF_HEADER}")
    return Caller(hub=hub, session=session, address=address_of(request))


def _at_least(role: Role) -> Callable[[Request, Caller], Awaitable[Caller]]:
    async def allowed(request: Request, caller: Annotated[Caller, Depends(logged_in)]) -> Caller:
        if caller.session.must_change_password:
            raise NotAllowed("anything but changing the password", "a password of your own")
        if not caller.role.is_at_least(role):
            await _refused(request, caller, role)
            raise NotAllowed(f"{request.method} {request.url.path}", role)
        return caller

    return allowed


async def _refused(request: Request, caller: Caller, role: Role) -> None:
    if request.method in SAFE_METHODS:
        return
    async with caller.hub.pool.connection(timeout=5.0) as connection:
        await caller.record(connection, f"{request.method} {request.url.path}", "", "refused", {"needs": role})


AnyRole = Annotated[Caller, Depends(logged_in)]
Viewer = Annotated[Caller, Depends(_at_least(Role.VIEWER))]
Operator = Annotated[Caller, Depends(_at_least(Role.OPERATOR))]
Supervisor = Annotated[Caller, Depends(_at_least(Role.SUPERVISOR))]
Administrator = Annotated[Caller, Depends(_at_least(Role.ADMINISTRATOR))]
