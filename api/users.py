"""Who may log in, and as what. Every change is audited in its own transaction."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

import psycopg
from psycopg.rows import class_row

from gashub.errors import Conflict, InvalidValue, NotFound
from gashub.roles import Role, checked_role

from . import audit, passwords

Result = TypeVar("Result")

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person or program that may log in."""

    name: str
    role: Role
    active: bool
    must_change_password: bool


def listed(connection: psycopg.Connection[Any]) -> list[User]:
    """Everybody who may log in, by name."""
    with connection.cursor(row_factory=class_row(User)) as cursor:
        cursor.execute("SELECT name, role, active, must_change_password FROM app_user ORDER BY name")
        return [
            User(name=u.name, role=Role(u.role), active=u.active, must_change_password=u.must_change_password)
            for u in cursor
        ]


def add(
    connection: psycopg.Connection[Any],
    *,
    name: str,
    role: str,
    actor: str,
    now: datetime,
    address: str = "",
    must_change_password: bool = True,
) -> str:
    """Add a user in the caller's transaction and return the generated password.

    Raises InvalidValue for a bad name or role, Conflict if the name is taken.
    """
    if not _NAME.fullmatch(name):
        raise InvalidValue(f"user name {name!r}: use 1-63 lower-case letters, digits, dots, underscores, hyphens")
    password = passwords.generate()
    cursor = connection.execute(
        "INSERT INTO app_user (name, role, password_hash, must_change_password, created_at) "
        "VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (name, checked_role(role), passwords.hashed(password), must_change_password, now),
    )
    if cursor.rowcount == 0:
        raise Conflict(f"adding user {name}", "the name is taken", ["another name"])
    _audit(connection, now, actor, "user_added", name, address, {"role": role})
    return password


def reset_password(
    connection: psycopg.Connection[Any], *, name: str, actor: str, now: datetime, address: str = ""
) -> str:
    """Give a user a new password in the caller's transaction, end the sessions they have open, and return it."""
    password = passwords.generate()
    cursor = connection.execute(
        "UPDATE app_user SET password_hash = %s, must_change_password = true WHERE name = %s",
        (passwords.hashed(password), name),
    )
    if cursor.rowcount == 0:
        raise NotFound("user", name)
    connection.execute("DELETE FROM session WHERE user_name = %s", (name,))
    _audit(connection, now, actor, "password_reset", name, address)
    return password


def change(
    connection: psycopg.Connection[Any],
    *,
    name: str,
    role: Role | None,
    active: bool | None,
    new_password: bool,
    actor: str,
    now: datetime,
    address: str = "",
) -> tuple[User, str | None]:
    """Change a user in the caller's transaction; returns the user and the new password, if one was asked for.

    Raises NotFound, or Conflict when administrators would take away their own rights.
    """
    if name == actor and (active is False or (role is not None and role is not Role.ADMINISTRATOR)):
        raise Conflict("taking away one's own rights", "logged in as that user", ["another administrator"])
    cursor = connection.execute(
        "UPDATE app_user SET role = coalesce(%s, role), active = coalesce(%s, active) WHERE name = %s",
        (role, active, name),
    )
    if cursor.rowcount == 0:
        raise NotFound("user", name)
    if active is False:
        connection.execute("DELETE FROM session WHERE user_name = %s", (name,))
    _audit(connection, now, actor, "user_changed", name, address, {"role": role, "active": active})
    password = None
    if new_password:
        password = reset_password(connection, name=name, actor=actor, now=now, address=address)
    user = next(user for user in listed(connection) if user.name == name)
    return user, password


async def in_thread(dsn: str, work: Callable[[psycopg.Connection[Any]], Result]) -> Result:
    """Do rare work on users in a transaction of its own, in a thread: hashing would hold up the loop."""

    def do() -> Result:
        with psycopg.connect(dsn, connect_timeout=5) as connection:
            return work(connection)

    return await asyncio.to_thread(do)


def _audit(
    connection: psycopg.Connection[Any],
    now: datetime,
    actor: str,
    action: str,
    name: str,
    address: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    connection.execute(
        audit.INSERT, audit.row(at=now, actor=actor, action=action, subject=name, address=address, detail=detail)
    )
