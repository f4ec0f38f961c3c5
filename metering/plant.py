"""The customers' part of a plant: accounts.json, checked whole and stored.

    {"accounts": [{"id", "name", "customer_class", "phone", "service_points": [...]}],
     "meters": [{"id", "service_point", "device", "volume_point_tag", "installed_at", "removed_at"?}]}

Storing again replaces what stands under the same ids; a meter's installation may be given an end that way, and an
exchange is a second meter at the same service point.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg

from gashub.errors import ConfigurationError, Problem
from gashub.network.model import CustomerClass, Network
from gashub.plant import read_json
from gashub.registry import Quantity, Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A customer's contract, and where it takes gas."""

    id: str
    name: str
    customer_class: CustomerClass
    phone: str
    service_points: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """One installation of a meter that is read live; `volume_point_tag` names its counter of standard volume."""

    id: str
    service_point: str
    device: str
    volume_point_tag: str
    installed_at: datetime
    removed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The whole file."""

    accounts: list[Account]
    meters: list[Meter] = field(default_factory=list)


def read(path: Path, network: Network, registry: Registry) -> Accounts:
    """Read and check accounts.json. Raises ConfigurationError with every mistake."""
    accounts = read_json(path, Accounts)
    if problems := check(accounts, network, registry):
        raise ConfigurationError(str(path), problems)
    return accounts


def check(accounts: Accounts, network: Network, registry: Registry) -> list[Problem]:
    """Every duplicate, dangling reference and impossible installation."""
    service_points = {point.id for point in network.service_points}
    return [
        *_repeated("account", (account.id for account in accounts.accounts)),
        *_repeated("meter", (meter.id for meter in accounts.meters)),
        *_repeated("service point", (point for account in accounts.accounts for point in account.service_points)),
        *(
            Problem(where=f"account {account.id}", what=f"service point {point!r} does not exist")
            for account in accounts.accounts
            for point in account.service_points
            if point not in service_points
        ),
        *(problem for meter in accounts.meters for problem in _meter_problems(meter, service_points, registry)),
        *_overlaps(accounts.meters),
    ]


def store(connection: psycopg.Connection[Any], path: Path, network: Network, registry: Registry) -> Accounts:
    """Read, check and write accounts.json in the caller's transaction. Raises ConfigurationError."""
    accounts = read(path, network, registry)
    points = {point.tag: point.id for point in registry.points}
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO account (id, name, phone, customer_class) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (id) DO UPDATE SET (name, phone, customer_class) = "
            "(excluded.name, excluded.phone, excluded.customer_class)",
            [(each.id, each.name, each.phone, str(each.customer_class)) for each in accounts.accounts],
        )
        cursor.executemany(
            "INSERT INTO account_service_point (service_point, account) VALUES (%s, %s) "
            "ON CONFLICT (service_point) DO UPDATE SET account = excluded.account",
            [(point, each.id) for each in accounts.accounts for point in each.service_points],
        )
        # Those removed first: a service point has at most one meter that is not.
        cursor.executemany(
            "INSERT INTO meter (id, service_point, device, volume_point_id, installed_at, removed_at) "
            "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO UPDATE SET "
            "(service_point, device, volume_point_id, installed_at, removed_at) = (excluded.service_point, "
            "excluded.device, excluded.volume_point_id, excluded.installed_at, excluded.removed_at)",
            [
                (
                    meter.id,
                    meter.service_point,
                    meter.device,
                    points[meter.volume_point_tag],
                    meter.installed_at,
                    meter.removed_at,
                )
                for meter in sorted(accounts.meters, key=lambda meter: meter.removed_at is None)
            ],
        )
    return accounts


def _repeated(kind: str, ids: Iterable[str]) -> list[Problem]:
    return [
        Problem(where=f"{kind} {key}", what=f"stands {count} times", allowed="once")
        for key, count in Counter(ids).items()
        if count > 1
    ]


def _meter_problems(meter: Meter, service_points: set[str], registry: Registry) -> list[Problem]:
    where = f"meter {meter.id}"
    problems = []
    if meter.service_point not in service_points:
        problems.append(Problem(where=where, what=f"service point {meter.service_point!r} does not exist"))
    if meter.device not in {device.id for device in registry.devices}:
        problems.append(Problem(where=where, what=f"device {meter.device!r} does not exist"))
    quantity = next((point.quantity for point in registry.points if point.tag == meter.volume_point_tag), None)
    if quantity is None:
        problems.append(Problem(where=where, what=f"point {meter.volume_point_tag!r} does not exist"))
    elif quantity is not Quantity.VOLUME:
        problems.append(Problem(where=where, what=f"{meter.volume_point_tag!r} is no counter of standard volume"))
    if meter.installed_at.tzinfo is None or (meter.removed_at is not None and meter.removed_at.tzinfo is None):
        problems.append(Problem(where=where, what="a time of installation or removal has no time zone"))
    elif meter.removed_at is not None and meter.removed_at <= meter.installed_at:
        problems.append(Problem(where=where, what="was removed before it was installed"))
    return problems


def _overlaps(meters: Iterable[Meter]) -> list[Problem]:
    """Service points with two meters at the same time."""
    aware = [meter for meter in meters if meter.installed_at.tzinfo is not None]
    in_order = sorted(aware, key=lambda meter: (meter.service_point, meter.installed_at))
    return [
        Problem(where=f"meter {later.id}", what=f"installed at {later.service_point} while {earlier.id} is there")
        for earlier, later in pairwise(in_order)
        if earlier.service_point == later.service_point
        and (earlier.removed_at is None or _is_after(earlier.removed_at, later.installed_at))
    ]


def _is_after(one: datetime, other: datetime) -> bool:
    return one.tzinfo is not None and one > other
