"""Five register maps, from the device's side: canonical values in, register words out.

Written from the makers' tables and not from the gateway's profiles, so that the two check each other. A map is a list
of fields; each field turns one named value into the words at its address. Words are 16 bits, most significant byte
first; ABCD puts the high word first, CDAB the low word.

Source of the layouts: IEC 61131-3 floats and BCD as gas correctors and RTUs commonly lay them out.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from gashub.errors import InvalidValue, NotFound

ATMOSPHERIC_KPA: Final = 101.325
_U16_MAX: Final = 0xFFFF

Encoder = Callable[[float], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """The words at `address` that tell the value called `name`; `default` is what a new device shows."""

    name: str
    address: int
    words: int
    encode: Encoder
    default: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterMap:
    """One type of device: the function that reads its registers, and its fields.

    `clock_address` is where the device's own time stands (u32, CDAB, seconds since 1970), if it has one; the time is
    put in when a master reads, since a clock does not stand still between refreshes.
    """

    profile: str
    function: int
    fields: tuple[Field, ...]
    clock_address: int | None = None
    first: int = field(init=False)
    count: int = field(init=False)

    def __post_init__(self) -> None:
        ends = [f.address + f.words for f in self.fields]
        if self.clock_address is not None:
            ends.append(self.clock_address + 2)
        first = min(f.address for f in self.fields)
        object.__setattr__(self, "first", first)
        object.__setattr__(self, "count", max(ends) - first)

    @property
    def names(self) -> frozenset[str]:
        """The values this type of device can show."""
        own = {"clock_offset"} if self.clock_address is not None else set()
        return frozenset({f.name for f in self.fields} | own)

    def image(self, values: Mapping[str, float]) -> bytes:
        """All registers from `first` on as bytes; what `values` lacks has its default."""
        words = bytearray(2 * self.count)
        for f in self.fields:
            at = 2 * (f.address - self.first)
            words[at : at + 2 * f.words] = f.encode(values.get(f.name, f.default))
        return bytes(words)

    def with_time(self, image: bytes, device_time_s: float) -> bytes:
        """The same registers with the device's clock showing `device_time_s` seconds since 1970."""
        if self.clock_address is None:
            return image
        at = 2 * (self.clock_address - self.first)
        return image[:at] + swapped(struct.pack(">I", int(device_time_s) & 0xFFFFFFFF)) + image[at + 4 :]


def swapped(words: bytes) -> bytes:
    """Four bytes ABCD as CDAB."""
    return words[2:] + words[:2]


def _float_abcd(value: float) -> bytes:
    return struct.pack(">f", value)


def _float_cdab(value: float) -> bytes:
    return swapped(struct.pack(">f", value))


def _unsigned(step: float) -> Encoder:
    """A u16 that counts `step`s; held at its ends, as a real register is, and 0xFFFF for no number."""

    def encode(value: float) -> bytes:
        count = _U16_MAX if math.isnan(value) else min(max(round(value / step), 0), _U16_MAX)
        return struct.pack(">H", count)

    return encode


def _signed(step: float) -> Encoder:
    def encode(value: float) -> bytes:
        count = -0x8000 if math.isnan(value) else min(max(round(value / step), -0x8000), 0x7FFF)
        return struct.pack(">h", count)

    return encode


def _bcd(digits: int, step: float) -> Encoder:
    """Binary coded decimal of `digits` digits, rolling over as a mechanical counter does."""

    def encode(value: float) -> bytes:
        if math.isnan(value):
            return b"\xff" * (digits // 2)
        return bytes.fromhex(f"{math.floor(value / step + 0.5) % 10**digits:0{digits}d}")

    return encode


def _long_cdab(step: float) -> Encoder:
    def encode(value: float) -> bytes:
        count = 0xFFFFFFFF if math.isnan(value) else math.floor(value / step + 0.5) % 2**32
        return swapped(struct.pack(">I", count))

    return encode


def _integer_and_fraction(value: float) -> bytes:
    """u32 ABCD whole cubic metres below 10⁹, then a u16 of thousandths."""
    thousandths = math.floor(value * 1000 + 0.5) % 10**12
    return struct.pack(">IH", *divmod(thousandths, 1000))


def _counter_with_resolution(exponent: int) -> Encoder:
    counter = _long_cdab(10.0**-exponent)

    def encode(value: float) -> bytes:
        return counter(value) + struct.pack(">H", exponent)

    return encode


def _scaled(factor: float, offset: float, encode: Encoder) -> Encoder:
    """`encode` of value * factor + offset: a device that speaks another unit."""
    return lambda value: encode(value * factor + offset)


def regulator_rtu() -> RegisterMap:
    """A regulator station's RTU: floats ABCD, gauge kPa."""
    floats = ("inlet_pressure", "outlet_pressure", "filter_differential", "temperature")
    return RegisterMap(
        profile="rtu-regulator-a",
        function=3,
        fields=(
            *(Field(name=name, address=2 * i, words=2, encode=_float_abcd) for i, name in enumerate(floats)),
            Field(name="slam_shut", address=8, words=1, encode=_unsigned(1)),
            Field(name="position", address=9, words=1, encode=_unsigned(0.1)),
            Field(name="gas", address=10, words=1, encode=_unsigned(0.1)),
            Field(name="battery", address=11, words=1, encode=_unsigned(1), default=100),
        ),
    )


def pressure_logger(atmospheric_kpa: float = ATMOSPHERIC_KPA) -> RegisterMap:
    """A battery logger with absolute bar in CDAB floats and a clock; `pressure` is given in gauge kPa."""
    return RegisterMap(
        profile="pressure-logger-b",
        function=4,
        fields=(
            Field(name="pressure", address=100, words=2, encode=_scaled(0.01, atmospheric_kpa / 100, _float_cdab)),
            Field(name="temperature", address=102, words=2, encode=_float_cdab),
            Field(name="battery", address=104, words=1, encode=_unsigned(1), default=100),
        ),
        clock_address=105,
    )


def volume_corrector() -> RegisterMap:
    """An electronic volume corrector with BCD counters and absolute pressure."""
    return RegisterMap(
        profile="evc-bcd-c",
        function=3,
        fields=(
            Field(name="volume", address=0, words=3, encode=_bcd(12, 0.01)),
            Field(name="flow", address=3, words=2, encode=_not_negative(_bcd(8, 0.01))),
            Field(
                name="pressure_absolute",
                address=5,
                words=2,
                encode=_not_negative(_bcd(8, 0.001)),
                default=ATMOSPHERIC_KPA,
            ),
            Field(name="temperature", address=7, words=1, encode=_signed(0.1)),
            Field(name="volume_actual", address=8, words=3, encode=_bcd(12, 0.01)),
            Field(name="status", address=11, words=1, encode=_unsigned(1)),
        ),
    )


def fraction_meter() -> RegisterMap:
    """A meter whose counter stands in two parts that belong together; pressure in gauge bar."""
    return RegisterMap(
        profile="meter-fraction-d",
        function=3,
        fields=(
            Field(name="volume", address=200, words=3, encode=_integer_and_fraction),
            Field(name="flow", address=203, words=2, encode=_float_cdab),
            Field(name="pressure", address=205, words=2, encode=_scaled(0.01, 0.0, _float_cdab)),
            Field(name="temperature", address=207, words=1, encode=_signed(0.01)),
        ),
    )


def resolution_meter(exponent: int = 2) -> RegisterMap:
    """A meter whose counter's resolution stands in a register: 10^-exponent m³ a count."""
    if not 0 <= exponent <= 6:
        raise InvalidValue(f"resolution exponent {exponent} is outside 0..6")
    return RegisterMap(
        profile="meter-resolution-e",
        function=4,
        fields=(
            Field(name="volume", address=0, words=3, encode=_counter_with_resolution(exponent)),
            Field(name="flow", address=3, words=2, encode=_not_negative(_long_cdab(0.01))),
            Field(name="battery", address=5, words=1, encode=_unsigned(1), default=100),
            Field(name="status", address=6, words=1, encode=_unsigned(1)),
        ),
    )


def _not_negative(encode: Encoder) -> Encoder:
    """What cannot be shown below zero is shown as zero; a counter would roll back instead."""
    return lambda value: encode(value if math.isnan(value) else max(value, 0.0))


_MAPS: Final = {
    made.profile: made
    for made in (regulator_rtu(), pressure_logger(), volume_corrector(), fraction_meter(), resolution_meter())
}
PROFILES: Final = tuple(_MAPS)


def register_map(profile: str) -> RegisterMap:
    """The register map of a profile with its usual parameters. Raises NotFound."""
    try:
        return _MAPS[profile]
    except KeyError:
        raise NotFound("register map", profile) from None
