"""From closed packets to the historian's word that it has them.

    packer ─(every packet_s)─► outbox: live or waiting? ─► spool ─► uplink
                                  ▲                                   │
                                  └───────── committed ◄──────────────┘

A packet is on disk before it is sent, so whatever left the gateway can be sent again. The disk has a thread of its
own, so that a slow flush never stops the polling.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, TypeVar

import structlog

from gashub.clock import Clock, stopwatch_s
from gashub.frames import FrameBatch, to_ms
from gashub.wire import (
    VERSION,
    GatewayState,
    Header,
    Lane,
    Message,
    decode,
    decode_committed,
    encode,
    encode_state,
)

from .config import GatewayConfig
from .outbox import Outbox, Sending
from .packets import PACKET_SCANS, Packer, Scan
from .spool import Spool, Stored, size_of
from .tally import Tally
from .uplink import Uplink

_STATE_S: Final = 30.0
_PACKET_REAL_S: Final = 0.25
_GOODBYE_S: Final = 2.0
_TICK_S: Final = 1.0

Result = TypeVar("Result")
log = structlog.get_logger()


def packet_real_s(packet_s: float, clock: Clock) -> float:
    """Real seconds between packets: hub time as the readings are, but no more flushes a second than disks bear."""
    return max(clock.real_s(packet_s), min(packet_s, _PACKET_REAL_S))


def relabel(body: bytes, header: Header) -> bytes | None:
    """The same frames under another header, the same bytes if it is their own; None for what cannot be read."""
    message = decode(body)
    if not isinstance(message, Message):
        return None
    return body if message.header == header else encode(header, message.frames)


class Forwarder:
    """Everything between the pollers and the broker, for one gateway."""

    def __init__(self, config: GatewayConfig, clock: Clock, tally: Tally, new_boot: Callable[[], str]) -> None:
        self._section = config.gateway
        self._source = config.source
        self._clock = clock
        self._tally = tally
        self._packet_real_s = packet_real_s(config.gateway.packet_s, clock)
        self._packer = Packer()
        self._full = asyncio.Event()
        self._wake = asyncio.Event()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix=f"spool-{config.gateway.id}")
        self._spool = Spool(config.gateway.spool_file)
        leftovers, dropped = self._spool.stored(), self._spool.dropped()
        tally.dropped_packets, tally.dropped_frames = dropped.packets, dropped.frames
        self._outbox = Outbox(
            config.gateway.id,
            leftovers,
            max_bytes=int(config.gateway.spool_max_mb * 1e6),
            resend_s=config.gateway.resend_s,
            new_boot=new_boot,
        )
        self._unspooled = Header(gateway=config.gateway.id, boot=new_boot(), lane=Lane.LIVE, seq=0)
        self._disk_failed = False
        self._since_ms = to_ms(clock.now())
        self._announced: GatewayState | None = None
        self._announced_s = float("-inf")
        self._uplink = Uplink(
            f"gateway-{config.gateway.id}",
            config.broker,
            will=lambda: (self._source.topic("state"), encode_state(self._state(online=False))),
            subscription=self._source.topic("committed"),
            on_message=self._committed,
            changed=self._changed,
        )
        log.info("spool_open", gateway=config.gateway.id, packets=len(leftovers), bytes=self._outbox.bytes)

    def deliver(self, scan: Scan) -> None:
        """Take a scan from a poller; never waits."""
        self._packer.add(scan)
        if len(self._packer) >= PACKET_SCANS:
            self._full.set()

    async def run(self) -> None:
        """Forward until cancelled."""
        self._uplink.start()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._close_packets(), name=f"packets {self._section.id}")
            tasks.create_task(self._send(), name=f"sending {self._section.id}")

    async def stop(self) -> None:
        """Keep what was gathered, say goodbye to the hub, close the spool."""
        await self._close_packet()
        if self._uplink.connected:
            self._announce(online=False)
            await self._acknowledged()
        await self._uplink.stop()
        try:
            await self._on_disk(self._spool.free, self._outbox.take_freed())
        except sqlite3.Error as error:
            self._disk_fault(error)
        await self._on_disk(self._spool.close)
        self._disk.shutdown()

    async def _acknowledged(self) -> None:
        try:
            async with asyncio.timeout(_GOODBYE_S):
                while self._uplink.connected and self._uplink.unacknowledged:
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError:
            log.warning("goodbye_unacknowledged", gateway=self._section.id, packets=self._uplink.unacknowledged)

    # closing packets

    async def _close_packets(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._packet_real_s):
                    await self._full.wait()
            except TimeoutError:
                pass
            self._full.clear()
            await self._close_packet()

    async def _close_packet(self) -> None:
        if len(self._packer):
            await self._keep(self._packer.take())

    async def _keep(self, frames: FrameBatch) -> None:
        """Put a packet on disk and, if the hub can be reached, send it at once."""
        live = self._uplink.room > 0
        body = encode(self._outbox.next_header(Lane.LIVE), frames)
        boot = self._outbox.boot
        given_up = self._outbox.make_room(size_of(body))
        if self._outbox.boot != boot:
            body = encode(self._outbox.next_header(Lane.LIVE), frames)
        freed = self._outbox.take_freed()
        self._count_dropped(given_up)
        self._tally.packets += 1
        self._tally.frames += len(frames)
        self._tally.readings += frames.readings
        try:
            stored = await self._on_disk(lambda: self._spool.append(body, len(frames), freed=freed, given_up=given_up))
        except sqlite3.Error as error:
            self._disk_fault(error)
            self._send_unspooled(frames, live=live)
            return
        self._disk_works()
        if live:
            self._outbox.add_live(stored, stopwatch_s())
            self._publish(body)
        else:
            self._outbox.add_waiting(stored)
        self._changed()

    def _send_unspooled(self, frames: FrameBatch, *, live: bool) -> None:
        """Send what the disk did not take, so that alarms still see it, numbered apart: it cannot be repeated."""
        if not live:
            self._tally.dropped_packets += 1
            self._tally.dropped_frames += len(frames)
            return
        self._unspooled = replace(self._unspooled, seq=self._unspooled.seq + 1)
        self._tally.unspooled_packets += 1
        self._publish(encode(self._unspooled, frames))

    def _count_dropped(self, packets: Sequence[Stored]) -> None:
        self._tally.dropped_packets += len(packets)
        self._tally.dropped_frames += sum(packet.frames for packet in packets)

    def _disk_fault(self, error: sqlite3.Error) -> None:
        if not self._disk_failed:
            log.warning("spool_failed", gateway=self._section.id, reason=str(error))
        self._disk_failed = True

    def _disk_works(self) -> None:
        if self._disk_failed:
            log.info("spool_works_again", gateway=self._section.id)
        self._disk_failed = False

    # sending

    async def _send(self) -> None:
        while True:
            self._wake.clear()
            for sending in self._outbox.due(stopwatch_s(), self._uplink.room):
                await self._send_one(sending)
            self._announce_if_changed()
            try:
                async with asyncio.timeout(_TICK_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _send_one(self, sending: Sending) -> None:
        packet = sending.packet
        try:
            body = await self._on_disk(self._spool.read, packet.id)
        except sqlite3.Error as error:
            self._disk_fault(error)
            return
        if body is None or not self._outbox.holds(sending):
            return
        labelled = relabel(body, sending.header)
        if labelled is None:
            log.warning("spooled_packet_unreadable", gateway=self._section.id, packet=packet.id)
            self._outbox.give_up(packet)
            self._count_dropped([packet])
            return
        self._publish(labelled)
        self._tally.resent += sending.again

    def _publish(self, body: bytes) -> None:
        self._tally.published += self._uplink.publish(self._source.topic("data"), body)

    def _committed(self, payload: bytes) -> None:
        message = decode_committed(payload)
        if message is None:
            log.warning("committed_unreadable", gateway=self._section.id, bytes=len(payload))
            return
        if self._outbox.committed(message.boot, Lane(message.lane), message.seq, stopwatch_s()):
            self._changed()

    def _changed(self) -> None:
        self._tally.spool_bytes, self._tally.spool_packets = self._outbox.bytes, len(self._outbox)
        self._tally.connects = self._uplink.connects
        if not self._uplink.connected:
            self._announced = None
        self._wake.set()

    # what the gateway says of itself

    def _state(self, *, online: bool) -> GatewayState:
        return GatewayState(
            version=VERSION,
            boot=self._outbox.boot,
            online=online,
            since_ms=to_ms(self._clock.now()),
            spool_bytes=self._outbox.bytes,
            spool_dropped=self._tally.dropped_frames,
        )

    def _announce_if_changed(self) -> None:
        """Announce at once when connected, renumbered or at the first loss; otherwise now and then while it changes."""
        if not self._uplink.connected:
            return
        known, state = self._announced, self._state(online=True)
        due = stopwatch_s() - self._announced_s >= _STATE_S
        changed = known is None or (known.spool_bytes, known.spool_dropped) != (state.spool_bytes, state.spool_dropped)
        urgent = known is None or known.boot != state.boot or (known.spool_dropped == 0 < state.spool_dropped)
        if urgent or (changed and due):
            self._announce(online=True)

    def _announce(self, *, online: bool) -> None:
        if self._announced is None:
            self._since_ms = to_ms(self._clock.now())
        state = self._state(online=online)
        if online:
            state = GatewayState(
                version=VERSION,
                boot=state.boot,
                online=True,
                since_ms=self._since_ms,
                spool_bytes=state.spool_bytes,
                spool_dropped=state.spool_dropped,
            )
        self._uplink.publish(self._source.topic("state"), encode_state(state), retain=True)
        self._announced, self._announced_s = state, stopwatch_s()

    async def _on_disk(self, call: Callable[..., Result], *arguments: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._disk, lambda: call(*arguments))
