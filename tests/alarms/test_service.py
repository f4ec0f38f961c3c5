"""The service on the real broker and the real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from alarms import service
from gashub import plant as plants_on_disk
from gashub.config import BrokerSection, DatabaseSection, HubConfig
from gashub.embedded.broker import EmbeddedBroker
from gashub.quality import GOOD, HISTORICAL
from gashub.topics import Source
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
        self, slots: Mapping[int, float], *, block: int = RTU, when: datetime | None = None, lane: Lane = Lane.LIVE
    ) -> None:
        self._seq += 1
        quality = GOOD | (HISTORICAL if lane is Lane.HISTORICAL else 0)
        batch = frames((block, when or datetime.now(UTC), slots), quality=quality)
        header = Header(gateway=self.source.gateway, boot="b1", lane=lane, seq=self._seq)
        self._client.publish(self.source.topic("data"), encode(header, batch), qos=1).wait_for_publish(10)

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
    async with asyncio.TaskGroup() as group:
        task = group.create_task(service.run(town.config, stop, worker=f"{worker}-{town.zone}"))
        await town.until(
            lambda: (
                bool(
                    town.query(
                        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'gashub-alarms-lease' AND datname = current_database()"
                    )
                )
                or task.done()
            )
        )
        yield
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
