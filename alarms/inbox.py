"""The alarms' own durable session on the bus. A message is acknowledged once it has been judged and what it caused is
recorded, or told unrecorded and kept; a worker that dies before gets it again.

paho runs its socket in a thread of its own and hands messages to the event loop; the broker's window of unacknowledged
messages bounds what can wait here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from gashub.config import HubConfig
from gashub.errors import Unavailable
from gashub.topics import ALL_DATA, ALL_STATE

KEEPALIVE_S: Final = 20
CONNECT_TIMEOUT_S: Final = 30.0
OUTBOX_LIMIT: Final = 10_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message as it came; `token` acknowledges it."""

    topic: str
    payload: bytes
    token: tuple[int, int]
    session: int


class Inbox:
    """A connection that reconnects by itself. Use it as an asynchronous context manager."""

    def __init__(self, config: HubConfig, worker: str, *, window: int = 2_000) -> None:
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Queue[Delivery] = asyncio.Queue(maxsize=window)
        self._window = window
        self._subscribed = asyncio.Event()
        self._session = 0
        self.connected = False
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"alarms-{worker}",
            clean_session=False,
            protocol=mqtt.MQTTv311,
            manual_ack=True,
        )
        self._client.username_pw_set(config.broker.username, config.broker_password())
        if config.broker.tls_ca_file is not None:
            self._client.tls_set(str(config.broker.tls_ca_file))
        self._client.max_queued_messages_set(OUTBOX_LIMIT)
        self._client.reconnect_delay_set(min_delay=1, max_delay=5)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message

    async def __aenter__(self) -> Inbox:
        self._client.connect_async(self._config.broker.host, self._config.broker.port, KEEPALIVE_S)
        self._client.loop_start()
        try:
            await asyncio.wait_for(self._subscribed.wait(), CONNECT_TIMEOUT_S)
        except TimeoutError as error:
            await asyncio.to_thread(self._close)
            raise Unavailable(f"no broker at {self._config.broker.host}:{self._config.broker.port}") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.is_failure:
            log.warning("broker_refused", reason=str(reason))
            return
        self._session += 1
        client.subscribe([(ALL_DATA, 1), (ALL_STATE, 1)])

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _p: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            log.error("subscription_refused", reasons=[str(reason) for reason in reasons])
            return
        self._loop.call_soon_threadsafe(self._up)

    def _up(self) -> None:
        self.connected = True
        self._subscribed.set()
        log.info("broker_connected")

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _p: Any) -> None:
        self._loop.call_soon_threadsafe(self._down, str(reason))

    def _down(self, reason: str) -> None:
        if self.connected:
            self.connected = False
            log.warning("broker_disconnected", reason=reason)

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        delivery = Delivery(
            topic=message.topic,
            payload=bytes(message.payload),
            token=(message.mid, message.qos),
            session=self._session,
        )
        self._loop.call_soon_threadsafe(self._take, delivery)

    def _take(self, delivery: Delivery) -> None:
        # What does not fit is not acknowledged, so the broker sends it again.
        if self._waiting.qsize() < self._window:
            self._waiting.put_nowait(delivery)

    async def take(self, *, limit: int) -> list[Delivery]:
        """Wait for messages; everything that is there, at most `limit`."""
        taken = [await self._waiting.get()]
        while len(taken) < limit and not self._waiting.empty():
            taken.append(self._waiting.get_nowait())
        return taken

    def acknowledge(self, deliveries: Iterable[Delivery]) -> None:
        """Tell the broker that these need not come again. Numbers of an earlier connection mean nothing any more."""
        for delivery in deliveries:
            if delivery.session == self._session:
                self._client.ack(*delivery.token)

    def publish(self, topic: str, payload: bytes) -> bool:
        """Hand a message to the bus at QoS 1; False if the bounded outbox is full."""
        return self._client.publish(topic, payload, qos=1).rc != mqtt.MQTT_ERR_QUEUE_SIZE
