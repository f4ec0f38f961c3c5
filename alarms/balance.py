"""Zone balance (to come)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gashub.frames import FrameBatch
from gashub.network.model import Network
from gashub.registry import Registry

from .rules import Condition, Transition


@dataclass(frozen=True, slots=True, kw_only=True)
class Meters:
    inlets: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    zone: str
    at: datetime
    inlet_m3h: float
    offtake_m3h: float
    expected_unmetered_m3h: float
    linepack_rate_m3h: float
    imbalance_m3h: float
    sigma_m3h: float
    smallest_leak_m3h: float
    ready: bool


def zone_meters(network: Network, registry: Registry, zone: str) -> Meters:
    return Meters()


class Balance:
    reading: Reading | None = None
    missing_m3h = 0.0

    def __init__(self, meters: Meters, *, leak: Condition | None, rupture: Condition | None) -> None:
        pass

    def frames(self, batch: FrameBatch) -> list[Transition]:
        return []

    def restore(self, key: str, *, active: bool) -> None:
        pass

    def active(self) -> dict[str, bool]:
        return {}

    def pressure_drops(self) -> Mapping[int, float]:
        return {}
