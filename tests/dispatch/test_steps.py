"""The ticket machine: what leads where, who may, and what must be told; as tables and as laws."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.steps import RULES, Need, Standing, State, Step, allowed, apply
from gashub.errors import Conflict, InvalidValue, NotAllowed
from gashub.roles import Role

TOLD: dict[str, Any] = {
    Need.CREW: "crew 3",
    Need.UNTIL: "2026-11-11T08:00:00+08:00",
    Need.OF: "T20261110-0001",
    Need.PASSED: True,
    Need.SATISFIED: True,
}
LINE = [
    Step.DISPATCHED,
    Step.ACCEPTED,
    Step.ON_THE_WAY,
    Step.ON_SITE,
    Step.MADE_SAFE,
    Step.REPAIRED,
    Step.TESTED,
    Step.RESTORED,
    Step.REVISITED,
    Step.CLOSED,
]
OPENED = Standing(state=State.OPENED, emergency=True)


def take(standing: Standing, *steps: Step, actor: str = "wang", role: Role = Role.SUPERVISOR) -> Standing:
    for step in steps:
        standing = apply(standing, step, actor=actor, role=role, note="as seen", body=TOLD)
    return standing


def test_the_line_leads_from_opened_to_closed() -> None:
    standing = OPENED
    for step in LINE:
        standing = take(standing, step, role=Role.OPERATOR)
        assert standing.state == step
    assert standing.state.is_final


@pytest.mark.parametrize("done", range(len(LINE) - 1))
def test_no_step_of_the_line_can_be_left_out(done: int) -> None:
    standing = take(OPENED, *LINE[:done])
    for later in LINE[done + 1 :]:
        with pytest.raises(Conflict) as caught:
            take(standing, later)
        assert LINE[done] in caught.value.allowed


def test_an_emergency_is_not_closed_before_its_revisit_and_other_work_may_be() -> None:
    restored = LINE[: LINE.index(Step.REVISITED)]
    with pytest.raises(Conflict):
        take(OPENED, *restored, Step.CLOSED)
    ordinary = Standing(state=State.OPENED, emergency=False)
    assert take(ordinary, *restored, Step.CLOSED).state is State.CLOSED


@pytest.mark.parametrize("step", [Step.POSTPONED, Step.CANNOT_BE_DONE])
@pytest.mark.parametrize("done", range(LINE.index(Step.MADE_SAFE)))
def test_an_emergency_is_not_put_off_before_it_is_safe(step: Step, done: int) -> None:
    with pytest.raises(Conflict):
        take(OPENED, *LINE[:done], step)
    assert take(Standing(state=State.OPENED, emergency=False), *LINE[:done], step).state == step


def test_postponed_work_goes_on_where_it_stood() -> None:
    safe = take(OPENED, *LINE[: LINE.index(Step.REPAIRED)])
    assert take(safe, Step.POSTPONED, Step.RESUMED) == safe


def test_a_failed_test_means_repairing_again() -> None:
    repaired = take(OPENED, *LINE[: LINE.index(Step.TESTED)])
    failed = take(repaired, Step.TEST_FAILED)
    assert failed.state is State.MADE_SAFE
    with pytest.raises(Conflict):
        take(failed, Step.TESTED)
    assert take(failed, Step.REPAIRED, Step.TESTED).state is State.TESTED


def test_a_false_alarm_needs_a_second_person() -> None:
    proposed = take(OPENED, Step.FALSE_ALARM, actor="wang")
    assert proposed.state is State.FALSE_ALARM_PROPOSED
    with pytest.raises(NotAllowed, match="second person"):
        take(proposed, Step.FALSE_ALARM_CONFIRMED, actor="wang")
    assert Step.FALSE_ALARM_CONFIRMED not in allowed(proposed, Role.SUPERVISOR, actor="wang")
    assert Step.FALSE_ALARM_CONFIRMED in allowed(proposed, Role.OPERATOR, actor="li")
    confirmed = take(proposed, Step.FALSE_ALARM_CONFIRMED, actor="li")
    assert (confirmed.state, confirmed.false_alarm_by) == (State.FALSE_ALARM, "wang")


def test_a_rejected_false_alarm_goes_on_where_it_stood() -> None:
    on_site = take(OPENED, *LINE[: LINE.index(Step.MADE_SAFE)])
    assert take(on_site, Step.FALSE_ALARM, Step.FALSE_ALARM_REJECTED) == on_site


def test_a_false_alarm_rejected_after_a_postponement_goes_on_where_that_stood() -> None:
    safe = take(OPENED, *LINE[: LINE.index(Step.REPAIRED)])
    assert take(safe, Step.POSTPONED, Step.FALSE_ALARM, Step.FALSE_ALARM_REJECTED) == safe


def test_another_crew_that_has_still_to_come_starts_again_and_one_on_site_does_not() -> None:
    assert take(OPENED, *LINE[:3], Step.REASSIGNED).state is State.DISPATCHED
    assert take(OPENED, *LINE[:5], Step.REASSIGNED).state is State.MADE_SAFE


@pytest.mark.parametrize(("step", "rule"), RULES.items(), ids=str)
def test_a_step_is_refused_to_a_lesser_role(step: Step, rule: Any) -> None:
    state = next(iter(rule.ways))
    standing = Standing(state=state, emergency=False, held_from=State.MADE_SAFE, false_alarm_by="li")
    lesser = list(Role)[list(Role).index(rule.role) - 1]
    with pytest.raises(NotAllowed):
        take(standing, step, role=lesser)
    take(standing, step, role=rule.role)


@pytest.mark.parametrize(
    ("step", "missing"), [(step, need) for step, rule in RULES.items() for need in rule.needs], ids=str
)
@pytest.mark.parametrize("value", [None, "", " ", 7, False, "2026-11-11T08:00:00", "x" * 5000], ids=repr)
def test_a_step_that_does_not_tell_what_it_must_is_refused(step: Step, missing: Need, value: Any) -> None:
    if missing is Need.SATISFIED and value is False:
        return
    if missing is Need.OF or missing is Need.CREW or missing is Need.NOTE:
        value = None if value == "2026-11-11T08:00:00" else value
    standing = Standing(
        state=next(iter(RULES[step].ways)), emergency=False, held_from=State.MADE_SAFE, false_alarm_by="li"
    )
    note = (value if isinstance(value, str) else "") if missing is Need.NOTE else "as seen"
    with pytest.raises(InvalidValue, match=missing):
        apply(standing, step, actor="wang", role=Role.SUPERVISOR, note=note, body={**TOLD, missing: value})


standings = st.builds(
    Standing,
    state=st.sampled_from(State),
    emergency=st.booleans(),
    held_from=st.just(State.MADE_SAFE),
    false_alarm_by=st.sampled_from(["wang", "li"]),
)
people = st.sampled_from(["wang", "li"])


@given(standings, st.sampled_from(Step), st.sampled_from(Role), people)
def test_what_is_allowed_is_exactly_what_can_be_applied(standing: Standing, step: Step, role: Role, actor: str) -> None:
    try:
        take(standing, step, role=role, actor=actor)
        possible = True
    except (Conflict, NotAllowed):
        possible = False
    assert possible == (step in allowed(standing, role, actor=actor))


@given(standings, st.sampled_from(Step))
def test_a_finished_ticket_stays_as_it_is(standing: Standing, step: Step) -> None:
    if standing.state.is_final:
        with pytest.raises(Conflict):
            take(standing, step)


@given(st.booleans(), st.data())
def test_whatever_is_done_a_closed_ticket_was_made_safe_tested_and_if_an_emergency_revisited(
    emergency: bool, data: st.DataObject
) -> None:
    standing, taken = Standing(state=State.OPENED, emergency=emergency), []
    for _ in range(40):
        choices = allowed(standing, Role.SUPERVISOR, actor=(actor := data.draw(people)))
        if not choices:
            break
        step = data.draw(st.sampled_from(choices))
        standing = take(standing, step, actor=actor)
        taken.append(step)
    if standing.state is State.CLOSED:
        assert Step.MADE_SAFE in taken
        last_test = max(i for i, step in enumerate(taken) if step is Step.TESTED)
        assert Step.TEST_FAILED not in taken[last_test:]
        assert not emergency or Step.REVISITED in taken[last_test:]


@given(st.booleans(), st.data())
def test_an_unfinished_ticket_always_has_a_way_on_for_somebody(emergency: bool, data: st.DataObject) -> None:
    standing = Standing(state=State.OPENED, emergency=emergency)
    for _ in range(25):
        if standing.state.is_final:
            return
        actor = data.draw(people)
        other = "li" if actor == "wang" else "wang"
        if not allowed(standing, Role.OPERATOR, actor=actor):
            actor = other
        choices = allowed(standing, Role.OPERATOR, actor=actor)
        assert choices
        standing = take(standing, data.draw(st.sampled_from(choices)), actor=actor)
