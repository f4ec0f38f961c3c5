"""Log-in and sessions.

A session is a random token in an HttpOnly, SameSite=Strict cookie; the database holds only its hash. A request that
changes something carries the session's CSRF token in a header as well. Wrong passwords are counted per user and
address in bounded memory.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.rows import class_row

from gashub.roles import Role

from . import passwords
from .errors import TooManyTries, WrongCredentials

COOKIE: Final = "gashub_session"
CSRF_HEADER: Final = "X-CSRF-Token"
_TRIES_ALLOWED: Final = 5
_TRIES_WINDOW_S: Final = 60.0
_KEYS_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Who is logged in, as what, until when."""

    name: str
    role: Role
    csrf_token: str
    must_change_password: bool
    expires_at: datetime
    token_hash: bytes


@dataclass(slots=True)
class TryLimit:
    """Refuses further log-ins after too many wrong passwords for one user or from one address."""

    _failures: OrderedDict[str, deque[float]] = field(default_factory=OrderedDict)

    def check(self, *keys: str, now_s: float) -> None:
        """Raise TooManyTries if any of the keys has used up its tries."""
        for key in keys:
            tries = self._failures.get(key)
            while tries and tries[0] <= now_s - _TRIES_WINDOW_S:
                tries.popleft()
            if tries and len(tries) >= _TRIES_ALLOWED:
                raise TooManyTries(int(tries[0] + _TRIES_WINDOW_S - now_s) + 1)

    def failed(self, *keys: str, now_s: float) -> None:
        """Count a wrong password."""
        for key in keys:
            self._failures.setdefault(key, deque(maxlen=_TRIES_ALLOWED)).append(now_s)
            self._failures.move_to_end(key)
        while len(self._failures) > _KEYS_KEPT:
            self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forget a user's wrong passwords."""
        self._failures.pop(key, None)


async def check_password(connection: AsyncConnection[Any], *, name: str, password: str) -> None:
    """Raise WrongCredentials unless this active user has this password; hashing runs in a thread."""
    cursor = await connection.execute("SELECT password_hash FROM app_user WHERE name = %s AND active", (name,))
    row = await cursor.fetchone()
    if not await asyncio.to_thread(passwords.matches, row[0] if row else None, password):
        raise WrongCredentials("user name or password is wrong")


async def open_session(
    connection: AsyncConnection[Any], *, name: str, now: datetime, lifetime: timedelta
) -> tuple[str, Session]:
    """Begin a session for a user whose password was checked; returns the token for the cookie, and the session."""
    token = secrets.token_urlsafe(32)
    await connection.execute("DELETE FROM session WHERE expires_at <= %s", (now,))
    await connection.execute(
        "INSERT INTO session (token_hash, user_name, csrf_token, created_at, expires_at) VALUES (%s, %s, %s, %s, %s)",
        (_digest(token), name, secrets.token_urlsafe(32), now, now + lifetime),
    )
    session = await find(connection, token=token, now=now)
    assert session is not None
    return token, session


async def find(connection: AsyncConnection[Any], *, token: str, now: datetime) -> Session | None:
    """The session of a token; None if there is none, it has ended, or its user was closed."""
    async with connection.cursor(row_factory=class_row(Session)) as cursor:
        await cursor.execute(
            "SELECT u.name, u.role, s.csrf_token, u.must_change_password, s.expires_at, s.token_hash "
            "FROM session s JOIN app_user u ON u.name = s.user_name "
            "WHERE s.token_hash = %s AND s.expires_at > %s AND u.active",
            (_digest(token), now),
        )
        row = await cursor.fetchone()
    if row is None:
        return None
    return Session(
        name=row.name,
        role=Role(row.role),
        csrf_token=row.csrf_token,
        must_change_password=row.must_change_password,
        expires_at=row.expires_at,
        token_hash=bytes(row.token_hash),
    )


async def close_session(connection: AsyncConnection[Any], session: Session) -> None:
    """End one session."""
    await connection.execute("DELETE FROM session WHERE token_hash = %s", (session.token_hash,))


async def change_password(connection: AsyncConnection[Any], session: Session, *, old: str, new: str) -> None:
    """Give the logged-in user a new password and end all their other sessions."""
    await check_password(connection, name=session.name, password=old)
    password_hash = await asyncio.to_thread(passwords.hashed, new)
    await connection.execute(
        "UPDATE app_user SET password_hash = %s, must_change_password = false WHERE name = %s",
        (password_hash, session.name),
    )
    await connection.execute(
        "DELETE FROM session WHERE user_name = %s AND token_hash <> %s", (session.name, session.token_hash)
    )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
