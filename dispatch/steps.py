"""The life of a repair ticket: which step leads where, who may take it, and what it must record.

    opened - dispatched - accepted - on_the_way - on_site - made_safe - repaired - tested - restored - revisited
        - closed

    aside:  reassigned          another crew; one that is on its way starts again at dispatched
            postponed, resumed  back to where it stood; an emergency only once it is safe
            test_failed         back to made_safe: the repair has to be done again
    ends:   cannot_be_done      with the reason; an emergency only once it is safe
            duplicate           of another ticket
            false_alarm         proposed by one person, confirmed (or rejected) by another

A step is named by what has been done, which for most is also the state it leads to. Everything stands in `RULES`;
`apply` is the only way from one standing to the next, so a ticket cannot be closed before its tightness test passed,
nor an emergency before its revisit: there is no such way in the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from gashub.errors import Conflict, InvalidValue, NotAllowed
from gashub.roles import Role

NOTE_LIMIT: Final = 4_000
TEXT_LIMIT: Final = 200


class State(StrEnum):
    """Where a ticket stands."""

    OPENED = "opened"
    DISPATCHED = "dispatched"
    ACCEPTED = "accepted"
    ON_THE_WAY = "on_the_way"
    ON_SITE = "on_site"
    MADE_SAFE = "made_safe"
    REPAIRED = "repaired"
    TESTED = "tested"
    RESTORED = "restored"
    REVISITED = "revisited"
    CLOSED = "closed"
    POSTPONED = "postponed"
    CANNOT_BE_DONE = "cannot_be_done"
    DUPLICATE = "duplicate"
    FALSE_ALARM_PROPOSED = "false_alarm_proposed"
    FALSE_ALARM = "false_alarm"

    @property
    def is_final(self) -> bool:
        """Whether nothing more can happen to the ticket."""
        return self in _FINAL


_FINAL: Final = frozenset({State.CLOSED, State.CANNOT_BE_DONE, State.DUPLICATE, State.FALSE_ALARM})


class Step(StrEnum):
    """What somebody did with a ticket."""

    DISPATCHED = "dispatched"
    ACCEPTED = "accepted"
    ON_THE_WAY = "on_the_way"
    ON_SITE = "on_site"
    MADE_SAFE = "made_safe"
    REPAIRED = "repaired"
    TESTED = "tested"
    TEST_FAILED = "test_failed"
    RESTORED = "restored"
    REVISITED = "revisited"
    CLOSED = "closed"
    REASSIGNED = "reassigned"
    POSTPONED = "postponed"
    RESUMED = "resumed"
    CANNOT_BE_DONE = "cannot_be_done"
    DUPLICATE = "duplicate"
    FALSE_ALARM = "false_alarm"
    FALSE_ALARM_CONFIRMED = "false_alarm_confirmed"
    FALSE_ALARM_REJECTED = "false_alarm_rejected"


class Need(StrEnum):
    """What a step must be told, by its name in the step's body (`note` is the step's own)."""

    NOTE = "note"
    CREW = "crew"
    UNTIL = "until"
    OF = "of"
    PASSED = "passed"
    SATISFIED = "satisfied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one step is taken: from where to where (None: back to where the ticket was held), by whom, with what."""

    ways: Mapping[State, State | None]
    role: Role = Role.OPERATOR
    needs: tuple[Need, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the machine must know of a ticket to judge its next step."""

    state: State
    emergency: bool
    held_from: State | None = None
    false_alarm_by: str | None = None


_LINE: Final = list(State)[: list(State).index(State.CLOSED) + 1]
_UNSAFE: Final = frozenset(_LINE[: _LINE.index(State.MADE_SAFE)])
_BEFORE_TEST: Final = _LINE[: _LINE.index(State.TESTED)]


def _on(state: State, **extra: Any) -> Rule:
    """The rule of an ordinary step: from the state before it on the line."""
    return Rule(ways={_LINE[_LINE.index(state) - 1]: state}, **extra)


RULES: Final[Mapping[Step, Rule]] = {
    Step.DISPATCHED: _on(State.DISPATCHED, needs=(Need.CREW,)),
    Step.ACCEPTED: _on(State.ACCEPTED),
    Step.ON_THE_WAY: _on(State.ON_THE_WAY),
    Step.ON_SITE: _on(State.ON_SITE),
    Step.MADE_SAFE: _on(State.MADE_SAFE),
    Step.REPAIRED: _on(State.REPAIRED),
    Step.TESTED: _on(State.TESTED, needs=(Need.PASSED,)),
    Step.TEST_FAILED: Rule(ways={State.REPAIRED: State.MADE_SAFE}, needs=(Need.NOTE,)),
    Step.RESTORED: _on(State.RESTORED),
    Step.REVISITED: _on(State.REVISITED, needs=(Need.SATISFIED,)),
    Step.CLOSED: Rule(ways={State.RESTORED: State.CLOSED, State.REVISITED: State.CLOSED}),
    Step.REASSIGNED: Rule(
        ways={
            State.DISPATCHED: State.DISPATCHED,
            State.ACCEPTED: State.DISPATCHED,
            State.ON_THE_WAY: State.DISPATCHED,
            State.ON_SITE: State.ON_SITE,
            State.MADE_SAFE: State.MADE_SAFE,
            State.REPAIRED: State.REPAIRED,
        },
        needs=(Need.CREW, Need.NOTE),
    ),
    Step.POSTPONED: Rule(ways=dict.fromkeys(_BEFORE_TEST, State.POSTPONED), needs=(Need.UNTIL, Need.NOTE)),
    Step.RESUMED: Rule(ways={State.POSTPONED: None}),
    Step.CANNOT_BE_DONE: Rule(
        ways=dict.fromkeys(_BEFORE_TEST, State.CANNOT_BE_DONE), role=Role.SUPERVISOR, needs=(Need.NOTE,)
    ),
    Step.DUPLICATE: Rule(ways=dict.fromkeys(_BEFORE_TEST, State.DUPLICATE), role=Role.SUPERVISOR, needs=(Need.OF,)),
    Step.FALSE_ALARM: Rule(
        ways=dict.fromkeys([*_BEFORE_TEST[:-1], State.POSTPONED], State.FALSE_ALARM_PROPOSED), needs=(Need.NOTE,)
    ),
    Step.FALSE_ALARM_CONFIRMED: Rule(ways={State.FALSE_ALARM_PROPOSED: State.FALSE_ALARM}),
    Step.FALSE_ALARM_REJECTED: Rule(ways={State.FALSE_ALARM_PROPOSED: None}, needs=(Need.NOTE,)),
}
_HOLDING: Final = frozenset({Step.POSTPONED, Step.FALSE_ALARM})
_ONLY_ONCE_SAFE: Final = frozenset({Step.POSTPONED, Step.CANNOT_BE_DONE})


def allowed(standing: Standing, role: Role, *, actor: str | None = None) -> list[Step]:
    """The steps that `role` may take now; with `actor`, without those that need somebody else."""
    return [
        step
        for step, rule in RULES.items()
        if role.is_at_least(rule.role)
        and _is_possible(standing, step)
        and not (actor is not None and _needs_second_person(standing, step, actor))
    ]


def apply(
    standing: Standing, step: Step, *, actor: str, role: Role, note: str = "", body: Mapping[str, Any]
) -> Standing:
    """The ticket after `step`.

    Raises NotAllowed for the wrong role or the same person twice, Conflict where the step is not possible now, and
    InvalidValue where the step does not record what it must.
    """
    rule = RULES[step]
    if not role.is_at_least(rule.role):
        raise NotAllowed(f"step {step}", f"role {rule.role}")
    if not _is_possible(standing, step):
        raise Conflict(f"step {step}", standing.state, [str(other) for other in allowed(standing, role, actor=actor)])
    if _needs_second_person(standing, step, actor):
        raise NotAllowed(f"step {step}", f"a second person: {actor} proposed it")
    _check_told(rule, note, body)
    return _moved(standing, step, rule, actor)


def _is_possible(standing: Standing, step: Step) -> bool:
    if standing.state not in RULES[step].ways:
        return False
    if not standing.emergency:
        return True
    if step is Step.CLOSED:
        return standing.state is State.REVISITED
    return not (step in _ONLY_ONCE_SAFE and standing.state in _UNSAFE)


def _needs_second_person(standing: Standing, step: Step, actor: str) -> bool:
    return step is Step.FALSE_ALARM_CONFIRMED and actor == standing.false_alarm_by


def _moved(standing: Standing, step: Step, rule: Rule, actor: str) -> Standing:
    target = rule.ways[standing.state]
    if target is None:
        assert standing.held_from is not None
        return replace(standing, state=standing.held_from, held_from=None, false_alarm_by=None)
    if step in _HOLDING:
        # A postponed ticket that is then called a false alarm goes back, if rejected, to where it was postponed from.
        held_from = standing.held_from or standing.state
        return replace(
            standing, state=target, held_from=held_from, false_alarm_by=actor if step is Step.FALSE_ALARM else None
        )
    return replace(standing, state=target)


def _check_told(rule: Rule, note: str, body: Mapping[str, Any]) -> None:
    if len(note) > NOTE_LIMIT:
        raise InvalidValue(f"note: {len(note)} characters, at most {NOTE_LIMIT}")
    for need in rule.needs:
        value = note if need is Need.NOTE else body.get(need)
        if problem := _problem(need, value):
            raise InvalidValue(f"{need}: {problem}")


def _problem(need: Need, value: object) -> str | None:
    """What is wrong with what a step was told, or None."""
    match need:
        case Need.NOTE | Need.CREW | Need.OF:
            limit = NOTE_LIMIT if need is Need.NOTE else TEXT_LIMIT
            good = isinstance(value, str) and 0 < len(value.strip()) <= limit
            return None if good else f"needs a text of 1 to {limit} characters"
        case Need.PASSED:
            return None if value is True else "needs true; a test that was not passed is the step test_failed"
        case Need.SATISFIED:
            return None if isinstance(value, bool) else "needs true or false: whether the customer was satisfied"
        case Need.UNTIL:
            return None if _moment(value) else "needs a time with its zone, e.g. 2026-11-10T08:00:00+08:00"


def _moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
