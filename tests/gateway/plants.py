"""Gateway files for tests, and a hub that listens on the bus as ingest would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from gashub.embedded.broker import EmbeddedBroker
from gashub.topics import Source
from gashub.wire import GatewayState, Lane, Message, decode, decode_state, encode_committed
from gateway.config import GatewayConfig, load
from gateway.service import run


async def until(condition: Callable[[], Any], *, within_s: float = 40.0) -> None:
    """Wait for a condition, looking at it each time the loop has gone round; fail after `within_s`."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


def device(
    name: str,
    port: int,
    *,
    unit: int = 1,
    profile: str = "rtu-regulator-a",
    block: int,
    scan_s: float = 0.2,
    timeout_s: float = 0.3,
    line: str = "",
) -> dict[str, Any]:
    """What `write_config` needs to know of a device."""
    return {
        "name": name,
        "port": port,
        "unit": unit,
        "profile": profile,
        "block": block,
        "scan_s": scan_s,
        "timeout_s": timeout_s,
        "line": line or name,
    }


def write_config(
    path: Path,
    broker: EmbeddedBroker,
    zone: str,
    devices: list[dict[str, Any]],
    *,
    gateway: str = "gw",
    port: int | None = None,
    extra: str = "",
) -> Path:
    """A gateway's file for these devices."""
    lines = {d["line"]: d for d in devices}
    text = f"""
[gateway]
id = "{gateway}"
zone = "{zone}"
spool_file = "spool-{gateway}.sqlite"
packet_s = 0.1
resend_s = 1.0
{extra}
[broker]
port = {port or broker.port}
username = "field"
password_file = "{broker.password_file("field")}"
"""
    for name, d in lines.items():
        text += f'[[line]]\nid = "{name}"\nhost = "127.0.0.1"\nport = {d["port"]}\ntimeout_s = {d["timeout_s"]}\n'
    for d in devices:
        text += f"""[[device]]
id = "{d["name"]}"
line = "{d["line"]}"
unit = {d["unit"]}
profile = "{d["profile"]}"
scan_s = {d["scan_s"]}
blocks = {{ main = {d["block"]} }}
"""
    path.write_text(text, encoding="utf-8")
    return path


@asynccontextmanager
async def running(*configs: GatewayConfig | Path) -> AsyncIterator[asyncio.Task[None]]:
    """Gateways in this process, from start to clean stop."""
    stop = asyncio.Event()
    loaded = [config if isinstance(config, GatewayConfig) else load(config) for config in configs]
    task = asyncio.create_task(run(loaded, stop, seed=1))
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


class Hub:
    """Listens to one gateway's zone, and says `committed` as long as `commits` is set."""

    def __init__(self, broker: EmbeddedBroker, zone: str, *, port: int | None = None, commits: bool = True) -> None:
        self.commits = commits
        self.payloads: list[bytes] = []
        self.messages: list[Message] = []
        self.states: list[GatewayState | None] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"hub-{zone}", clean_session=True)
        self._client.username_pw_set("hub", broker.users["hub"])
        self._client.on_connect = self._connect
        self._client.on_message = self._take
        self._client.reconnect_delay_set(1, 1)
        self._zone = zone
        self.subscribed = 0
        self._client.on_subscribe = self._subscribed
        self._client.connect_async("127.0.0.1", port or broker.port)

    def _connect(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe([(f"gas/v1/{self._zone}/+/data", 1), (f"gas/v1/{self._zone}/+/state", 1)])

    def _subscribed(self, *_: Any) -> None:
        self.subscribed += 1

    def _take(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if message.topic.endswith("/state"):
            self.states.append(decode_state(message.payload))
            return
        decoded = decode(message.payload)
        assert isinstance(decoded, Message), decoded
        self.payloads.append(message.payload)
        self.messages.append(decoded)
        if self.commits:
            self.commit(decoded)

    def commit(self, message: Message) -> None:
        """Say how far that message's lane is complete."""
        header = message.header
        seen = {m.header.seq for m in self.messages if (m.header.boot, m.header.lane) == (header.boot, header.lane)}
        top = 0
        while top + 1 in seen:
            top += 1
        source = Source(zone=self._zone, gateway=header.gateway)
        self._client.publish(source.topic("committed"), encode_committed(header.boot, header.lane, top), qos=1)

    def frames(self, lane: Lane | None = None) -> set[tuple[int, int]]:
        """Block and time of every frame that came."""
        return {
            (int(block), int(at))
            for message in list(self.messages)
            if lane is None or message.header.lane is lane
            for block, at in zip(message.frames.block_id, message.frames.measured_at_ms, strict=True)
        }

    async def __aenter__(self) -> Hub:
        self._client.loop_start()
        await until(lambda: self.subscribed)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)
