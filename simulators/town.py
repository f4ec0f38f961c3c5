"""The town: a network, what stands in the field, its customers and the devices that measure it.

    schutterwald    pipes and consumers, from the data package
    layout          zones, feeder ring, stations, valves
    customers       classes, yearly volumes, accounts
    equipment       registry and devices

`build` puts these together; `write_plant` writes them as the files a utility would give the hub, and devices.json,
which only the simulator reads. One seed, one town.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from gashub.config import BrokerSection, ClockSection
from gashub.network.model import Network
from gashub.plant import ACCOUNTS_FILE, NETWORK_FILE, REGISTRY_FILE, read_json, write_json
from gashub.registry import Registry

from . import layout, schutterwald
from .customers import Account, settle
from .equipment import SimulatedDevice, equip, meter_device

DEVICES_FILE: Final = "devices.json"
_METERS_INSTALLED: Final = "2024-03-01T00:00:00+08:00"


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
class Devices:
    """The file devices.json."""

    seed: int
    devices: list[SimulatedDevice]


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
    rng = np.random.default_rng(seed)
    source = schutterwald.read(schutterwald.data_file())
    draft = layout.draw(source)
    points, accounts = settle(source, draft.junctions, rng)
    network = Network(
        name="Schutterwald",
        zones=list(layout.ZONES),
        junctions=draft.junctions,
        pipes=draft.pipes,
        valves=draft.valves,
        regulators=draft.regulators,
        gate_inlets=draft.gate_inlets,
        service_points=points,
    )
    registry, devices = equip(network, rng)
    return Town(
        seed=seed,
        network=network,
        registry=registry,
        accounts=Accounts(accounts=accounts, meters=_meters(network)),
        devices=devices,
    )


def _meters(network: Network) -> list[Meter]:
    return [
        Meter(
            id=f"m-{point.id}",
            service_point=point.id,
            device=meter_device(point),
            volume_point_tag=f"{meter_device(point)}/volume",
            installed_at=_METERS_INSTALLED,
        )
        for point in network.service_points
        if point.metered_live
    ]


def write_plant(
    directory: Path, *, broker: BrokerSection, clock: ClockSection | None, first_port: int, seed: int
) -> Town:
    """Build the town and write network.json, registry.json, accounts.json, gateway-*.toml and devices.json.

    The devices listen on ports from `first_port` on; `port_count` says how many.
    """
    town = build(seed)
    devices = [replace(device, port=first_port + device.port) for device in town.devices]
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / NETWORK_FILE, town.network)
    write_json(directory / REGISTRY_FILE, town.registry)
    write_json(directory / ACCOUNTS_FILE, town.accounts)
    write_json(directory / DEVICES_FILE, Devices(seed=seed, devices=devices))
    for gateway in town.registry.gateways:
        mine = [device for device in devices if device.gateway == gateway.id]
        text = gateway_toml(gateway.id, gateway.zone, mine, broker, clock)
        (directory / f"gateway-{gateway.id}.toml").write_text(text, encoding="utf-8")
    return replace(town, devices=devices)


def port_count(devices: list[SimulatedDevice]) -> int:
    """How many ports the devices need."""
    return len({device.port for device in devices})


def read_devices(path: Path) -> Devices:
    """The devices a plant simulates. Raises ConfigurationError."""
    return read_json(path, Devices)


def gateway_toml(
    gateway: str, zone: str, devices: list[SimulatedDevice], broker: BrokerSection, clock: ClockSection | None
) -> str:
    """The configuration of one gateway."""
    tables = [
        _table("[gateway]", id=gateway, zone=zone, spool_file=f"spool-{gateway}.sqlite", spool_max_mb=256),
        _table(
            "[broker]",
            host=broker.host,
            port=broker.port,
            username="field",
            password_file=str(broker.password_file.resolve()),
        ),
    ]
    if clock is not None:
        tables.append(_table("[clock]", real_start=clock.real_start, hub_start=clock.hub_start, speed=clock.speed))
    ports = sorted({device.port for device in devices})
    lines = {port: f"l{number}" for number, port in enumerate(ports, 1)}
    for port, line in lines.items():
        tables.append(_table("[[line]]", id=line, kind="tcp", host="127.0.0.1", port=port, timeout_s=1.0))
    tables += [_device_table(device, lines[device.port]) for device in devices]
    return "\n".join(tables)


def _device_table(device: SimulatedDevice, line: str) -> str:
    table = _table(
        "[[device]]", id=device.id, line=line, unit=device.unit, profile=device.profile, scan_s=device.scan_s
    )
    table += f"blocks = {{ main = {device.block} }}\n"
    # The resolution is read from the device itself, so a gateway is not told it.
    told = {name: value for name, value in device.parameters.items() if name != "resolution_exponent"}
    return table + (_table("[device.parameters]", **told) if told else "")


def _table(header: str, **values: str | float | datetime) -> str:
    rows = [
        f"{name} = {value.isoformat() if isinstance(value, datetime) else json.dumps(value, ensure_ascii=False)}"
        for name, value in values.items()
    ]
    return "\n".join([header, *rows, ""])
