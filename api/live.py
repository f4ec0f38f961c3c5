"""What every point shows now, straight from the bus.

    gas/v1/+/+/data ──► newest value per point ──► one snapshot a second, encoded once for all clients
    gas/v1/+/+/state ─► which gateways are there
    gas/v1/alarms/+ ──► alarms that could not be recorded yet, told on at once
    sim/v1/state ─────► whether a simulated town runs, and what it can play

The session is a clean one: while this process is off the broker keeps nothing for it, and at its start the historian
tells the last known values. A value that came late (historical) never replaces a newer one.

    snapshot   "GHL1" | u32 n | f64 hub_time_ms | i32 point_id[n], padded to 8 bytes | f64 measured_at_ms[n]
               | f64 value[n] | u8 quality[n]            little-endian; points never seen are absent
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiomqtt
import msgspec
import numpy as np
import structlog

from gashub import topics, wire
from gashub.config import BrokerSection
from gashub.errors import InvalidValue
from gashub.frames import SLOTS, FrameBatch
from gashub.quality import NOT_SAMPLED

MAGIC: Final = b"GHL1"
_RECONNECT_S: Final = 1.0
_ALARMS: Final = topics.ALL_ALARMS.removesuffix("+")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySeen:
    """What a gateway last announced."""

    gateway: str
    zone: str
    online: bool
    since_ms: int
    spool_bytes: int
    spool_dropped: int


class LiveValues:
    """The newest reading of each known point, as columns."""

    def __init__(self) -> None:
        self._set_points(np.empty(0, np.int32))

    def _set_points(self, point_ids: np.ndarray) -> None:
        n = len(point_ids)
        self.point_id = point_ids
        self.measured_at_ms = np.full(n, -1, np.int64)
        self.value = np.full(n, np.nan)
        self.quality = np.zeros(n, np.uint8)

    def know(self, point_ids: Sequence[int]) -> None:
        """Take the registry's points; what was known of those that stay is kept."""
        before = (self.point_id, self.measured_at_ms, self.value, self.quality)
        self._set_points(np.array(sorted(point_ids), np.int32))
        self.take(*before)

    def take_frames(self, frames: FrameBatch) -> None:
        """Take each sampled slot that is newer than what is shown."""
        sampled = frames.quality != NOT_SAMPLED
        point_id = frames.block_id[:, None].astype(np.int64) * SLOTS + np.arange(SLOTS)
        at = np.broadcast_to(frames.measured_at_ms[:, None], sampled.shape)
        self.take(point_id[sampled], at[sampled], frames.values[sampled], frames.quality[sampled])

    def take(self, point_id: np.ndarray, at_ms: np.ndarray, value: np.ndarray, quality: np.ndarray) -> None:
        """Take readings as columns, in any order; unknown points are left out."""
        if not len(self.point_id) or not len(point_id):
            return
        order = np.argsort(at_ms, kind="stable")
        point_id, at_ms, value, quality = point_id[order], at_ms[order], value[order], quality[order]
        where = np.minimum(np.searchsorted(self.point_id, point_id), len(self.point_id) - 1)
        newer = (self.point_id[where] == point_id) & (at_ms > self.measured_at_ms[where]) & (quality != NOT_SAMPLED)
        where = where[newer]
        self.measured_at_ms[where] = at_ms[newer]
        self.value[where] = value[newer]
        self.quality[where] = quality[newer]

    def snapshot(self, hub_time_ms: float) -> bytes:
        """All points seen so far, in the binary form that the console reads."""
        seen = self.measured_at_ms >= 0
        n = int(np.count_nonzero(seen))
        ids = self.point_id[seen].astype("<i4").tobytes()
        return b"".join(
            (
                MAGIC,
                struct.pack("<Id", n, hub_time_ms),
                ids,
                bytes(-len(ids) % 8),
                self.measured_at_ms[seen].astype("<f8").tobytes(),
                self.value[seen].astype("<f8").tobytes(),
                self.quality[seen].tobytes(),
            )
        )


class Live:
    """Reads the bus and holds what it said last."""

    def __init__(
        self, broker: BrokerSection, password: str, client_id: str, on_unrecorded: Callable[[dict[str, Any]], None]
    ) -> None:
        self._broker = broker
        self._password = password
        self._client_id = client_id
        self._on_unrecorded = on_unrecorded
        self.values = LiveValues()
        self.gateways: dict[str, GatewaySeen] = {}
        self.simulation: dict[str, Any] | None = None
        self.connected = asyncio.Event()
        self._client: aiomqtt.Client | None = None

    async def run(self) -> None:
        """Read for ever; a broker that is away is tried again each second."""
        while True:
            try:
                async with aiomqtt.Client(
                    self._broker.host,
                    self._broker.port,
                    username=self._broker.username,
                    password=self._password,
                    identifier=self._client_id,
                    clean_session=True,
                    max_queued_incoming_messages=10_000,
                ) as client:
                    await self._read(client)
            except aiomqtt.MqttError as error:
                if self.connected.is_set():
                    _log.warning("broker_lost", error=str(error))
            finally:
                self.connected.clear()
                self._client = None
            await asyncio.sleep(_RECONNECT_S)

    async def _read(self, client: aiomqtt.Client) -> None:
        for topic in (topics.ALL_DATA, topics.ALL_STATE, topics.ALL_ALARMS, topics.SIM_STATE):
            await client.subscribe(topic, qos=1)
        self._client = client
        self.connected.set()
        _log.info("broker_found")
        async for message in client.messages:
            if isinstance(message.payload, bytes):
                self.take(str(message.topic), message.payload)

    async def publish(self, topic: str, payload: bytes) -> bool:
        """Say something on the bus; False if the broker is away."""
        if self._client is None:
            return False
        try:
            await self._client.publish(topic, payload, qos=1, timeout=5.0)
        except aiomqtt.MqttError:
            return False
        return True

    def take(self, topic: str, payload: bytes) -> None:
        """Take one message. What cannot be read is left to ingest, which keeps and counts it."""
        if topic == topics.SIM_STATE:
            self._take_simulation(payload)
            return
        if topic.startswith(_ALARMS):
            self._take_alarm(payload)
            return
        try:
            source, leaf = topics.parse(topic)
        except InvalidValue:
            return
        if leaf == "data":
            message = wire.decode(payload)
            if isinstance(message, wire.Message) and message.header.gateway == source.gateway:
                self.values.take_frames(message.frames)
        elif leaf == "state" and (state := wire.decode_state(payload)) is not None:
            self.gateways[source.gateway] = GatewaySeen(
                gateway=source.gateway,
                zone=source.zone,
                online=state.online,
                since_ms=state.since_ms,
                spool_bytes=state.spool_bytes,
                spool_dropped=state.spool_dropped,
            )

    def _take_simulation(self, payload: bytes) -> None:
        if (state := _json(payload)) is not None:
            self.simulation = state if state.get("running") else None

    def _take_alarm(self, payload: bytes) -> None:
        """Tell an alarm that is not in the journal; what is recorded comes from there, numbered."""
        body = _json(payload)
        if body is not None and body.pop("unrecorded", False) is True:
            self._on_unrecorded(body)


def _json(payload: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(payload, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
