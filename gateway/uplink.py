"""The session with the broker: paho's network thread on one side, the event loop on the other.

Everything that happens in paho's thread is handed to the loop; all state here is the loop's. The session is clean:
what the gateway must not miss it asks for again by sending again. paho keeps what the broker has not acknowledged and
sends it after a reconnect; `UNACKNOWLEDGED_MAX` bounds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from gashub.config import BrokerSection, read_secret

UNACKNOWLEDGED_MAX: Final = 64
_KEEPALIVE_S: Final = 15
_CONNECT_S: Final = 5.0
_RECONNECT_LIMIT_S: Final = 10

log = structlog.get_logger()


class Uplink:
    """One MQTT session.

    will: topic and payload that the broker publishes, retained, when the session is lost; called before each connect.
    changed: called in the loop whenever something may be sent that could not before, or the link has gone.
    on_message: called in the loop with each message of `subscription`.
    """

    def __init__(
        self,
        client_id: str,
        broker: BrokerSection,
        *,
        will: Callable[[], tuple[str, bytes]],
        subscription: str,
        on_message: Callable[[bytes], None],
        changed: Callable[[], None],
    ) -> None:
        self.connected = False
        self.connects = 0
        self.unacknowledged = 0
        self._refused = False
        self._broker = broker
        self._will = will
        self._subscription = subscription
        self._on_message = on_message
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._client = self._make_client(client_id)

    def _make_client(self, client_id: str) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True)
        client.username_pw_set(self._broker.username, read_secret(self._broker.password_file))
        if self._broker.tls_ca_file is not None:
            client.tls_set(ca_certs=str(self._broker.tls_ca_file))
        client.max_inflight_messages_set(UNACKNOWLEDGED_MAX)
        client.max_queued_messages_set(4 * UNACKNOWLEDGED_MAX)
        client.reconnect_delay_set(min_delay=1, max_delay=_RECONNECT_LIMIT_S)
        client.connect_timeout = _CONNECT_S
        client.on_connect = self._thread_connect
        client.on_disconnect = self._thread_disconnect
        client.on_publish = self._thread_publish
        client.on_message = self._thread_message
        return client

    def start(self) -> None:
        """Begin to connect, and keep trying."""
        self._set_will()
        self._client.connect_async(self._broker.host, self._broker.port, keepalive=_KEEPALIVE_S)
        self._client.loop_start()

    def _set_will(self) -> None:
        topic, payload = self._will()
        self._client.will_set(topic, payload, qos=1, retain=True)

    @property
    def room(self) -> int:
        """How many packets may be handed over now."""
        return max(UNACKNOWLEDGED_MAX - self.unacknowledged, 0) if self.connected else 0

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Hand a message over for delivery at least once; False if it was not taken."""
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        taken = info.rc in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN)
        self.unacknowledged += taken
        return taken

    async def stop(self) -> None:
        """Say goodbye, so that no will is published, and end the network thread."""
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    # paho's thread

    def _thread_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not reason.is_failure:
            client.subscribe(self._subscription, qos=1)
        self._tell(self._connect, str(reason), not reason.is_failure)

    def _thread_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._set_will()
        self._tell(self._disconnect, str(reason))

    def _thread_publish(self, _client: mqtt.Client, _data: Any, _mid: int, _reason: Any, _properties: Any) -> None:
        self._tell(self._acknowledge)

    def _thread_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._tell(self._on_message, message.payload)

    def _tell(self, call: Callable[..., None], *arguments: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)

    # the loop

    def _connect(self, reason: str, accepted: bool) -> None:
        if accepted:
            self.connected, self._refused = True, False
            self.connects += 1
            log.info("uplink_open", broker=f"{self._broker.host}:{self._broker.port}")
        elif not self._refused:
            self._refused = True
            log.warning("uplink_refused", reason=reason)
        self._changed()

    def _disconnect(self, reason: str) -> None:
        if self.connected:
            log.warning("uplink_lost", reason=reason)
        self.connected = False
        self._changed()

    def _acknowledge(self) -> None:
        self.unacknowledged = max(self.unacknowledged - 1, 0)
        self._changed()
