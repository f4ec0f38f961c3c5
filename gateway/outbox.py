"""What a gateway sends next, and what it may forget: the bookkeeping of the spool, without disk and without broker.

    closed packet ──connected──► live lane, numbered at once ───────────────┐
          │                                                                 ├─► sent ─► committed ─► forgotten
          └──offline, or left by an earlier start──► waiting ─► historical ─┘
                                                          (few at a time)

- A packet keeps its lane and number for the life of a boot id; a resend has the same bytes.
- The live lane is never held up by what is not committed: a historian that is away must not keep readings from the
  alarms. The historical lane has at most `HISTORICAL_WINDOW` packets under way.
- A lane that makes no progress for a while sends the packets after its watermark again, `RESEND_WINDOW` at a time,
  clocked by the watermark, and ever more rarely while nothing moves.
- At the bound the oldest waiting packet is given up. If all are numbered, one of them can only be given up by leaving
  a gap, which would hold its lane's watermark for ever; so the numbering starts anew under a new boot id.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gashub.wire import Header, Lane

from .spool import Stored

HISTORICAL_WINDOW: Final = 32
RESEND_WINDOW: Final = 32
_BACKOFF_MAX: Final = 16.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """A packet to send, under which header, and whether it was sent before."""

    packet: Stored
    header: Header
    again: bool


@dataclass(slots=True, kw_only=True)
class _LaneState:
    next_seq: int = 1
    unconfirmed: dict[int, Stored] = field(default_factory=dict)
    progress_s: float = 0.0
    backoff: float = 1.0
    resent_to: int = 0
    resend_until: int = 0

    @property
    def head(self) -> int:
        return next(iter(self.unconfirmed))


class Outbox:
    """The packets of one gateway's spool.

    leftovers: what an earlier start left, oldest first. max_bytes: the spool's bound. new_boot: makes boot ids.
    resend_s: how long a lane may stand still before it sends again [real s].
    """

    def __init__(
        self, gateway: str, leftovers: list[Stored], *, max_bytes: int, resend_s: float, new_boot: Callable[[], str]
    ) -> None:
        self._gateway = gateway
        self._max_bytes = max_bytes
        self._resend_s = resend_s
        self._new_boot = new_boot
        self._waiting: deque[Stored] = deque(leftovers)
        self._lanes = {lane: _LaneState() for lane in Lane}
        self._freed: list[int] = []
        self.boot = new_boot()
        self.bytes = sum(packet.size for packet in leftovers)

    def __len__(self) -> int:
        return len(self._waiting) + sum(len(state.unconfirmed) for state in self._lanes.values())

    @property
    def waiting(self) -> int:
        """How many packets have not been sent under this boot id."""
        return len(self._waiting)

    def make_room(self, size: int) -> list[Stored]:
        """Give up the oldest packets until one of `size` bytes fits; what was given up."""
        given_up: list[Stored] = []
        while self.bytes + size > self._max_bytes and len(self):
            if not self._waiting:
                self._renumber()
            packet = self._waiting.popleft()
            self.bytes -= packet.size
            given_up.append(packet)
        return given_up

    def _renumber(self) -> None:
        numbered = [packet for state in self._lanes.values() for packet in state.unconfirmed.values()]
        self._waiting = deque(sorted([*self._waiting, *numbered], key=lambda packet: packet.id))
        self._lanes = {lane: _LaneState() for lane in Lane}
        self.boot = self._new_boot()

    def give_up(self, packet: Stored) -> None:
        """Forget a packet that cannot be sent; the numbering starts anew."""
        self._renumber()
        self._waiting.remove(packet)
        self.bytes -= packet.size
        self._freed.append(packet.id)

    def holds(self, sending: Sending) -> bool:
        """Whether a packet still has that header and waits to be confirmed."""
        header = sending.header
        return header.boot == self.boot and self._lanes[header.lane].unconfirmed.get(header.seq) == sending.packet

    def next_header(self, lane: Lane) -> Header:
        """The header that the next packet of that lane will have."""
        return Header(gateway=self._gateway, boot=self.boot, lane=lane, seq=self._lanes[lane].next_seq)

    def add_live(self, packet: Stored, now_s: float) -> None:
        """A new packet that is sent at once under `next_header(Lane.LIVE)`."""
        self.bytes += packet.size
        self._number(packet, Lane.LIVE, now_s)

    def add_waiting(self, packet: Stored) -> None:
        """A new packet that cannot be sent now."""
        self.bytes += packet.size
        self._waiting.append(packet)

    def _number(self, packet: Stored, lane: Lane, now_s: float) -> Header:
        header = self.next_header(lane)
        state = self._lanes[lane]
        if not state.unconfirmed:
            state.progress_s, state.backoff = now_s, 1.0
        state.unconfirmed[header.seq] = packet
        state.next_seq += 1
        return header

    def due(self, now_s: float, room: int) -> list[Sending]:
        """What to send now, at most `room` packets: resends first, then what waits."""
        sendings = [sending for lane in Lane for sending in self._resends(lane, now_s)][:room]
        for sending in sendings:
            self._lanes[sending.header.lane].resent_to = sending.header.seq
        history = self._lanes[Lane.HISTORICAL]
        while self._waiting and len(sendings) < room and len(history.unconfirmed) < HISTORICAL_WINDOW:
            packet = self._waiting.popleft()
            header = self._number(packet, Lane.HISTORICAL, now_s)
            sendings.append(Sending(packet=packet, header=header, again=False))
        return sendings

    def _resends(self, lane: Lane, now_s: float) -> list[Sending]:
        state = self._lanes[lane]
        if not state.unconfirmed:
            return []
        if now_s - state.progress_s >= self._resend_s * state.backoff:
            state.resent_to = state.head - 1
            state.resend_until = state.next_seq - 1
            state.progress_s = now_s
            state.backoff = min(state.backoff * 2, _BACKOFF_MAX)
        last = min(state.resend_until, state.head + RESEND_WINDOW - 1)
        return [
            Sending(
                packet=state.unconfirmed[seq],
                header=Header(gateway=self._gateway, boot=self.boot, lane=lane, seq=seq),
                again=True,
            )
            for seq in range(max(state.resent_to + 1, state.head), last + 1)
        ]

    def committed(self, boot: str, lane: Lane, seq: int, now_s: float) -> bool:
        """The historian has everything of that lane up to `seq`; True if that frees anything."""
        state = self._lanes[lane]
        if boot != self.boot or not state.unconfirmed or state.head > seq:
            return False
        for number in range(state.head, min(seq, state.next_seq - 1) + 1):
            packet = state.unconfirmed.pop(number)
            self.bytes -= packet.size
            self._freed.append(packet.id)
        state.progress_s, state.backoff = now_s, 1.0
        return True

    def take_freed(self) -> list[int]:
        """The packets that may be forgotten, each told once."""
        freed, self._freed = self._freed, []
        return freed
