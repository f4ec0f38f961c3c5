"""One message onto the bus, confirmed by the broker, for verbs that have just one thing to say."""

from __future__ import annotations

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from gashub.config import HubConfig
from gashub.errors import Unavailable

_PATIENCE_S = 10.0


def publish_once(config: HubConfig, topic: str, payload: bytes) -> None:
    """Publish one message at QoS 1. Raises Unavailable if the broker does not confirm it in time."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    client.username_pw_set(config.broker.username, config.broker_password())
    if config.broker.tls_ca_file:
        client.tls_set(str(config.broker.tls_ca_file))
    try:
        client.connect(config.broker.host, config.broker.port)
        client.loop_start()
        client.publish(topic, payload, qos=1).wait_for_publish(_PATIENCE_S)
    except (OSError, RuntimeError, ValueError) as error:
        raise Unavailable(f"broker {config.broker.host}:{config.broker.port}: {error}") from error
    finally:
        client.disconnect()
        client.loop_stop()
