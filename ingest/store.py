"""One batch into the database, in one transaction: frames, ledger, dead letters, unknown blocks.

COPY goes straight into `frame`. Only if a frame of that block and time is already there does the batch roll back and go
through a temporary table with ON CONFLICT; only if a day has no table yet is one made. Both are rare, and paying for
them on every batch would halve the rate.

A message that the ledger knows already is a repeat: it is counted, its frames are left out, and its sender is told
again how far it may forget.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np
import psycopg
from psycopg import AsyncConnection
from psycopg.errors import CheckViolation, UniqueViolation

from gashub.frames import EPOCH, FrameBatch
from gashub.topics import Source
from gashub.wire import Lane

from . import partitions
from .admission import Admitted, DeadLetter, Settlement
from .ledger import Sender, Settled, sender_of
from .rows import copy_rows, merged
from .sqlfiles import statement

DEAD_LETTER_BYTES: Final = 64 * 1024
DEAD_LETTERS_A_BATCH: Final = 100
UNKNOWN_BLOCKS_A_BATCH: Final = 1_000
UNKNOWN_BLOCKS: Final = 10_000
_SENDERS_REMEMBERED: Final = 10_000
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What one batch adds to a sender's ledger."""

    messages: int
    frames: int
    readings: int
    rejected: int
    frames_rejected: int
    duplicate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """What to tell a gateway: everything of this boot and lane up to `seq` is stored or rejected."""

    source: Source
    boot: str
    lane: Lane
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What one transaction did. merged: whether it had to go through the temporary table."""

    watermarks: list[Watermark]
    messages: int
    frames: int
    readings: int
    duplicate: int
    merged: bool


@dataclass(slots=True)
class _Plan:
    """What one batch is going to change. Messages and repeats are indices of settlements."""

    messages: dict[Sender, list[int]] = field(default_factory=lambda: defaultdict(list))
    settled: dict[Sender, Settled] = field(default_factory=dict)
    repeats: set[int] = field(default_factory=set)
    tallies: dict[Sender, Tally] = field(default_factory=dict)


class Store:
    """The historian's writer. Holds one connection, given at each write, and remembers what is settled."""

    def __init__(self) -> None:
        self._settled: OrderedDict[Sender, Settled] = OrderedDict()

    def forget(self) -> None:
        """Read the ledger again at the next write: after an error nobody knows whether the commit took place."""
        self._settled.clear()

    async def write(self, connection: AsyncConnection[Any], admitted: Admitted, now: datetime) -> Stored:
        """Store one batch. Raises psycopg.Error; then nothing is stored, or, if the link broke, perhaps everything."""
        plan = await self._plan(connection, admitted)
        frames = _without_repeats(admitted, plan)
        _count(admitted, frames, plan)
        whole = merged(frames[0])
        merged_in = await self._commit(connection, admitted, plan, whole, now)
        self._remember(plan.settled)
        return Stored(
            watermarks=[
                Watermark(
                    source=admitted.settlements[plan.messages[sender][0]].source,
                    boot=sender.boot,
                    lane=sender.lane,
                    seq=settled.committed,
                )
                for sender, settled in plan.settled.items()
            ],
            messages=len(admitted.settlements) - len(plan.repeats),
            frames=len(whole),
            readings=whole.readings,
            duplicate=len(plan.repeats),
            merged=merged_in,
        )

    async def _plan(self, connection: AsyncConnection[Any], admitted: Admitted) -> _Plan:
        plan = _Plan()
        for index, settlement in enumerate(admitted.settlements):
            plan.messages[sender_of(settlement.header)].append(index)
        before = await self._known(connection, plan.messages.keys())
        for sender, indices in plan.messages.items():
            plan.repeats.update(_repeats(before[sender], indices, admitted.settlements))
            numbers = [admitted.settlements[index].header.seq for index in indices]
            plan.settled[sender] = before[sender].settle(numbers)
        return plan

    async def _known(self, connection: AsyncConnection[Any], senders: Iterable[Sender]) -> dict[Sender, Settled]:
        """What is settled of these senders, from memory or else from the ledger."""
        known = {sender: self._settled.get(sender) for sender in senders}
        unread = [sender for sender, state in known.items() if state is None]
        read = await _load_ledger(connection, unread) if unread else {}
        return {sender: state or read.get(sender, Settled()) for sender, state in known.items()}

    def _remember(self, settled: dict[Sender, Settled]) -> None:
        for sender, state in settled.items():
            self._settled[sender] = state
            self._settled.move_to_end(sender)
        while len(self._settled) > _SENDERS_REMEMBERED:
            self._settled.popitem(last=False)

    async def _commit(
        self, connection: AsyncConnection[Any], admitted: Admitted, plan: _Plan, frames: FrameBatch, now: datetime
    ) -> bool:
        """Write everything, by the straight way if that is open; returns whether frames had to be merged."""
        data = copy_rows(frames) if len(frames) else None
        merge = False
        for _ in range(3):
            try:
                async with connection.transaction():
                    if data is not None:
                        await (_merge if merge else _copy)(connection, data)
                    await _save_ledger(connection, plan, now)
                    await _save_letters(connection, admitted.letters, now)
                    await _save_unknown(connection, admitted.unknown_blocks, now)
            except UniqueViolation:
                if merge:
                    raise
                merge = True
            except CheckViolation as error:
                if error.diag.constraint_name is not None:
                    raise
                # Made by us, or by another worker a moment ago.
                await partitions.make(connection, days_of(frames))
            else:
                return merge
        raise psycopg.OperationalError("the batch met missing tables and stored frames by turns")


def days_of(frames: FrameBatch) -> list[date]:
    """The days (UTC) on which frames were measured."""
    return [EPOCH.date() + timedelta(days=int(day)) for day in np.unique(frames.measured_at_ms // _DAY_MS)]


def _without_repeats(admitted: Admitted, plan: _Plan) -> tuple[FrameBatch, Any]:
    """The frames of messages that are not repeats, and the settlement of each."""
    if not plan.repeats:
        return admitted.frames, admitted.message
    new = np.ones(len(admitted.settlements), np.bool_)
    new[list(plan.repeats)] = False
    rows = new[admitted.message]
    return admitted.frames.take(rows), admitted.message[rows]


def _repeats(before: Settled, indices: Iterable[int], settlements: Sequence[Settlement]) -> Iterator[int]:
    """Which of one sender's messages are settled already, or stand in this batch for the second time."""
    seen: set[int] = set()
    for index in indices:
        seq = settlements[index].header.seq
        if seq in seen or seq in before:
            yield index
        seen.add(seq)


def _count(admitted: Admitted, taken: tuple[FrameBatch, Any], plan: _Plan) -> None:
    """Fill in the plan's tallies."""
    frames, message = taken
    size = len(admitted.settlements)
    frame_counts = np.bincount(message, minlength=size)
    sampled = np.count_nonzero(frames.quality, axis=1)
    reading_counts = np.bincount(message, weights=sampled, minlength=size)
    for sender, indices in plan.messages.items():
        new = [index for index in indices if index not in plan.repeats]
        refused = [settlement for settlement in map(admitted.settlements.__getitem__, new) if settlement.refused]
        plan.tallies[sender] = Tally(
            messages=len(new),
            frames=int(frame_counts[new].sum()),
            readings=int(reading_counts[new].sum()),
            rejected=len(refused),
            frames_rejected=sum(settlement.frames_refused for settlement in refused),
            duplicate=len(indices) - len(new),
        )


async def _copy(connection: AsyncConnection[Any], data: bytearray) -> None:
    async with connection.cursor() as cursor, cursor.copy("COPY frame FROM STDIN (FORMAT BINARY)") as copy:
        await copy.write(data)


async def _merge(connection: AsyncConnection[Any], data: bytearray) -> None:
    await connection.execute(statement("stage"))
    async with connection.cursor() as cursor, cursor.copy("COPY frame_stage FROM STDIN (FORMAT BINARY)") as copy:
        await copy.write(data)
    await connection.execute(statement("merge"))


async def _load_ledger(connection: AsyncConnection[Any], senders: Sequence[Sender]) -> dict[Sender, Settled]:
    columns = {name: [getattr(sender, name) for sender in senders] for name in ("gateway", "boot", "lane")}
    async with connection.transaction():
        cursor = await connection.execute(statement("ledger_load"), columns)
        rows = await cursor.fetchall()
    return {
        Sender(gateway=gateway, boot=boot, lane=Lane(lane)): Settled(
            committed=committed, ahead=tuple((part.lower, part.upper - 1) for part in ahead)
        )
        for gateway, boot, lane, committed, ahead in rows
    }


async def _save_ledger(connection: AsyncConnection[Any], plan: _Plan, now: datetime) -> None:
    if not plan.settled:
        return
    senders = list(plan.settled)
    tallies = [plan.tallies[sender] for sender in senders]
    columns: dict[str, Any] = {
        name: [getattr(sender, name) for sender in senders] for name in ("gateway", "boot", "lane")
    }
    columns |= {name: [getattr(tally, name) for tally in tallies] for name in Tally.__slots__}
    columns |= {
        "committed_seq": [plan.settled[sender].committed for sender in senders],
        "ahead": [_multirange(plan.settled[sender].ahead) for sender in senders],
        "now": now,
    }
    await connection.execute(statement("ledger_save"), columns)


def _multirange(ranges: Iterable[tuple[int, int]]) -> str:
    return "{" + ",".join(f"[{first},{end}]" for first, end in ranges) + "}"


async def _save_letters(connection: AsyncConnection[Any], letters: Sequence[DeadLetter], now: datetime) -> None:
    if not letters:
        return
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO dead_letter (received_at, topic, gateway, fault, detail, frames, payload_bytes, payload) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    now,
                    _text(letter.topic),
                    letter.gateway,
                    letter.fault,
                    _text(letter.detail),
                    letter.frames,
                    len(letter.payload),
                    letter.payload[:DEAD_LETTER_BYTES],
                )
                for letter in letters[:DEAD_LETTERS_A_BATCH]
            ],
        )


def _text(text: str) -> str:
    """PostgreSQL's text holds every character but NUL."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


async def _save_unknown(connection: AsyncConnection[Any], blocks: dict[tuple[str, int], int], now: datetime) -> None:
    if not blocks:
        return
    listed = list(blocks.items())[:UNKNOWN_BLOCKS_A_BATCH]
    columns = {
        "gateway": [gateway for (gateway, _), _ in listed],
        "block_id": [block for (_, block), _ in listed],
        "frames": [frames for _, frames in listed],
        "now": now,
        "limit": UNKNOWN_BLOCKS,
    }
    await connection.execute(statement("unknown_save"), columns)
