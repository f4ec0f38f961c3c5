"""Hears every data message on the bus with a durable session of its own: what was sent, against what was stored."""

from __future__ import annotations

import threading

import paho.mqtt.client as mqtt

from gashub import topics, wire
from gashub.config import HubConfig

Key = tuple[int, int]


class Eavesdropper:
    """Collects (block, milliseconds) of every frame any gateway sent."""

    def __init__(self, config: HubConfig) -> None:
        self.frames: set[Key] = set()
        self._subscribed = threading.Event()
        self._client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, "test-eavesdropper", clean_session=False, protocol=mqtt.MQTTv311
        )
        self._client.username_pw_set(config.broker.username, config.broker_password())
        self._client.on_connect = lambda client, *_: client.subscribe(topics.ALL_DATA, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._take
        self._client.connect(config.broker.host, config.broker.port)

    def __enter__(self) -> Eavesdropper:
        self._client.loop_start()
        assert self._subscribed.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, client: mqtt.Client, userdata: object, message: mqtt.MQTTMessage) -> None:
        decoded = wire.decode(message.payload)
        assert isinstance(decoded, wire.Message)
        self.frames.update(zip(decoded.frames.block_id.tolist(), decoded.frames.measured_at_ms.tolist(), strict=True))
