"""The service on the real broker and the real database."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from alarms import actions, queries, service
from gashub import plant as plants_on_disk
from gashub.config import BrokerSection, DatabaseSection, HubConfig
from gashub.embedded.broker import EmbeddedBroker
from gashub.embedded.postgres import EmbeddedPostgres
from gashub.errors import InvalidValue, NotFound
from gashub.quality import GOOD, HISTORICAL
from gashub.registry import Block, Device, Point, Quantity, Registry, Role
from gashub.topics import Source
from gashub.topics import alarms as alarms_topic
from gashub.wire import Header, Lane, encode

from .plants import frames, network, registry

RTU = 1


class Town:
    """A small plant in a fresh database, and its gateway."""

    def __init__(self, dsn: str, broker: EmbeddedBroker, zone: str, directory: Path) -> None:
        self.dsn, self.broker, self.zone = dsn, broker, zone
        self.source = Source(zone=zone, gateway=f"gw-{zone}")
        (directory / "dsn").write_text(dsn)
        self.config = HubConfig(
            database=DatabaseSection(dsn_file=directory / "dsn"),
            broker=BrokerSection(port=broker.port, password_file=broker.password_file("hub")),
        )
        self.config_file = directory / "hub.toml"
        self.config_file.write_text(
            f'[database]\ndsn_file = "{directory / "dsn"}"\n'
            f'[broker]\nport = {broker.port}\npassword_file = "{broker.password_file("hub")}"\n'
        )
        with psycopg.connect(dsn) as connection:
            plants_on_disk.store(connection, network(zone), registry(zone), at=datetime.now(UTC))
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"field-{zone}")
        self._client.username_pw_set("field", broker.users["field"])
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        self._seq = 0

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(
        self,
        slots: Mapping[int, float],
        *,
        block: int = RTU,
        when: datetime | None = None,
        lane: Lane = Lane.LIVE,
        gateway: str | None = None,
    ) -> None:
        self._seq += 1
        quality = GOOD | (HISTORICAL if lane is Lane.HISTORICAL else 0)
        batch = frames((block, when or datetime.now(UTC), slots), quality=quality)
        source = Source(zone=self.zone, gateway=gateway or self.source.gateway)
        header = Header(gateway=source.gateway, boot="b1", lane=lane, seq=self._seq)
        self._client.publish(source.topic("data"), encode(header, batch), qos=1).wait_for_publish(10)

    def leased(self) -> int:
        """How many workers have a connection for their leases."""
        return len(
            self.query(
                "SELECT 1 FROM pg_stat_activity "
                "WHERE application_name = 'gashub-alarms-lease' AND datname = current_database()"
            )
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(sql).fetchall()

    def kinds(self) -> list[str]:
        return [row[0] for row in self.query("SELECT kind FROM journal ORDER BY number")]

    async def until(self, holds: Callable[[], bool], *, within_s: float = 20.0) -> None:
        async with asyncio.timeout(within_s):
            while not await asyncio.to_thread(holds):
                await asyncio.sleep(0.02)


@pytest.fixture
def town(database_dsn: str, broker: EmbeddedBroker, zone: str, tmp_path: Path) -> Any:
    made = Town(database_dsn, broker, zone, tmp_path)
    yield made
    made.close()


@asynccontextmanager
async def serving(town: Town, worker: str = "a") -> AsyncIterator[None]:
    stop = asyncio.Event()
    before = town.leased()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(service.run(town.config, stop, worker=f"{worker}-{town.zone}"))
        await town.until(lambda: town.leased() > before or task.done())
        try:
            yield
        finally:
            stop.set()


async def test_a_frame_over_its_limit_becomes_one_alarm_one_incident_and_their_journal_entries(town: Town) -> None:
    async with serving(town):
        town.publish({4: 1.0})
        await town.until(lambda: "alarm_raised" in town.kinds())
        assert town.query("SELECT rule, active, acknowledged, first_out, zone FROM alarm") == [
            ("slam_shut_closed", True, False, True, town.zone)
        ]
        assert town.query("SELECT kind, priority, emergency, place FROM incident") == [
            ("slam_shut", "emergency", True, [{"element": "regulator", "id": "reg-1", "probability": 1.0}])
        ]
        assert town.kinds() == ["incident_opened", "alarm_raised"]


async def test_raised_acknowledged_by_an_operator_returned_and_closed_with_its_incident(town: Town) -> None:
    async with serving(town):
        town.publish({4: 1.0})
        await town.until(lambda: "alarm_raised" in town.kinds())
        async with await psycopg.AsyncConnection.connect(town.dsn) as connection:
            (alarm,) = await queries.alarms(connection)
            acknowledged = await actions.acknowledge(connection, [alarm.id], actor="ming", now=datetime.now(UTC))
        assert acknowledged == [alarm.id]
        town.publish({4: 0.0})
        await town.until(lambda: "incident_closed" in town.kinds())
        assert town.kinds() == [
            "incident_opened",
            "alarm_raised",
            "alarm_acknowledged",
            "alarm_returned",
            "alarm_closed",
            "incident_closed",
        ]
        assert town.query("SELECT count(*) FROM alarm WHERE closed_at IS NULL") == [(0,)]


async def test_a_historical_frame_neither_raises_nor_clears(town: Town) -> None:
    async with serving(town):
        town.publish({4: 1.0}, lane=Lane.HISTORICAL)
        town.publish({6: 50.0}, when=datetime.now(UTC) - timedelta(seconds=10))
        town.publish({6: 50.0})
        await town.until(lambda: "alarm_raised" in town.kinds())
        town.publish({6: 0.0}, lane=Lane.HISTORICAL, when=datetime.now(UTC) + timedelta(seconds=100))
        town.publish({4: 1.0})
        await town.until(lambda: len(town.query("SELECT 1 FROM alarm")) == 3)
        assert town.query("SELECT rule, active FROM alarm ORDER BY id") == [
            ("station_gas_20", True),
            ("station_gas_40", True),
            ("slam_shut_closed", True),
        ]


async def test_frames_of_a_gateway_that_does_not_own_the_block_are_ignored(town: Town) -> None:
    async with serving(town):
        town.publish({4: 1.0}, gateway="gw-stranger")
        town.publish({6: 50.0}, when=datetime.now(UTC) - timedelta(seconds=10))
        town.publish({6: 50.0})
        await town.until(lambda: "alarm_raised" in town.kinds())
        assert ("slam_shut_closed",) not in town.query("SELECT rule FROM alarm")


async def test_what_is_announced_on_the_bus_is_what_the_journal_says(town: Town) -> None:
    heard: list[dict[str, Any]] = []
    listener = mqtt.Client(CallbackAPIVersion.VERSION2)
    listener.username_pw_set("hub", town.broker.users["hub"])
    listener.on_message = lambda _c, _d, message: heard.append(msgspec.json.decode(message.payload))
    listener.on_connect = lambda client, *_: client.subscribe(alarms_topic(town.zone), 1)
    listener.connect("127.0.0.1", town.broker.port)
    listener.loop_start()
    try:
        await town.until(listener.is_connected)
        async with serving(town):
            town.publish({4: 1.0})
            await town.until(lambda: len(heard) == 2)
    finally:
        listener.disconnect()
        listener.loop_stop()
    journal = town.query("SELECT kind, body FROM journal ORDER BY number")
    assert heard == [{"kind": kind, **body} for kind, body in journal]


async def test_two_workers_that_see_the_same_raise_one_alarm(town: Town) -> None:
    async with serving(town, "a"), serving(town, "b"):
        for _ in range(5):
            town.publish({4: 1.0})
        await town.until(lambda: "alarm_raised" in town.kinds())
        for _ in range(5):
            town.publish({4: 0.0})
        await town.until(lambda: "alarm_returned" in town.kinds())
    assert town.kinds() == ["incident_opened", "alarm_raised", "alarm_returned"]


async def test_a_standby_takes_over_a_zone_and_records_what_stands(town: Town) -> None:
    async with serving(town, "a"), serving(town, "b"):
        pids = town.query("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted")
        assert len({pid for (pid,) in pids}) == 1
        town.query(f"SELECT pg_terminate_backend({pids[0][0]})")
        await town.until(
            lambda: (
                {row[0] for row in town.query("SELECT pid FROM pg_locks WHERE locktype = 'advisory'")} - {pids[0][0]}
                != set()
            )
        )
        town.publish({4: 1.0})
        await town.until(lambda: "alarm_raised" in town.kinds())
    assert town.kinds().count("alarm_raised") == 1


async def test_kill_9_in_the_middle_raises_once_and_loses_nothing(town: Town) -> None:
    command = [sys.executable, "-m", "alarms", "--config", str(town.config_file), "--worker", f"k-{town.zone}"]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, stderr=subprocess.DEVNULL)

    process = start()
    try:
        await town.until(lambda: town.leased() > 0)
        town.publish({4: 1.0})
        await town.until(lambda: "alarm_raised" in town.kinds())
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        # While nobody is there: the alarm goes on, and another one begins.
        town.publish({4: 1.0})
        town.publish({6: 50.0}, when=datetime.now(UTC) - timedelta(seconds=10))
        town.publish({6: 50.0})
        await town.until(lambda: not town.leased())
        process = start()
        await town.until(lambda: len(town.query("SELECT 1 FROM alarm")) == 3, within_s=40)
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait(10)
    assert town.query("SELECT rule, count(*) FROM alarm GROUP BY rule ORDER BY rule") == [
        ("slam_shut_closed", 1),
        ("station_gas_20", 1),
        ("station_gas_40", 1),
    ]
    assert town.kinds().count("alarm_raised") == 3


async def test_while_the_database_is_away_alarms_are_told_unrecorded_and_recorded_later(
    town: Town, postgres_server: EmbeddedPostgres
) -> None:
    heard: list[dict[str, Any]] = []
    listener = mqtt.Client(CallbackAPIVersion.VERSION2)
    listener.username_pw_set("hub", town.broker.users["hub"])
    listener.on_message = lambda _c, _d, message: heard.append(msgspec.json.decode(message.payload))
    listener.on_connect = lambda client, *_: client.subscribe(alarms_topic(town.zone), 1)
    listener.connect("127.0.0.1", town.broker.port)
    listener.loop_start()
    name = town.dsn.rsplit("/", 1)[1]
    with psycopg.connect(postgres_server.admin_dsn, autocommit=True) as admin:
        try:
            async with serving(town):
                await town.until(listener.is_connected)
                admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
                admin.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
                town.publish({4: 1.0})
                await town.until(lambda: bool(heard))
                admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
                assert heard[0]["unrecorded"]
                assert heard[0]["rule"] == "slam_shut_closed"
                await town.until(lambda: "alarm_raised" in town.kinds())
                assert town.kinds() == ["incident_opened", "alarm_raised"]
        finally:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            listener.disconnect()
            listener.loop_stop()


async def test_shelving_needs_a_reason_and_an_end_and_ends_by_itself(town: Town) -> None:
    now = datetime.now(UTC)
    async with serving(town):
        town.publish({4: 1.0})
        await town.until(lambda: "alarm_raised" in town.kinds())
        (alarm,) = town.query("SELECT id FROM alarm")[0]
        async with await psycopg.AsyncConnection.connect(town.dsn) as connection:
            with pytest.raises(InvalidValue):
                await actions.shelve(connection, alarm, until=now, reason="test", actor="ming", now=now)
            with pytest.raises(InvalidValue):
                await actions.shelve(
                    connection, alarm, until=now + timedelta(hours=1), reason=" ", actor="ming", now=now
                )
            with pytest.raises(NotFound):
                await actions.acknowledge(connection, [alarm + 1], actor="ming", now=now)
            soon = datetime.now(UTC) + timedelta(seconds=1)
            await actions.shelve(connection, alarm, until=soon, reason="work on site", actor="ming", now=now)
        town.publish({4: 0.0})
        await town.until(lambda: "incident_closed" in town.kinds())
    assert town.kinds()[2:] == ["alarm_shelved", "alarm_returned", "alarm_unshelved", "alarm_closed", "incident_closed"]


def _with_another_station(zone: str) -> Registry:
    """The plant's registry, and a second regulator station's RTU in block 6."""
    known = registry(zone)
    return replace(
        known,
        devices=[*known.devices, Device(id="rtu-2", gateway=f"gw-{zone}", station="drs-1", profile="any")],
        blocks=[*known.blocks, Block(id=6, device="rtu-2", name="main", scan_s=2.0)],
        points=[
            *known.points,
            Point(id=6 * 8 + 4, tag="rtu-2/slam_shut", quantity=Quantity.STATE, role=Role.SLAM_SHUT),
        ],
    )


async def test_a_device_registered_while_the_service_runs_is_judged_and_what_stood_stands(town: Town) -> None:
    async with serving(town):
        town.publish({4: 1.0})
        await town.until(lambda: "alarm_raised" in town.kinds())
        with psycopg.connect(town.dsn) as connection:
            plants_on_disk.store(connection, network(town.zone), _with_another_station(town.zone), at=datetime.now(UTC))

        def judged() -> bool:
            town.publish({4: 1.0}, block=6)
            return len(town.query("SELECT 1 FROM alarm")) == 2

        await town.until(judged)
        town.publish({4: 0.0})
        await town.until(lambda: "alarm_returned" in town.kinds())
    assert town.query("SELECT condition, active FROM alarm ORDER BY id") == [
        (f"slam_shut_closed:{1 * 8 + 4}", False),
        (f"slam_shut_closed:{6 * 8 + 4}", True),
    ]
    assert town.kinds().count("alarm_raised") == 2


async def test_alarms_of_a_point_that_is_no_longer_registered_return(town: Town) -> None:
    async with serving(town):
        town.publish({4: 1.0})
        await town.until(lambda: "alarm_raised" in town.kinds())
        with psycopg.connect(town.dsn) as connection:
            connection.execute("DELETE FROM point WHERE tag = 'rtu-1/slam_shut'")
            connection.execute("UPDATE registry_version SET version = version + 1")
        await town.until(lambda: "alarm_returned" in town.kinds())
