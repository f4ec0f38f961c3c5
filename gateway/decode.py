"""Registers into values: a row of words as it came from a device becomes the eight slots of a frame.

A `BlockDecoder` is compiled once for a block, a plan and a site's parameters, and then decodes any number of scans of
devices of that make at once, column by column: numpy's cost is per call, not per scan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from gashub.frames import F64, I64, SLOTS, U8
from gashub.quality import BAD_NOT_A_NUMBER, GOOD, NOT_SAMPLED, Reason, Severity, is_good, quality

from .plan import ReadPlan, atom_of
from .profile import ATMOSPHERIC, TO_CANONICAL, Block, Cell, Kind, Order, Reference, Slot, needs_atmosphere

U16 = npt.NDArray[np.uint16]
Bool = npt.NDArray[np.bool_]

BAD_OUT_OF_RANGE: Final = quality(Severity.BAD, Reason.OUT_OF_RANGE)
UNCERTAIN_CLOCK: Final = quality(Severity.UNCERTAIN, Reason.CLOCK_SUSPECT)
UNCERTAIN_FAULT: Final = quality(Severity.UNCERTAIN, Reason.DEVICE_FAULT)
_MS_PER_S: Final = 1000.0
_RESOLUTION_MAX: Final = 18

_DTYPES: Final = {
    Kind.U16: ">u2",
    Kind.S16: ">i2",
    Kind.U32: ">u4",
    Kind.S32: ">i4",
    Kind.F32: ">f4",
    Kind.U64: ">u8",
    Kind.S64: ">i8",
    Kind.F64: ">f8",
    Kind.BIT: ">u2",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoded:
    """values, quality: shape (n, 8), as in `gashub.frames.FrameBatch`."""

    values: F64
    quality: U8


class BlockDecoder:
    """Turns rows of words into frames of one block.

    blocks: all that the plan was made for. settings: the profile's parameters at this site.
    """

    def __init__(self, block: Block, blocks: Sequence[Block], plan: ReadPlan, settings: dict[str, float]) -> None:
        every = [slot for other in blocks for slot in other.slot]
        self._slots = [_SlotDecoder(slot, every, plan, settings) for slot in block.slot]

    def decode(self, words: U16, failures: U8, measured_at_ms: I64) -> Decoded:
        """Decode n scans.

        words: shape (n, width of the plan). failures: shape (n, requests of the plan), 0 where the request was
        answered, otherwise the quality of what it should have brought. measured_at_ms: shape (n,).
        """
        n = len(words)
        values = np.full((n, SLOTS), np.nan)
        codes = np.full((n, SLOTS), NOT_SAMPLED, np.uint8)
        faulty = np.zeros(n, np.bool_)
        for slot in self._slots:
            values[:, slot.number], codes[:, slot.number] = slot.decode(words, failures, measured_at_ms)
            faulty |= slot.faulty(words) & is_good(codes[:, slot.number])
        if faulty.any():
            self._distrust(codes, faulty)
        return Decoded(values=values, quality=codes)

    def _distrust(self, codes: U8, faulty: Bool) -> None:
        """Mark what a device says of itself that it cannot be trusted; its status stays good. In place."""
        for slot in self._slots:
            if not slot.is_status:
                column = codes[:, slot.number]
                column[faulty & is_good(column)] = UNCERTAIN_FAULT


class _SlotDecoder:
    """One slot: cells → number → canonical unit → quality."""

    def __init__(self, slot: Slot, slots: Sequence[Slot], plan: ReadPlan, settings: dict[str, float]) -> None:
        self.number = slot.slot
        self.is_status = bool(slot.fault_bits)
        self._slot = slot
        self._request = plan.request_of(atom_of(slot, slots))
        base = plan.offsets[self._request] - plan.requests[self._request].address
        self._raw = _reader(slot, base)
        self._fraction = None if slot.fraction is None else _reader(slot.fraction, base)
        self._resolution = None if slot.resolution is None else _reader(slot.resolution, base)
        self._factor, self._unit_offset = TO_CANONICAL[slot.quantity][slot.unit]
        self._unit_offset += _atmosphere(slot, settings)
        self._fault_mask = np.uint16(sum(1 << bit for bit in slot.fault_bits))
        self._status_at = base + slot.address

    def decode(self, words: U16, failures: U8, measured_at_ms: I64) -> tuple[F64, U8]:
        """Values and quality bytes, shape (n,) each."""
        raw, valid = self._number(words)
        values = raw * self._factor if self._factor != 1.0 else raw
        if self._unit_offset:
            values = values + self._unit_offset
        if self._slot.device_time:
            values = values - measured_at_ms / _MS_PER_S
        codes = self._judge(values, valid)
        failed = failures[:, self._request]
        if failed.any():
            codes = np.where(failed != 0, failed, codes)
        values = np.where(codes == BAD_NOT_A_NUMBER, np.nan, values) if not valid.all() else values
        return np.where(failed != 0, np.nan, values), codes

    def _number(self, words: U16) -> tuple[F64, Bool]:
        """The number before its unit, and whether the device gave one; shape (n,) each."""
        slot = self._slot
        raw, valid = self._raw(words)
        for sentinel in slot.invalid:
            valid &= raw != sentinel
        if slot.bit is not None:
            raw = np.floor(raw / (1 << slot.bit)) % 2
        number = _scaled(raw, slot.scale)
        if self._fraction is not None and slot.fraction is not None:
            part, part_valid = self._fraction(words)
            number, valid = number + _scaled(part, slot.fraction.scale), valid & part_valid
        if self._resolution is not None:
            exponent, exponent_valid = self._resolution(words)
            valid = valid & exponent_valid & (exponent >= 0) & (exponent <= _RESOLUTION_MAX)
            number = number / np.power(10.0, np.where(valid, exponent, 0.0))
        number = number + slot.offset if slot.offset else number
        return number, valid & np.isfinite(number)

    def _judge(self, values: F64, valid: Bool) -> U8:
        slot = self._slot
        codes = np.full(len(values), GOOD, np.uint8)
        if slot.device_time:
            codes[np.abs(values) > slot.suspect_beyond_s] = UNCERTAIN_CLOCK
        if slot.valid is not None:
            low, high = slot.valid
            codes[(values < low) | (values > high)] = BAD_OUT_OF_RANGE
        codes[~valid] = BAD_NOT_A_NUMBER
        return codes

    def faulty(self, words: U16) -> Bool:
        """Whether the device raises one of its fault bits here; shape (n,)."""
        if not self.is_status:
            return np.zeros(len(words), np.bool_)
        flags: Bool = np.not_equal(words[:, self._status_at] & self._fault_mask, 0)
        return flags


def _atmosphere(slot: Slot, settings: dict[str, float]) -> float:
    """What to add to a pressure [kPa] to count it from the hub's zero."""
    if not needs_atmosphere(slot):
        return 0.0
    return -settings[ATMOSPHERIC] if slot.reference is Reference.ABSOLUTE else settings[ATMOSPHERIC]


def _scaled(raw: F64, scale: float) -> F64:
    """raw × scale; for 0.1, 0.01 … by division, which gives the nearest number to the decimal the device shows."""
    divisor = round(1 / scale)
    if divisor > 1 and 1 / divisor == scale:
        return raw / divisor
    return raw * scale if scale != 1.0 else raw


Reader = Callable[[U16], tuple[F64, Bool]]


def _reader(cell: Cell, base: int) -> Reader:
    """A function from rows of words to this cell's raw numbers and whether each is one."""
    at = base + cell.address
    columns = np.arange(at, at + cell.words)
    if cell.order in (Order.CDAB, Order.DCBA):
        columns = columns[::-1].copy()
    swap = cell.order in (Order.BADC, Order.DCBA)
    convert = _bcd if cell.type is Kind.BCD else _binary(cell.type)

    def read(words: U16) -> tuple[F64, Bool]:
        cells = words[:, columns]
        big_endian = np.ascontiguousarray(cells.byteswap() if swap else cells).astype(">u2")
        return convert(big_endian)

    return read


def _binary(kind: Kind) -> Callable[[npt.NDArray[np.uint16]], tuple[F64, Bool]]:
    dtype = np.dtype(_DTYPES[kind])

    def convert(big_endian: npt.NDArray[np.uint16]) -> tuple[F64, Bool]:
        with np.errstate(invalid="ignore"):  # a signalling NaN from a device is a value like any other
            numbers = big_endian.view(dtype)[:, 0].astype(np.float64)
        return numbers, np.isfinite(numbers)

    return convert


def _bcd(big_endian: npt.NDArray[np.uint16]) -> tuple[F64, Bool]:
    """Four decimal digits a word, highest first; a digit above 9 is no number."""
    octets = big_endian.view(np.uint8)
    digits = np.stack((octets >> 4, octets & 0x0F), axis=2).reshape(len(octets), -1)
    powers = 10.0 ** np.arange(digits.shape[1] - 1, -1, -1)
    return digits @ powers, np.asarray((digits <= 9).all(axis=1))
