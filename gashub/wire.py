"""The hub's own batch format: a MessagePack envelope around binary columns.

    envelope  [version, gateway, boot, lane, seq, t0_ms, block_id, dt_ms, mask, values, quality]
    block_id  n × int32 LE
    dt_ms     n × int32 LE     milliseconds after t0_ms
    mask      n × uint8        bit i (lowest first) set: slot i was sampled
    values    m × float64 LE   the sampled slots only, frame by frame, slot by slot
    quality   m × uint8        likewise

`boot` is new at each start of a gateway; `seq` counts from 1 without gaps within one boot and lane. A message that
cannot be read yields a `Rejection`, never an exception: bad input is a counted value.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

import msgspec
import numpy as np

from .errors import InvalidValue
from .frames import SLOTS, FrameBatch
from .quality import BAD_NOT_A_NUMBER, HISTORICAL, NOT_SAMPLED, SEVERITY_MASK

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


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Envelope)
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
    if len(payload) > MAX_MESSAGE_BYTES:
        return Rejection(fault=Fault.OVERSIZED, detail=f"{len(payload)} bytes, allowed {MAX_MESSAGE_BYTES}")
    try:
        envelope = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _undecodable(payload, error)
    if envelope.version != VERSION:
        return Rejection(fault=Fault.WRONG_VERSION, detail=f"version {envelope.version}, this hub reads {VERSION}")
    if envelope.lane not in (0, 1) or not 0 < envelope.seq < 2**63 or not 0 < len(envelope.boot) <= 64:
        return Rejection(
            fault=Fault.UNDECODABLE, detail=f"lane {envelope.lane}, seq {envelope.seq}, boot {envelope.boot[:64]!r}"
        )
    header = Header(gateway=envelope.gateway, boot=envelope.boot, lane=Lane(envelope.lane), seq=envelope.seq)
    return _columns(header, envelope)


def _undecodable(payload: bytes, error: Exception) -> Rejection:
    try:
        version = _version_decoder.decode(payload).version
    except (msgspec.DecodeError, UnicodeDecodeError):
        version = VERSION
    if version != VERSION:
        return Rejection(fault=Fault.WRONG_VERSION, detail=f"version {version}, this hub reads {VERSION}")
    return Rejection(fault=Fault.UNDECODABLE, detail=str(error))


def _columns(header: Header, e: _Envelope) -> Message | Rejection:
    n = len(e.mask)
    mask = np.frombuffer(e.mask, np.uint8)
    sampled = np.unpackbits(mask[:, None], axis=1, bitorder="little").astype(np.bool_)
    m = int(np.count_nonzero(sampled))
    sizes = (len(e.block_id), len(e.dt_ms), len(e.values), len(e.quality))
    if not 0 < n <= MAX_FRAMES or sizes != (4 * n, 4 * n, 8 * m, m):
        return Rejection(
            fault=Fault.BAD_COLUMNS, detail=f"{n} frames and {m} values, but columns of {sizes} bytes", header=header
        )
    if not 0 <= e.t0_ms < _YEAR_10000_MS:
        return Rejection(fault=Fault.BAD_TIME, detail=f"t0 is {e.t0_ms} ms since 1970", header=header)
    block_id = np.frombuffer(e.block_id, "<i4").astype(np.int32)
    dt_ms = np.frombuffer(e.dt_ms, "<i4").astype(np.int64)
    codes = np.frombuffer(e.quality, np.uint8)
    if int(block_id.min()) <= 0 or int(dt_ms.min()) < 0 or bool(np.any((codes & SEVERITY_MASK) == 0)):
        return Rejection(
            fault=Fault.BAD_COLUMNS, detail="a block id, time offset or quality outside its range", header=header
        )
    values = np.full((n, SLOTS), np.nan)
    quality = np.zeros((n, SLOTS), np.uint8)
    values[sampled] = np.frombuffer(e.values, "<f8")
    quality[sampled] = codes
    _mark(values, quality, sampled, historical=header.lane is Lane.HISTORICAL)
    frames = FrameBatch(block_id=block_id, measured_at_ms=dt_ms + e.t0_ms, values=values, quality=quality)
    return Message(header=header, frames=frames)


def _mark(values: np.ndarray, quality: np.ndarray, sampled: np.ndarray, *, historical: bool) -> None:
    """Give values that are no numbers a bad quality, and late ones their mark; in place."""
    broken = sampled & ~np.isfinite(values) & ((quality & SEVERITY_MASK) != 0x40)
    quality[broken] = BAD_NOT_A_NUMBER
    values[~np.isfinite(values)] = np.nan
    if historical:
        quality[sampled] |= HISTORICAL


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
