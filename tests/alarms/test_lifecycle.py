"""The alarm's life against the table of ISA-18.2."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarms.lifecycle import Event, Standing, State, closed, step

UNTIL = datetime(2026, 11, 11, tzinfo=UTC)

OF: dict[State, Standing] = {
    State.NORMAL: Standing(),
    State.UNACKNOWLEDGED: Standing(active=True, acknowledged=False),
    State.ACKNOWLEDGED: Standing(active=True, acknowledged=True),
    State.RETURNED_UNACKNOWLEDGED: Standing(active=False, acknowledged=False),
}

STANDARD = [
    (State.NORMAL, Event.RAISE, State.UNACKNOWLEDGED),
    (State.NORMAL, Event.RETURN, None),
    (State.NORMAL, Event.ACKNOWLEDGE, None),
    (State.NORMAL, Event.SHELVE, None),
    (State.UNACKNOWLEDGED, Event.RAISE, None),
    (State.UNACKNOWLEDGED, Event.RETURN, State.RETURNED_UNACKNOWLEDGED),
    (State.UNACKNOWLEDGED, Event.ACKNOWLEDGE, State.ACKNOWLEDGED),
    (State.UNACKNOWLEDGED, Event.SHELVE, State.SHELVED),
    (State.ACKNOWLEDGED, Event.RAISE, None),
    (State.ACKNOWLEDGED, Event.RETURN, State.NORMAL),
    (State.ACKNOWLEDGED, Event.ACKNOWLEDGE, None),
    (State.ACKNOWLEDGED, Event.SHELVE, State.SHELVED),
    (State.RETURNED_UNACKNOWLEDGED, Event.RAISE, State.UNACKNOWLEDGED),
    (State.RETURNED_UNACKNOWLEDGED, Event.RETURN, None),
    (State.RETURNED_UNACKNOWLEDGED, Event.ACKNOWLEDGE, State.NORMAL),
    (State.RETURNED_UNACKNOWLEDGED, Event.SHELVE, State.SHELVED),
]


@pytest.mark.parametrize(("before", "event", "after"), STANDARD, ids=[f"{s} + {e}" for s, e, _ in STANDARD])
def test_each_step_is_the_standards(before: State, event: Event, after: State | None) -> None:
    result = step(OF[before], event, until=UNTIL)
    assert (result.state if result else None) is after


@pytest.mark.parametrize(
    ("active", "after"), [(True, State.UNACKNOWLEDGED), (False, State.NORMAL)], ids=["still there", "gone"]
)
def test_a_shelf_that_ends_announces_what_is_still_there_and_closes_what_has_gone(active: bool, after: State) -> None:
    shelved = Standing(active=active, acknowledged=True, shelved_until=UNTIL)
    result = step(shelved, Event.UNSHELVE)
    assert result is not None
    assert result.state is after


def test_a_shelved_alarm_follows_its_process_silently() -> None:
    shelved = step(OF[State.UNACKNOWLEDGED], Event.SHELVE, until=UNTIL)
    assert shelved is not None
    gone = step(shelved, Event.RETURN)
    assert gone is not None
    assert (gone.state, gone.active) == (State.SHELVED, False)
    back = step(gone, Event.RAISE)
    assert back is not None
    assert (back.state, back.active) == (State.SHELVED, True)
    assert step(back, Event.ACKNOWLEDGE) is None


@given(st.lists(st.sampled_from(list(Event)), max_size=30))
def test_no_alarm_closes_unseen_unless_it_was_shelved(events: list[Event]) -> None:
    standing, seen = Standing(), True
    for event in events:
        after = step(standing, event, until=UNTIL)
        if after is None:
            continue
        if event is Event.RAISE and not standing.active:
            seen = standing.state is State.SHELVED
        seen = seen or event in (Event.ACKNOWLEDGE, Event.SHELVE)
        standing = after
        if closed(standing):
            assert seen
