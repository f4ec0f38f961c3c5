"""Who is asked when: on a grid without drift, and silent units at a bounded cost."""

from __future__ import annotations

import itertools
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.schedule import BACKOFF_LIMIT_S, SILENT_SHARE, Schedule


class Story:
    """A line through time: an answer takes `answer_s`, a silent unit `timeout_s`."""

    def __init__(
        self, periods: list[float], silent: set[int], *, timeout_s: float = 1.0, answer_s: float = 0.01
    ) -> None:
        self.now_s = 1000.0
        self.silent = silent
        self.timeout_s, self.answer_s = timeout_s, answer_s
        self.asked: list[tuple[float, int]] = []
        self.schedule = Schedule(periods, timeout_s=timeout_s, start_s=self.now_s, rng=Random(7))

    def until(self, end_s: float) -> Story:
        while (due := self.schedule.next_s) < end_s:
            self.now_s = max(self.now_s, due)
            unit = self.schedule.take()
            self.asked.append((self.now_s, unit))
            if unit in self.silent:
                self.now_s += self.timeout_s
                self.schedule.unanswered(unit, self.now_s)
            else:
                self.now_s += self.answer_s
                self.schedule.answered(unit, self.now_s)
        return self

    def times(self, unit: int) -> list[float]:
        return [at for at, asked in self.asked if asked == unit]


def test_every_unit_is_asked_once_a_period_without_drift() -> None:
    story = Story([2.0, 2.0, 5.0], set()).until(1000 + 3600)
    assert Counter(unit for _, unit in story.asked) == {0: 1800, 1: 1800, 2: 720}
    times = story.times(0)
    assert all(abs(at - times[0] - 2.0 * k) < 0.1 for k, at in enumerate(times))


def test_first_turns_are_spread_over_the_period() -> None:
    story = Story([10.0] * 100, set()).until(1010)
    per_second = Counter(int(at) for at, _ in story.asked)
    assert len(story.asked) == 100
    assert max(per_second.values()) <= 12


@given(units=st.integers(2, 60), silent=st.integers(1, 30), timeout_s=st.floats(0.1, 3))
def test_silent_units_cost_their_line_a_bounded_share(units: int, silent: int, timeout_s: float) -> None:
    silent = min(silent, units - 1)
    story = Story([5.0] * units, set(range(silent)), timeout_s=timeout_s, answer_s=0.001).until(1600)
    settled = [at for at, unit in story.asked if unit < silent and at > 1300]
    assert len(settled) * timeout_s <= 1.5 * SILENT_SHARE * 300 + silent * timeout_s


def test_ten_silent_of_a_hundred_do_not_slow_the_others() -> None:
    story = Story([2.0] * 100, set(range(0, 100, 10)), timeout_s=0.5, answer_s=0.005).until(1600)
    times = [at for at in story.times(55) if at > 1100]
    steps = sorted(b - a for a, b in itertools.pairwise(times))
    assert steps[len(steps) // 2] == pytest.approx(2.0, abs=0.2)
    assert len(times) >= 245


def test_a_unit_that_answers_again_is_back_on_its_grid_at_once() -> None:
    story = Story([2.0, 2.0], {1}).until(1300)
    story.silent.clear()
    story.until(1400)
    times = [at for at in story.times(1) if at > 1300]
    assert times[0] <= 1300 + 1.2 * BACKOFF_LIMIT_S
    assert all(b - a == pytest.approx(2.0, abs=0.1) for a, b in itertools.pairwise(times[1:]))


def test_turns_that_were_missed_are_left_out_and_counted() -> None:
    schedule = Schedule([1.0], timeout_s=1.0, start_s=0.0, rng=Random(1))
    first_s = schedule.next_s
    schedule.take()
    schedule.answered(0, first_s + 3.5)
    assert schedule.next_s == pytest.approx(first_s + 4)
    assert schedule.missed == 3


def test_a_line_that_is_down_keeps_everyones_turn() -> None:
    schedule = Schedule([2.0], timeout_s=1.0, start_s=0.0, rng=Random(1))
    first_s = schedule.next_s
    for turn in range(5):
        assert schedule.next_s == pytest.approx(first_s + 2 * turn)
        schedule.passed(schedule.take(), first_s + 2 * turn)
    assert schedule.silent == 0


def test_when_a_line_comes_back_nobody_waits_for_the_end_of_the_back_off() -> None:
    story = Story([2.0] * 20, set(range(20))).until(1600)
    story.schedule.recall(story.now_s)
    assert all(due <= story.now_s + 2.0 for due, _ in story.schedule._turns)
