"""The ledger: however messages come, the watermark is where everything up to it is settled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gashub.errors import InvalidValue
from ingest.ledger import MAX_RANGES, Settled

batches = st.lists(st.lists(st.integers(1, 60), max_size=20), max_size=12)


def reference(numbers: set[int]) -> int:
    committed = 0
    while committed + 1 in numbers:
        committed += 1
    return committed


@given(batches)
def test_the_watermark_is_the_end_of_the_unbroken_beginning(delivered: list[list[int]]) -> None:
    settled, seen = Settled(), set[int]()
    for batch in delivered:
        settled = settled.settle(batch)
        seen |= set(batch)
        assert settled.committed == reference(seen)
        assert {seq for seq in range(1, 62) if seq in settled} == seen


@given(batches, st.randoms())
def test_order_and_repeats_do_not_matter(delivered: list[list[int]], random: object) -> None:
    first, second = Settled(), Settled()
    for batch in delivered:
        first = first.settle(batch)
    again = delivered * 2
    random.shuffle(again)  # type: ignore[attr-defined]
    for batch in again:
        second = second.settle(reversed(batch))
    assert first == second


def test_a_gap_that_closes_moves_the_watermark_over_what_lay_beyond() -> None:
    settled = Settled(committed=2).settle([4, 5, 7])
    assert settled == Settled(committed=2, ahead=((4, 5), (7, 7)))
    assert settled.settle([3]) == Settled(committed=5, ahead=((7, 7),))


def test_what_is_remembered_beyond_gaps_is_bounded_and_forgets_the_highest() -> None:
    settled = Settled().settle(range(2, 2 + 4 * MAX_RANGES, 2))
    assert len(settled.ahead) == MAX_RANGES
    assert 2 in settled
    assert 2 + 4 * MAX_RANGES - 2 not in settled


@pytest.mark.parametrize("ahead", [((1, 2),), ((3, 3), (4, 5)), ((9, 8),)])
def test_ranges_that_touch_or_overlap_are_no_ledger(ahead: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(InvalidValue):
        Settled(committed=1, ahead=ahead)
