"""One byte that says how far a value can be trusted, and why not.

    bit 7 6 | 5          | 4 3 2 1 0
    severity| historical | reason

Severity follows OPC UA's (good, uncertain, bad); the byte 0 means "this slot was not sampled" and is never the
quality of a value. `historical` marks a value that came from a spool after the link was away: it is stored and
shown, but neither raises nor clears a live alarm.

Source: IEC 62541-8 (severity and reasons of data access).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from .errors import InvalidValue

NOT_SAMPLED: Final = 0
HISTORICAL: Final = 0x20
SEVERITY_MASK: Final = 0xC0
REASON_MASK: Final = 0x1F


class Severity(IntEnum):
    """How far a value can be trusted; NONE is no value at all."""

    NONE = 0x00
    BAD = 0x40
    UNCERTAIN = 0x80
    GOOD = 0xC0


class Reason(IntEnum):
    """Why a value has the severity it has."""

    NONE = 0
    COMM_FAILURE = 1
    DEVICE_EXCEPTION = 2
    OUT_OF_RANGE = 3
    NOT_A_NUMBER = 4
    STUCK = 5
    SUBSTITUTED = 6
    CLOCK_SUSPECT = 7
    SIMULATED = 8
    MANUAL = 9
    DEVICE_FAULT = 10
    COUNTER_BACK = 11


def quality(severity: Severity, reason: Reason = Reason.NONE, *, historical: bool = False) -> int:
    """Build a quality byte. Raises InvalidValue for severity NONE, which belongs to no value."""
    if severity is Severity.NONE:
        raise InvalidValue("a quality byte needs a severity; an unsampled slot has none")
    return int(severity) | int(reason) | (HISTORICAL if historical else 0)


GOOD: Final = quality(Severity.GOOD)
BAD_COMM_FAILURE: Final = quality(Severity.BAD, Reason.COMM_FAILURE)
BAD_NOT_A_NUMBER: Final = quality(Severity.BAD, Reason.NOT_A_NUMBER)


def severity_of(byte: int) -> Severity:
    """The severity of one quality byte."""
    return Severity(byte & SEVERITY_MASK)


def reason_of(byte: int) -> Reason:
    """The reason of one quality byte; reasons this version does not know read as NONE."""
    try:
        return Reason(byte & REASON_MASK)
    except ValueError:
        return Reason.NONE


def is_good(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """True where the value is good, live or historical; any shape."""
    good: npt.NDArray[np.bool_] = np.equal(codes & SEVERITY_MASK, Severity.GOOD)
    return good


def is_sampled(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """True where the slot holds a sample, whatever its severity; any shape."""
    return np.not_equal(codes, NOT_SAMPLED)


def is_historical(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """True where the sample came late from a spool; any shape."""
    historical: npt.NDArray[np.bool_] = np.not_equal(codes & HISTORICAL, 0)
    return historical
