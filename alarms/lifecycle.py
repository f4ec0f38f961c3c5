"""The life of one alarm, after ISA-18.2 / IEC 62682, as a table.

                       raise                    acknowledge
    NORMAL ─────────────────► UNACKNOWLEDGED ───────────────► ACKNOWLEDGED
       ▲                        │        ▲                         │
       │ acknowledge     return ▼        │ raise            return │
       ├──────────── RETURNED_UNACKNOWLEDGED                       │
       └───────────────────────────────────────────────────────────┘

Any standing alarm can be shelved, with an end and a reason. While shelved it follows its process silently; when the
shelf ends, an alarm that is still there is announced anew and one that has gone is closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where an alarm stands."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED_UNACKNOWLEDGED = "returned_unacknowledged"
    SHELVED = "shelved"


class Event(StrEnum):
    """What can happen to an alarm."""

    RAISE = "raise"
    RETURN = "return"
    ACKNOWLEDGE = "acknowledge"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The facts a state is read from: is the process abnormal, has somebody seen it, until when is it shelved."""

    active: bool = False
    acknowledged: bool = True
    shelved_until: datetime | None = None

    @property
    def state(self) -> State:
        """The state these facts mean."""
        if self.shelved_until is not None:
            return State.SHELVED
        return _STATE[self.active, self.acknowledged]


_STATE: Final[Mapping[tuple[bool, bool], State]] = {
    (False, True): State.NORMAL,
    (True, False): State.UNACKNOWLEDGED,
    (True, True): State.ACKNOWLEDGED,
    (False, False): State.RETURNED_UNACKNOWLEDGED,
}

TABLE: Final[Mapping[tuple[State, Event], State]] = {
    (State.NORMAL, Event.RAISE): State.UNACKNOWLEDGED,
    (State.UNACKNOWLEDGED, Event.RETURN): State.RETURNED_UNACKNOWLEDGED,
    (State.UNACKNOWLEDGED, Event.ACKNOWLEDGE): State.ACKNOWLEDGED,
    (State.UNACKNOWLEDGED, Event.SHELVE): State.SHELVED,
    (State.ACKNOWLEDGED, Event.RETURN): State.NORMAL,
    (State.ACKNOWLEDGED, Event.SHELVE): State.SHELVED,
    (State.RETURNED_UNACKNOWLEDGED, Event.RAISE): State.UNACKNOWLEDGED,
    (State.RETURNED_UNACKNOWLEDGED, Event.ACKNOWLEDGE): State.NORMAL,
    (State.RETURNED_UNACKNOWLEDGED, Event.SHELVE): State.SHELVED,
    (State.SHELVED, Event.RAISE): State.SHELVED,
    (State.SHELVED, Event.RETURN): State.SHELVED,
}
"""Every step but unshelving, whose outcome depends on the process."""


def step(standing: Standing, event: Event, *, until: datetime | None = None) -> Standing | None:
    """The facts after `event`; None if the event means nothing in this state. Shelving needs `until`."""
    if event is Event.UNSHELVE:
        if standing.shelved_until is None:
            return None
        return Standing(active=standing.active, acknowledged=not standing.active)
    if (standing.state, event) not in TABLE:
        return None
    match event:
        case Event.RAISE:
            return replace(standing, active=True, acknowledged=False) if not standing.active else None
        case Event.RETURN:
            return replace(standing, active=False) if standing.active else None
        case Event.ACKNOWLEDGE:
            return replace(standing, acknowledged=True)
        case Event.SHELVE:
            return replace(standing, shelved_until=until)


def closed(standing: Standing) -> bool:
    """True once nothing is left to see or do: the alarm's row ends here."""
    return standing.state is State.NORMAL
