"""The hub's own batch format: a MessagePack envelope around binary columns.

    envelope  [version, gateway, boot, lane, seq, t0_ms, block_id, dt_ms, mask, values, quality]
    block_id  n × int32 LE
    dt_ms     n × int32 LE     milliseconds after t0_ms
    mask      n × uint8        bit i (lowest first) set: slot i was sampled
    values    m × float64 LE   the sampled slots only, frame by frame, slot by slot
    quality   m × uint8        likewise

`boot` is new at each start of a gateway (1-64 visible ASCII characters); `seq` counts from 1 without gaps within one
boot and lane. A message that cannot be read yields a `Rejection`, never an exception: bad input is a counted value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from operator import itemgetter
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from .errors import InvalidValue
from .frames import F64, I32, I64, SLOTS, U8, FrameBatch
from .quality import BAD_NOT_A_NUMBER, HISTORICAL, NOT_SAMPLED, Severity

VERSION: Final = 1
MAX_MESSAGE_BYTES: Final = 1 << 20
MAX_FRAMES: Final = 10_000
_DT_LIMIT_MS: Final = 2**31 - 1
_YEAR_10000_MS: Final = 253_402_300_800_000


class Lane(IntEnum):
    """Live readings, or readings sent late from the spool; each lane numbers its own messages."""

    LIVE = 0
    HISTORICAL = 1


class Fault(StrEnum):
    """Why a message was rejected; stable codes, counted and translated."""

    OVERSIZED = "oversized"
    UNDECODABLE = "undecodable"
    WRONG_VERSION = "wrong_version"
    BAD_COLUMNS = "bad_columns"
    BAD_TIME = "bad_time"
    WRONG_TOPIC = "wrong_topic"
    UNKNOWN_GATEWAY = "unknown_gateway"
    UNKNOWN_BLOCK = "unknown_block"
    UNSTORABLE = "unstorable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Where a message comes from and which one it is."""

    gateway: str
    boot: str
    lane: Lane
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Message:
    """One message: its header and its frames."""

    header: Header
    frames: FrameBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A message, or some frames of it, that were not taken: which rule it broke and what was seen.

    `header` is there if the envelope could be read so far, so that the sender's ledger can be settled.
    """

    fault: Fault
    detail: str
    header: Header | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoded:
    """What came of many payloads: the readable messages with all their frames in one batch, and the rest.

    headers: of the k readable messages, in the order of their payloads.
    payload: for each of them, the index of its payload.
    first_row: shape (k + 1,); the frames of message i are the rows first_row[i] up to first_row[i + 1].
    rejections: index of the payload, and why.
    """

    headers: list[Header]
    payload: list[int]
    first_row: I64
    frames: FrameBatch
    rejections: list[tuple[int, Rejection]]


class _Envelope(msgspec.Struct, array_like=True, frozen=True):
    version: int
    gateway: str
    boot: str
    lane: int
    seq: int
    t0_ms: int
    block_id: bytes
    dt_ms: bytes
    mask: bytes
    values: bytes
    quality: bytes


class _HeaderOnly(msgspec.Struct, array_like=True, frozen=True):
    version: int
    gateway: str
    boot: str
    lane: int
    seq: int


class _VersionOnly(msgspec.Struct, array_like=True, frozen=True):
    version: int


class Committed(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What ingest tells a gateway: in this boot and lane, everything up to `seq` is stored or rejected."""

    version: int
    boot: str
    lane: int
    seq: int


class GatewayState(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A gateway's retained announcement; its will says `online = False`."""

    version: int
    boot: str
    online: bool
    since_ms: int
    spool_bytes: int = 0
    spool_dropped: int = 0


_LANES: Final = tuple(Lane)
_BOOT: Final = re.compile(r"[!-~]{1,64}").fullmatch

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Envelope)
_header_decoder = msgspec.msgpack.Decoder(_HeaderOnly)
_version_decoder = msgspec.msgpack.Decoder(_VersionOnly)
_committed_decoder = msgspec.msgpack.Decoder(Committed)
_state_decoder = msgspec.msgpack.Decoder(GatewayState)


def encode(header: Header, frames: FrameBatch) -> bytes:
    """The bytes of one message. Raises InvalidValue for no frames, too many, or times too far apart."""
    n = len(frames)
    if not 0 < n <= MAX_FRAMES:
        raise InvalidValue(f"a message holds 1 to {MAX_FRAMES} frames, not {n}")
    t0 = int(frames.measured_at_ms.min())
    dt = frames.measured_at_ms - t0
    if int(dt.max()) > _DT_LIMIT_MS:
        raise InvalidValue("the frames of one message lie more than 24 days apart")
    sampled = frames.quality != NOT_SAMPLED
    return _encoder.encode(
        _Envelope(
            version=VERSION,
            gateway=header.gateway,
            boot=header.boot,
            lane=int(header.lane),
            seq=header.seq,
            t0_ms=t0,
            block_id=frames.block_id.astype("<i4").tobytes(),
            dt_ms=dt.astype("<i4").tobytes(),
            mask=np.packbits(sampled, axis=1, bitorder="little").tobytes(),
            values=frames.values[sampled].astype("<f8").tobytes(),
            quality=frames.quality[sampled].tobytes(),
        )
    )


def decode(payload: bytes) -> Message | Rejection:
    """Read one message. Values that are not finite become NaN with a bad quality; the historical lane marks its own."""
    decoded = decode_many([payload])
    if decoded.rejections:
        return decoded.rejections[0][1]
    return Message(header=decoded.headers[0], frames=decoded.frames)


def decode_many(payloads: Sequence[bytes]) -> Decoded:
    """Read many messages at once: the same as `decode` on each, with numpy's overhead paid once for all of them."""
    readable: list[tuple[int, Header, _Envelope]] = []
    rejections: list[tuple[int, Rejection]] = []
    for index, payload in enumerate(payloads):
        read = _read(payload)
        if isinstance(read, Rejection):
            rejections.append((index, read))
        else:
            readable.append((index, *read))
    joined = _join([envelope for _, _, envelope in readable])
    if not joined.in_range:
        for index, header, envelope in readable:
            if not _join([envelope]).in_range:
                detail = "a block id, time offset or quality outside its range"
                rejections.append((index, Rejection(fault=Fault.BAD_COLUMNS, detail=detail, header=header)))
        out_of_range = {index for index, _ in rejections}
        readable = [entry for entry in readable if entry[0] not in out_of_range]
        joined = _join([envelope for _, _, envelope in readable])
    return Decoded(
        headers=[header for _, header, _ in readable],
        payload=[index for index, _, _ in readable],
        first_row=joined.first_row,
        frames=_frames(joined),
        rejections=sorted(rejections, key=itemgetter(0)),
    )


def _read(payload: bytes) -> tuple[Header, _Envelope] | Rejection:
    """The envelope of one message, its columns' sizes checked and their content not."""
    if len(payload) > MAX_MESSAGE_BYTES:
        detail = f"{len(payload)} bytes, allowed {MAX_MESSAGE_BYTES}"
        return Rejection(fault=Fault.OVERSIZED, detail=detail, header=_header_only(payload))
    try:
        envelope = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _undecodable(payload, error)
    if envelope.version != VERSION:
        return Rejection(fault=Fault.WRONG_VERSION, detail=f"version {envelope.version}, this hub reads {VERSION}")
    header = _header(envelope)
    if header is None:
        detail = f"lane {envelope.lane}, seq {envelope.seq}, boot {envelope.boot[:64]!r}"
        return Rejection(fault=Fault.UNDECODABLE, detail=detail)
    return _check_sizes(header, envelope) or (header, envelope)


def _header(e: _Envelope | _HeaderOnly) -> Header | None:
    """None where a field is outside its range."""
    if e.lane not in (0, 1) or not 0 < e.seq < 2**63 or not _BOOT(e.boot):
        return None
    return Header(gateway=e.gateway, boot=e.boot, lane=_LANES[e.lane], seq=e.seq)


def _header_only(payload: bytes) -> Header | None:
    """The header of a message that is refused unread, so that its sender's ledger can still be settled."""
    try:
        envelope = _header_decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return _header(envelope) if envelope.version == VERSION else None


def _undecodable(payload: bytes, error: Exception) -> Rejection:
    try:
        version = _version_decoder.decode(payload).version
    except (msgspec.DecodeError, UnicodeDecodeError):
        version = VERSION
    if version != VERSION:
        return Rejection(fault=Fault.WRONG_VERSION, detail=f"version {version}, this hub reads {VERSION}")
    return Rejection(fault=Fault.UNDECODABLE, detail=str(error))


def _check_sizes(header: Header, e: _Envelope) -> Rejection | None:
    n = len(e.mask)
    m = int.from_bytes(e.mask, "little").bit_count()
    sizes = (len(e.block_id), len(e.dt_ms), len(e.values), len(e.quality))
    if not 0 < n <= MAX_FRAMES or sizes != (4 * n, 4 * n, 8 * m, m):
        return Rejection(
            fault=Fault.BAD_COLUMNS, detail=f"{n} frames and {m} values, but columns of {sizes} bytes", header=header
        )
    if not 0 <= e.t0_ms < _YEAR_10000_MS:
        return Rejection(fault=Fault.BAD_TIME, detail=f"t0 is {e.t0_ms} ms since 1970", header=header)
    return None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Joined:
    """The columns of many envelopes end to end; t0_ms and historical: shape (k,), one for each envelope."""

    first_row: I64
    t0_ms: I64
    historical: npt.NDArray[np.bool_]
    block_id: I32
    dt_ms: I32
    mask: U8
    values: F64
    codes: U8

    @property
    def in_range(self) -> bool:
        return not len(self.block_id) or bool(
            self.block_id.min() > 0
            and self.dt_ms.min() >= 0
            and (not len(self.codes) or self.codes.min() >= Severity.BAD)
        )


def _join(envelopes: Sequence[_Envelope]) -> _Joined:
    counts = np.fromiter((len(e.mask) for e in envelopes), np.int64, len(envelopes))
    return _Joined(
        first_row=np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]),
        t0_ms=np.fromiter((e.t0_ms for e in envelopes), np.int64, len(envelopes)),
        historical=np.fromiter((e.lane == Lane.HISTORICAL for e in envelopes), np.bool_, len(envelopes)),
        block_id=np.frombuffer(bytearray().join([e.block_id for e in envelopes]), "<i4"),
        dt_ms=np.frombuffer(bytearray().join([e.dt_ms for e in envelopes]), "<i4"),
        mask=np.frombuffer(bytearray().join([e.mask for e in envelopes]), np.uint8),
        values=np.frombuffer(bytearray().join([e.values for e in envelopes]), "<f8"),
        codes=np.frombuffer(bytearray().join([e.quality for e in envelopes]), np.uint8),
    )


def _frames(joined: _Joined) -> FrameBatch:
    n = len(joined.mask)
    counts = np.diff(joined.first_row)
    if len(joined.codes) == n * SLOTS:
        values, quality = joined.values.reshape(n, SLOTS), joined.codes.reshape(n, SLOTS)
    else:
        sampled = np.unpackbits(joined.mask[:, None], axis=1, bitorder="little").view(np.bool_)
        values, quality = np.full((n, SLOTS), np.nan), np.zeros((n, SLOTS), np.uint8)
        values[sampled] = joined.values
        quality[sampled] = joined.codes
    _mark(values, quality)
    if joined.historical.any():
        late = np.repeat(joined.historical, counts)[:, None] & (quality != NOT_SAMPLED)
        quality[late] |= HISTORICAL
    return FrameBatch(
        block_id=joined.block_id.astype(np.int32, copy=False),
        measured_at_ms=joined.dt_ms.astype(np.int64) + np.repeat(joined.t0_ms, counts),
        values=values.astype(np.float64, copy=False),
        quality=quality,
    )


def _mark(values: F64, quality: U8) -> None:
    """Give values that are no numbers a bad quality; in place."""
    finite = np.isfinite(values)
    if finite.all():
        return
    broken = ~finite & (quality >= Severity.UNCERTAIN)
    quality[broken] = BAD_NOT_A_NUMBER
    values[~finite] = np.nan


def encode_committed(boot: str, lane: Lane, seq: int) -> bytes:
    """The bytes of a `committed` message."""
    return _encoder.encode(Committed(version=VERSION, boot=boot, lane=int(lane), seq=seq))


def decode_committed(payload: bytes) -> Committed | None:
    """Read a `committed` message; None if it cannot be read."""
    try:
        committed = _committed_decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return committed if committed.version == VERSION and committed.lane in (0, 1) else None


def encode_state(state: GatewayState) -> bytes:
    """The bytes of a gateway's retained announcement."""
    return _encoder.encode(state)


def decode_state(payload: bytes) -> GatewayState | None:
    """Read a gateway's announcement; None if it cannot be read."""
    try:
        return _state_decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
