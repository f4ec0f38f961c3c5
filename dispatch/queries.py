"""Reading tickets and notices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final, TypeVar

from psycopg import AsyncConnection
from psycopg.rows import class_row, dict_row

from gashub.errors import NotFound

Row = TypeVar("Row")
LIMIT: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A repair ticket. `reported_at` is when its service clocks began; `place` ranks where it probably is."""

    id: int
    number: str
    incident_id: int | None
    zone: str
    kind: str
    urgency: str
    state: str
    held_from: str | None
    place: list[dict[str, Any]]
    reported_at: datetime
    opened_at: datetime
    on_site_due_at: datetime | None
    on_site_at: datetime | None
    made_safe_at: datetime | None
    tested_at: datetime | None
    revisited_at: datetime | None
    postponed_until: datetime | None
    incident_closed_at: datetime | None
    crew: str | None
    false_alarm_by: str | None
    closed_at: datetime | None
    notice_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketStep:
    """One thing that happened to a ticket. `step` is a `steps.Step`, `opened`, or what became of its incident."""

    step: str
    from_state: str | None
    to_state: str
    at: datetime
    actor: str
    note: str
    place: list[dict[str, Any]] | None
    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketDetail:
    """A ticket with everything that happened to it, oldest first."""

    ticket: Ticket
    steps: list[TicketStep]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeValve:
    """A valve to close; `position` counts from 1 in the order to walk them."""

    position: int
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A supply-interruption notice.

    area: open rings [[x_m, y_m], ...]. valves: in the order to close them. regulators: to be shut too.
    """

    id: int
    number: str
    incident_id: int | None
    ticket_id: int
    zone: str
    kind: str
    state: str
    version: int
    issued_at: datetime
    starts_at: datetime
    expected_end_at: datetime
    area: list[list[list[float]]]
    valves: list[NoticeValve]
    regulators: list[str]
    customers_by_class: dict[str, int]
    sensitive_count: int
    restored_at: datetime | None
    closed_at: datetime | None
    service_point_count: int
    restored_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeServicePoint:
    """One service point without supply, until `restored_at`."""

    id: str
    customer_class: str
    sensitivity: str
    restored_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeVersion:
    """What a notice said from `at` on, until the next version."""

    version: int
    at: datetime
    actor: str
    text_en: str
    text_zh: str
    reason: str
    expected_end_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeDetail:
    """A notice with its service points, sensitive customers first, and its versions, oldest first."""

    notice: Notice
    service_points: list[NoticeServicePoint]
    versions: list[NoticeVersion]


async def tickets(connection: AsyncConnection[Any], open_only: bool = True, *, limit: int = LIMIT) -> list[Ticket]:
    """Tickets: open ones by when their crew is due, then the finished ones, newest first."""
    return await _rows(connection, Ticket, _query("tickets"), {"open_only": open_only, "id": None, "limit": limit})


async def ticket(connection: AsyncConnection[Any], ticket_id: int) -> TicketDetail:
    """One ticket. Raises NotFound."""
    found = await _rows(connection, Ticket, _query("tickets"), {"open_only": False, "id": ticket_id, "limit": 1})
    if not found:
        raise NotFound("ticket", ticket_id)
    steps = await _rows(
        connection,
        TicketStep,
        b"SELECT step, from_state, to_state, at, actor, note, place, body FROM ticket_step "
        b"WHERE ticket_id = %(id)s ORDER BY id",
        {"id": ticket_id},
    )
    return TicketDetail(ticket=found[0], steps=steps)


async def notices(connection: AsyncConnection[Any], open_only: bool = True, *, limit: int = LIMIT) -> list[Notice]:
    """Notices, open ones first, each group newest first."""
    return await _notices(connection, open_only=open_only, limit=limit)


async def notice(connection: AsyncConnection[Any], notice_id: int) -> NoticeDetail:
    """One notice. Raises NotFound."""
    found = await _notices(connection, open_only=False, notice_id=notice_id)
    if not found:
        raise NotFound("notice", notice_id)
    service_points = await _rows(
        connection,
        NoticeServicePoint,
        b"SELECT service_point_id AS id, customer_class, sensitivity, restored_at FROM notice_service_point "
        b"WHERE notice_id = %(id)s ORDER BY position",
        {"id": notice_id},
    )
    versions = await _rows(
        connection,
        NoticeVersion,
        b"SELECT version, at, actor, text_en, text_zh, reason, expected_end_at FROM notice_version "
        b"WHERE notice_id = %(id)s ORDER BY version",
        {"id": notice_id},
    )
    return NoticeDetail(notice=found[0], service_points=service_points, versions=versions)


async def links(connection: AsyncConnection[Any], incidents: Sequence[int]) -> dict[int, tuple[int, int | None]]:
    """The ticket of each incident that has one, and its notice where it has one too."""
    cursor = await connection.execute(
        "SELECT t.incident_id, t.id, n.id FROM ticket t LEFT JOIN notice n ON n.ticket_id = t.id "
        "WHERE t.incident_id = ANY (%s)",
        (list(incidents),),
    )
    return {incident: (ticket_id, notice_id) for incident, ticket_id, notice_id in await cursor.fetchall()}


async def _notices(
    connection: AsyncConnection[Any], *, open_only: bool, notice_id: int | None = None, limit: int = 1
) -> list[Notice]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_query("notices"), {"open_only": open_only, "id": notice_id, "limit": limit})
        rows = await cursor.fetchall()
    for row in rows:
        row["valves"] = [NoticeValve(position=n, id=valve) for n, valve in enumerate(row["valves"], 1)]
    return [Notice(**row) for row in rows]


async def _rows(connection: AsyncConnection[Any], noun: type[Row], query: bytes, facts: dict[str, Any]) -> list[Row]:
    async with connection.cursor(row_factory=class_row(noun)) as cursor:
        await cursor.execute(query, facts)
        return await cursor.fetchall()


@cache
def _query(name: str) -> bytes:
    return (files(__package__) / "sql" / f"{name}.sql").read_bytes()
