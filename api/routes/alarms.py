"""Alarms, incidents, and the rules behind them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from alarms import actions, queries
from alarms.lifecycle import State
from alarms.queries import Alarm, Incident
from dispatch import queries as dispatch_queries
from gashub import journal
from gashub.errors import InvalidValue

from ..columns import columns
from ..errors import refusals
from ..hub import Id, Operator, Viewer
from .journal import EntryAnswer

router = APIRouter(tags=["alarms"])


class Acknowledgement(BaseModel):
    """Which alarms the operator has seen."""

    model_config = ConfigDict(extra="forbid")
    alarm_ids: Annotated[list[Id], Field(min_length=1, max_length=500)]


class Acknowledged(BaseModel):
    """Those that were acknowledged now; others had been already."""

    acknowledged: list[int]


class Shelving(BaseModel):
    """Until when an alarm is put aside, and why."""

    model_config = ConfigDict(extra="forbid")
    until: AwareDatetime
    reason: Annotated[str, StringConstraints(min_length=3, max_length=500)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmAnswer:
    """An alarm. `state` is its state after ISA-18.2; titles are the client's, by `rule`."""

    id: int
    condition: str
    rule: str
    zone: str
    station: str | None
    point_id: int | None
    incident_id: int
    first_out: bool
    priority: str
    state: State
    active: bool
    acknowledged: bool
    shelved_until: datetime | None
    shelved_by: str | None
    shelved_reason: str | None
    raised_at: datetime
    returned_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    closed_at: datetime | None
    value: float | None
    limit_value: float | None
    evidence: dict[str, Any]

    @classmethod
    def of(cls, alarm: Alarm) -> AlarmAnswer:
        """The alarm with its state in one word."""
        return cls(**columns(alarm), state=alarm.state)


class RationaleAnswer(BaseModel):
    """Why a rule is there, in one language."""

    cause: str
    consequence: str
    response: str


class RuleAnswer(BaseModel):
    """A rule with its rationalisation."""

    id: str
    priority: str
    time_to_respond_s: float
    on_delay_s: float
    off_delay_s: float
    en: RationaleAnswer
    zh: RationaleAnswer


class IncidentAnswer(BaseModel):
    """An incident with what came of it."""

    id: int
    group_key: str
    zone: str
    kind: str
    priority: str
    emergency: bool
    opened_at: datetime
    closed_at: datetime | None
    place: list[dict[str, Any]]
    evidence: dict[str, Any]
    alarm_ids: list[int]
    ticket_id: int | None
    notice_id: int | None


@router.get("/alarms", responses=refusals(422))
async def list_alarms(
    caller: Viewer, standing: bool = True, limit: Annotated[int, Query(ge=1, le=2_000)] = 500
) -> list[AlarmAnswer]:
    """Alarms, the most urgent first; only those standing unless asked otherwise."""
    async with caller.reading() as connection:
        found = await queries.alarms(connection, standing_only=standing, limit=limit)
    return [AlarmAnswer.of(alarm) for alarm in found]


@router.post("/alarms/acknowledge", responses=refusals(400, 404, 413, 422))
async def acknowledge(caller: Operator, body: Acknowledgement) -> Acknowledged:
    """Say that these alarms have been seen."""
    async with caller.acting("alarm_acknowledged", "", alarm_ids=body.alarm_ids) as connection:
        done = await actions.acknowledge(connection, body.alarm_ids, actor=caller.name, now=caller.now)
    return Acknowledged(acknowledged=done)


@router.post("/alarms/{alarm_id}/shelve", status_code=204, responses=refusals(400, 404, 409, 413, 422))
async def shelve(caller: Operator, alarm_id: Id, body: Shelving) -> None:
    """Put an alarm aside until a time, with a reason; it comes back by itself."""
    if body.until <= caller.now:
        raise InvalidValue("until must lie in the future")
    async with caller.acting("alarm_shelved", f"alarm:{alarm_id}", until=body.until.isoformat()) as connection:
        await actions.shelve(
            connection, alarm_id, until=body.until, reason=body.reason, actor=caller.name, now=caller.now
        )


@router.post("/alarms/{alarm_id}/unshelve", status_code=204, responses=refusals(404, 409, 413, 422))
async def unshelve(caller: Operator, alarm_id: Id) -> None:
    """Take a shelved alarm back."""
    async with caller.acting("alarm_unshelved", f"alarm:{alarm_id}") as connection:
        await actions.unshelve(connection, alarm_id, actor=caller.name, now=caller.now)


@router.get("/rules")
async def rules(caller: Viewer) -> list[RuleAnswer]:
    """Each rule with its rationalisation: cause, consequence, what to do, in how many seconds."""
    return [
        RuleAnswer(
            id=rule.id,
            priority=rule.priority,
            time_to_respond_s=rule.time_to_respond_s,
            on_delay_s=rule.on_delay_s,
            off_delay_s=rule.off_delay_s,
            en=RationaleAnswer(**columns(rule.en)),
            zh=RationaleAnswer(**columns(rule.zh)),
        )
        for rule in queries.rules(caller.hub.config.alarms.rulebook_file)
    ]


@router.get("/incidents", responses=refusals(422))
async def list_incidents(caller: Viewer, open: bool = True) -> list[IncidentAnswer]:  # noqa: A002 - the query's name
    """Incidents, the newest first."""
    async with caller.reading() as connection:
        found = await queries.incidents(connection, open_only=open)
        links = await dispatch_queries.links(connection, [incident.id for incident in found])
    return [_answer(incident, links) for incident in found]


@router.get("/incidents/{incident_id}", responses=refusals(404, 422))
async def show_incident(caller: Viewer, incident_id: Id) -> IncidentAnswer:
    """One incident."""
    async with caller.reading() as connection:
        incident = await queries.incident(connection, incident_id)
        links = await dispatch_queries.links(connection, [incident_id])
    return _answer(incident, links)


@router.get("/incidents/{incident_id}/timeline", responses=refusals(404, 422))
async def timeline(caller: Viewer, incident_id: Id) -> list[EntryAnswer]:
    """Everything that happened about an incident, its alarms, ticket and notice, in order."""
    async with caller.reading() as connection:
        incident = await queries.incident(connection, incident_id)
        links = await dispatch_queries.links(connection, [incident_id])
        subjects = [f"incident:{incident_id}", *(f"alarm:{alarm}" for alarm in incident.alarm_ids)]
        if incident_id in links:
            ticket, notice = links[incident_id]
            subjects += [f"ticket:{ticket}"] + ([f"notice:{notice}"] if notice is not None else [])
        entries = [entry for subject in subjects for entry in await journal.history(connection, subject=subject)]
    return [EntryAnswer.of(entry) for entry in sorted(entries, key=lambda entry: entry.number)]


def _answer(incident: Incident, links: dict[int, tuple[int, int | None]]) -> IncidentAnswer:
    ticket, notice = links.get(incident.id, (None, None))
    return IncidentAnswer(
        id=incident.id,
        group_key=incident.group_key,
        zone=incident.zone,
        kind=incident.kind,
        priority=incident.priority,
        emergency=incident.emergency,
        opened_at=incident.opened_at,
        closed_at=incident.closed_at,
        place=incident.place,
        evidence=incident.evidence,
        alarm_ids=incident.alarm_ids,
        ticket_id=ticket,
        notice_id=notice,
    )
