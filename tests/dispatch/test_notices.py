"""Tickets become notices: exactly those who lose supply, sensitive customers first, and new versions as places move."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from dispatch import actions, queries
from dispatch.service import Service
from gashub import journal
from gashub.clock import ManualClock

from .conftest import NOW, Counting, Incidents, at, catch_up

# What is lost was worked out by hand on the picture in conftest.py.
CASES = [
    ("leak", [at("pipe", "pe2")], ["ve1", "ve2"], [], ["spe3", "spe2", "spe4"]),
    ("leak", [at("pipe", "pe3", 0.6), at("pipe", "pe1", 0.4)], ["ve2"], [], ["spe4"]),
    ("rupture", [at("junction", "e1")], ["ve1"], ["reg-east"], ["spe3", "spe1", "spe2", "spe4"]),
    ("rupture", [at("pipe", "pw1")], ["vw1"], ["reg-west-1"], ["spw1"]),
    ("slam_shut", [at("regulator", "reg-east")], [], [], ["spe3", "spe1", "spe2", "spe4"]),
    ("slam_shut", [at("station", "drs-east")], [], [], ["spe3", "spe1", "spe2", "spe4"]),
    ("slam_shut", [at("regulator", "reg-west-1"), at("regulator", "reg-west-2")], [], [], ["spw1", "spw2"]),
    ("supply_low", [at("junction", "e5")], [], [], ["spe4"]),
    ("supply_low", [at("station", "pp-e4")], [], [], ["spe3", "spe2", "spe4"]),
    ("rupture", [at("station", "pp-e4")], ["ve1", "ve2"], [], ["spe3", "spe2", "spe4"]),
    ("leak", [at("regulator", "reg-west-2")], ["vw1"], ["reg-west-2"], ["spw2"]),
]


@pytest.mark.parametrize(("kind", "place", "valves", "regulators", "lost"), CASES)
async def test_a_notice_lists_exactly_those_the_trace_finds(
    service: Service,
    connection: AsyncConnection[Any],
    incidents: Incidents,
    kind: str,
    place: list[dict[str, Any]],
    valves: list[str],
    regulators: list[str],
    lost: list[str],
) -> None:
    await incidents.open(kind, *place)
    await catch_up(service, connection)
    (found,) = await queries.notices(connection)
    detail = await queries.notice(connection, found.id)
    assert [point.id for point in detail.service_points] == lost
    assert sorted(valve.id for valve in detail.notice.valves) == valves
    assert detail.notice.regulators == regulators
    assert detail.notice.sensitive_count == lost.count("spe3")
    assert sum(detail.notice.customers_by_class.values()) == len(lost)
    assert [version.version for version in detail.versions] == [1]
    (ticket,) = await queries.tickets(connection)
    assert (detail.notice.ticket_id, ticket.notice_id) == (ticket.id, found.id)
    (entry,) = await journal.history(connection, subject=f"notice:{found.id}")
    assert (entry.kind, entry.body["service_points"]) == ("notice_issued", len(lost))


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("slam_shut", [at("regulator", "reg-west-1")]),
        ("regulator_failed_open", [at("regulator", "reg-east")]),
        ("gas_in_station", [at("station", "drs-east")]),
        ("leak", []),
        ("leak", [at("pipe", "gone")]),
        ("leak", [at("street", "unheard of")]),
        ("slam_shut", [at("regulator", "gone")]),
    ],
)
async def test_a_ticket_that_cuts_nobody_off_or_has_no_known_place_has_no_notice(
    service: Service,
    connection: AsyncConnection[Any],
    incidents: Incidents,
    kind: str,
    place: list[dict[str, Any]],
) -> None:
    await incidents.open(kind, *place)
    await catch_up(service, connection)
    assert len(await queries.tickets(connection)) == 1
    assert await queries.notices(connection) == []


async def test_the_second_slam_shut_that_takes_the_last_feed_makes_the_notice(
    service: Service, connection: AsyncConnection[Any], incidents: Incidents
) -> None:
    incident = await incidents.open("slam_shut", at("regulator", "reg-west-1"), zone="west")
    await incidents.slam_shut(incident, "reg-west-1")
    await catch_up(service, connection)
    assert await queries.notices(connection) == []
    await incidents.slam_shut(incident, "reg-west-2")
    await catch_up(service, connection)
    (notice,) = await queries.notices(connection)
    assert notice.service_point_count == 2


async def test_a_notice_is_issued_once_the_place_of_a_leak_is_known(
    service: Service, connection: AsyncConnection[Any], incidents: Incidents
) -> None:
    incident = await incidents.open("leak")
    await catch_up(service, connection)
    await incidents.tell("incident_changed", incident, "leak", at("pipe", "pe3"))
    await catch_up(service, connection)
    (notice,) = await queries.notices(connection)
    assert (notice.version, notice.service_point_count) == (1, 1)


async def test_a_place_that_moves_makes_a_new_version(
    service: Service, connection: AsyncConnection[Any], incidents: Incidents
) -> None:
    incident = await incidents.open("leak", at("pipe", "pe3"))
    await catch_up(service, connection)
    await incidents.tell("incident_changed", incident, "leak", at("pipe", "pe2"))
    await catch_up(service, connection)
    (notice,) = await queries.notices(connection)
    detail = await queries.notice(connection, notice.id)
    assert notice.version == 2
    assert [point.id for point in detail.service_points] == ["spe3", "spe2", "spe4"]
    assert [version.reason for version in detail.versions] == ["", "place"]
    assert "故障位置已进一步确定" in detail.versions[1].text_zh
    entries = await journal.history(connection, subject=f"notice:{notice.id}")
    assert [entry.kind for entry in entries] == ["notice_issued", "notice_amended"]


async def test_a_place_that_moves_within_the_same_valves_changes_nothing(
    service: Service, connection: AsyncConnection[Any], incidents: Incidents, count: Counting
) -> None:
    incident = await incidents.open("leak", at("pipe", "pe2"))
    await incidents.tell("incident_changed", incident, "leak", at("junction", "e4"))
    await catch_up(service, connection)
    assert await count("notice_version") == 1


async def test_once_the_place_is_safe_only_people_change_a_notice(
    service: Service, connection: AsyncConnection[Any], incidents: Incidents, clock: ManualClock
) -> None:
    incident = await incidents.open("leak", at("pipe", "pe3"))
    await catch_up(service, connection)
    (ticket,) = await queries.tickets(connection)
    for step in ["dispatched", "accepted", "on_the_way", "on_site", "made_safe"]:
        await actions.step(
            connection, ticket.id, step, actor="wang", role="operator", now=clock.now(), body={"crew": "3"}
        )
    await incidents.tell("incident_changed", incident, "leak", at("pipe", "pe2"))
    await catch_up(service, connection)
    (notice,) = await queries.notices(connection)
    assert notice.version == 1
    (ticket,) = await queries.tickets(connection)
    assert ticket.place[0]["id"] == "pe2"


async def test_a_notice_runs_from_now_for_as_long_as_the_hub_is_configured_to_expect(
    service: Service, connection: AsyncConnection[Any], incidents: Incidents, clock: ManualClock
) -> None:
    await incidents.open("leak", at("pipe", "pe3"))
    await catch_up(service, connection)
    (notice,) = await queries.notices(connection)
    assert notice.number == "N20261110-0001"
    assert notice.starts_at == notice.issued_at == clock.now()
    assert notice.expected_end_at == notice.starts_at + timedelta(hours=8)


async def test_an_area_is_one_ring_around_what_is_shut_off(
    service: Service, connection: AsyncConnection[Any], incidents: Incidents
) -> None:
    await incidents.open("leak", at("pipe", "pe3"), at=NOW)
    await catch_up(service, connection)
    (notice,) = await queries.notices(connection)
    (ring,) = notice.area
    xs, ys = [x for x, _ in ring], [y for _, y in ring]
    # e5 and e6 lie at x = 500 and 600, y = 0.
    assert min(xs) < 500 - 24 and max(xs) > 600 + 24
    assert min(ys) < -24 and max(ys) > 24
    assert min(xs) > 400 + 24
