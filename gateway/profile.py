"""Device profiles: what the registers of one make and kind of device mean.

A profile is a data file, `profiles/<name>.toml`:

    [profile]      name, kind, source (where the map is from), date
    [limits]       max_count, max_gap: what one request may span and read in vain
    [parameters.x] what differs from site to site: default, low, high, unit
    [[block]]      name; up to eight [[block.slot]], one frame per scan

A slot says where its registers lie (function, address, type, order), how they become a number (scale, fraction,
resolution, bit), what the number means (quantity, unit, reference) and which values can be true (valid).
`parse` checks a whole profile and reports every mistake at once.

    value = (raw × scale + fraction × its scale) × 10^-resolution + offset, then unit → canonical unit

Word orders are named by the bytes of a 32-bit value as they come over the line: ABCD is high word first, CDAB low
word first, BADC and DCBA the same with the bytes of each word exchanged. Longer values follow the same rule.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gashub.config import problems_of, read_toml
from gashub.errors import ConfigurationError, NotFound, Problem
from gashub.frames import SLOTS
from gashub.registry import Quantity

DIRECTORY: Final = Path(__file__).parent / "profiles"
ATMOSPHERIC: Final = "atmospheric_kpa"


class Kind(StrEnum):
    """How registers hold a number."""

    U16 = "u16"
    S16 = "s16"
    U32 = "u32"
    S32 = "s32"
    U64 = "u64"
    S64 = "s64"
    F32 = "f32"
    F64 = "f64"
    BCD = "bcd"
    BIT = "bit"


class Order(StrEnum):
    """In which order the bytes of a 32-bit value, A the highest, come over the line."""

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"


class Reference(StrEnum):
    """From where a pressure is counted."""

    GAUGE = "gauge"
    ABSOLUTE = "absolute"


WORDS: Final[dict[Kind, int]] = {
    Kind.U16: 1,
    Kind.S16: 1,
    Kind.U32: 2,
    Kind.S32: 2,
    Kind.F32: 2,
    Kind.U64: 4,
    Kind.S64: 4,
    Kind.F64: 4,
    Kind.BIT: 1,
}
_PRESSURE: Final = {
    "Pa": (1e-3, 0.0),
    "hPa": (0.1, 0.0),
    "mbar": (0.1, 0.0),
    "kPa": (1.0, 0.0),
    "bar": (100.0, 0.0),
    "MPa": (1000.0, 0.0),
}
_FLOW: Final = {"m³/h": (1.0, 0.0), "m³/s": (3600.0, 0.0), "L/min": (0.06, 0.0), "L/h": (1e-3, 0.0)}
_VOLUME: Final = {"m³": (1.0, 0.0), "L": (1e-3, 0.0)}
TO_CANONICAL: Final[dict[Quantity, dict[str, tuple[float, float]]]] = {
    Quantity.PRESSURE: _PRESSURE,
    Quantity.PRESSURE_ABSOLUTE: _PRESSURE,
    Quantity.PRESSURE_DIFFERENTIAL: _PRESSURE,
    Quantity.FLOW: _FLOW,
    Quantity.FLOW_ACTUAL: _FLOW,
    Quantity.VOLUME: _VOLUME,
    Quantity.VOLUME_ACTUAL: _VOLUME,
    Quantity.TEMPERATURE: {"°C": (1.0, 0.0), "K": (1.0, -273.15), "°F": (5 / 9, -160 / 9)},
    Quantity.GAS_CONCENTRATION: {"% LEL": (1.0, 0.0)},
    Quantity.POSITION: {"%": (1.0, 0.0)},
    Quantity.STATE: {"": (1.0, 0.0)},
    Quantity.BATTERY: {"%": (1.0, 0.0)},
    Quantity.CLOCK_OFFSET: {"s": (1.0, 0.0)},
}
"""Factor and offset from each unit a device may speak to the canonical unit of a quantity."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Address = Annotated[int, Field(ge=0, le=65_535)]
Function = Literal[1, 2, 3, 4]


class Cell(_Part):
    """Registers that hold one raw number; `scale` is applied to it."""

    address: Address
    type: Kind
    order: Order = Order.ABCD
    digits: Annotated[int, Field(ge=4, le=16, multiple_of=4)] | None = None
    scale: Annotated[float, Field(gt=0)] = 1.0

    @property
    def words(self) -> int:
        """How many registers the number takes."""
        return (self.digits or 4) // 4 if self.type is Kind.BCD else WORDS[self.type]

    @property
    def end(self) -> int:
        """The first address after the number."""
        return self.address + self.words


class Slot(Cell):
    """One point of a block: which registers, and what they mean.

    fraction: added to the number, always read in the same request.
    resolution: the number counts units of 10^-resolution; always read in the same request.
    bit: take this bit of the register (0 the lowest) as the state.
    invalid: raw numbers by which the device says "no value".
    valid: what can be true, in the canonical unit; outside it the value is bad.
    modulus: where a counter rolls over, in the canonical unit (with a resolution: in counts).
    device_time: the number is the device's own time in seconds since 1970; the slot's value is how far it is ahead.
    suspect_beyond_s: from which offset on the device's clock is marked suspect.
    fault_bits: bits of this status by which the device says that its other values cannot be trusted.
    """

    slot: Annotated[int, Field(ge=0, lt=SLOTS)]
    name: Annotated[str, Field(pattern=r"[a-z][a-z0-9_]*")]
    quantity: Quantity
    unit: str
    function: Function
    reference: Reference = Reference.GAUGE
    offset: float = 0.0
    bit: Annotated[int, Field(ge=0, le=15)] | None = None
    fraction: Cell | None = None
    resolution: Cell | None = None
    group: str | None = None
    invalid: tuple[int, ...] = ()
    valid: tuple[float, float] | None = None
    modulus: Annotated[float, Field(gt=0)] | None = None
    device_time: bool = False
    suspect_beyond_s: Annotated[float, Field(gt=0)] = 60.0
    fault_bits: tuple[Annotated[int, Field(ge=0, le=15)], ...] = ()

    @property
    def cells(self) -> list[Cell]:
        """Everything that must be read for this slot."""
        return [cell for cell in (self, self.fraction, self.resolution) if cell is not None]


class Block(_Part):
    """Up to eight slots that are sampled together."""

    name: Annotated[str, Field(pattern=r"[a-z][a-z0-9_]*")]
    slot: tuple[Slot, ...]


class Parameter(_Part):
    """A figure of the site that the profile needs."""

    default: float
    low: float
    high: float
    unit: str


class Limits(_Part):
    """What a device allows: registers in one request, and registers read in vain between two that are needed."""

    max_count: Annotated[int, Field(ge=1, le=125)] = 125
    max_gap: Annotated[int, Field(ge=0, le=124)] = 0


class About(_Part):
    """Which device this is and from where its map is known."""

    name: Annotated[str, Field(pattern=r"[a-z0-9][a-z0-9-]*")]
    kind: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    date: date


class Profile(_Part):
    """A whole profile, checked."""

    profile: About
    limits: Limits = Limits()
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    block: tuple[Block, ...]

    def find_block(self, name: str) -> Block:
        """The block of that name. Raises NotFound."""
        for block in self.block:
            if block.name == name:
                return block
        raise NotFound(f"block of profile {self.profile.name}", name)

    def parameter(self, name: str) -> Parameter:
        """The parameter of that name. Raises NotFound."""
        if name not in self.parameters:
            raise NotFound(f"parameter of profile {self.profile.name}", name)
        return self.parameters[name]

    def settings(self, given: dict[str, float]) -> dict[str, float]:
        """The parameters with the site's figures in place of the defaults."""
        return {name: given.get(name, parameter.default) for name, parameter in self.parameters.items()}


def names() -> list[str]:
    """The profiles that come with the hub."""
    return sorted(path.stem for path in DIRECTORY.glob("*.toml"))


def load(name: str, directory: Path = DIRECTORY) -> Profile:
    """Read and check one profile. Raises NotFound, or ConfigurationError with every mistake."""
    path = directory / f"{name}.toml"
    if not path.is_file():
        raise NotFound("profile", name)
    return parse(read_toml(path), str(path))


def parse(document: dict[str, Any], source: str) -> Profile:
    """Check a profile's document; `source` says in messages where it is from. Raises ConfigurationError."""
    try:
        profile = Profile.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(source, problems_of(error)) from error
    if problems := check(profile):
        raise ConfigurationError(source, problems)
    return profile


def check(profile: Profile) -> list[Problem]:
    """Every contradiction in a profile whose shape is right."""
    problems = _repeated("block", [block.name for block in profile.block])
    if not any(block.slot for block in profile.block):
        problems.append(Problem(where="block", what="there is no slot", allowed="one [[block.slot]] or more"))
    for name, parameter in profile.parameters.items():
        if not parameter.low <= parameter.default <= parameter.high:
            problems.append(
                Problem(
                    where=f"parameters.{name}.default",
                    what=f"{parameter.default} is out of range",
                    allowed=f"{parameter.low} to {parameter.high}",
                )
            )
    problems += _group_faults(profile)
    for block in profile.block:
        problems += _repeated(f"block {block.name}: slot number", [slot.slot for slot in block.slot])
        problems += _repeated(f"block {block.name}: slot name", [slot.name for slot in block.slot])
        problems += [
            Problem(where=f"block {block.name}, slot {slot.name}", what=what, allowed=allowed)
            for slot in block.slot
            for what, allowed in _slot_faults(slot, profile)
        ]
    return problems


def _repeated(where: str, keys: list[Any]) -> list[Problem]:
    return [
        Problem(where=f"{where} {key}", what="stands twice", allowed="once")
        for key in sorted({key for key in keys if keys.count(key) > 1})
    ]


def _group_faults(profile: Profile) -> list[Problem]:
    """Groups that no single request can bring."""
    slots = [slot for block in profile.block for slot in block.slot]
    problems: list[Problem] = []
    for name in sorted({slot.group for slot in slots if slot.group is not None}):
        members = [slot for slot in slots if slot.group == name]
        cells = [cell for slot in members for cell in slot.cells]
        span = max(cell.end for cell in cells) - min(cell.address for cell in cells)
        if len({slot.function for slot in members}) > 1:
            problems.append(Problem(where=f"group {name}", what="is read by several functions", allowed="one"))
        if span > profile.limits.max_count:
            problems.append(
                Problem(where=f"group {name}", what=f"spans {span} registers", allowed=f"{profile.limits.max_count}")
            )
    return problems


def _slot_faults(slot: Slot, profile: Profile) -> list[tuple[str, str]]:
    """Each mistake of one slot and what would be allowed."""
    units = TO_CANONICAL[slot.quantity]
    bits = slot.function in (1, 2)
    span = max(cell.end for cell in slot.cells) - min(cell.address for cell in slot.cells)
    rules = [
        (slot.unit not in units, f"unit {slot.unit!r} is not one of {slot.quantity}", ", ".join(map(repr, units))),
        (
            bits != (slot.type is Kind.BIT),
            f"type {slot.type} does not go with function {slot.function}",
            "bit with 1, 2",
        ),
        (slot.bit is not None and slot.type is not Kind.U16, "a bit is taken from one register", "type u16"),
        (any((cell.digits is None) == (cell.type is Kind.BCD) for cell in slot.cells), "digits go with bcd", ""),
        (any(cell.end > 65_536 for cell in slot.cells), "the number ends beyond the last register", "65535"),
        (span > profile.limits.max_count, f"{span} registers must be read together", f"{profile.limits.max_count}"),
        (slot.valid is not None and slot.valid[0] >= slot.valid[1], "valid is empty", "low < high"),
        (slot.device_time and slot.quantity is not Quantity.CLOCK_OFFSET, "device_time", "quantity clock_offset_s"),
        (bool(slot.fault_bits) and slot.type is not Kind.U16, "fault_bits are bits of one register", "type u16"),
        (
            needs_atmosphere(slot) and ATMOSPHERIC not in profile.parameters,
            f"turning {slot.reference} into {slot.quantity} needs the parameter {ATMOSPHERIC}",
            f"[parameters.{ATMOSPHERIC}]",
        ),
    ]
    return [(what, allowed) for broken, what, allowed in rules if broken]


def needs_atmosphere(slot: Slot) -> bool:
    """Whether the device counts this pressure from another zero than the hub does."""
    wanted = {Quantity.PRESSURE: Reference.GAUGE, Quantity.PRESSURE_ABSOLUTE: Reference.ABSOLUTE}
    return slot.quantity in wanted and slot.reference is not wanted[slot.quantity]
