"""A plan covers every register that is needed, within the device's limits, in the fewest requests."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gashub.errors import InvalidValue
from gateway.plan import Atom, ReadPlan, Request, atom_of, merge, plan
from gateway.profile import Limits, load, names

from .test_decode import profile_of

limits = st.builds(Limits, max_count=st.integers(4, 125), max_gap=st.integers(0, 20))
atoms = st.lists(
    st.builds(
        lambda function, start, words: Atom(function=function, start=start, end=start + words),
        st.sampled_from([3, 4]),
        st.integers(0, 300),
        st.integers(1, 4),
    ),
    min_size=1,
    max_size=30,
)


@given(needed=atoms, limit=limits)
def test_every_atom_comes_whole_in_one_request(needed: list[Atom], limit: Limits) -> None:
    requests = merge(needed, limit)
    assert all(any(request.covers(atom) for request in requests) for atom in needed)


@given(needed=atoms, limit=limits)
def test_no_request_asks_for_more_than_the_device_allows(needed: list[Atom], limit: Limits) -> None:
    for request in merge(needed, limit):
        assert 1 <= request.count <= limit.max_count
        used = {a for atom in needed if request.covers(atom) for a in range(atom.start, atom.end)}
        inside = range(request.address, request.address + request.count)
        assert request.address in used and inside[-1] in used
        run = 0
        for address in inside:
            run = 0 if address in used else run + 1
            assert run <= limit.max_gap


@given(needed=atoms, limit=limits)
def test_requests_are_the_fewest_for_atoms_that_do_not_overlap(needed: list[Atom], limit: Limits) -> None:
    apart: list[Atom] = []
    for atom in sorted(set(needed)):
        if not apart or apart[-1].function != atom.function or apart[-1].end <= atom.start:
            apart.append(atom)
    assert len(merge(apart, limit)) == fewest(apart, limit)


def fewest(apart: list[Atom], limit: Limits) -> int:
    """By dynamic programming over where each request begins and ends."""
    best = [0] + [len(apart)] * len(apart)
    for end in range(1, len(apart) + 1):
        for start in range(end):
            group = apart[start:end]
            same = group[0].function == group[-1].function
            gaps = all(b.start - a.end <= limit.max_gap for a, b in itertools.pairwise(group))
            if same and gaps and group[-1].end - group[0].start <= limit.max_count:
                best[end] = min(best[end], best[start] + 1)
    return best[-1]


@given(needed=atoms, limit=limits)
def test_the_order_in_which_atoms_are_given_changes_nothing(needed: list[Atom], limit: Limits) -> None:
    assert merge(needed, limit) == merge(needed[::-1], limit)


@pytest.mark.parametrize("name", names())
def test_each_of_the_hubs_own_profiles_needs_one_request(name: str) -> None:
    profile = load(name)
    assert len(plan(profile.block, profile.limits).requests) == 1


def test_slots_of_a_group_are_read_together_however_far_apart() -> None:
    together = profile_of({"address": 0, "group": "g"}, {"address": 100, "group": "g"})
    assert plan(together.block, together.limits).requests == (Request(function=3, address=0, count=101),)
    apart = profile_of({"address": 0}, {"address": 100})
    assert len(plan(apart.block, apart.limits).requests) == 2


def test_whole_and_fraction_are_one_atom() -> None:
    profile = profile_of({"type": "u32", "fraction": {"address": 7, "type": "u16"}})
    slots = profile.block[0].slot
    assert atom_of(slots[0], slots) == Atom(function=3, start=0, end=8)


def test_a_plan_says_where_each_answer_begins() -> None:
    reads = ReadPlan(requests=(Request(function=3, address=0, count=4), Request(function=4, address=9, count=2)))
    assert (reads.offsets, reads.width) == ((0, 4), 6)
    assert reads.request_of(Atom(function=4, start=9, end=10)) == 1
    with pytest.raises(InvalidValue, match="no request covers"):
        reads.request_of(Atom(function=4, start=3, end=4))


def test_an_atom_wider_than_a_request_is_refused() -> None:
    with pytest.raises(InvalidValue, match="126 registers together"):
        merge([Atom(function=3, start=0, end=126)], Limits())
