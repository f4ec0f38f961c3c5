"""Who takes the gas: service points by class, their yearly volume, and the accounts behind them.

The yearly total is that of the data. Residents keep the spread they have there but cook and heat water only, as in
a Chinese town; what they leave goes to shops, schools, works and boiler houses, so that four fifths of the flow pass
meters that are read live. Names and numbers are invented; no telephone number of this form is given to anyone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gashub.network.model import CustomerClass, Junction, Sensitivity, ServicePoint

from .schutterwald import Source

LIVE_SHARE: Final = 0.80
_RESIDENT_SHARE: Final = 0.185

Ints = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """A kind of customer that is not a household: how many in each zone, and its weight in yearly volume."""

    customer_class: CustomerClass
    sensitivity: Sensitivity
    name_zh: str
    weight: float
    zones: str
    live: bool = True


# Zones by first letter, one customer for each letter.
TRADES: Final = (
    Trade(
        customer_class=CustomerClass.PUBLIC_SERVICE,
        sensitivity=Sensitivity.HOSPITAL,
        name_zh="市人民医院",
        weight=9,
        zones="e",
    ),
    Trade(
        customer_class=CustomerClass.PUBLIC_SERVICE,
        sensitivity=Sensitivity.HOSPITAL,
        name_zh="中医院",
        weight=6,
        zones="n",
    ),
    Trade(
        customer_class=CustomerClass.PUBLIC_SERVICE,
        sensitivity=Sensitivity.DIALYSIS,
        name_zh="血液透析中心",
        weight=2,
        zones="s",
    ),
    Trade(
        customer_class=CustomerClass.PUBLIC_SERVICE,
        sensitivity=Sensitivity.SCHOOL,
        name_zh="学校食堂",
        weight=2.5,
        zones="nesw",
    ),
    Trade(
        customer_class=CustomerClass.PUBLIC_SERVICE,
        sensitivity=Sensitivity.CARE_HOME,
        name_zh="养老院",
        weight=2,
        zones="nsw",
    ),
    Trade(
        customer_class=CustomerClass.INDUSTRY,
        sensitivity=Sensitivity.SAFETY_CRITICAL_INDUSTRY,
        name_zh="玻璃厂",
        weight=14,
        zones="ew",
    ),
    Trade(
        customer_class=CustomerClass.INDUSTRY,
        sensitivity=Sensitivity.NONE,
        name_zh="食品厂",
        weight=10,
        zones="nnesw",
    ),
    Trade(
        customer_class=CustomerClass.HEATING,
        sensitivity=Sensitivity.NONE,
        name_zh="小区锅炉房",
        weight=8,
        zones="nneessww",
    ),
    Trade(
        customer_class=CustomerClass.COMMERCIAL,
        sensitivity=Sensitivity.NONE,
        name_zh="酒店",
        weight=3,
        zones="nneesssww",
    ),
    Trade(
        customer_class=CustomerClass.COMMERCIAL,
        sensitivity=Sensitivity.NONE,
        name_zh="饭店",
        weight=1.5,
        zones="nnneeessswww",
    ),
    Trade(
        customer_class=CustomerClass.COMMERCIAL,
        sensitivity=Sensitivity.NONE,
        name_zh="小吃店",
        weight=0.3,
        zones="nnnneeeesssswwww",
        live=False,
    ),
)
_VULNERABLE_EVERY: Final = 70
_SURNAMES: Final = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
_GIVEN: Final = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀英霞平刚桂兰鹏玉萍红"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A customer and where it takes gas."""

    id: str
    name: str
    customer_class: str
    phone: str
    service_points: list[str]


def settle(
    source: Source, junctions: list[Junction], rng: np.random.Generator
) -> tuple[list[ServicePoint], list[Account]]:
    """Give every house connection a customer; `junctions` by the source's position."""
    zone_of = np.array([junctions[k].zone[0] for k in source.sink_junction])
    trade_of = _place_trades(zone_of, rng)
    annual = _annual_volumes(source.annual_m3, trade_of, rng)
    household = np.cumsum(trade_of < 0)
    points, accounts = [], []
    for k, junction in enumerate(source.sink_junction):
        trade = TRADES[trade_of[k]] if trade_of[k] >= 0 else None
        vulnerable = trade is None and household[k] % _VULNERABLE_EVERY == 0
        points.append(_service_point(k, junctions[junction], trade, float(annual[k]), vulnerable=vulnerable))
        accounts.append(_account(points[-1], k, trade, rng))
    return points, accounts


def _place_trades(zone_of: NDArray[np.str_], rng: np.random.Generator) -> Ints:
    """Which of TRADES each house connection has, -1 for a household; shape (sink,)."""
    trade_of = np.full(len(zone_of), -1, np.intp)
    for number, trade in enumerate(TRADES):
        for zone in trade.zones:
            free = np.flatnonzero((zone_of == zone) & (trade_of < 0))
            trade_of[rng.choice(free)] = number
    return trade_of


def _annual_volumes(source_m3: NDArray[np.float64], trade_of: Ints, rng: np.random.Generator) -> NDArray[np.float64]:
    """Yearly volume of each connection [m³ std]: the total of the source, in the shares of this module."""
    total = source_m3.sum()
    household = trade_of < 0
    live = np.array([not household[k] and TRADES[trade_of[k]].live for k in range(len(trade_of))])
    weight = np.array([0.0 if household[k] else TRADES[trade_of[k]].weight for k in range(len(trade_of))])
    weight *= rng.uniform(0.8, 1.25, len(weight))
    small = ~household & ~live
    annual = np.where(household, source_m3, weight)
    for group, share in ((household, _RESIDENT_SHARE), (live, LIVE_SHARE), (small, 1 - LIVE_SHARE - _RESIDENT_SHARE)):
        annual[group] *= share * total / annual[group].sum()
    return annual.round(0)


def _service_point(k: int, junction: Junction, trade: Trade | None, annual: float, *, vulnerable: bool) -> ServicePoint:
    if trade is None:
        sensitivity = Sensitivity.VULNERABLE_RESIDENT if vulnerable else Sensitivity.NONE
    else:
        sensitivity = trade.sensitivity
    return ServicePoint(
        id=f"sp{k}",
        zone=junction.zone,
        junction=junction.id,
        customer_class=trade.customer_class if trade else CustomerClass.RESIDENT,
        annual_m3_std=annual,
        sensitivity=sensitivity,
        metered_live=trade is not None and trade.live,
    )


def _account(point: ServicePoint, k: int, trade: Trade | None, rng: np.random.Generator) -> Account:
    surname = _SURNAMES[rng.integers(len(_SURNAMES))]
    given = "".join(_GIVEN[i] for i in rng.integers(len(_GIVEN), size=2))
    return Account(
        id=f"a{k}",
        name=f"{surname}{given}" if trade is None else f"{surname}氏{trade.name_zh}",
        customer_class=point.customer_class.value,
        phone=f"1000{rng.integers(10_000_000):07d}",
        service_points=[point.id],
    )
