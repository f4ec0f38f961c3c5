"""A plant: everything a utility tells the hub about what it runs, as files in one directory.

    network.json     the pipe network (`gashub.network.model.Network`)
    registry.json    gateways, stations, devices, blocks, points (`gashub.registry.Registry`)
    accounts.json    commercial accounts and meters (`metering` reads it)
    gateway-*.toml   one configuration per gateway (`gateway` reads them)

`read_*` check the shape and the references and raise one ConfigurationError that lists every mistake; `store` writes
network and registry into the database, replacing what was known under the same ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import psycopg
from psycopg import sql

from .errors import ConfigurationError, InvalidValue, Problem
from .frames import SLOTS
from .network.model import GateInlet, Junction, Network, Pipe, Regulator, ServicePoint, Valve, Zone
from .registry import Block, Device, Gateway, Point, Registry, Station
from .topics import check_id

NETWORK_FILE: Final = "network.json"
REGISTRY_FILE: Final = "registry.json"
ACCOUNTS_FILE: Final = "accounts.json"

Noun = TypeVar("Noun")


def write_json(path: Path, noun: object) -> None:
    """Write a network, a registry or another noun as indented JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(noun), indent=1))


def read_json(path: Path, noun: type[Noun]) -> Noun:
    """Read a noun from JSON. Raises ConfigurationError with the place of the mistake."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=noun)
    except OSError as error:
        raise ConfigurationError(str(path), [Problem(where=str(path), what=error.strerror or str(error))]) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(path), [Problem(where=str(path), what=str(error))]) from error


def read_network(path: Path) -> Network:
    """Read and check a network file. Raises ConfigurationError with every mistake."""
    network = read_json(path, Network)
    if problems := check_network(network):
        raise ConfigurationError(str(path), problems)
    return network


def read_registry(path: Path, network: Network) -> Registry:
    """Read and check a registry file against its network. Raises ConfigurationError with every mistake."""
    registry = read_json(path, Registry)
    if problems := check_registry(registry, network):
        raise ConfigurationError(str(path), problems)
    return registry


def check_network(network: Network) -> list[Problem]:
    """Every duplicate id, dangling reference and impossible figure in a network."""
    zones = {zone.id for zone in network.zones}
    junctions = {junction.id for junction in network.junctions}
    problems: list[Problem] = []
    for kind, nouns in _network_tables(network):
        problems += _duplicates(kind, [noun.id for noun in nouns])
        for noun in nouns:
            problems += _unknown(kind, noun, "zone", zones)
            for end in ("junction", "from_junction", "to_junction"):
                problems += _unknown(kind, noun, end, junctions)
    for zone in network.zones:
        problems += _bad_id("zone", zone.id)
    for pipe in network.pipes:
        if not (pipe.length_m > 0 and pipe.inner_diameter_mm > 0 and pipe.roughness_mm >= 0):
            problems.append(
                Problem(
                    where=f"pipe {pipe.id}", what="length, diameter or roughness is not positive", allowed="above 0"
                )
            )
    return problems


def check_registry(registry: Registry, network: Network) -> list[Problem]:
    """Every duplicate id, dangling reference and misplaced point in a registry."""
    known: dict[str, set[Any]] = {
        "zone": {zone.id for zone in network.zones},
        "junction": {junction.id for junction in network.junctions},
        "service_point": {point.id for point in network.service_points} | {None},
        "regulator": {regulator.id for regulator in network.regulators} | {None},
        "gateway": {gateway.id for gateway in registry.gateways},
        "station": {station.id for station in registry.stations},
        "device": {device.id for device in registry.devices},
    }
    problems: list[Problem] = []
    for kind, nouns in _registry_tables(registry):
        problems += _duplicates(kind, [noun.id for noun in nouns])
        for noun in nouns:
            for field_name, ids in known.items():
                problems += _unknown(kind, noun, field_name, ids)
    problems += _duplicates("point tag", [point.tag for point in registry.points])
    blocks = {block.id for block in registry.blocks}
    for gateway in registry.gateways:
        problems += _bad_id("gateway", gateway.id)
    for block in registry.blocks:
        if not (0 < block.id < 2**28 and block.scan_s > 0):
            problems.append(Problem(where=f"block {block.id}", what="id or scan_s out of range", allowed="above 0"))
    for point in registry.points:
        if point.id // SLOTS not in blocks:
            problems.append(Problem(where=f"point {point.id} ({point.tag})", what=f"no block {point.id // SLOTS}"))
    return problems


def _network_tables(network: Network) -> list[tuple[str, Sequence[Any]]]:
    return [
        ("zone", network.zones),
        ("junction", network.junctions),
        ("pipe", network.pipes),
        ("valve", network.valves),
        ("regulator", network.regulators),
        ("gate_inlet", network.gate_inlets),
        ("service_point", network.service_points),
    ]


def _registry_tables(registry: Registry) -> list[tuple[str, Sequence[Any]]]:
    return [
        ("gateway", registry.gateways),
        ("station", registry.stations),
        ("device", registry.devices),
        ("block", registry.blocks),
        ("point", registry.points),
    ]


def _duplicates(kind: str, ids: Iterable[object]) -> list[Problem]:
    return [
        Problem(where=f"{kind} {key}", what=f"stands {count} times", allowed="once")
        for key, count in Counter(ids).items()
        if count > 1
    ]


def _unknown(kind: str, noun: Any, field_name: str, ids: set[Any]) -> list[Problem]:
    if field_name == kind or not hasattr(noun, field_name) or getattr(noun, field_name) in ids:
        return []
    return [Problem(where=f"{kind} {noun.id}", what=f"{field_name} {getattr(noun, field_name)!r} does not exist")]


def _bad_id(kind: str, text: str) -> list[Problem]:
    try:
        check_id(kind, text)
    except InvalidValue as error:
        return [Problem(where=f"{kind} {text}", what=str(error))]
    return []


def store(connection: psycopg.Connection[Any], network: Network, registry: Registry, *, at: datetime) -> None:
    """Write a checked plant in the caller's transaction; what stands under the same ids is replaced.

    `at` is when newly listed devices count as enrolled.
    """
    tables: dict[str, Sequence[Any]] = dict(_network_tables(network)) | dict(_registry_tables(registry))
    order = [
        "zone",
        "junction",
        "pipe",
        "valve",
        "station",
        "regulator",
        "gate_inlet",
        "service_point",
        "gateway",
        "device",
        "block",
        "point",
    ]
    for table in order:
        _upsert(connection, table, tables[table])
    connection.execute("UPDATE registry_version SET version = version + 1")
    connection.execute("UPDATE device SET enrolled_at = %s WHERE enrolled_at = '-infinity'", (at,))


def _upsert(connection: psycopg.Connection[Any], table: str, nouns: Sequence[Any]) -> None:
    if not nouns:
        return
    names = [field.name for field in fields(nouns[0])]
    columns = names + (["enrolled_at"] if table == "device" else [])
    extra: tuple[Any, ...] = ("-infinity",) if table == "device" else ()
    query = sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT (id) DO UPDATE SET {}").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join([sql.Placeholder()] * len(columns)),
        sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in names),
    )
    with connection.cursor() as cursor:
        cursor.executemany(query, [(*astuple(noun), *extra) for noun in nouns])


def load_network(connection: psycopg.Connection[Any], name: str = "network") -> Network:
    """The network as the database has it."""
    return Network(
        name=name,
        zones=_rows(connection, "zone", Zone),
        junctions=_rows(connection, "junction", Junction),
        pipes=_rows(connection, "pipe", Pipe),
        valves=_rows(connection, "valve", Valve),
        regulators=_rows(connection, "regulator", Regulator),
        gate_inlets=_rows(connection, "gate_inlet", GateInlet),
        service_points=_rows(connection, "service_point", ServicePoint),
    )


def load_registry(connection: psycopg.Connection[Any]) -> Registry:
    """What stands in the field and is not retired, as the database has it."""
    return Registry(
        gateways=_rows(connection, "gateway", Gateway),
        stations=_rows(connection, "station", Station),
        devices=_rows(connection, "device", Device),
        blocks=_rows(connection, "block", Block),
        points=_rows(connection, "point", Point),
    )


def registry_version(connection: psycopg.Connection[Any]) -> int:
    """Grows with every change of network or registry."""
    row = connection.execute("SELECT version FROM registry_version").fetchone()
    assert row is not None
    version: int = row[0]
    return version


def _rows(connection: psycopg.Connection[Any], table: str, noun: type[Noun]) -> list[Noun]:
    names = [field.name for field in fields(noun)]  # type: ignore[arg-type]
    rows = connection.execute(
        sql.SQL("SELECT {} FROM {} ORDER BY id").format(
            sql.SQL(", ").join(map(sql.Identifier, names)), sql.Identifier(table)
        )
    ).fetchall()
    return [msgspec.convert(dict(zip(names, row, strict=True)), noun, strict=False) for row in rows]
