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
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.rows import class_row

from gashub.errors import InvalidValue
from gashub.roles import Role

from . import passwords
from .errors import TooManyTries, WrongCredentials

COOKIE: Final = "gashub_session"
CSRF_HEADER: Final = "X-CSRF-Token"
_TRIES_FROM_ONE_ADDRESS: Final = 5
_TRIES_IN_ALL: Final = 20
_TRIES_WINDOW_S: Final = 60.0
_CHECKED_AT_ONCE: Final = 2
_SESSIONS_OF_A_USER: Final = 50
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
    """Refuses further tries after too many wrong passwords, and bounds how many are checked at once.

    Counted are tries for a user from an address, for a user from anywhere, and from an address for anyone. The first
    bound is the tightest, so that a stranger elsewhere does not easily keep a user out.
    """

    _failures: OrderedDict[str, deque[float]] = field(default_factory=OrderedDict)
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_CHECKED_AT_ONCE))

    @asynccontextmanager
    async def attempt(self, name: str, address: str, *, now_s: float) -> AsyncIterator[None]:
        """One try at a password; WrongCredentials raised inside is counted. Raises TooManyTries instead of a try."""
        mine, user = f"{name} from {address}", f"user {name}"
        allowed = {mine: _TRIES_FROM_ONE_ADDRESS, user: _TRIES_IN_ALL, f"address {address}": _TRIES_IN_ALL}
        async with self._turns:
            self._check(allowed, now_s)
            try:
                yield
            except WrongCredentials:
                self._count(allowed, now_s)
                raise
            self._failures.pop(mine, None)
            self._failures.pop(user, None)

    def _check(self, allowed: Mapping[str, int], now_s: float) -> None:
        for key, most in allowed.items():
            tries = self._failures.get(key)
            while tries and tries[0] <= now_s - _TRIES_WINDOW_S:
                tries.popleft()
            if tries and len(tries) >= most:
                raise TooManyTries(int(tries[0] + _TRIES_WINDOW_S - now_s) + 1)

    def _count(self, allowed: Mapping[str, int], now_s: float) -> None:
        for key, most in allowed.items():
            self._failures.setdefault(key, deque(maxlen=most)).append(now_s)
            self._failures.move_to_end(key)
        while len(self._failures) > _KEYS_KEPT:
            self._failures.popitem(last=False)


async def check_password(connection: AsyncConnection[Any], *, name: str, password: str) -> None:
    """Raise WrongCredentials unless this active user has this password; hashing runs in a thread."""
    cursor = await connection.execute("SELECT password_hash FROM app_user WHERE name = %s AND active", (name,))
    row = await cursor.fetchone()
    if not await asyncio.to_thread(passwords.matches, row[0] if row else None, password):
        raise WrongCredentials("user name or password is wrong")


async def open_session(
    connection: AsyncConnection[Any], *, name: str, now: datetime, lifetime: timedelta
) -> tuple[str, Session]:
    """Begin a session for a user whose password was checked; returns the token for the cookie, and the session.

    Sessions that have ended are cleared away, and the oldest of a user with too many.
    """
    token = secrets.token_urlsafe(32)
    await connection.execute(
        "DELETE FROM session WHERE expires_at <= %s OR token_hash IN "
        "(SELECT token_hash FROM session WHERE user_name = %s ORDER BY created_at DESC OFFSET %s)",
        (now, name, _SESSIONS_OF_A_USER - 1),
    )
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
    """Give the logged-in user a new password and end all their other sessions.

    Raises WrongCredentials, and InvalidValue for a new password that is the old one.
    """
    if new == old:
        raise InvalidValue("new: must differ from the old password")
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
