"""Write what happened to alarms: row, incident and journal entries in one transaction, exactly once.

Whoever writes takes the zone's lock first, so that two workers, or a worker and an operator, come one after the other;
the unique indexes (one standing alarm per condition, one open incident per group) hold even without it. What is
already so is not written again: recording the same transition twice changes nothing.

Every function here works in the caller's transaction and returns what to announce on the bus after the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from gashub import journal
from gashub.frames import from_ms

from .grouping import PLACED_BY_SEARCH, groups, judge, place_of
from .lifecycle import Event, Standing, closed, step
from .rules import Condition, Priority, Transition
from .statements import statement

ACTOR: Final = "alarms"

Connection = AsyncConnection[Any]
Place = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRow:
    """A row of the alarm table, as far as its life is concerned."""

    id: int
    condition: str
    rule: str
    zone: str
    station: str | None
    point_id: int | None
    incident_id: int
    first_out: bool
    priority: str
    active: bool
    acknowledged: bool
    shelved_until: datetime | None
    raised_at: datetime
    value: float | None
    limit_value: float | None
    closed_at: datetime | None

    @property
    def standing(self) -> Standing:
        """The facts its state is read from."""
        return Standing(active=self.active, acknowledged=self.acknowledged, shelved_until=self.shelved_until)

    def body(self) -> dict[str, Any]:
        """What the journal and the bus say of it."""
        return {
            "alarm": self.id,
            "incident": self.incident_id,
            "condition": self.condition,
            "rule": self.rule,
            "zone": self.zone,
            "station": self.station,
            "point_id": self.point_id,
            "priority": self.priority,
            "value": self.value,
            "limit": self.limit_value,
            "raised_at": self.raised_at.isoformat(),
            "first_out": self.first_out,
            "emergency": self.priority == Priority.EMERGENCY,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRow:
    """An open incident."""

    id: int
    group_key: str
    zone: str
    kind: str
    priority: str
    emergency: bool
    opened_at: datetime
    place: Place
    evidence: dict[str, Any]

    def body(self) -> dict[str, Any]:
        """What the journal and the bus say of it."""
        return {
            "incident": self.id,
            "zone": self.zone,
            "kind": self.kind,
            "priority": self.priority,
            "emergency": self.emergency,
            "place": self.place,
            "opened_at": self.opened_at.isoformat(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """One journal entry, to be told on `gas/v1/alarms/{zone}`."""

    zone: str
    kind: str
    at: datetime
    body: Mapping[str, Any]


def _nowhere(_: Condition) -> Place:
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What recording must know of the network: which zones feed a zone, and where a condition's cause probably is."""

    upstream: Mapping[str, Sequence[str]] = field(default_factory=dict)
    place: Callable[[Condition], Place] = _nowhere


async def lock_zones(connection: Connection, zones: Iterable[str]) -> None:
    """Wait for these zones; held until the transaction ends. Always taken in the same order, so nobody deadlocks."""
    for zone in sorted(set(zones)):
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"alarms-record:{zone}",))


async def transitions(
    connection: Connection, found: Sequence[Transition], surroundings: Surroundings
) -> list[Announcement]:
    """Record transitions in order."""
    zones = {t.condition.zone for t in found}
    await lock_zones(connection, zones.union(*(surroundings.upstream.get(zone, ()) for zone in zones)))
    said: list[Announcement] = []
    for transition in found:
        row = await _standing(connection, transition.condition.key)
        if transition.active:
            said += await _raise(connection, transition, row, surroundings)
        elif row is not None:
            said += await apply(connection, row, Event.RETURN, at=from_ms(transition.at_ms), actor=ACTOR)
    return said


async def _standing(connection: Connection, condition: str) -> AlarmRow | None:
    async with connection.cursor(row_factory=class_row(AlarmRow)) as cursor:
        await cursor.execute(statement("standing_alarm"), (condition,))
        return await cursor.fetchone()


async def by_id(connection: Connection, alarm_ids: Sequence[int]) -> list[AlarmRow]:
    """Alarms by number, locked; those that do not exist are missing."""
    async with connection.cursor(row_factory=class_row(AlarmRow)) as cursor:
        await cursor.execute(statement("alarms_by_id"), (list(alarm_ids),))
        return await cursor.fetchall()


async def _raise(
    connection: Connection, transition: Transition, row: AlarmRow | None, surroundings: Surroundings
) -> list[Announcement]:
    at = from_ms(transition.at_ms)
    if row is not None:
        return await apply(connection, row, Event.RAISE, at=at, actor=ACTOR)
    condition = transition.condition
    incident, opened = await _incident_for(connection, transition, surroundings)
    row = await _insert(connection, transition, incident.id)
    if row is None:
        return []
    said = [Announcement(zone=incident.zone, kind="incident_opened", at=at, body=incident.body())] if opened else []
    if not opened:
        said += await _reconsider(connection, incident, surroundings.place(condition), at=at)
    said.append(Announcement(zone=row.zone, kind="alarm_raised", at=at, body=row.body()))
    for announcement in said:
        await _journal(connection, announcement, ACTOR)
    return said


async def _insert(connection: Connection, transition: Transition, incident: int) -> AlarmRow | None:
    condition = transition.condition
    async with connection.cursor(row_factory=class_row(AlarmRow)) as cursor:
        await cursor.execute(
            statement("raise_alarm"),
            {
                "condition": condition.key,
                "rule": condition.rule.id,
                "zone": condition.zone,
                "station": condition.station,
                "point_id": condition.point_id,
                "incident": incident,
                "priority": condition.rule.priority.value,
                "at": from_ms(transition.at_ms),
                "value": transition.value,
                "limit": condition.limit,
                "evidence": Jsonb(dict(transition.evidence)),
            },
        )
        return await cursor.fetchone()


async def _open_incident(connection: Connection, keys: Sequence[str]) -> IncidentRow | None:
    async with connection.cursor(row_factory=class_row(IncidentRow)) as cursor:
        await cursor.execute(statement("open_incident"), {"groups": list(keys)})
        return await cursor.fetchone()


async def _incident_for(
    connection: Connection, transition: Transition, surroundings: Surroundings
) -> tuple[IncidentRow, bool]:
    """The incident the alarm belongs to, and whether it was opened by it."""
    condition = transition.condition
    keys = groups(condition, surroundings.upstream.get(condition.zone, ()))
    incident = await _open_incident(connection, keys)
    if incident is not None:
        return incident, False
    judgement = judge([(condition.rule.id, condition.rule.priority)])
    place = place_of(condition, surroundings.place(condition))
    cursor = await connection.execute(
        "INSERT INTO incident (group_key, zone, kind, priority, emergency, opened_at, place, evidence) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (group_key) WHERE closed_at IS NULL DO NOTHING",
        (
            keys[0],
            condition.zone,
            judgement.kind.value,
            judgement.priority.value,
            judgement.emergency,
            from_ms(transition.at_ms),
            Jsonb(place),
            Jsonb({"first_out": condition.key, **transition.evidence}),
        ),
    )
    incident = await _open_incident(connection, keys)
    assert incident is not None, "it was either there or inserted just now"
    return incident, cursor.rowcount == 1


async def _reconsider(
    connection: Connection, incident: IncidentRow, place: Place, *, at: datetime
) -> list[Announcement]:
    """See what the incident amounts to now that an alarm has joined it; one announcement if that changed."""
    cursor = await connection.execute(
        "SELECT rule, priority FROM alarm WHERE incident_id = %s GROUP BY rule, priority", (incident.id,)
    )
    judgement = judge([(rule, Priority(priority)) for rule, priority in await cursor.fetchall()])
    changed = (judgement.kind, judgement.priority, judgement.emergency) != (
        incident.kind,
        incident.priority,
        incident.emergency,
    )
    if not changed:
        return []
    better = place if place and (judgement.kind != incident.kind or not incident.place) else incident.place
    body = {
        **incident.body(),
        "kind": judgement.kind.value,
        "priority": judgement.priority.value,
        "emergency": judgement.emergency,
        "place": better,
    }
    await connection.execute(
        "UPDATE incident SET kind = %s, priority = %s, emergency = %s, place = %s WHERE id = %s",
        (judgement.kind.value, judgement.priority.value, judgement.emergency, Jsonb(better), incident.id),
    )
    return [Announcement(zone=incident.zone, kind="incident_changed", at=at, body=body)]


_KIND: Final[Mapping[Event, str]] = {
    Event.RAISE: "alarm_raised",
    Event.RETURN: "alarm_returned",
    Event.ACKNOWLEDGE: "alarm_acknowledged",
    Event.SHELVE: "alarm_shelved",
    Event.UNSHELVE: "alarm_unshelved",
}


async def apply(
    connection: Connection,
    row: AlarmRow,
    event: Event,
    *,
    at: datetime,
    actor: str,
    until: datetime | None = None,
    reason: str = "",
) -> list[Announcement]:
    """Take a locked standing alarm one step; nothing if the step means nothing in its state. Closes what is over."""
    after = step(row.standing, event, until=until)
    if row.closed_at is not None or after is None:
        return []
    await _write(connection, row.id, event, after, at=at, actor=actor, reason=reason)
    body: dict[str, Any] = {**row.body(), "active": after.active, "acknowledged": after.acknowledged}
    if event is Event.SHELVE:
        body |= {"shelved_until": until.isoformat() if until else None, "reason": reason}
    said = [Announcement(zone=row.zone, kind=_KIND[event], at=at, body=body)]
    if closed(after):
        said.append(Announcement(zone=row.zone, kind="alarm_closed", at=at, body=body))
        said += await _close_incident(connection, row.incident_id, at=at)
    for announcement in said:
        await _journal(connection, announcement, actor)
    return said


async def _write(
    connection: Connection, alarm: int, event: Event, after: Standing, *, at: datetime, actor: str, reason: str
) -> None:
    await connection.execute(
        "UPDATE alarm SET active = %s, acknowledged = %s, shelved_until = %s, closed_at = %s WHERE id = %s",
        (after.active, after.acknowledged, after.shelved_until, at if closed(after) else None, alarm),
    )
    match event:
        case Event.RETURN:
            await connection.execute("UPDATE alarm SET returned_at = %s WHERE id = %s", (at, alarm))
        case Event.RAISE:
            await connection.execute("UPDATE alarm SET raised_at = %s, returned_at = NULL WHERE id = %s", (at, alarm))
        case Event.ACKNOWLEDGE:
            await connection.execute(
                "UPDATE alarm SET acknowledged_at = %s, acknowledged_by = %s WHERE id = %s", (at, actor, alarm)
            )
        case Event.SHELVE:
            await connection.execute(
                "UPDATE alarm SET shelved_by = %s, shelved_reason = %s WHERE id = %s", (actor, reason, alarm)
            )
        case Event.UNSHELVE:
            pass


async def _close_incident(connection: Connection, incident: int, *, at: datetime) -> list[Announcement]:
    """Close the incident if none of its alarms stands any more."""
    async with connection.cursor(row_factory=class_row(IncidentRow)) as cursor:
        await cursor.execute(
            "UPDATE incident SET closed_at = %s WHERE id = %s AND closed_at IS NULL "
            "AND NOT EXISTS (SELECT FROM alarm WHERE incident_id = incident.id AND closed_at IS NULL) "
            "RETURNING id, group_key, zone, kind, priority, emergency, opened_at, place, evidence",
            (at, incident),
        )
        row = await cursor.fetchone()
    return [] if row is None else [Announcement(zone=row.zone, kind="incident_closed", at=at, body=row.body())]


async def place(
    connection: Connection, group: str, candidates: Place, *, zone: str, at: datetime
) -> list[Announcement]:
    """Better knowledge of where an open incident's cause is; told only if the first candidate is another now.

    Only leaks and ruptures are placed by search: an imbalance that follows a closed slam-shut says nothing about where
    the slam-shut stands.
    """
    await lock_zones(connection, [zone])
    incident = await _open_incident(connection, [group])
    if incident is None or not candidates or incident.kind not in PLACED_BY_SEARCH:
        return []
    await connection.execute("UPDATE incident SET place = %s WHERE id = %s", (Jsonb(candidates), incident.id))
    if incident.place and (incident.place[0]["element"], incident.place[0]["id"]) == (
        candidates[0]["element"],
        candidates[0]["id"],
    ):
        return []
    body = {**incident.body(), "place": candidates}
    said = Announcement(zone=incident.zone, kind="incident_changed", at=at, body=body)
    await _journal(connection, said, ACTOR)
    return [said]


async def _journal(connection: Connection, said: Announcement, actor: str) -> None:
    subject = f"incident:{said.body['incident']}" if "alarm" not in said.body else f"alarm:{said.body['alarm']}"
    await journal.append(connection, at=said.at, kind=said.kind, subject=subject, actor=actor, body=said.body)
