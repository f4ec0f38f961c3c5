"""Customers take their yearly volume in a normal year, with the peaks of their class, and repeatably."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from gashub.network.load_profile import expected_flow_m3h_std, load_factor, normal_temperature_c
from gashub.network.model import CustomerClass
from simulators import town
from simulators.demand import Demand
from simulators.weather import air_temperature_c, ground_temperature_c

LOCAL = ZoneInfo("Asia/Shanghai")


def _at(month: int, day: int, hour: float = 0.0) -> datetime:
    return datetime(2026, month, day, tzinfo=LOCAL) + timedelta(hours=hour)


@pytest.mark.parametrize("customer_class", list(CustomerClass))
def test_a_normal_year_sums_to_the_yearly_volume(customer_class: CustomerClass) -> None:
    hours = [_at(1, 1, hour + 0.5) for hour in range(8760)]
    flow = [expected_flow_m3h_std(customer_class, np.array([1000.0]), t, normal_temperature_c(t))[0] for t in hours]
    assert sum(flow) == pytest.approx(1000.0, rel=0.05)
    assert min(flow) >= 0.0


@pytest.mark.parametrize("peak, trough", [(7.0, 4.0), (11.7, 14.5), (18.3, 15.0)], ids=["breakfast", "noon", "dinner"])
def test_residents_cook_three_times_a_day(peak: float, trough: float) -> None:
    high, low = (load_factor(CustomerClass.RESIDENT, _at(6, 10, hour), 20.0) for hour in (peak, trough))
    assert high > 1.8 * low


def test_heating_follows_the_cold_and_industry_does_not() -> None:
    noon = _at(1, 14, 12.0)
    assert load_factor(CustomerClass.HEATING, noon, -5.0) > 8 * load_factor(CustomerClass.HEATING, noon, 18.0)
    assert load_factor(CustomerClass.INDUSTRY, noon, -5.0) < 1.1 * load_factor(CustomerClass.INDUSTRY, noon, 18.0)


def test_industry_rests_at_the_weekend() -> None:
    saturday, monday = _at(6, 13, 10.0), _at(6, 15, 10.0)
    assert load_factor(CustomerClass.INDUSTRY, saturday, 20.0) < load_factor(CustomerClass.INDUSTRY, monday, 20.0)


def test_winter_is_colder_than_summer_and_the_ground_lags_behind() -> None:
    days = [_at(1, 1, 24.0 * k + 12.0) for k in range(365)]
    air = np.array([air_temperature_c(day, seed=1) for day in days])
    ground = np.array([ground_temperature_c(day) for day in days])
    assert air[:30].mean() < 7.0 < 20.0 < air[180:210].mean()
    assert 20 < int(ground.argmin()) < 100
    assert np.ptp(ground) < 0.6 * np.ptp(air)


def test_weather_depends_on_nothing_but_seed_and_time() -> None:
    moments = [_at(3, 1, hour) for hour in range(48)]
    once = [air_temperature_c(moment, seed=4) for moment in moments]
    assert once[::-1] == [air_temperature_c(moment, seed=4) for moment in moments[::-1]]
    assert once != [air_temperature_c(moment, seed=5) for moment in moments]
    assert max(np.abs(np.diff(once))) < 3.0


def test_the_sum_stays_close_to_the_profile_while_each_customer_strays() -> None:
    network = town.build(seed=1).network
    demand = Demand(network, np.random.default_rng(1))
    residents = [k for k, p in enumerate(network.service_points) if p.customer_class is CustomerClass.RESIDENT]
    ratio, single = [], []
    for minute in range(0, 600, 10):
        demand.advance(600.0)
        moment = _at(6, 10, 8.0 + minute / 60.0)
        flow, expected = demand.flow(moment, 20.0), demand.expected(moment, 20.0)
        assert (flow >= 0.0).all()
        ratio.append(flow[residents].sum() / expected[residents].sum())
        single.append(flow[residents[0]] / expected[residents[0]])
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.03)
    assert np.std(ratio) < 0.08
    assert np.std(single) > 0.3


def test_the_same_seed_strays_the_same_way() -> None:
    network = town.build(seed=1).network
    flows = []
    for _ in range(2):
        demand = Demand(network, np.random.default_rng(9))
        demand.advance(60.0)
        flows.append(demand.flow(_at(1, 5, 12.0), 3.0))
    assert (flows[0] == flows[1]).all()
