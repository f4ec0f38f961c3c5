"""One incident per cause."""

from __future__ import annotations

import pytest

from alarms.grouping import Kind, groups, judge, kind_of
from alarms.rules import Condition, Priority, conditions

from .plants import plant

PLANT = plant()
BY_RULE = {c.rule.id: c for c in conditions(PLANT.rules, PLANT.registry, ["z1"])}

SETS = [
    ({"outlet_pressure_high"}, Kind.REGULATOR_FAILED_OPEN),
    ({"outlet_pressure_high_high", "outlet_pressure_high", "zone_leak"}, Kind.REGULATOR_FAILED_OPEN),
    ({"outlet_pressure_high_high", "slam_shut_closed"}, Kind.REGULATOR_FAILED_OPEN),
    ({"outlet_pressure_high_high", "slam_shut_closed", "outlet_pressure_low_low"}, Kind.SLAM_SHUT),
    ({"slam_shut_closed", "outlet_pressure_low", "network_pressure_low_low", "pressure_fall_rate"}, Kind.SLAM_SHUT),
    ({"zone_leak"}, Kind.LEAK),
    ({"zone_leak", "network_pressure_low"}, Kind.LEAK),
    ({"zone_leak", "pressure_fall_rate"}, Kind.RUPTURE),
    ({"zone_rupture", "zone_leak", "outlet_pressure_low"}, Kind.RUPTURE),
    ({"network_pressure_low"}, Kind.SUPPLY_LOW),
    ({"pressure_fall_rate"}, Kind.SUPPLY_LOW),
    ({"station_gas_20", "station_gas_40"}, Kind.GAS_IN_STATION),
    ({"point_stale", "point_bad_quality"}, Kind.DEVICE_FAULT),
    ({"gateway_offline"}, Kind.DEVICE_FAULT),
    ({"filter_differential_high"}, Kind.FILTER_BLOCKED),
    ({"a_rule_of_the_site"}, Kind.OTHER),
]


@pytest.mark.parametrize(("rules", "kind"), SETS, ids=["+".join(sorted(rules)) for rules, _ in SETS])
def test_the_alarms_of_an_incident_say_what_it_is(rules: set[str], kind: Kind) -> None:
    assert kind_of(rules) is kind


def group(rule: str) -> list[str]:
    return groups(BY_RULE[rule], ["feeder"])


def test_everything_about_the_supply_of_a_zone_is_one_group() -> None:
    rules = ["outlet_pressure_high_high", "slam_shut_closed", "zone_leak", "zone_rupture", "network_pressure_low"]
    assert {group(rule)[0] for rule in rules} == {"zone:z1:supply"}


def test_low_pressure_joins_the_open_incident_of_the_zone_that_feeds_it() -> None:
    assert group("network_pressure_low_low") == ["zone:z1:supply", "zone:feeder:supply"]
    assert group("zone_leak") == ["zone:z1:supply"]


@pytest.mark.parametrize("rule", ["station_gas_20", "station_gas_40"])
def test_gas_in_a_station_is_never_folded_into_anything(rule: str) -> None:
    assert group(rule) == ["station:drs-1:gas"]


def test_a_device_and_a_gateway_are_groups_of_their_own() -> None:
    assert group("point_stale")[0].startswith("device:")
    assert group("gateway_offline") == ["gateway:gw-z1"]


def test_an_incident_is_as_urgent_as_its_most_urgent_alarm() -> None:
    verdict = judge([("network_pressure_low", Priority.HIGH), ("zone_leak", Priority.EMERGENCY)])
    assert (verdict.kind, verdict.priority, verdict.emergency) == (Kind.LEAK, Priority.EMERGENCY, True)
    assert not judge([("point_stale", Priority.LOW)]).emergency


def test_every_rule_of_the_book_says_why_and_what_to_do_in_both_languages() -> None:
    for rule in PLANT.rules:
        for text in (rule.en, rule.zh):
            assert all([text.cause, text.consequence, text.response])
        assert rule.time_to_respond_s > 0
    assert isinstance(BY_RULE["zone_leak"], Condition)
