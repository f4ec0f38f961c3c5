"""When a batch is closed."""

from __future__ import annotations

import pytest

from gashub.errors import InvalidValue
from ingest.batching import BYTES_A_ROW, Limits, Pile


def pile(*, rows: int = 100, age_s: float = 1.0, window: int = 20) -> Pile[str]:
    return Pile(Limits(rows=rows, age_s=age_s, window=window))


def test_an_empty_pile_is_never_due() -> None:
    assert pile().due_in_s(99.0) is None


def test_a_batch_is_due_when_its_oldest_message_is_old_enough() -> None:
    waiting = pile(age_s=1.0)
    waiting.add("a", 10, 5.0)
    waiting.add("b", 10, 5.9)
    assert waiting.due_in_s(5.25) == pytest.approx(0.75)
    assert waiting.due_in_s(6.5) == 0.0


def test_rows_close_a_batch_by_the_size_of_its_messages() -> None:
    waiting = pile(rows=100)
    waiting.add("a", 99 * BYTES_A_ROW, 0.0)
    assert not waiting.full
    waiting.add("b", BYTES_A_ROW, 0.0)
    assert waiting.due_in_s(0.0) == 0.0


def test_half_the_window_closes_a_batch_so_that_the_other_half_can_arrive_meanwhile() -> None:
    waiting = pile(window=20)
    for number in range(10):
        assert not waiting.full
        waiting.add(str(number), 1, 0.0)
    assert waiting.full


def test_taking_a_batch_empties_the_pile_and_keeps_the_order() -> None:
    waiting = pile(window=4)
    waiting.add("a", 1, 0.0)
    waiting.add("b", 1, 0.0)
    assert waiting.take() == ["a", "b"]
    assert len(waiting) == 0
    assert not waiting.full


def test_a_window_of_one_still_moves() -> None:
    waiting = pile(window=1)
    waiting.add("a", 1, 0.0)
    assert waiting.full


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"age_s": 0.0}, {"window": 0}])
def test_limits_must_be_positive(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidValue):
        Limits(**{"rows": 1, "age_s": 1.0, "window": 1, **wrong})  # type: ignore[arg-type]
