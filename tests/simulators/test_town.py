"""The town is one a utility could run, and the same seed gives the same town."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from gashub.config import BrokerSection
from gashub.errors import Unavailable
from gashub.network.model import CustomerClass, Network, Sensitivity
from gashub.plant import read_network, read_registry
from simulators import town
from simulators.town import Town

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built() -> Town:
    return town.build(seed=1)


def _parts(network: Network, zone: str) -> int:
    mine = [junction.id for junction in network.junctions if junction.zone == zone]
    at = {name: k for k, name in enumerate(mine)}
    edges = [
        (at[edge.from_junction], at[edge.to_junction])
        for edge in [*network.pipes, *network.regulators, *(v for v in network.valves if v.normally_open)]
        if edge.from_junction in at and edge.to_junction in at
    ]
    rows, columns = np.array(edges).T
    return int(connected_components(coo_matrix((np.ones(len(rows)), (rows, columns)), (len(mine), len(mine))))[0])


def test_every_zone_is_connected_and_the_four_districts_are_balanced(built: Town) -> None:
    customers = Counter(point.zone for point in built.network.service_points)
    assert set(customers) == {"north", "east", "south", "west"}
    assert all(300 <= count <= 450 for count in customers.values())
    assert all(_parts(built.network, zone.id) == 1 for zone in built.network.zones)


def test_zones_meet_only_at_closed_valves_and_regulators(built: Town) -> None:
    zone_of = {junction.id: junction.zone for junction in built.network.junctions}
    crossing = [p for p in built.network.pipes if zone_of[p.from_junction] != zone_of[p.to_junction]]
    assert crossing == []
    for valve in built.network.valves:
        assert not valve.normally_open or zone_of[valve.from_junction] == zone_of[valve.to_junction]


def test_one_zone_has_a_single_feed_and_another_two(built: Town) -> None:
    feeds = Counter(regulator.zone for regulator in built.network.regulators)
    assert feeds == {"north": 2, "east": 1, "south": 2, "west": 1, "feeder": 2}


def test_four_fifths_of_the_yearly_flow_are_metered_live_at_more_than_forty_meters(built: Town) -> None:
    points = built.network.service_points
    live = [point for point in points if point.metered_live]
    assert len(live) >= 40
    share = sum(point.annual_m3_std for point in live) / sum(point.annual_m3_std for point in points)
    assert share >= 0.75
    assert {point.customer_class for point in live} == set(CustomerClass) - {CustomerClass.RESIDENT}


def test_every_kind_of_sensitive_customer_is_there(built: Town) -> None:
    assert {point.sensitivity for point in built.network.service_points} == set(Sensitivity)


def test_there_are_eighty_units_of_five_profiles(built: Town) -> None:
    assert len(built.devices) >= 80
    assert len({device.profile for device in built.devices}) == 5
    assert len({(device.port, device.unit) for device in built.devices}) == len(built.devices)


def test_the_same_seed_gives_the_same_town_and_another_seed_other_customers(built: Town) -> None:
    assert town.build(seed=1) == built
    assert town.build(seed=2).network.service_points != built.network.service_points


def test_a_written_plant_is_accepted_by_the_hubs_own_checks(tmp_path: Path) -> None:
    broker = BrokerSection(port=1883, password_file=tmp_path / "field")
    written = town.write_plant(tmp_path, broker=broker, clock=None, first_port=15020, seed=1)
    network = read_network(tmp_path / "network.json")
    assert network == written.network
    assert read_registry(tmp_path / "registry.json", network) == written.registry
    assert town.read_devices(tmp_path / "devices.json").devices == written.devices
    gateways = [tomllib.loads(path.read_text()) for path in sorted(tmp_path.glob("gateway-*.toml"))]
    assert sum(len(gateway["device"]) for gateway in gateways) == len(written.devices)
    ports = {line["port"] for gateway in gateways for line in gateway["line"]}
    assert ports == set(range(15020, 15020 + town.port_count(written.devices)))


def test_the_data_package_is_read_but_never_imported() -> None:
    program = "import sys; from simulators import town; town.build(seed=1); print('pandapipes' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "False", done.stderr


def test_without_the_data_package_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match="pandapipes"):
        town.build(seed=1)
