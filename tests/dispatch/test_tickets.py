"""Incidents become tickets: one each, with their clocks, and follow what becomes of the incident."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection

from dispatch import queries
from dispatch.service import Service
from gashub import journal
from gashub.clock import ManualClock
from gashub.config import HubConfig

from .conftest import NOW, Counting, Incidents, at, catch_up


async def test_an_emergency_incident_opens_a_ticket_with_its_on_site_clock(
    service: Service, connection: AsyncConnection[Any], incidents: Incidents
) -> None:
    incident = await incidents.open("gas_in_station", at("station", "drs-east"))
    await catch_up(service, connection)
    (ticket,) = await queries.tickets(connection)
    assert (ticket.number, ticket.incident_id, ticket.state, ticket.urgency) == (
        "T20261110-0001",
        incident,
        "opened",
        "emergency",
    )
    assert ticket.on_site_due_at == NOW + timedelta(minutes=60)
    assert ticket.opened_at == NOW + timedelta(seconds=2)
    assert ticket.notice_id is None
    entry = (await journal.history(connection, subject=f"ticket:{ticket.id}"))[0]
    assert entry.kind == "ticket_opened"


async def test_an_incident_that_is_no_emergency_opens_none_until_it_becomes_one(
    service: Service, connection: AsyncConnection[Any], incidents: Incidents
) -> None:
    incident = await incidents.open("device_fault", at("station", "drs-east"), emergency=False)
    await catch_up(service, connection)
    assert await queries.tickets(connection) == []
    later = NOW + timedelta(minutes=5)
    await incidents.tell("incident_changed", incident, "gas_in_station", at("station", "drs-east"), at=later)
    await catch_up(service, connection)
    (ticket,) = await queries.tickets(connection)
    assert ticket.reported_at == later


async def test_the_same_incident_journalled_many_times_opens_one_ticket(
    service: Service, connection: AsyncConnection[Any], incidents: Incidents, count: Counting
) -> None:
    incident = await incidents.open("gas_in_station", at("station", "drs-east"))
    for kind in ["incident_opened", "incident_changed"] * 5:
        await incidents.tell(kind, incident, "gas_in_station", at("station", "drs-east"))
    await catch_up(service, connection)
    assert await count("ticket") == 1
    assert await count("ticket_step") == 1


async def test_tickets_are_numbered_by_the_day_of_the_hubs_time_zone(
    config: HubConfig, connection: AsyncConnection[Any], incidents: Incidents
) -> None:
    clock = ManualClock(moment=NOW.replace(hour=15, minute=59))
    service = Service(config, clock)
    for minutes in (0, 0, 2):
        clock.advance(minutes * 60)
        await incidents.open("gas_in_station")
        await catch_up(service, connection)
    numbers = sorted(ticket.number for ticket in await queries.tickets(connection))
    assert numbers == ["T20261110-0001", "T20261110-0002", "T20261111-0001"]


async def test_a_closed_incident_leaves_its_ticket_open(
    service: Service, connection: AsyncConnection[Any], incidents: Incidents
) -> None:
    incident = await incidents.open("gas_in_station")
    for _ in range(2):
        await incidents.tell("incident_closed", incident, "gas_in_station", at=NOW + timedelta(minutes=9))
    await catch_up(service, connection)
    (ticket,) = await queries.tickets(connection)
    assert ticket.closed_at is None
    assert ticket.incident_closed_at == NOW + timedelta(minutes=9)
    detail = await queries.ticket(connection, ticket.id)
    assert [step.step for step in detail.steps] == ["opened", "incident_closed"]


async def test_an_entry_that_cannot_be_read_is_counted_and_passed_over(
    service: Service, connection: AsyncConnection[Any], incidents: Incidents
) -> None:
    async with connection.transaction():
        await journal.append(
            connection, at=NOW, kind="incident_opened", subject="incident:x", actor="alarms", body={"incident": "x"}
        )
    await incidents.open("gas_in_station")
    await catch_up(service, connection)
    assert len(await queries.tickets(connection)) == 1
    assert service.counters.registry.get_sample_value("gashub_dispatch_entries_unreadable_total") == 1
