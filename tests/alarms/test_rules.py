"""Stories of single conditions: at(1) this is seen, at(5) that is raised."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alarms.rules import Evaluator, Presence, Transition, conditions
from gashub.frames import concatenate, to_ms
from gashub.quality import BAD_COMM_FAILURE, HISTORICAL, Reason, Severity, quality

from .plants import T0, at, frames, plant

PLANT = plant()
RTU, METER, LOGGER = 1, 2, 3
OUTLET, SLAM, GAS = 1, 4, 6
HIGH_HIGH = 3.6 * 1.1
SLOTS = {1: [1, 4, 6], 2: [1], 3: [0], 4: [0], 5: [1]}


@pytest.fixture
def evaluator() -> Evaluator:
    return Evaluator(conditions(PLANT.rules, PLANT.registry, PLANT.zones), SLOTS)


def told(found: list[Transition]) -> list[tuple[str, bool, float]]:
    return [(t.condition.key, t.active, (t.at_ms - to_ms(T0)) / 1000) for t in found]


def outlet(evaluator: Evaluator, *samples: tuple[float, float]) -> list[tuple[str, bool, float]]:
    found = []
    for seconds, value in samples:
        found += told(evaluator.evaluate(frames((RTU, at(seconds), {OUTLET: value}))))
    return [one for one in found if one[0].startswith("outlet_pressure_high_high")]


def test_a_limit_is_raised_after_its_on_delay_and_not_before(evaluator: Evaluator) -> None:
    key = f"outlet_pressure_high_high:{RTU * 8 + OUTLET}"
    assert outlet(evaluator, (0, 3.0), (1, 5.0), (2, 5.0)) == []
    assert outlet(evaluator, (3, 5.0)) == [(key, True, 3.0)]


def test_a_dip_starts_the_on_delay_again(evaluator: Evaluator) -> None:
    assert outlet(evaluator, (1, 5.0), (2, 3.0), (3, 5.0), (4, 5.0)) == []
    assert len(outlet(evaluator, (5, 5.0))) == 1


def test_inside_the_deadband_nothing_returns(evaluator: Evaluator) -> None:
    outlet(evaluator, (1, 5.0), (3, 5.0))
    assert outlet(evaluator, *((4 + i, HIGH_HIGH - 0.1) for i in range(100))) == []
    below = HIGH_HIGH - 0.16
    returned = outlet(evaluator, *((200 + i, below) for i in range(40)))
    assert [(active, when) for _, active, when in returned] == [(False, 230.0)]


def test_a_frame_that_is_late_or_repeated_changes_nothing(evaluator: Evaluator) -> None:
    outlet(evaluator, (1, 5.0), (3, 5.0))
    assert outlet(evaluator, *((i * 0.01, 3.0) for i in range(100))) == []
    assert outlet(evaluator, *((3, 3.0) for _ in range(100))) == []


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(BAD_COMM_FAILURE, id="bad"),
        pytest.param(quality(Severity.GOOD, historical=True), id="historical"),
        pytest.param(quality(Severity.UNCERTAIN, Reason.STUCK) | HISTORICAL, id="uncertain and historical"),
    ],
)
def test_bad_or_historical_values_neither_raise_nor_clear(evaluator: Evaluator, code: int) -> None:
    for i in range(60):
        found = told(evaluator.evaluate(frames((RTU, at(i), {OUTLET: 5.0, SLAM: 1.0}), quality=code)))
        assert [one for one in found if "bad_quality" not in one[0]] == []
    outlet(evaluator, (100, 5.0), (103, 5.0))
    for i in range(200):
        found = told(evaluator.evaluate(frames((RTU, at(110 + i), {OUTLET: 3.0}), quality=code)))
        assert [one for one in found if "bad_quality" not in one[0]] == []


def test_bad_quality_has_an_alarm_of_its_own_one_for_the_block(evaluator: Evaluator) -> None:
    found = []
    for i in range(0, 40, 2):
        batch = frames((RTU, at(i), {OUTLET: np.nan, SLAM: np.nan, GAS: np.nan}), quality=BAD_COMM_FAILURE)
        found += told(evaluator.evaluate(batch))
    assert found == [(f"point_bad_quality:{RTU * 8 + OUTLET}", True, 30.0)]


def test_a_state_is_raised_at_once(evaluator: Evaluator) -> None:
    found = told(evaluator.evaluate(frames((RTU, at(1), {SLAM: 1.0}))))
    assert found == [(f"slam_shut_closed:{RTU * 8 + SLAM}", True, 1.0)]
    assert told(evaluator.evaluate(frames((RTU, at(3), {SLAM: 0.0})))) == [
        (f"slam_shut_closed:{RTU * 8 + SLAM}", False, 3.0)
    ]


def test_a_fast_fall_is_raised_and_a_slow_one_to_the_same_pressure_is_not(evaluator: Evaluator) -> None:
    def falls(block: int, per_s: float) -> list[str]:
        found = []
        for i in range(0, 120, 2):
            found += evaluator.evaluate(frames((block, at(i), {0: max(3.0 - per_s * i, 2.2)})))
        return [t.condition.key for t in found if t.active and t.condition.rule.id == "pressure_fall_rate"]

    assert falls(LOGGER, 0.1) == [f"pressure_fall_rate:{LOGGER * 8}"]
    assert falls(LOGGER + 1, 0.01) == []


def test_one_batch_or_many_in_any_order_of_blocks_give_the_same(evaluator: Evaluator) -> None:
    samples = [frames((b, at(i), {0: v, OUTLET: v})) for i, v in enumerate([3.0, 5.0, 5.0, 5.0]) for b in (3, 1, 4)]
    whole = told(evaluator.evaluate(concatenate(samples)))
    again = Evaluator(conditions(PLANT.rules, PLANT.registry, PLANT.zones), SLOTS)
    single = [one for sample in samples for one in told(again.evaluate(sample))]
    assert sorted(whole) == sorted(single)
    assert whole


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0.1, 60), st.floats(2.0 * 0.95 + 0.001, 3.6 * 1.02 - 0.001, allow_nan=False)),
        min_size=1,
        max_size=60,
    )
)
def test_a_pressure_that_never_crosses_its_limits_never_alarms(steps: list[tuple[float, float]]) -> None:
    evaluator = Evaluator(
        [c for c in conditions(PLANT.rules, PLANT.registry, PLANT.zones) if c.rule.id != "pressure_fall_rate"], SLOTS
    )
    moment = T0
    for gap, value in steps:
        moment += timedelta(seconds=gap)
        assert evaluator.evaluate(frames((RTU, moment, {OUTLET: value}), (LOGGER, moment, {0: value}))) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 60), st.floats(0, 8)), min_size=1, max_size=60))
def test_a_condition_comes_and_goes_in_turn(steps: list[tuple[float, float]]) -> None:
    evaluator = Evaluator(conditions(PLANT.rules, PLANT.registry, PLANT.zones), SLOTS)
    state: dict[str, bool] = {}
    moment = T0
    for gap, value in steps:
        moment += timedelta(seconds=gap)
        for transition in evaluator.evaluate(frames((RTU, moment, {OUTLET: value}))):
            assert transition.active != state.get(transition.condition.key, False)
            state[transition.condition.key] = transition.active


class TestPresence:
    def presence(self) -> Presence:
        found = conditions(PLANT.rules, PLANT.registry, PLANT.zones)
        return Presence(found, {block.id: block.scan_s for block in PLANT.registry.blocks}, started_s=0.0)

    def keys(self, presence: Presence, now_s: float) -> list[tuple[str, bool]]:
        return [(t.condition.key, t.active) for t in presence.tick(now_s, 0)]

    def test_a_block_not_heard_of_for_its_scans_is_stale_until_it_is_heard_again(self) -> None:
        presence = self.presence()
        for now in range(0, 60, 2):
            presence.heard(frames(*((b, at(now), {0: 1.0, 1: 1.0}) for b in (1, 2, 4, 5))), float(now))
            if now < 30:
                assert self.keys(presence, now) == []
        assert self.keys(presence, 60) == [("point_stale:24", True)]
        presence.heard(frames((3, at(61), {0: 1.0})), 61.0)
        assert self.keys(presence, 62) == [("point_stale:24", False)]

    def test_a_spool_that_empties_itself_does_not_count_as_hearing(self) -> None:
        presence = self.presence()
        presence.heard(frames(*((b, at(20), {0: 1.0}) for b in range(1, 6)), quality=0xC0 | HISTORICAL), 29.0)
        assert len(self.keys(presence, 31)) == 5

    def test_an_offline_gateway_is_one_alarm_and_not_one_per_device(self) -> None:
        presence = self.presence()
        presence.gateway("gw-z1", online=False, now_s=5.0)
        assert self.keys(presence, 19) == []
        assert self.keys(presence, 20) == [("gateway_offline:gw-z1", True)]
        assert self.keys(presence, 500) == []
        presence.gateway("gw-z1", online=True, now_s=501.0)
        assert self.keys(presence, 502) == [("gateway_offline:gw-z1", False)]
