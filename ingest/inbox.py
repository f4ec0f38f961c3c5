"""The broker's side: one durable MQTT session, acknowledged by hand, with a bounded window.

The only module of ingest that knows MQTT.

    thread:   socket ─► paho ─► pile (bounded) ─► ...   ... ─► PUBACK, publish ─► socket
    asyncio:                     └─► batch() ──► store ──► done(), publish() ─┘

paho runs in a thread of its own, and only that thread touches it; what asyncio wants done it hands over and wakes the
thread. Acknowledgements carry the number of the connection they belong to: after a reconnect the broker delivers
everything unacknowledged again, under packet ids that may mean other messages by then.

The window. At most `window` messages and `WINDOW_BYTES` are held unacknowledged. At the bound the socket is not read,
and TCP makes the broker wait. If that lasts (the database is away), the connection is given up before the broker does
it and taken up again when there is room: the broker keeps the messages, and nothing is delivered in vain meanwhile.

A broker whose disk was wiped has no session of ours: subscriptions are made at every connection.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from gashub.clock import Clock

from .batching import Limits, Pile

WINDOW_BYTES: Final = 256 * 1024 * 1024
KEEPALIVE_S: Final = 60
PATIENCE_S: Final = 20.0
_TICK_S: Final = 1.0
_READ_BYTES: Final = 256 * 1024
_PUBLISH_QOS_1: Final = 0x32
_PUBLISH_QOS_1_MASK: Final = 0xF6  # neither the duplicate flag nor the retained flag matters
_BACKOFF_S: Final = (0.1, 5.0)
_OUTGOING: Final = 10_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the broker is and as whom to log in."""

    host: str
    port: int
    username: str
    password: str
    client_id: str
    tls_ca_file: str | None = None


class Delivery(NamedTuple):
    """A message that is not acknowledged yet. connection: the number of the connection it came by."""

    topic: str
    payload: bytes
    packet_id: int
    connection: int


class _Client(mqtt.Client):
    """paho, with its two costly habits replaced: it reads a packet's head byte by byte from the socket, and it takes
    some 40 µs to hand over a message and 10 to acknowledge one.

    Here the socket is read in large pieces; complete QoS 1 publications are parsed where they lie, and every other
    packet, whole, is left to paho. Acknowledgements go out together.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._ahead = b""
        self._at = 0

    def forget(self) -> None:
        """Drop what was read from an earlier connection."""
        self._ahead, self._at = b"", 0

    @property
    def decrypted(self) -> bool:
        """Whether TLS holds bytes that the socket does not show any more."""
        link = self.socket()
        return isinstance(link, ssl.SSLSocket) and link.pending() > 0

    def fill(self) -> bool:
        """Read what has arrived; False if the connection has ended."""
        try:
            piece = super()._sock_recv(_READ_BYTES)
        except BlockingIOError:
            return True
        self._ahead, self._at = self._ahead[self._at :] + piece, 0
        return bool(piece)

    def publications(self, connection: int, limit: int) -> list[Delivery]:
        """The complete QoS 1 publications next in line, at most `limit`, up to the first other packet."""
        found: list[Delivery] = []
        while len(found) < limit and (packet := self._next()) is not None:
            kind, start, end = packet
            if kind & _PUBLISH_QOS_1_MASK != _PUBLISH_QOS_1:
                break
            data = self._ahead
            topic_end = start + 2 + int.from_bytes(data[start : start + 2], "big")
            topic = data[start + 2 : topic_end].decode("utf-8", "replace")
            packet_id = int.from_bytes(data[topic_end : topic_end + 2], "big")
            found.append(Delivery(topic, data[topic_end + 2 : end], packet_id, connection))
            self._at = end
        return found

    def handle_other(self) -> bool:
        """Let paho deal with the next packet if it is whole; returns whether there was one."""
        if self._next() is None:
            return False
        return self.loop_read() == mqtt.MQTT_ERR_SUCCESS

    def _next(self) -> tuple[int, int, int] | None:
        """First byte of the next packet, and where its body lies; None while it is not whole."""
        data, at = self._ahead, self._at
        size = shift = 0
        for place in range(at + 1, min(at + 5, len(data))):
            byte = data[place]
            size |= (byte & 0x7F) << shift
            if byte < 0x80:
                end = place + 1 + size
                return (data[at], place + 1, end) if end <= len(data) else None
            shift += 7
        return None

    def _sock_recv(self, bufsize: int) -> bytes:
        """Where paho reads: only ever packets that are whole in memory."""
        if self._at >= len(self._ahead):
            raise BlockingIOError
        piece = self._ahead[self._at : self._at + bufsize]
        self._at += len(piece)
        return piece

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """PUBACK for each, in one piece."""
        data = b"".join(b"\x40\x02" + packet_id.to_bytes(2, "big") for packet_id in packet_ids)
        self._packet_queue(0x40, data, 0, 0)


class Inbox:
    """Batches of messages from the broker, and what goes back to it."""

    def __init__(
        self,
        endpoint: Endpoint,
        filters: Sequence[str],
        limits: Limits,
        clock: Clock,
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._endpoint = endpoint
        self._filters = [(topic, 1) for topic in filters]
        self._limits = limits
        self._clock = clock
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._pile: Pile[Delivery] = Pile(limits)
        self._held = 0
        self._held_bytes = 0
        self._orders: deque[tuple[int, list[int]] | tuple[str, bytes]] = deque()
        self._connection = 0
        self._subscribed = False
        self._stopping = False
        self._room = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._ready = asyncio.Event()
        self._waker, self._wakee = socket.socketpair()
        for end in (self._waker, self._wakee):
            end.setblocking(False)
        self._client = self._make_client()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="inbox")
        self._running: Future[None] | None = None

    # asyncio's side

    async def __aenter__(self) -> Inbox:
        self._running = self._executor.submit(self._run)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        self._room.set()
        self._wake()
        await asyncio.to_thread(self._executor.shutdown)
        self._waker.close()
        self._wakee.close()

    async def watch(self) -> None:
        """Return when the thread has ended; raises what ended it, so that a deaf process does not live on."""
        if self._running is not None:
            await asyncio.wrap_future(self._running)

    async def ready(self) -> None:
        """Return when the session is subscribed."""
        await self._ready.wait()

    @property
    def connected(self) -> bool:
        """Whether there is a connection with its subscriptions."""
        return self._subscribed

    @property
    def window_use(self) -> float:
        """Share of the window that is held, 0 to 1."""
        return self._held / self._limits.window

    async def batch(self) -> list[Delivery]:
        """Wait for the next batch, oldest message first."""
        while True:
            self._news.clear()
            with self._lock:
                wait_s = self._pile.due_in_s(self._clock.monotonic_s())
                if wait_s == 0.0:
                    return self._pile.take()
            try:
                async with asyncio.timeout(None if wait_s is None else self._clock.real_s(wait_s)):
                    await self._news.wait()
            except TimeoutError:
                continue

    def done(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge messages whose fate is committed."""
        by_connection: dict[int, list[int]] = {}
        for delivery in deliveries:
            by_connection.setdefault(delivery.connection, []).append(delivery.packet_id)
        with self._lock:
            self._held -= len(deliveries)
            self._held_bytes -= sum(len(delivery.payload) for delivery in deliveries)
            self._orders.extend(by_connection.items())
        self._room.set()
        self._wake()

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish once connected, QoS 1; of too many that wait the newest are dropped, since gateways ask again."""
        with self._lock:
            if len(self._orders) < _OUTGOING:
                self._orders.append((topic, payload))
        self._wake()

    def _wake(self) -> None:
        try:
            self._waker.send(b"\0")
        except BlockingIOError:
            return

    # the thread's side

    def _make_client(self) -> _Client:
        client = _Client(
            callback_api_version=CallbackAPIVersion.VERSION2,
            client_id=self._endpoint.client_id,
            clean_session=False,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(1_000)
        client.max_queued_messages_set(_OUTGOING)
        client.username_pw_set(self._endpoint.username, self._endpoint.password)
        if self._endpoint.tls_ca_file is not None:
            client.tls_set(ca_certs=self._endpoint.tls_ca_file)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        return client

    def _run(self) -> None:
        pause_s = _BACKOFF_S[0]
        told = False
        while not self._stopping:
            self._connection += 1
            try:
                self._client.forget()
                self._client.connect(self._endpoint.host, self._endpoint.port, KEEPALIVE_S)
                self._serve()
            except OSError as error:
                if not told:
                    log.warning("broker_unreachable", error=str(error))
                told = True
            if self._subscribed:
                pause_s, told = _BACKOFF_S[0], False
                log.warning("broker_lost", stopping=self._stopping)
            self._leave()
            if not self._stopping:
                self._await_order(pause_s)
                pause_s = min(2 * pause_s, _BACKOFF_S[1])

    def _leave(self) -> None:
        """Drop what the broker will deliver again, and wait for room if there is none."""
        self._subscribed = False
        with self._lock:
            dropped = self._pile.take()
            self._held -= len(dropped)
            self._held_bytes -= sum(len(delivery.payload) for delivery in dropped)
        while self._full and not self._stopping:
            self._room.clear()
            if self._full:
                self._room.wait()

    def _await_order(self, pause_s: float) -> None:
        """Wait before the next attempt, and no longer than until we are told to stop."""
        self._room.clear()
        if not self._stopping:
            self._room.wait(pause_s)

    @property
    def _full(self) -> bool:
        return self._held >= self._limits.window or self._held_bytes >= WINDOW_BYTES

    def _serve(self) -> None:
        """One connection, until it ends or is given up."""
        client = self._client
        full_since: float | None = None
        while (link := client.socket()) is not None and not self._stopping:
            self._carry_out()
            self._parse()
            full = self._full
            if not full:
                full_since = None
            elif full_since is None:
                full_since = self._clock.monotonic_s()
            elif self._clock.real_s(self._clock.monotonic_s() - full_since) > self._patience_s:
                log.warning("window_full_connection_given_up", held=self._held)
                break
            reads = [self._wakee] if full else [self._wakee, link]
            writes = [link] if client.want_write() else []
            readable, writable, _ = select.select(reads, writes, [], 0.0 if client.decrypted and not full else _TICK_S)
            if self._wakee in readable:
                self._drain_wakee()
            if (link in readable or (client.decrypted and not full)) and not client.fill():
                break
            if writable:
                client.loop_write()
            client.loop_misc()
        self._carry_out()
        client.disconnect()
        client.loop_write()

    def _parse(self) -> None:
        """Take in what has been read, as far as the window allows."""
        while not self._full:
            found = self._client.publications(self._connection, self._limits.window - self._held)
            if found:
                self._pile_up(found)
            elif not self._client.handle_other():
                return

    def _pile_up(self, found: Sequence[Delivery]) -> None:
        now_s = self._clock.monotonic_s()
        with self._lock:
            was_empty, was_full = not len(self._pile), self._pile.full
            for delivery in found:
                self._pile.add(delivery, len(delivery.payload), now_s)
                self._held_bytes += len(delivery.payload)
            self._held += len(found)
            wake = was_empty or (self._pile.full and not was_full)
        if wake:
            self._loop.call_soon_threadsafe(self._news.set)

    def _drain_wakee(self) -> None:
        try:
            self._wakee.recv(65_536)
        except BlockingIOError:
            return

    def _carry_out(self) -> None:
        """Send what asyncio asked for; acknowledgements of an earlier connection are void."""
        while self._orders and self._subscribed:
            with self._lock:
                what, argument = self._orders.popleft()
            if isinstance(what, str):
                self._client.publish(what, argument, qos=1)  # type: ignore[arg-type]
            elif what == self._connection:
                self._client.acknowledge(argument)

    def _on_connect(self, client: mqtt.Client, _data: Any, flags: mqtt.ConnectFlags, code: ReasonCode, _p: Any) -> None:
        if code.is_failure:
            log.warning("broker_refused", reason=str(code))
            return
        log.info("broker_connected", session_present=flags.session_present)
        client.subscribe(self._filters)

    def _on_subscribe(self, client: mqtt.Client, _data: Any, _mid: int, codes: list[ReasonCode], _p: Any) -> None:
        if any(code.is_failure for code in codes):
            log.error("subscription_refused", filters=[topic for topic, _ in self._filters])
            client.disconnect()
            return
        self._subscribed = True
        self._loop.call_soon_threadsafe(self._ready.set)
