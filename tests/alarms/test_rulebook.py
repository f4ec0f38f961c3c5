"""The rulebook and a site's changes to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from alarms.rulebook import load
from gashub.errors import ConfigurationError

EXPECTED = {
    "outlet_pressure_high_high",
    "outlet_pressure_high",
    "outlet_pressure_low",
    "outlet_pressure_low_low",
    "network_pressure_low",
    "network_pressure_low_low",
    "pressure_fall_rate",
    "slam_shut_closed",
    "station_gas_20",
    "station_gas_40",
    "point_stale",
    "point_bad_quality",
    "filter_differential_high",
    "zone_leak",
    "zone_rupture",
    "gateway_offline",
}


def test_the_shipped_rules_are_all_there() -> None:
    assert {rule.id for rule in load()} == EXPECTED


def test_a_site_changes_a_rule_field_by_field(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text("[rule.outlet_pressure_high]\non_delay_s = 45\n")
    changed = {rule.id: rule for rule in load(site)}["outlet_pressure_high"]
    assert changed.on_delay_s == 45
    assert changed.en.cause


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text(
        "[rule.outlet_pressure_high]\non_delay_s = -1\npriority = 'urgent'\n"
        "[rule.mine]\ntest = 'above'\n"
        "[rule.zone_leak]\ncolour = 'red'\n"
    )
    with pytest.raises(ConfigurationError) as caught:
        load(site)
    places = {problem.where for problem in caught.value.problems}
    assert {
        "rule.outlet_pressure_high.on_delay_s",
        "rule.outlet_pressure_high.priority",
        "rule.mine.priority",
        "rule.mine.en",
        "rule.zone_leak.colour",
    } <= places
