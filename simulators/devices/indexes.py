"""What meters have counted, kept while the simulator is off: a counter that went back would be a fault.

Meters go on counting while nobody simulates them, at the flow they had, for a day at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from gashub.errors import ConfigurationError
from gashub.plant import read_json, write_json

INDEXES_FILE: Final = "indexes.json"
_LONGEST_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexes:
    """Every counter at one moment: its value [m³] and the flow it counted at [m³/h], by point tag."""

    seed: int
    at: datetime
    volume_m3: Mapping[str, float]
    flow_m3h: Mapping[str, float]

    def at_start(self, now: datetime) -> dict[str, float]:
        """What each counter shows when the simulation begins anew at `now` [m³]."""
        away_h = min(max((now - self.at).total_seconds(), 0.0), _LONGEST_S) / 3600
        return {tag: value + away_h * self.flow_m3h.get(tag, 0.0) for tag, value in self.volume_m3.items()}


def save(plant: Path, indexes: Indexes) -> None:
    """Replace the plant's kept counters as a whole."""
    draft = plant / f".{INDEXES_FILE}"
    write_json(draft, indexes)
    draft.replace(plant / INDEXES_FILE)


def kept(plant: Path, *, seed: int) -> Indexes | None:
    """The counters kept from the last run of this seed; None if there are none that can be read."""
    if not (plant / INDEXES_FILE).is_file():
        return None
    try:
        indexes = read_json(plant / INDEXES_FILE, Indexes)
    except ConfigurationError:
        # Written by another version, or by hand: the meters begin anew, as in a new town.
        return None
    return indexes if indexes.seed == seed and indexes.at.tzinfo is not None else None
