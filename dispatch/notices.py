"""What tickets do to notices, and how a notice is written.

ticket_opened    a notice, issued at once, if the incident cuts anybody off
ticket_changed   the notice follows the probable place as a new version, until the crew has made the place safe:
                 from then on what they shut is known, and only people change the notice
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from gashub import journal
from gashub.config import HubConfig
from gashub.journal import Entry
from gashub.network.model import Network, ServicePoint

from .isolation import Cutoff, Isolator, places
from .notice_text import Facts, Occasion, Sender, text
from .numbers import draw

ACTOR: Final = "dispatch"
_KINDS: Final = frozenset({"ticket_opened", "ticket_changed"})
_SLAM_SHUT_RULE: Final = "slam_shut_closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What one version of a notice adds to it."""

    occasion: Occasion
    facts: Facts
    service_points: Sequence[str]
    actor: str
    at: datetime


def sender(config: HubConfig) -> Sender:
    """Who speaks in this hub's notices."""
    return Sender(
        name={"en": config.dispatch.utility_name_en, "zh": config.dispatch.utility_name_zh},
        hotline=config.dispatch.hotline,
        timezone=config.hub.zone_info,
    )


def matters(entry: Entry) -> bool:
    """Whether an entry of the journal may do something to a notice."""
    return entry.kind in _KINDS or (entry.kind == "alarm_raised" and entry.body.get("rule") == _SLAM_SHUT_RULE)


async def follow(
    connection: AsyncConnection[Any], entry: Entry, *, isolator: Isolator, config: HubConfig, now: datetime
) -> int | None:
    """Do what a ticket's entry asks, in the caller's transaction; the id of a notice that was issued, if one was."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            "SELECT id, incident_id, zone, kind, place, made_safe_at, closed_at FROM ticket "
            "WHERE incident_id = %s FOR UPDATE",
            (entry.body["incident"],),
        )
        ticket = await cursor.fetchone()
        if ticket is None or ticket["made_safe_at"] is not None or ticket["closed_at"] is not None:
            return None
        await cursor.execute("SELECT * FROM notice WHERE ticket_id = %s FOR UPDATE", (ticket["id"],))
        notice = await cursor.fetchone()
    shut = await _shut_regulators(connection) if ticket["kind"] == "slam_shut" else frozenset()
    # The trace of a town takes a while, in which this process's other follower goes on.
    cut = await asyncio.to_thread(isolator.cutoff, ticket["kind"], places(ticket["place"]), shut=shut)
    if cut is None:
        return None
    if notice is None:
        return await _issue(connection, ticket, cut, network=isolator.network, config=config, now=now)
    if notice["state"] == "issued":
        await _amend(connection, notice, ticket["kind"], cut, network=isolator.network, config=config, now=now)
    return None


async def _shut_regulators(connection: AsyncConnection[Any]) -> frozenset[str]:
    """Regulators whose slam-shut stands closed now, whatever their incident."""
    cursor = await connection.execute(
        "SELECT d.regulator FROM alarm a JOIN point p ON p.id = a.point_id JOIN block b ON b.id = p.block_id "
        "JOIN device d ON d.id = b.device WHERE a.rule = %s AND a.active AND d.regulator IS NOT NULL",
        (_SLAM_SHUT_RULE,),
    )
    return frozenset(row[0] for row in await cursor.fetchall())


async def write_version(connection: AsyncConnection[Any], notice_id: int, version: Version, config: HubConfig) -> None:
    """Keep what a notice says from now on."""
    facts = version.facts
    await connection.execute(
        "INSERT INTO notice_version (notice_id, version, at, actor, text_en, text_zh, reason, expected_end_at, "
        "service_points) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            notice_id,
            facts.version,
            version.at,
            version.actor,
            text("en", version.occasion, facts, sender(config)),
            text("zh", version.occasion, facts, sender(config)),
            facts.change,
            facts.end,
            Jsonb(list(version.service_points)),
        ),
    )


async def tell(
    connection: AsyncConnection[Any],
    kind: str,
    notice: Mapping[str, Any],
    *,
    actor: str,
    now: datetime,
    **extra: Any,
) -> None:
    """Append what happened to a notice to the journal."""
    await journal.append(
        connection,
        at=now,
        kind=kind,
        subject=f"notice:{notice['id']}",
        actor=actor,
        body={
            "notice": notice["id"],
            "number": notice["number"],
            "ticket": notice["ticket_id"],
            "incident": notice["incident_id"],
            "zone": notice["zone"],
            **extra,
        },
    )


def zones_of(network: Network, lost: Sequence[ServicePoint]) -> tuple[list[dict[str, str]], bool]:
    """Names of the zones that `lost` stand in, most touched first, and whether nobody in them keeps supply."""
    counts: dict[str, int] = {}
    for point in lost:
        counts[point.zone] = counts.get(point.zone, 0) + 1
    names = {zone.id: {"en": zone.name_en, "zh": zone.name_zh} for zone in network.zones}
    total = sum(point.zone in counts for point in network.service_points)
    return [names[zone] for zone in sorted(counts, key=lambda zone: -counts[zone])], total == len(lost)


async def _issue(
    connection: AsyncConnection[Any],
    ticket: Mapping[str, Any],
    cut: Cutoff,
    *,
    network: Network,
    config: HubConfig,
    now: datetime,
) -> int:
    number = await draw(connection, "N", now=now, timezone=config.hub.zone_info)
    end_at = now + timedelta(hours=config.dispatch.emergency_restoration_h)
    cursor = await connection.execute(
        "INSERT INTO notice (number, incident_id, ticket_id, zone, kind, state, version, issued_at, starts_at, "
        "expected_end_at, area, valves, regulators, customers_by_class, sensitive_count) "
        "VALUES (%s, %s, %s, %s, %s, 'issued', 1, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
        (
            number,
            ticket["incident_id"],
            ticket["id"],
            ticket["zone"],
            ticket["kind"],
            now,
            now,
            end_at,
            *_scope(cut),
        ),
    )
    row = await cursor.fetchone()
    assert row is not None
    notice_id: int = row[0]
    zones, whole = zones_of(network, cut.service_points)
    facts = Facts(
        number=number,
        version=1,
        kind=ticket["kind"],
        zones=zones,
        whole=whole,
        customers_by_class=cut.customers_by_class,
        start=now,
        end=end_at,
    )
    await _list_service_points(connection, notice_id, cut)
    await write_version(connection, notice_id, _version(Occasion.ISSUED, facts, cut, now), config)
    notice = {**ticket, "id": notice_id, "number": number, "ticket_id": ticket["id"]}
    await tell(connection, "notice_issued", notice, actor=ACTOR, now=now, version=1, **_summary(cut))
    return notice_id


async def _amend(
    connection: AsyncConnection[Any],
    notice: Mapping[str, Any],
    kind: str,
    cut: Cutoff,
    *,
    network: Network,
    config: HubConfig,
    now: datetime,
) -> None:
    """Let an issued notice follow what is cut off now; nothing if that is what it says already."""
    cursor = await connection.execute(
        "SELECT service_point_id FROM notice_service_point WHERE notice_id = %s", (notice["id"],)
    )
    listed = {row[0] for row in await cursor.fetchall()}
    same = listed == {point.id for point in cut.service_points} and notice["valves"] == list(cut.valves)
    if same and notice["kind"] == kind:
        return
    version = notice["version"] + 1
    await connection.execute(
        "UPDATE notice SET kind = %s, version = %s, area = %s, valves = %s, regulators = %s, "
        "customers_by_class = %s, sensitive_count = %s WHERE id = %s",
        (kind, version, *_scope(cut), notice["id"]),
    )
    zones, whole = zones_of(network, cut.service_points)
    facts = Facts(
        number=notice["number"],
        version=version,
        kind=kind,
        zones=zones,
        whole=whole,
        customers_by_class=cut.customers_by_class,
        start=notice["starts_at"],
        end=notice["expected_end_at"],
        change="place",
    )
    await _list_service_points(connection, notice["id"], cut)
    await write_version(connection, notice["id"], _version(Occasion.AMENDED, facts, cut, now), config)
    await tell(connection, "notice_amended", notice, actor=ACTOR, now=now, version=version, **_summary(cut))


def _version(occasion: Occasion, facts: Facts, cut: Cutoff, now: datetime) -> Version:
    lost = [point.id for point in cut.service_points]
    return Version(occasion=occasion, facts=facts, service_points=lost, actor=ACTOR, at=now)


def _scope(cut: Cutoff) -> tuple[Jsonb, Jsonb, Jsonb, Jsonb, int]:
    """The columns area, valves, regulators, customers_by_class and sensitive_count."""
    return (
        Jsonb(cut.area),
        Jsonb(list(cut.valves)),
        Jsonb(list(cut.regulators)),
        Jsonb(cut.customers_by_class),
        cut.sensitive_count,
    )


def _summary(cut: Cutoff) -> dict[str, Any]:
    return {
        "valves": list(cut.valves),
        "regulators": list(cut.regulators),
        "service_points": len(cut.service_points),
        "customers_by_class": cut.customers_by_class,
        "sensitive_count": cut.sensitive_count,
    }


async def _list_service_points(connection: AsyncConnection[Any], notice_id: int, cut: Cutoff) -> None:
    """Make the notice list exactly those cut off; who stays listed keeps what is known of their restoration."""
    ids = [point.id for point in cut.service_points]
    await connection.execute(
        "DELETE FROM notice_service_point WHERE notice_id = %s AND service_point_id <> ALL (%s)", (notice_id, ids)
    )
    await connection.execute(
        "INSERT INTO notice_service_point (notice_id, service_point_id, position, sensitivity, customer_class) "
        "SELECT %s, * FROM unnest(%s::text[], %s::integer[], %s::text[], %s::text[]) "
        "ON CONFLICT (notice_id, service_point_id) DO UPDATE SET position = excluded.position",
        (
            notice_id,
            ids,
            list(range(1, len(ids) + 1)),
            [str(point.sensitivity) for point in cut.service_points],
            [str(point.customer_class) for point in cut.service_points],
        ),
    )
