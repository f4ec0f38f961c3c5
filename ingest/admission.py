"""Which frames of which messages are taken, and what becomes of the others.

| input | fate |
|---|---|
| topic that is no gateway's data topic, or names another gateway than the envelope | all refused: `wrong_topic` |
| gateway that the registry has in another zone | all refused: `wrong_topic` |
| gateway that is not in the registry | all refused: `unknown_gateway`; its blocks are listed for enrolment |
| block that is not of this gateway | the frame is refused: `unknown_block`; listed for enrolment |
| measured further ahead of the hub's clock than the limit, or longer ago than the oldest taken | refused: `bad_time` |
| what `gashub.wire` cannot read | refused with its fault |

Refused input ends as a dead letter, is counted, and is settled in the sender's ledger where the sender is known, so
that a gateway does not send it for ever. A message of an unknown gateway is not settled: it stays in that gateway's
spool and is taken once the gateway is enrolled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from gashub import topics
from gashub.errors import InvalidValue
from gashub.frames import I64, FrameBatch, to_ms
from gashub.wire import Decoded, Fault, Header, Rejection, decode_many

_DETAIL_LIMIT: Final = 500
_NOWHERE: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Field:
    """What the registry knows: the zone of each gateway, and the gateway of each block.

    block_ids: shape (n,), ascending. owners: shape (n,), position of the block's gateway among `gateways`.
    """

    version: int
    gateways: Mapping[str, str]
    block_ids: npt.NDArray[np.int32]
    owners: npt.NDArray[np.int64]
    positions: Mapping[str, int]

    @classmethod
    def of(cls, version: int, gateways: Mapping[str, str], blocks: Mapping[int, str]) -> Field:
        """gateways: id to zone. blocks: id to its gateway."""
        positions = {gateway: position for position, gateway in enumerate(gateways)}
        known = sorted(block for block, gateway in blocks.items() if gateway in positions)
        return cls(
            version=version,
            gateways=dict(gateways),
            block_ids=np.array(known, np.int32),
            owners=np.array([positions[blocks[block]] for block in known], np.int64),
            positions=positions,
        )

    def owners_of(self, block_id: npt.NDArray[np.int32]) -> I64:
        """Position of the gateway of each block; -1 where the block is not known."""
        if not len(self.block_ids):
            return np.full(len(block_id), _NOWHERE, np.int64)
        at = np.minimum(np.searchsorted(self.block_ids, block_id), len(self.block_ids) - 1)
        return np.where(self.block_ids[at] == block_id, self.owners[at], _NOWHERE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeWindow:
    """Times of measurement that are taken, both ends included [ms since 1970]."""

    oldest_ms: int
    newest_ms: int

    @classmethod
    def around(cls, now: datetime, *, oldest_days: int, future_limit_s: float) -> TimeWindow:
        """The window at the hub's time `now`."""
        return cls(
            oldest_ms=to_ms(now - timedelta(days=oldest_days)), newest_ms=to_ms(now + timedelta(seconds=future_limit_s))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message, or some frames of it, that were not taken. frames: how many of them, 0 where that is not known."""

    topic: str
    gateway: str | None
    fault: Fault
    detail: str
    payload: bytes
    frames: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What one message of a known gateway came to; `refused` is true if any of it was not taken."""

    source: topics.Source
    header: Header
    refused: bool
    frames_refused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Admitted:
    """A batch, judged.

    frames: those taken. message: shape (len(frames),), the settlement each of them belongs to.
    unknown_blocks: frames seen of each (gateway, block) that the registry does not know.
    """

    frames: FrameBatch
    message: I64
    settlements: list[Settlement]
    letters: list[DeadLetter]
    unknown_blocks: dict[tuple[str, int], int]


def admit(messages: Sequence[tuple[str, bytes]], field: Field, window: TimeWindow) -> Admitted:
    """Judge a batch of (topic, payload)."""
    decoded = decode_many([payload for _, payload in messages])
    judge = _Judge(messages, field, window, decoded)
    judge.refuse_unreadable()
    return judge.result()


@lru_cache(maxsize=4096)
def _source(topic: str) -> topics.Source | None:
    """The gateway whose data topic this is."""
    try:
        source, leaf = topics.parse(topic)
    except InvalidValue:
        return None
    return source if leaf == "data" else None


class _Judge:
    """One batch on its way; collects what becomes of each message."""

    def __init__(
        self, messages: Sequence[tuple[str, bytes]], field: Field, window: TimeWindow, decoded: Decoded
    ) -> None:
        self._messages = messages
        self._field = field
        self._window = window
        self._decoded = decoded
        self._settlements: list[Settlement] = []
        self._letters: list[DeadLetter] = []
        self._unknown: Counter[tuple[str, int]] = Counter()

    def refuse_unreadable(self) -> None:
        """Dead letters for what could not be decoded; settled where the sender is known and is who it says it is."""
        for index, rejection in self._decoded.rejections:
            self._refuse(index, rejection)
            source, fault = self._sender(index, rejection.header)
            if source is not None and fault is None and rejection.header is not None:
                self._settlements.append(Settlement(source=source, header=rejection.header, refused=True))

    def result(self) -> Admitted:
        """Judge the readable messages and their frames."""
        frames = self._decoded.frames
        gateways, settlement_of = self._judge_messages()
        counts = np.diff(self._decoded.first_row)
        gateway_of_row = np.repeat(gateways, counts)
        known = self._field.owners_of(frames.block_id) == gateway_of_row
        timely = (frames.measured_at_ms >= self._window.oldest_ms) & (frames.measured_at_ms <= self._window.newest_ms)
        trusted = gateway_of_row != _NOWHERE
        taken = trusted & known & timely
        message = np.repeat(settlement_of, counts)
        if taken.all():
            return self._admitted(frames, message)
        self._refuse_frames(trusted & ~known, Fault.UNKNOWN_BLOCK, settlement_of)
        self._refuse_frames(trusted & known & ~timely, Fault.BAD_TIME, settlement_of)
        return self._admitted(frames.take(taken), message[taken])

    def _admitted(self, frames: FrameBatch, message: I64) -> Admitted:
        return Admitted(
            frames=frames,
            message=message,
            settlements=self._settlements,
            letters=self._letters,
            unknown_blocks=dict(self._unknown),
        )

    def _judge_messages(self) -> tuple[I64, I64]:
        """For each readable message the position of its gateway and of its settlement; -1 for those refused whole."""
        gateways = np.full(len(self._decoded.headers), _NOWHERE, np.int64)
        settlement_of = gateways.copy()
        for k, (index, header) in enumerate(zip(self._decoded.payload, self._decoded.headers, strict=True)):
            source, fault = self._sender(index, header)
            if source is None or fault is not None:
                self._refuse_message(k, fault or Fault.WRONG_TOPIC)
                continue
            gateways[k] = self._field.positions[source.gateway]
            settlement_of[k] = len(self._settlements)
            self._settlements.append(Settlement(source=source, header=header, refused=False))
        return gateways, settlement_of

    def _sender(self, index: int, header: Header | None) -> tuple[topics.Source | None, Fault | None]:
        """Who sent a message, by its topic, and what speaks against believing it."""
        source = _source(self._messages[index][0])
        if source is None:
            return None, Fault.WRONG_TOPIC
        zone = self._field.gateways.get(source.gateway)
        if zone is None:
            return source, Fault.UNKNOWN_GATEWAY
        if zone != source.zone or (header is not None and header.gateway != source.gateway):
            return source, Fault.WRONG_TOPIC
        return source, None

    def _refuse_message(self, k: int, fault: Fault) -> None:
        index, header = self._decoded.payload[k], self._decoded.headers[k]
        rows = slice(int(self._decoded.first_row[k]), int(self._decoded.first_row[k + 1]))
        detail = f"gateway {header.gateway!r} in the envelope"
        self._refuse(index, Rejection(fault=fault, detail=detail, header=header), rows.stop - rows.start)
        source = _source(self._messages[index][0])
        if fault is Fault.UNKNOWN_GATEWAY and source is not None:
            self._list_unknown(source.gateway, self._decoded.frames.block_id[rows])

    def _refuse_frames(self, refused: npt.NDArray[np.bool_], fault: Fault, settlement_of: I64) -> None:
        """One dead letter for each message of which frames are refused."""
        rows = np.flatnonzero(refused)
        messages = np.searchsorted(self._decoded.first_row, rows, side="right") - 1
        for k in np.unique(messages):
            mine = rows[messages == k]
            header, block_id = self._decoded.headers[k], self._decoded.frames.block_id[mine]
            detail = f"{len(mine)} frames, the first of block {block_id[0]}"
            if fault is Fault.BAD_TIME:
                detail += f" at {self._decoded.frames.measured_at_ms[mine[0]]} ms since 1970"
            else:
                self._list_unknown(header.gateway, block_id)
            index = self._decoded.payload[k]
            self._refuse(index, Rejection(fault=fault, detail=detail, header=header), len(mine))
            at = int(settlement_of[k])
            before = self._settlements[at]
            self._settlements[at] = Settlement(
                source=before.source,
                header=header,
                refused=True,
                frames_refused=before.frames_refused + len(mine),
            )

    def _list_unknown(self, gateway: str, block_id: npt.NDArray[np.int32]) -> None:
        for block, count in zip(*np.unique(block_id, return_counts=True), strict=True):
            self._unknown[gateway, int(block)] += int(count)

    def _refuse(self, index: int, rejection: Rejection, frames: int = 0) -> None:
        topic, payload = self._messages[index]
        source = _source(topic)
        self._letters.append(
            DeadLetter(
                topic=topic,
                gateway=source.gateway if source else None,
                fault=rejection.fault,
                detail=rejection.detail[:_DETAIL_LIMIT],
                payload=payload,
                frames=frames,
            )
        )
