"""A profile is checked whole, and says everything that is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from gashub.errors import ConfigurationError, NotFound
from gashub.registry import Quantity
from gateway.profile import TO_CANONICAL, load, names, parse

ABOUT = {"name": "test", "kind": "test", "source": "test", "date": "2026-01-01"}
PLAIN = {"slot": 0, "name": "a", "quantity": "state", "unit": "", "function": 3, "address": 0, "type": "u16"}


def faults(*slots: dict[str, Any], **sections: Any) -> list[str]:
    """What `parse` says of a profile with these slots."""
    block = [{**PLAIN, "slot": number, "name": f"s{number}", **slot} for number, slot in enumerate(slots)]
    with pytest.raises(ConfigurationError) as caught:
        parse({"profile": ABOUT, "block": [{"name": "main", "slot": block}], **sections}, "test.toml")
    return [str(problem) for problem in caught.value.problems]


def test_the_hub_brings_five_profiles_that_say_where_they_are_from() -> None:
    assert names() == ["evc-bcd-c", "meter-fraction-d", "meter-resolution-e", "pressure-logger-b", "rtu-regulator-a"]
    for name in names():
        profile = load(name)
        assert profile.profile.name == name
        assert profile.profile.kind and profile.profile.source


def test_a_profile_that_does_not_exist_is_named() -> None:
    with pytest.raises(NotFound, match="no profile 'nonesuch'"):
        load("nonesuch")


@pytest.mark.parametrize(
    ("slot", "said"),
    [
        pytest.param({"unit": "kPa"}, "unit 'kPa' is not one of state", id="unit of another quantity"),
        pytest.param({"type": "bit"}, "does not go with function 3", id="bit by a register function"),
        pytest.param({"function": 1}, "does not go with function 1", id="register by a bit function"),
        pytest.param({"type": "u32", "bit": 3}, "a bit is taken from one register", id="bit of two registers"),
        pytest.param({"type": "bcd"}, "digits go with bcd", id="bcd without digits"),
        pytest.param({"digits": 8}, "digits go with bcd", id="digits without bcd"),
        pytest.param({"address": 65_535, "type": "u32"}, "beyond the last register", id="past the end"),
        pytest.param({"valid": [5, 5]}, "valid is empty", id="empty range"),
        pytest.param({"device_time": True}, "device_time (allowed: quantity clock_offset_s)", id="time of a state"),
        pytest.param({"type": "u32", "fault_bits": [0]}, "fault_bits are bits", id="fault bits of two registers"),
        pytest.param(
            {"fraction": {"address": 200, "type": "u16"}}, "201 registers must be read together", id="too far apart"
        ),
        pytest.param(
            {"quantity": "pressure_kpa_gauge", "unit": "bar", "reference": "absolute"},
            "needs the parameter atmospheric_kpa",
            id="absolute without an atmosphere",
        ),
    ],
)
def test_a_slot_that_contradicts_itself_is_refused(slot: dict[str, Any], said: str) -> None:
    (fault,) = faults(slot)
    assert fault.startswith("block main, slot s0: ") and said in fault


def test_all_mistakes_are_told_at_once() -> None:
    told = faults(
        {"unit": "kPa"},
        {"slot": 0, "valid": [1, 0]},
        {"name": "s0"},
        parameters={"x": {"default": 5, "low": 0, "high": 1, "unit": ""}},
    )
    assert len(told) == 5


def test_all_mistakes_of_shape_are_told_at_once() -> None:
    told = faults({"function": 7}, {"address": -1}, {"colour": "red"}, limits={"max_count": 126})
    assert len(told) == 4


def test_a_group_must_fit_one_request() -> None:
    assert faults({"group": "g"}, {"group": "g", "address": 125}) == ["group g: spans 126 registers (allowed: 125)"]
    assert faults({"group": "g"}, {"group": "g", "function": 4}) == [
        "group g: is read by several functions (allowed: one)"
    ]


def test_every_quantity_can_be_given_in_some_unit() -> None:
    assert set(TO_CANONICAL) == set(Quantity)
