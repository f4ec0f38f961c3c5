"""From a fault in the town's pipes to the right alarm, one incident, one ticket and the right notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.exercise import Outcome, play
from simulators.scenario import find

CASES = {
    "leak-on-main": {"ticket": 1, "notice": 1},
    "rupture": {"ticket": 1, "notice": 1},
    "regulator-fails-open": {"ticket": 1, "notice": 0},
    "slam-shut-closes": {"ticket": 1, "notice": 1},
}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CASES)
def test_a_fault_becomes_one_ticket_and_the_right_notice(name: str, tmp_path: Path) -> None:
    outcome: Outcome = play(find(name), source=name, data_dir=tmp_path, speed=15, seed=1, quiet=True)
    assert outcome.problems == []
    assert outcome.incidents == 1
    assert outcome.tickets == CASES[name]["ticket"]
    assert outcome.notices == CASES[name]["notice"]
