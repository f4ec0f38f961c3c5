"""What people do: a ticket's story to its end with each guard tried from the wrong side, and a notice's."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from dispatch import actions, queries
from dispatch.service import Service
from gashub import journal
from gashub.clock import ManualClock
from gashub.config import HubConfig
from gashub.errors import Conflict, HubError, InvalidValue, NotAllowed, NotFound

from .conftest import NOW, Incidents, at, catch_up

BODIES: dict[str, dict[str, Any]] = {
    "dispatched": {"crew": "crew east 2"},
    "tested": {"passed": True, "pressure_kpa": 3.0, "minutes": 15},
    "revisited": {"satisfied": True},
}
STORY = [
    "dispatched",
    "accepted",
    "on_the_way",
    "on_site",
    "made_safe",
    "repaired",
    "tested",
    "restored",
    "revisited",
    "closed",
]


class Story:
    """One leak with its ticket and its notice, and people who act on them at a clock that goes on."""

    def __init__(self, connection: AsyncConnection[Any], config: HubConfig, clock: ManualClock) -> None:
        self.connection = connection
        self.config = config
        self.clock = clock
        self.ticket = 0
        self.notice = 0

    async def step(
        self, step: str, actor: str = "wang", role: str = "operator", note: str = "", **body: Any
    ) -> queries.TicketDetail:
        self.clock.advance(60)
        told = body or BODIES.get(step, {})
        return await actions.step(
            self.connection,
            self.ticket,
            step,
            actor=actor,
            role=role,
            now=self.clock.now(),
            note=note,
            body=told,
        )

    async def until(self, step: str) -> None:
        for each in STORY[: STORY.index(step) + 1]:
            await self.step(each)

    async def on_notice(self, action: Any, actor: str = "wang", role: str = "operator", **extra: Any) -> Any:
        if action is not actions.notice_close:
            extra["config"] = self.config
        return await action(self.connection, self.notice, actor=actor, role=role, now=self.clock.now(), **extra)


@pytest.fixture
async def story(
    service: Service,
    connection: AsyncConnection[Any],
    incidents: Incidents,
    config: HubConfig,
    clock: ManualClock,
) -> Story:
    await incidents.open("leak", at("pipe", "pe2"))
    await catch_up(service, connection)
    told = Story(connection, config, clock)
    told.ticket = (await queries.tickets(connection))[0].id
    told.notice = (await queries.notices(connection))[0].id
    return told


async def test_a_ticket_is_told_from_opened_to_closed(story: Story) -> None:
    for step in STORY:
        detail = await story.step(step, note=f"{step} by us")
    assert [step.step for step in detail.steps] == ["opened", *STORY]
    assert [step.to_state for step in detail.steps[1:]] == STORY
    assert {step.actor for step in detail.steps[1:]} == {"wang"}
    ticket = detail.ticket
    assert ticket.crew == "crew east 2"
    assert ticket.closed_at == story.clock.now()
    assert ticket.on_site_at and ticket.made_safe_at and ticket.tested_at and ticket.revisited_at
    assert ticket.on_site_at < ticket.made_safe_at < ticket.tested_at < ticket.revisited_at
    assert await queries.tickets(story.connection) == []
    assert len(await queries.tickets(story.connection, open_only=False)) == 1
    entries = await journal.history(story.connection, subject=f"ticket:{ticket.id}")
    assert [entry.body.get("step") for entry in entries] == [None, *STORY]


WRONG: list[tuple[str, dict[str, Any], type[HubError]]] = [
    ("closed", {}, Conflict),
    ("restored", {}, Conflict),
    ("dispatched", {"role": "viewer"}, NotAllowed),
    ("dispatched", {"crew": ""}, InvalidValue),
    ("cannot_be_done", {"note": "no spare part", "role": "supervisor"}, Conflict),
    ("postponed", {"note": "later", "until": "2026-11-12T08:00:00+08:00"}, Conflict),
    ("duplicate", {"of": "T20261110-0009"}, NotAllowed),
    ("blessed", {}, InvalidValue),
]


@pytest.mark.parametrize(("step", "facts", "error"), WRONG, ids=[f"{step}-{e.__name__}" for step, _, e in WRONG])
async def test_a_step_that_is_refused_leaves_no_trace(
    story: Story, step: str, facts: dict[str, Any], error: type[HubError]
) -> None:
    before = await queries.ticket(story.connection, story.ticket)
    with pytest.raises(error):
        await story.step(step, **facts)
    assert await queries.ticket(story.connection, story.ticket) == before
    assert len(await journal.history(story.connection, subject=f"ticket:{story.ticket}")) == 1


async def test_a_false_alarm_is_closed_by_two_people(story: Story) -> None:
    await story.step("false_alarm", actor="wang", note="a barbecue")
    with pytest.raises(NotAllowed):
        await story.step("false_alarm_confirmed", actor="wang")
    detail = await story.step("false_alarm_confirmed", actor="li")
    assert (detail.ticket.state, detail.ticket.false_alarm_by) == ("false_alarm", "wang")
    assert detail.ticket.closed_at == story.clock.now()


async def test_a_postponed_ticket_says_until_when_and_goes_on(story: Story) -> None:
    await story.until("made_safe")
    detail = await story.step("postponed", note="pipe is on its way", until="2026-11-11T08:00:00+08:00")
    assert detail.ticket.postponed_until == NOW.replace(day=11, hour=0, minute=0)
    detail = await story.step("resumed")
    assert (detail.ticket.state, detail.ticket.postponed_until) == ("made_safe", None)


async def test_two_who_take_the_same_step_at_once_take_it_once(story: Story, town_dsn: str) -> None:
    async with await AsyncConnection.connect(town_dsn, autocommit=True) as other:
        outcomes = await asyncio.gather(
            *(
                actions.step(
                    connection,
                    story.ticket,
                    "dispatched",
                    actor=actor,
                    role="operator",
                    now=NOW,
                    body={"crew": actor},
                )
                for connection, actor in ((story.connection, "wang"), (other, "li"))
            ),
            return_exceptions=True,
        )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "TicketDetail"]


async def test_an_unknown_ticket_or_notice_is_not_found(story: Story) -> None:
    story.ticket = story.notice = 999
    for asked in (
        story.step("accepted"),
        story.on_notice(actions.notice_close),
        queries.ticket(story.connection, 999),
        queries.notice(story.connection, 999),
    ):
        with pytest.raises(NotFound):
            await asked


async def test_supply_is_not_restored_before_the_tightness_test(story: Story) -> None:
    await story.until("repaired")
    with pytest.raises(Conflict) as caught:
        await story.on_notice(actions.notice_restore)
    assert caught.value.allowed == ["tested"]
    await story.step("tested")
    detail = await story.on_notice(actions.notice_restore)
    assert detail.notice.state == "restored"


async def test_a_notice_is_restored_house_by_house_and_then_says_so(story: Story) -> None:
    await story.until("tested")
    detail = await story.on_notice(actions.notice_restore, service_points=["spe3"])
    assert (detail.notice.state, detail.notice.restored_count) == ("issued", 1)
    with pytest.raises(InvalidValue, match="spw1"):
        await story.on_notice(actions.notice_restore, service_points=["spe2", "spw1"])
    with pytest.raises(Conflict):
        await story.on_notice(actions.notice_close)
    detail = await story.on_notice(actions.notice_restore)
    assert (detail.notice.state, detail.notice.restored_at) == ("restored", story.clock.now())
    assert all(point.restored_at for point in detail.service_points)
    assert "恢复供气" in detail.versions[-1].text_zh
    detail = await story.on_notice(actions.notice_close)
    assert (detail.notice.state, detail.notice.closed_at) == ("closed", story.clock.now())
    entries = await journal.history(story.connection, subject=f"notice:{story.notice}")
    assert [entry.kind for entry in entries] == [
        "notice_issued",
        "notice_restored",
        "notice_restored",
        "notice_closed",
    ]
    with pytest.raises(Conflict):
        await story.on_notice(actions.notice_amend, reason="too late")


async def test_a_notice_is_extended_with_a_reason(story: Story) -> None:
    later = NOW + timedelta(hours=20)
    detail = await story.on_notice(actions.notice_amend, reason="the main lies deeper", expected_end_at=later)
    assert (detail.notice.version, detail.notice.expected_end_at) == (2, later)
    assert "the main lies deeper" in detail.versions[1].text_en
    assert detail.versions[0].expected_end_at == NOW + timedelta(hours=8, seconds=2)
    for wrong in ({"reason": " "}, {"reason": "x", "expected_end_at": NOW - timedelta(hours=1)}):
        with pytest.raises(InvalidValue):
            await story.on_notice(actions.notice_amend, **wrong)
    with pytest.raises(NotAllowed):
        await story.on_notice(actions.notice_amend, role="viewer", reason="x")


async def test_a_notice_is_withdrawn_by_a_supervisor(story: Story) -> None:
    with pytest.raises(NotAllowed):
        await story.on_notice(actions.notice_withdraw, reason="nobody is cut off")
    detail = await story.on_notice(actions.notice_withdraw, role="supervisor", reason="nobody is cut off")
    assert detail.notice.state == "withdrawn"
    assert "nobody is cut off" in detail.versions[-1].text_en
    assert await queries.notices(story.connection) == []
