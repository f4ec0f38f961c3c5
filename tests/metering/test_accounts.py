"""Accounts, meters and their readings in a real database."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg import AsyncConnection

from gashub import plant as hub_plant
from gashub.errors import ConfigurationError, NotFound
from gashub.network.model import CustomerClass, Junction, Network, ServicePoint, Zone
from gashub.quality import BAD_COMM_FAILURE, GOOD, Severity, severity_of
from gashub.registry import Block, Device, Gateway, Point, Quantity, Registry, Role, Station, StationKind
from ingest import partitions
from metering import daily, plant, queries

SHANGHAI = ZoneInfo("Asia/Shanghai")
START = datetime(2026, 11, 10, 0, 0, tzinfo=UTC)
EXCHANGED = START + timedelta(hours=2, minutes=30)
MODULUS = 1e6

NETWORK = Network(
    name="two",
    zones=[Zone(id="east", name_en="East", name_zh="东区")],
    junctions=[Junction(id="j1", zone="east", x_m=0, y_m=0)],
    pipes=[],
    service_points=[
        ServicePoint(
            id=key,
            zone="east",
            junction="j1",
            customer_class=CustomerClass.COMMERCIAL,
            annual_m3_std=9,
            metered_live=True,
        )
        for key in ("sp1", "sp2", "sp3")
    ],
)
DEVICES = ("m1", "m1-new", "m2")
REGISTRY = Registry(
    gateways=[Gateway(id="gw", zone="east")],
    stations=[
        Station(id="st", zone="east", kind=StationKind.CUSTOMER, name_en="St", name_zh="站", junction="j1"),
    ],
    devices=[Device(id=key, gateway="gw", station="st", profile="evc-bcd-c") for key in DEVICES],
    blocks=[Block(id=n, device=key, name="main", scan_s=60) for n, key in enumerate(DEVICES, 1)],
    points=[
        point
        for n, key in enumerate(DEVICES, 1)
        for point in (
            Point(
                id=n * 8,
                tag=f"{key}/volume",
                quantity=Quantity.VOLUME,
                role=Role.OFFTAKE_VOLUME,
                counter_modulus=MODULUS,
            ),
            Point(id=n * 8 + 1, tag=f"{key}/flow", quantity=Quantity.FLOW, role=Role.OFFTAKE_FLOW),
        )
    ],
)
ACCOUNTS: dict[str, Any] = {
    "accounts": [
        {
            "id": "a1",
            "name": "红星饭店",
            "customer_class": "commercial",
            "phone": "01234567890",
            "service_points": ["sp1", "sp2"],
        },
        {"id": "a2", "name": "100%_Bakery", "customer_class": "commercial", "phone": "", "service_points": ["sp3"]},
    ],
    "meters": [
        {
            "id": "meter-1",
            "service_point": "sp1",
            "device": "m1",
            "volume_point_tag": "m1/volume",
            "installed_at": "2024-03-01T00:00:00+08:00",
            "removed_at": EXCHANGED.isoformat(),
        },
        {
            "id": "meter-1b",
            "service_point": "sp1",
            "device": "m1-new",
            "volume_point_tag": "m1-new/volume",
            "installed_at": EXCHANGED.isoformat(),
        },
        {
            "id": "meter-2",
            "service_point": "sp2",
            "device": "m2",
            "volume_point_tag": "m2/volume",
            "installed_at": "2024-03-01T00:00:00+08:00",
        },
    ],
}


@pytest.fixture
async def connection(database_dsn: str, tmp_path: Path) -> AsyncIterator[AsyncConnection[Any]]:
    """A database with the accounts, and four hours of three counters."""
    (tmp_path / "accounts.json").write_text(json.dumps(ACCOUNTS), encoding="utf-8")
    with psycopg.connect(database_dsn) as sync:
        hub_plant.store(sync, NETWORK, REGISTRY, at=START)
        for _ in range(2):
            plant.store(sync, tmp_path / "accounts.json", NETWORK, REGISTRY)
    async with await AsyncConnection.connect(database_dsn, autocommit=True) as connection:
        await partitions.make(connection, [START.date() - timedelta(days=1), START.date()])
        await count(connection, 1, 500.0, -10, 150)
        await count(connection, 2, 7.0, 150, 250)
        await count(connection, 3, MODULUS - 60, -10, 250)
        yield connection


async def count(
    connection: AsyncConnection[Any], block: int, index: float, first: int, last: int, quality: int = GOOD
) -> None:
    """A reading a minute of a counter that goes 1 m³ a minute and stands at `index` at minute `first`."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO frame (block_id, ts, v0, quality) VALUES (%s, %s, %s, %s)",
            [
                (block, START + timedelta(minutes=minute), (index + minute - first) % MODULUS, quality)
                for minute in range(first, last + 1)
            ],
        )


async def read(
    connection: AsyncConnection[Any], account: str, step: str = "hour", hours: float = 4
) -> dict[str, queries.Readings]:
    found = await queries.readings(
        connection,
        account,
        START,
        START + timedelta(hours=hours),
        step,
        timezone=SHANGHAI,
        gas_day_hour=8,
    )
    return {each.service_point: each for each in found}


async def test_hourly_consumption_runs_on_through_an_exchange_of_the_meter(
    connection: AsyncConnection[Any],
) -> None:
    found = (await read(connection, "a1"))["sp1"]
    assert [each.volume_m3 for each in found.intervals] == [60.0, 60.0, 60.0, 60.0]
    assert found.total_m3 == 240.0


async def test_hourly_consumption_runs_on_through_a_counter_that_rolls_over(connection: AsyncConnection[Any]) -> None:
    found = (await read(connection, "a1"))["sp2"]
    assert [each.volume_m3 for each in found.intervals] == [60.0, 60.0, 60.0, 60.0]


async def test_an_hour_that_is_not_over_has_no_volume_yet(connection: AsyncConnection[Any]) -> None:
    found = (await read(connection, "a1", hours=6))["sp2"]
    assert [each.volume_m3 for each in found.intervals[:4]] == [60.0] * 4
    assert found.intervals[5].volume_m3 is None
    assert severity_of(found.intervals[5].quality) is Severity.BAD
    assert found.total_m3 is None


async def test_a_gas_day_is_told_by_its_own_edges(connection: AsyncConnection[Any]) -> None:
    found = (await read(connection, "a1", "gas_day"))["sp2"]
    (day,) = found.intervals
    assert (day.start, day.end) == (START, START + timedelta(days=1))


async def test_an_account_without_live_meters_has_no_readings_and_an_unknown_one_is_not_found(
    connection: AsyncConnection[Any],
) -> None:
    assert await read(connection, "a2") == {}
    for asked in (read(connection, "a9"), queries.account(connection, "a9")):
        with pytest.raises(NotFound):
            await asked


async def test_an_account_shows_all_its_meters_and_the_index_of_those_installed(
    connection: AsyncConnection[Any],
) -> None:
    found = await queries.account(connection, "a1")
    assert (found.account.service_points, found.account.meters) == (["sp1", "sp2"], 2)
    assert [meter.id for meter in found.meters] == ["meter-1", "meter-1b", "meter-2"]
    assert {index.meter: index.value for index in found.indexes} == {"meter-1b": 107.0, "meter-2": 200.0}


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", ["a1", "a2"]),
        ("红星", ["a1"]),
        ("bakery", ["a2"]),
        ("A1", ["a1"]),
        ("sp3", ["a2"]),
        ("100%_", ["a2"]),
        ("%", ["a2"]),
        ("nobody", []),
    ],
)
async def test_accounts_are_found_by_id_name_and_service_point(
    connection: AsyncConnection[Any], search: str, found: list[str]
) -> None:
    assert [account.id for account in await queries.accounts(connection, search)] == found


async def test_a_search_without_names_finds_no_names_and_a_masked_account_shows_none(
    connection: AsyncConnection[Any],
) -> None:
    assert await queries.accounts(connection, "红星", by_name=False) == []
    (account,) = await queries.accounts(connection, "a1", by_name=False)
    masked = queries.masked(account)
    assert (masked.name, masked.phone) == ("红**", "*******7890")
    assert masked.id == "a1"


async def test_a_daily_reading_is_frozen_once_and_stays(connection: AsyncConnection[Any]) -> None:
    day, now = date(2026, 11, 10), START + timedelta(hours=1)

    async def freeze() -> int:
        return await daily.freeze(connection, day, timezone=SHANGHAI, gas_day_hour=8, now=now)

    await connection.execute("DELETE FROM frame WHERE block_id = 3 AND ts <= %s", (START,))
    await count(connection, 3, 0, -5, 0, quality=BAD_COMM_FAILURE)
    assert await freeze() == 1
    # The counter that was silent at the hour is read from a spool later; what is frozen does not change with it.
    await connection.execute("UPDATE frame SET v0 = v0 + 100 WHERE block_id IN (1, 3)")
    await connection.execute("UPDATE frame SET quality = %s WHERE block_id = 3", (GOOD,))
    assert await freeze() == 1
    rows = await (await connection.execute("SELECT meter, index_m3_std FROM daily_reading ORDER BY 1")).fetchall()
    assert rows == [("meter-1", 510.0), ("meter-2", 105.0)]


def test_a_file_of_accounts_is_refused_with_every_mistake_at_once(tmp_path: Path) -> None:
    wrong = json.loads(json.dumps(ACCOUNTS))
    wrong["accounts"][1]["id"] = "a1"
    wrong["accounts"][1]["service_points"] = ["sp1", "sp9"]
    old, new, other = wrong["meters"]
    old["removed_at"] = "2026-12-01T00:00:00+08:00"
    new["device"] = "m9"
    other |= {"volume_point_tag": "m2/flow", "removed_at": "2020-01-01T00:00:00+08:00"}
    path = tmp_path / "accounts.json"
    path.write_text(json.dumps(wrong), encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        plant.read(path, NETWORK, REGISTRY)
    said = [str(problem) for problem in caught.value.problems]
    for words in (
        "account a1: stands 2 times",
        "service point sp1: stands 2 times",
        "'sp9' does not exist",
        "'m9' does not exist",
        "no counter of standard volume",
        "removed before it was installed",
        "meter meter-1b: installed at sp1 while meter-1 is there",
    ):
        assert any(words in problem for problem in said), words
    assert len(said) == 7
