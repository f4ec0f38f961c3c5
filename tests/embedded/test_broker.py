"""The embedded broker over real MQTT: what is queued stays queued, and nobody may more than granted."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from gashub.embedded.broker import EmbeddedBroker, subjects
from gashub.embedded.supervisor import Event, EventKind

from .conftest import Other, alive, eventually

DATA = "gas/v1/east/gw/data"

START = """
import sys
from pathlib import Path
from gashub.embedded.broker import EmbeddedBroker
server = EmbeddedBroker(Path(sys.argv[1]))
server.start()
say = {"pid": server.pid, "port": server.port, "keeper": server._supervised._keeper.pid}
"""


class Client:
    """A paho client that remembers what it was told."""

    def __init__(
        self,
        broker: EmbeddedBroker,
        user: str,
        client_id: str,
        *,
        clean: bool = False,
        password: str | None = None,
        manual: bool = False,
    ) -> None:
        self.payloads: list[bytes] = []
        self.retained: list[bytes] = []
        self.connected: list[ReasonCode] = []
        self.session_present: list[bool] = []
        self.granted: list[list[ReasonCode]] = []
        self.acknowledged: set[int] = set()
        self._condition = threading.Condition()
        inner = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean, manual_ack=manual)
        inner.username_pw_set(user, password or broker.users[user])
        inner.reconnect_delay_set(1, 1)
        inner.on_connect = lambda _c, _u, flags, code, _p: self._note(
            lambda: self._connected(code, flags.session_present)
        )
        inner.on_subscribe = lambda _c, _u, _m, codes, _p: self._note(lambda: self.granted.append(codes))
        inner.on_publish = lambda _c, _u, mid, _r, _p: self._note(lambda: self.acknowledged.add(mid))
        inner.on_message = lambda _c, _u, message: self._note(
            lambda: (self.retained if message.retain else self.payloads).append(bytes(message.payload))
        )
        self.inner = inner
        inner.connect(broker.host, broker.port)
        inner.loop_start()
        self.until(lambda: self.connected)

    def _note(self, change: Callable[[], object]) -> None:
        with self._condition:
            change()
            self._condition.notify_all()

    def _connected(self, code: ReasonCode, session_present: bool) -> None:
        self.connected.append(code)
        self.session_present.append(session_present)

    def until(self, condition: Callable[[], object], timeout_s: float = 40.0) -> None:
        with self._condition:
            assert self._condition.wait_for(condition, timeout_s), f"still not true after {timeout_s} s"

    def subscribe(self, topic: str) -> ReasonCode:
        before = len(self.granted)
        self.inner.subscribe(topic, 1)
        self.until(lambda: len(self.granted) > before)
        return self.granted[-1][0]

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Return when it is acknowledged."""
        sent = self.inner.publish(topic, payload, 1, retain)
        self.until(lambda: sent.mid in self.acknowledged)

    def close(self) -> None:
        self.inner.disconnect()
        self.inner.loop_stop()


Connect = Callable[..., Client]


@pytest.fixture
def connect() -> Iterator[Connect]:
    clients: list[Client] = []

    def make(*arguments: object, **options: object) -> Client:
        clients.append(Client(*arguments, **options))  # type: ignore[arg-type]
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(tmp_path / "data") as running:
        yield running


# --- delivery ---------------------------------------------------------------------------------


def test_a_durable_session_gets_what_came_while_its_reader_was_away(own: EmbeddedBroker, connect: Connect) -> None:
    reader = connect(own, "hub", "ingest-1")
    reader.subscribe("gas/v1/+/+/data")
    reader.close()
    gateway = connect(own, "field", "gw")
    for number in range(5):
        gateway.publish(DATA, b"%d" % number)
    again = connect(own, "hub", "ingest-1")
    again.until(lambda: len(again.payloads) == 5)
    assert again.session_present == [True]
    assert again.payloads == [b"0", b"1", b"2", b"3", b"4"]


def test_nothing_acknowledged_is_lost_by_a_kill_of_the_broker(own: EmbeddedBroker, connect: Connect) -> None:
    reader = connect(own, "hub", "ingest-1")
    reader.subscribe("gas/v1/+/+/data")
    reader.close()
    gateway = connect(own, "field", "gw")
    for number in range(50):
        gateway.publish(DATA, b"%d" % number)
    own.kill()
    own.start()
    again = connect(own, "hub", "ingest-1")
    again.until(lambda: len(set(again.payloads)) == 50)
    assert again.session_present == [True]


def test_clients_find_the_broker_again_after_it_died(tmp_path: Path, connect: Connect) -> None:
    events: list[Event] = []
    with EmbeddedBroker(tmp_path / "data", on_event=events.append) as broker:
        reader = connect(broker, "hub", "ingest-1")
        reader.subscribe("gas/v1/+/+/data")
        gateway = connect(broker, "field", "gw")
        before = broker.pid
        broker.crash()
        reader.until(lambda: len(reader.connected) > 1)
        gateway.until(lambda: len(gateway.connected) > 1)
        gateway.publish(DATA, b"after")
        reader.until(lambda: b"after" in reader.payloads)
        assert broker.pid != before
        assert [e.returncode for e in events if e.kind is EventKind.EXITED] == [-signal.SIGKILL]


def test_an_unacknowledged_message_comes_again_after_ack_wait(own: EmbeddedBroker, connect: Connect) -> None:
    reader = connect(own, "hub", "ingest-1", manual=True)
    reader.subscribe("gas/v1/+/+/data")
    connect(own, "field", "gw").publish(DATA, b"taken but never acknowledged")
    reader.until(lambda: len(reader.payloads) >= 2, 30.0)


def test_the_window_of_a_reader_is_two_thousand_messages(own: EmbeddedBroker, connect: Connect) -> None:
    reader = connect(own, "hub", "ingest-1", manual=True)
    reader.subscribe("gas/v1/+/+/data")
    gateway = connect(own, "field", "gw")
    for number in range(2_100):
        gateway.inner.publish(DATA, b"%d" % number, 1)
    gateway.until(lambda: len(gateway.acknowledged) == 2_100, 30.0)
    reader.until(lambda: len(set(reader.payloads)) == 2_000, 30.0)


def test_retained_state_is_kept_over_a_kill(own: EmbeddedBroker, connect: Connect) -> None:
    connect(own, "field", "gw").publish("gas/v1/east/gw/state", b"online", retain=True)
    own.kill()
    own.start()
    reader = connect(own, "hub", "api-live", clean=True)
    reader.subscribe("gas/v1/+/+/state")
    reader.until(lambda: reader.retained == [b"online"])


def test_large_messages_pass(own: EmbeddedBroker, connect: Connect) -> None:
    reader = connect(own, "hub", "ingest-1")
    reader.subscribe("gas/v1/+/+/data")
    connect(own, "field", "gw").publish(DATA, bytes(3_900_000))
    reader.until(lambda: [len(payload) for payload in reader.payloads] == [3_900_000])


def test_a_full_store_drops_the_oldest_and_everybody_goes_on(tmp_path: Path, connect: Connect) -> None:
    with EmbeddedBroker(tmp_path / "data", store_limit_bytes=4_000_000) as broker:
        away = connect(broker, "hub", "ingest-1")
        away.subscribe("gas/v1/+/+/data")
        away.close()
        live = connect(broker, "hub", "api-live", clean=True)
        live.subscribe("gas/v1/+/+/data")
        gateway = connect(broker, "field", "gw")
        for number in range(60):
            gateway.publish(DATA, b"%03d" % number + bytes(100_000))
        live.until(lambda: len(live.payloads) == 60)
        back = connect(broker, "hub", "ingest-1")
        back.until(lambda: any(payload.startswith(b"059") for payload in back.payloads))
        assert 20 <= len(back.payloads) < 40


# --- who may what -------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["hub", "field", "sim"])
def test_a_wrong_password_is_refused(broker: EmbeddedBroker, connect: Connect, zone: str, user: str) -> None:
    client = connect(broker, user, f"{zone}-wrong", password="guessed")
    assert client.connected[0].is_failure


@pytest.mark.parametrize("user", ["field", "sim"])
@pytest.mark.parametrize("leaf", ["committed", "cmd"])
def test_a_gateway_may_hear_what_is_for_it(
    broker: EmbeddedBroker, connect: Connect, zone: str, user: str, leaf: str
) -> None:
    topic = f"gas/v1/{zone}/gw/{leaf}"
    gateway = connect(broker, user, f"{zone}-gw")
    assert gateway.subscribe(topic).value == 1
    connect(broker, "hub", f"{zone}-hub", clean=True).publish(topic, b"for you")
    gateway.until(lambda: gateway.payloads == [b"for you"])


@pytest.mark.parametrize("topic", ["#", "gas/v1/+/+/data", "gas/v1/alarms/+", "$MQTT/#", "sim/v1/state", "gas/json/x"])
def test_a_gateway_may_not_hear_what_is_not(broker: EmbeddedBroker, connect: Connect, zone: str, topic: str) -> None:
    assert connect(broker, "field", f"{zone}-gw").subscribe(topic).is_failure


@pytest.mark.parametrize(
    ("user", "topic"),
    [
        ("field", "gas/v1/{zone}/gw/data"),
        ("field", "gas/v1/{zone}/gw/state"),
        ("field", "gas/v1/{zone}/gw/ack"),
        ("field", "spBv1.0/{zone}/NDATA/node"),
        ("field", "gas/json/{zone}/meter"),
        ("sim", "gas/v1/{zone}/gw/data"),
        ("sim", "sim/v1/{zone}"),
    ],
)
def test_what_is_granted_arrives(broker: EmbeddedBroker, connect: Connect, zone: str, user: str, topic: str) -> None:
    reader = connect(broker, "hub", f"{zone}-hub", clean=True)
    reader.subscribe(topic.format(zone=zone))
    connect(broker, user, f"{zone}-gw", clean=True).publish(topic.format(zone=zone), b"granted")
    reader.until(lambda: reader.payloads == [b"granted"])


@pytest.mark.parametrize(
    "topic",
    ["gas/v1/{zone}/gw/cmd", "gas/v1/{zone}/gw/committed", "gas/v1/alarms/{zone}", "sim/v1/{zone}", "{zone}/anything"],
)
@pytest.mark.parametrize("retain", [False, True], ids=["live", "retained"])
def test_what_is_not_granted_reaches_nobody(
    broker: EmbeddedBroker, connect: Connect, zone: str, topic: str, retain: bool
) -> None:
    """The broker acknowledges it all the same; what counts is that the granted one that follows comes alone."""
    reader = connect(broker, "hub", f"{zone}-hub", clean=True)
    reader.subscribe(topic.format(zone=zone))
    reader.subscribe(f"gas/v1/{zone}/gw/data")
    gateway = connect(broker, "field", f"{zone}-gw", clean=True)
    gateway.publish(topic.format(zone=zone), b"forged", retain=retain)
    gateway.publish(f"gas/v1/{zone}/gw/data", b"granted")
    reader.until(lambda: b"granted" in reader.payloads)
    late = connect(broker, "hub", f"{zone}-late", clean=True)
    late.subscribe(topic.format(zone=zone))
    assert (reader.payloads, late.retained) == ([b"granted"], [])


def test_taking_over_a_session_gives_no_access_to_its_messages(
    broker: EmbeddedBroker, connect: Connect, zone: str
) -> None:
    reader = connect(broker, "hub", f"{zone}-ingest")
    reader.subscribe(f"gas/v1/{zone}/+/data")
    reader.close()
    connect(broker, "hub", f"{zone}-hub", clean=True).publish(f"gas/v1/{zone}/gw/data", b"not for you")
    thief = connect(broker, "field", f"{zone}-ingest")
    thief.subscribe(f"gas/v1/{zone}/gw/cmd")
    connect(broker, "hub", f"{zone}-hub", clean=True).publish(f"gas/v1/{zone}/gw/cmd", b"for you")
    thief.until(lambda: b"for you" in thief.payloads)
    assert thief.payloads == [b"for you"]


def test_a_will_tells_of_a_gateway_that_vanished(broker: EmbeddedBroker, connect: Connect, zone: str) -> None:
    topic = f"gas/v1/{zone}/gw/state"
    reader = connect(broker, "hub", f"{zone}-hub", clean=True)
    reader.subscribe(topic)
    gateway = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"{zone}-gw")
    gateway.username_pw_set("field", broker.users["field"])
    gateway.will_set(topic, b"offline", 1, retain=True)
    gateway.connect(broker.host, broker.port)
    connection = gateway.socket()
    assert connection is not None
    connection.close()
    reader.until(lambda: reader.payloads == [b"offline"])


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("gas/v1/+/+/data", ["gas.v1.*.*.data"]),
        ("spBv1.0/#", ["spBv1//0", "spBv1//0.>"]),
        ("gas/json/#", ["gas.json", "gas.json.>"]),
        ("#", [">"]),
    ],
)
def test_a_topic_filter_is_translated(topic: str, expected: list[str]) -> None:
    assert subjects(topic) == expected


# --- life ------------------------------------------------------------------------------------------


def test_two_run_side_by_side(broker: EmbeddedBroker, own: EmbeddedBroker, connect: Connect) -> None:
    assert own.port != broker.port
    assert connect(own, "hub", "x", password=broker.users["hub"]).connected[0].is_failure


def test_only_the_owner_can_read_its_files(own: EmbeddedBroker) -> None:
    found = [own.data_dir, *own.data_dir.rglob("*")]
    assert len(found) > 5
    assert [path for path in found if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_passwords_may_lie_elsewhere(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "data", secrets_dir=tmp_path / "secrets")
    assert broker.password_file("field") == tmp_path / "secrets" / "broker-field"
    assert broker.password_file("field").read_text().strip() == broker.users["field"]


def test_port_and_passwords_survive_a_restart(own: EmbeddedBroker) -> None:
    before = (own.port, own.users)
    own.restart()
    assert (own.port, own.users) == before


def test_nothing_is_left_when_the_hub_is_killed(tmp_path: Path, other: Callable[..., Other]) -> None:
    hub = other(START, str(tmp_path / "data"))
    said = hub.said()
    hub.process.kill()
    eventually(lambda: not alive(said["pid"]) and not alive(said["keeper"]))


def test_nothing_is_left_when_the_hub_and_the_keeper_are_killed(tmp_path: Path, other: Callable[..., Other]) -> None:
    hub = other(START, str(tmp_path / "data"))
    said = hub.said()
    os.kill(hub.process.pid, signal.SIGSTOP)
    os.kill(said["keeper"], signal.SIGKILL)
    hub.process.kill()
    eventually(lambda: not alive(said["pid"]))


def test_a_fork_of_the_hub_does_not_keep_the_broker_alive(tmp_path: Path, other: Callable[..., Other]) -> None:
    """The fork holds the pipes to the keeper open, so their end cannot be what tells of the hub's death."""
    fork = "import os, signal\nsay['fork'] = os.fork()\nif say['fork'] == 0:\n    signal.pause()\n"
    hub = other(START + fork, str(tmp_path / "data"))
    said = hub.said()
    try:
        hub.process.kill()
        eventually(lambda: not alive(said["pid"]))
        assert alive(said["fork"])
    finally:
        os.kill(said["fork"], signal.SIGKILL)


async def test_it_is_an_asynchronous_context_too(tmp_path: Path) -> None:
    async with EmbeddedBroker(tmp_path / "data") as broker:
        assert alive(broker.pid or 0)
    assert broker.pid is None
