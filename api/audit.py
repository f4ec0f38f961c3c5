"""The append-only record of who did what, from where, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One action: `result` is done or refused."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    result: str
    address: str
    detail: dict[str, Any]


INSERT: Final = (
    "INSERT INTO audit (at, actor, action, subject, result, address, detail) VALUES "
    "(%(at)s, %(actor)s, %(action)s, %(subject)s, %(result)s, %(address)s, %(detail)s)"
)


def row(
    *,
    at: datetime,
    actor: str,
    action: str,
    subject: str,
    address: str,
    result: str = "done",
    detail: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What `INSERT` takes."""
    return {
        "at": at,
        "actor": actor,
        "action": action,
        "subject": subject,
        "result": result,
        "address": address,
        "detail": Jsonb(dict(detail or {})),
    }


async def record(
    connection: AsyncConnection[Any],
    *,
    at: datetime,
    actor: str,
    action: str,
    subject: str,
    result: str,
    address: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Append one entry in the caller's transaction."""
    entry = row(at=at, actor=actor, action=action, subject=subject, result=result, address=address, detail=detail)
    await connection.execute(INSERT, entry)


async def newest(connection: AsyncConnection[Any], *, limit: int, before: int | None = None) -> list[AuditEntry]:
    """The newest entries, newest first; those older than entry `before` to page on."""
    async with connection.cursor(row_factory=class_row(AuditEntry)) as cursor:
        await cursor.execute(
            "SELECT id, at, actor, action, subject, result, address, detail FROM audit "
            "WHERE %(before)s::bigint IS NULL OR id < %(before)s ORDER BY id DESC LIMIT %(limit)s",
            {"before": before, "limit": limit},
        )
        return await cursor.fetchall()
