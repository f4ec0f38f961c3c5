"""The live feed as a console sees it, and what becomes of it when things fail."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from psycopg import AsyncConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api.app import PREFIX
from api.feed import CLOSE_TRY_AGAIN, CLOSE_UNAUTHORISED
from api.followers import QUEUE_LENGTH, Follower
from api.sessions import COOKIE
from gashub import journal, topics, wire
from gashub.embedded.broker import EmbeddedBroker
from gashub.embedded.postgres import EmbeddedPostgres
from gashub.frames import SLOTS, FrameBatch, to_ms
from gashub.quality import GOOD
from gashub.schema import migrate
from gashub.wire import Header, Lane

from . import plants
from .running import Api, Person, code, configured, eventually, said, telemetry
from .snapshots import parse


def append(api: Api, n: int = 1, *, fill: str = "") -> None:
    """Write n entries into the journal."""

    async def write() -> None:
        async with await AsyncConnection.connect(api.config.dsn()) as connection:
            for i in range(n):
                await journal.append(
                    connection,
                    at=datetime.now(UTC),
                    kind="test",
                    subject="test:1",
                    actor="test",
                    body={"i": i, "fill": fill},
                )

    asyncio.run(write())


class Field:
    """Somebody who publishes on the bus."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="")
        self._client.username_pw_set("hub", broker.users["hub"])
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def publish(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1).wait_for_publish(20)

    def outlet(self, value: float, seq: int) -> None:
        """The street's outlet pressure, measured now."""
        columns, quality = np.full((1, SLOTS), np.nan), np.zeros((1, SLOTS), np.uint8)
        columns[0, 1], quality[0, 1] = value, GOOD
        at = np.array([to_ms(datetime.now(UTC))])
        frames = FrameBatch(block_id=np.array([1], np.int32), measured_at_ms=at, values=columns, quality=quality)
        header = Header(gateway="gw-east", boot="b", lane=Lane.LIVE, seq=seq)
        self.publish("gas/v1/east/gw-east/data", wire.encode(header, frames))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def field(broker: EmbeddedBroker) -> Any:
    field = Field(broker)
    yield field
    field.close()


def outlet_shown(feed: Any, value: float) -> bool:
    reading = parse(telemetry(feed)).readings.get(plants.OUTLET)
    return reading is not None and reading.value == value


def test_a_console_is_greeted_and_then_hears_a_heartbeat_and_every_point(api: Api, field: Field) -> None:
    with api.live(api.somebody("viewer"), origin=api.url) as feed:
        hello = said(feed, "hello")
        assert (hello["speed"], hello["events_after"]) == (1.0, hello["journal"])
        beat = said(feed, "heartbeat")
        assert (beat["database"], beat["broker"]) == ("up", "up")
        assert set(parse(telemetry(feed)).readings) == set(plants.POINTS)
        field.outlet(4.25, 1)
        eventually(lambda: outlet_shown(feed, 4.25))


def test_what_an_operator_acknowledges_reaches_every_console(api: Api) -> None:
    operator, viewer = api.somebody("operator"), api.somebody("viewer")
    with api.live(viewer) as feed:
        number = said(feed, "hello")["journal"]
        answer = operator.post("/alarms/acknowledge", {"alarm_ids": [1]})
        assert answer.json() == {"acknowledged": [1]}
        event = said(feed, "event")
    assert (event["kind"], event["subject"], event["actor"]) == ("alarm_acknowledged", "alarm:1", operator.name)
    assert event["number"] == number + 1
    assert viewer.get("/events", after=number).json()[0]["kind"] == "alarm_acknowledged"
    assert operator.post("/alarms/acknowledge", {"alarm_ids": [1]}).json() == {"acknowledged": []}
    (alarm,) = viewer.get("/alarms").json()
    assert (alarm["acknowledged"], alarm["acknowledged_by"]) == (True, operator.name)


def test_a_console_that_comes_back_misses_nothing(api: Api) -> None:
    viewer = api.somebody("viewer")
    append(api)
    with api.live(viewer) as feed:
        number = said(feed, "hello")["journal"]
    append(api, 30)
    with api.live(viewer) as feed:
        feed.send(json.dumps({"resume": number}))
        assert said(feed, "hello")["events_after"] == number
        append(api, 5)
        numbers = [said(feed, "event")["number"] for _ in range(35)]
    assert numbers == list(range(number + 1, number + 36))


@pytest.mark.parametrize(
    "words", ["", "{", "[]", '{"resume": "x"}', '{"resume": -5}', f'{{"resume": {10**30}}}', b"\x00\xff", "\u0000"]
)
def test_a_client_that_talks_nonsense_is_served_like_any_other(api: Api, words: str | bytes) -> None:
    with api.live(api.somebody("viewer")) as feed:
        feed.send(words)
        hello = said(feed, "hello")
        assert hello["events_after"] + 5 >= 0 and hello["events_after"] <= hello["journal"]
        for _ in range(50):
            feed.send(words)
        said(feed, "heartbeat")


def test_who_has_no_session_is_told_to_log_in(api: Api) -> None:
    for person in (None, Person("nobody", api.anybody, "made-up")):
        with api.live(person) as feed, pytest.raises(ConnectionClosed) as closed:
            feed.recv(timeout=20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == CLOSE_UNAUTHORISED


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://["])
def test_a_page_from_elsewhere_gets_no_feed(api: Api, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        api.live(api.somebody("viewer"), origin=origin)
    assert refused.value.response.status_code == 403


def test_the_feed_ends_with_the_session(api: Api) -> None:
    viewer = api.somebody("viewer")
    with api.live(viewer) as feed:
        said(feed, "hello")
        api.sql("DELETE FROM session WHERE user_name = %s", viewer.name)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                feed.recv(timeout=20)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == CLOSE_UNAUTHORISED


def test_an_alarm_that_cannot_be_recorded_reaches_consoles_at_once(api: Api, field: Field) -> None:
    body = {"kind": "alarm_raised", "unrecorded": True, "rule": "zone_leak", "zone": "east", "priority": "emergency"}
    with api.live(api.somebody("viewer")) as feed:
        said(feed, "hello")
        field.publish(topics.alarms("east"), msgspec.json.encode({"kind": "alarm_raised", "alarm": 1}))
        field.publish(topics.alarms("east"), msgspec.json.encode(body))
        told = said(feed, "alarm")
    assert "unrecorded" not in told
    assert (told["recorded"], told["rule"], told["kind"]) == (False, "zone_leak", "alarm_raised")


def test_a_follower_that_does_not_keep_up_is_marked() -> None:
    follower = Follower()
    for n in range(QUEUE_LENGTH):
        follower.offer({"n": n})
    assert not follower.overrun
    follower.offer({})
    assert follower.overrun


def test_a_client_that_does_not_read_is_cut_off_and_the_others_are_not_held_up(own_api: Api) -> None:
    viewer = own_api.somebody("viewer")
    with own_api.live(viewer) as feed, socket.create_connection(("127.0.0.1", own_api.config.api.port)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(
            f"GET {PREFIX}/live HTTP/1.1\r\nHost: {own_api.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"Cookie: {COOKIE}={viewer.cookie}\r\n\r\n".encode()
        )
        assert deaf.recv(12) == b"HTTP/1.1 101"
        number = said(feed, "hello")["journal"]
        append(own_api, 150, fill="x" * 100_000)
        numbers = [said(feed, "event")["number"] for _ in range(150)]
        assert numbers == list(range(number + 1, number + 151))
        eventually(lambda: bool(said(feed, "heartbeat")) and own_api.consoles() == 1)


def test_fifty_consoles_hear_the_same_and_are_all_let_go(own_api: Api, field: Field) -> None:
    viewer = own_api.somebody("viewer")
    with ExitStack() as stack:
        feeds = [stack.enter_context(own_api.live(viewer)) for _ in range(50)]
        started = [said(feed, "hello")["journal"] for feed in feeds]
        append(own_api, 3)
        heard = [[said(feed, "event")["number"] for _ in range(3)] for feed in feeds]
        assert heard == [[first + 1, first + 2, first + 3] for first in started]
        field.outlet(4.5, 1)
        for feed in feeds:
            eventually(lambda feed=feed: outlet_shown(feed, 4.5))  # type: ignore[misc]


def test_without_the_database_live_values_go_on_and_everything_comes_back_by_itself(
    own_postgres: EmbeddedPostgres, broker: EmbeddedBroker, tmp_path: Path, field: Field
) -> None:
    migrate(own_postgres.url())
    config = configured(tmp_path, own_postgres.url(), broker)
    plants.store(config, tmp_path)
    with Api(config) as api:
        operator = api.somebody("operator")
        with api.live(operator) as feed:
            number = said(feed, "hello")["journal"]
            own_postgres.stop()
            eventually(lambda: said(feed, "heartbeat")["database"] == "down")
            field.outlet(4.75, 1)
            eventually(lambda: outlet_shown(feed, 4.75))
            answer = operator.get("/alarms")
            assert (answer.status_code, code(answer)) == (503, "unavailable")
            assert operator.post("/alarms/acknowledge", {"alarm_ids": [1]}).status_code == 503
            ready = api.anybody.get("/readyz")
            assert (ready.status_code, ready.json()["database"], ready.json()["broker"]) == (503, False, True)
            assert api.anybody.get("/healthz").status_code == 200
            with api.live(operator) as other, pytest.raises(ConnectionClosed) as closed:
                other.recv(timeout=30)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == CLOSE_TRY_AGAIN
            own_postgres.start()
            eventually(lambda: said(feed, "heartbeat")["database"] == "up", within_s=60)
            eventually(lambda: operator.get("/alarms").status_code == 200)
            append(api)
            assert said(feed, "event")["number"] == number + 1


def test_without_the_broker_the_rest_goes_on(tmp_path: Path, database_dsn: str) -> None:
    with EmbeddedBroker(tmp_path / "broker") as broker:
        config = configured(tmp_path, database_dsn, broker)
        plants.store(config, tmp_path)
        with Api(config) as api:
            operator = api.somebody("operator")
            with api.live(operator) as feed:
                said(feed, "hello")
                broker.stop()
                eventually(lambda: said(feed, "heartbeat")["broker"] == "down")
                assert operator.get("/alarms").status_code == 200
                broker.start()
                eventually(lambda: said(feed, "heartbeat")["broker"] == "up", within_s=60)


def test_sessions_may_last_as_long_as_configured(api: Api) -> None:
    viewer = api.somebody("viewer")
    ends = datetime.fromisoformat(viewer.get("/session").json()["expires_at"])
    assert ends - datetime.now(UTC) > timedelta(hours=11)
