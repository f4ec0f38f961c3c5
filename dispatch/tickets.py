"""What incidents do to tickets.

    incident_opened, incident_changed (an emergency)   a ticket, if there is none; else its place and kind follow
    incident_closed                                    noted on the ticket, which stays open: the work is not done yet

A ticket does not wait for its notice, and no trouble with a notice can hold a ticket up: notices follow tickets, in
transactions of their own.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from gashub import journal
from gashub.journal import Entry

from .numbers import draw
from .steps import State

ACTOR: Final = "dispatch"
_KINDS: Final = frozenset({"incident_opened", "incident_changed", "incident_closed"})
ON_SITE_WITHIN: Final = timedelta(minutes=60)


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """What dispatch reads of an incident's journal entry."""

    incident: int
    zone: str
    kind: str
    emergency: bool = False
    place: list[dict[str, Any]] = []


def matters(entry: Entry) -> bool:
    """Whether an entry of the journal may do something to a ticket."""
    return entry.kind in _KINDS


async def follow(connection: AsyncConnection[Any], entry: Entry, *, now: datetime, timezone: ZoneInfo) -> int | None:
    """Do what an incident's entry asks, in the caller's transaction; the id of a ticket that was opened, if one was.

    Raises msgspec.ValidationError for an entry that is not an incident's.
    """
    incident = msgspec.convert(entry.body, Incident)
    ticket = await _ticket_of(connection, incident.incident)
    if entry.kind == "incident_closed":
        if ticket is not None:
            await _note_closed(connection, ticket, entry, now=now)
    elif ticket is not None:
        await _change(connection, ticket, incident, now=now)
    elif incident.emergency:
        return await _open(connection, incident, entry, now=now, timezone=timezone)
    return None


async def record_step(
    connection: AsyncConnection[Any],
    ticket_id: int,
    *,
    step: str,
    from_state: str | None,
    to_state: str,
    at: datetime,
    actor: str,
    note: str = "",
    place: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
) -> None:
    """Add a line to a ticket's history."""
    await connection.execute(
        "INSERT INTO ticket_step (ticket_id, step, from_state, to_state, at, actor, note, place, body) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            ticket_id,
            step,
            from_state,
            to_state,
            at,
            actor,
            note,
            None if place is None else Jsonb(place),
            Jsonb(body or {}),
        ),
    )


async def _ticket_of(connection: AsyncConnection[Any], incident_id: int) -> dict[str, Any] | None:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            "SELECT id, number, state, kind, place, incident_closed_at FROM ticket WHERE incident_id = %s FOR UPDATE",
            (incident_id,),
        )
        return await cursor.fetchone()


async def _open(
    connection: AsyncConnection[Any], incident: Incident, entry: Entry, *, now: datetime, timezone: ZoneInfo
) -> int:
    number = await draw(connection, "T", now=now, timezone=timezone)
    due_at = entry.at + ON_SITE_WITHIN
    cursor = await connection.execute(
        "INSERT INTO ticket (number, incident_id, zone, kind, urgency, state, place, reported_at, opened_at, "
        "on_site_due_at) VALUES (%s, %s, %s, %s, 'emergency', %s, %s, %s, %s, %s) RETURNING id",
        (
            number,
            incident.incident,
            incident.zone,
            incident.kind,
            State.OPENED,
            Jsonb(incident.place),
            entry.at,
            now,
            due_at,
        ),
    )
    row = await cursor.fetchone()
    assert row is not None
    ticket_id: int = row[0]
    await record_step(
        connection,
        ticket_id,
        step="opened",
        from_state=None,
        to_state=State.OPENED,
        at=now,
        actor=ACTOR,
        place=incident.place,
    )
    await _tell(connection, "ticket_opened", ticket_id, number, incident, now=now, on_site_due_at=due_at.isoformat())
    return ticket_id


async def _change(
    connection: AsyncConnection[Any], ticket: dict[str, Any], incident: Incident, *, now: datetime
) -> None:
    """Let an unfinished ticket follow where its incident is thought to be, and what it is thought to be."""
    same = ticket["kind"] == incident.kind and ticket["place"] == incident.place
    if same or State(ticket["state"]).is_final:
        return
    await connection.execute(
        "UPDATE ticket SET kind = %s, place = %s WHERE id = %s", (incident.kind, Jsonb(incident.place), ticket["id"])
    )
    await record_step(
        connection,
        ticket["id"],
        step="incident_changed",
        from_state=ticket["state"],
        to_state=ticket["state"],
        at=now,
        actor=ACTOR,
        place=incident.place,
        body={"kind": incident.kind},
    )
    await _tell(connection, "ticket_changed", ticket["id"], ticket["number"], incident, now=now)


async def _note_closed(
    connection: AsyncConnection[Any], ticket: dict[str, Any], entry: Entry, *, now: datetime
) -> None:
    if ticket["incident_closed_at"] is not None:
        return
    await connection.execute("UPDATE ticket SET incident_closed_at = %s WHERE id = %s", (entry.at, ticket["id"]))
    state: str = ticket["state"]
    await record_step(
        connection, ticket["id"], step="incident_closed", from_state=state, to_state=state, at=now, actor=ACTOR
    )
    await journal.append(
        connection,
        at=now,
        kind="ticket_step",
        subject=f"ticket:{ticket['id']}",
        actor=ACTOR,
        body={
            "ticket": ticket["id"],
            "number": ticket["number"],
            "incident": entry.body.get("incident"),
            "step": "incident_closed",
            "from": state,
            "to": state,
        },
    )


async def _tell(
    connection: AsyncConnection[Any],
    kind: str,
    ticket_id: int,
    number: str,
    incident: Incident,
    *,
    now: datetime,
    **extra: Any,
) -> None:
    await journal.append(
        connection,
        at=now,
        kind=kind,
        subject=f"ticket:{ticket_id}",
        actor=ACTOR,
        body={
            "ticket": ticket_id,
            "number": number,
            "incident": incident.incident,
            "zone": incident.zone,
            "kind": incident.kind,
            "place": incident.place,
            **extra,
        },
    )
