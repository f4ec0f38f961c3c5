"""The town: a network, what stands in the field, its customers and the devices that measure it.

Pipes, consumers and their yearly demand are those of Schutterwald (Kisse et al., Energies 2020, 13, 4052), read from
the `pandapipes` package where it is installed; nothing of it lies here and nothing of it is executed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gashub.config import BrokerSection, ClockSection
from gashub.network.model import Network
from gashub.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedDevice:
    """One Modbus unit to simulate.

    `signals` says which signal of `simulators.field` each slot of its profile's block shows; `parameters` are those
    of its profile that differ from the profile's own, e.g. atmospheric_kpa. `first_volume_m3` is what its counters
    stood at when the simulation began.
    """

    id: str
    gateway: str
    profile: str
    port: int
    unit: int
    scan_s: float
    block: int
    signals: dict[str, str]
    parameters: dict[str, float] = field(default_factory=dict)
    first_volume_m3: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A customer and where it takes gas."""

    id: str
    name: str
    customer_class: str
    phone: str
    service_points: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """A meter read live; `volume_point_tag` is the point of its counter."""

    id: str
    service_point: str
    device: str
    volume_point_tag: str
    installed_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The file accounts.json."""

    accounts: list[Account]
    meters: list[Meter]


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """A whole town; `devices` use ports from 0 on until they are written with a first port."""

    seed: int
    network: Network
    registry: Registry
    accounts: Accounts
    devices: list[SimulatedDevice]


def build(seed: int) -> Town:
    """The town of this seed. Raises Unavailable if the data package is not installed."""
    raise NotImplementedError


def write_plant(
    directory: Path, *, broker: BrokerSection, clock: ClockSection | None, first_port: int, seed: int
) -> Town:
    """Build the town and write network.json, registry.json, accounts.json, gateway-*.toml and devices.json."""
    raise NotImplementedError


def read_devices(path: Path) -> list[SimulatedDevice]:
    """The devices of a devices.json: {"seed": n, "devices": [...]}. Raises ConfigurationError."""
    raise NotImplementedError
