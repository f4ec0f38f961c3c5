"""A gateway's file: who it is, where the hub's broker is, its lines and the devices on them.

`load` checks all of it, the profiles included, and reports every mistake at once, each with its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from gashub.clock import Clock, ScaledClock, SystemClock
from gashub.config import BrokerSection, ClockSection, Port, problems_of, read_toml
from gashub.errors import ConfigurationError, InvalidValue, NotFound, Problem
from gashub.topics import Source, check_id

from .profile import Profile, names
from .profile import load as load_profile

_BLOCK_LIMIT: Final = 2**28

Part = TypeVar("Part", bound=BaseModel)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _id(value: str) -> str:
    try:
        return check_id("this", value)
    except InvalidValue as error:
        raise ValueError("use 1-63 lower-case letters, digits and hyphens, not a hyphen first") from error


class GatewaySection(_Section):
    """Who this gateway is and what it may keep on disk.

    packet_s: hub seconds for which readings are gathered before they are sent; accelerated, at least 0.25 real ones.
    resend_s: real seconds after which what the historian has not confirmed is sent again.
    """

    id: str
    zone: str
    spool_file: Path
    spool_max_mb: Annotated[float, Field(gt=0, le=65_536)] = 256.0
    packet_s: Annotated[float, Field(ge=0.05, le=60)] = 1.0
    resend_s: Annotated[float, Field(ge=0.2, le=3600)] = 30.0
    metrics_port: Port | None = None

    @field_validator("id", "zone")
    @classmethod
    def _topical(cls, value: str) -> str:
        return _id(value)


class LineSection(_Section):
    """One Modbus TCP connection; `timeout_s` in real seconds."""

    id: Annotated[str, Field(min_length=1)]
    kind: Literal["tcp"] = "tcp"
    host: str
    port: Port
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 1.0


class DeviceSection(_Section):
    """One device; `scan_s` in hub seconds, `blocks` from the profile's block names to block ids."""

    id: Annotated[str, Field(min_length=1)]
    line: str
    unit: Annotated[int, Field(ge=0, le=255)]
    profile: str
    scan_s: Annotated[float, Field(ge=0.05, le=86_400)]
    blocks: Annotated[dict[str, Annotated[int, Field(gt=0, lt=_BLOCK_LIMIT)]], Field(min_length=1)]
    parameters: dict[str, float] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """A gateway's file, checked, with absolute paths, and the profiles its devices need."""

    gateway: GatewaySection
    broker: BrokerSection
    clock: ClockSection | None
    lines: tuple[LineSection, ...]
    devices: tuple[DeviceSection, ...]
    profiles: dict[str, Profile]

    @property
    def source(self) -> Source:
        """Where on the bus this gateway speaks."""
        return Source(zone=self.gateway.zone, gateway=self.gateway.id)

    def make_clock(self) -> Clock:
        """The clock that the file asks for."""
        if self.clock is None:
            return SystemClock()
        return ScaledClock(real_start=self.clock.real_start, hub_start=self.clock.hub_start, speed=self.clock.speed)


def load(path: Path) -> GatewayConfig:
    """Read and check a gateway's file; relative paths in it are relative to the file. Raises ConfigurationError."""
    document = read_toml(path)
    reading = _Reading(document)
    gateway = reading.one("gateway", GatewaySection)
    broker = reading.one("broker", BrokerSection)
    clock = reading.one("clock", ClockSection) if "clock" in document else None
    lines = reading.many("line", LineSection)
    devices = reading.many("device", DeviceSection)
    profiles = _profiles({device.profile for device in devices}, reading.problems)
    base = path.resolve().parent
    reading.problems += _misfits(lines, devices, profiles, reading.names("line"))
    if broker is not None:
        broker = broker.model_copy(
            update={
                "password_file": base / broker.password_file,
                "tls_ca_file": broker.tls_ca_file and base / broker.tls_ca_file,
            }
        )
        if not broker.password_file.is_file():
            reading.problems.append(Problem(where="broker.password_file", what=f"no file {broker.password_file}"))
    if reading.problems or gateway is None or broker is None:
        raise ConfigurationError(str(path), reading.problems)
    return GatewayConfig(
        gateway=gateway.model_copy(update={"spool_file": base / gateway.spool_file}),
        broker=broker,
        clock=clock,
        lines=tuple(lines),
        devices=tuple(devices),
        profiles=profiles,
    )


class _Reading:
    """A document that is read part by part, so that one part's mistakes do not hide another's."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        known = {"gateway", "broker", "clock", "line", "device"}
        self.problems = [
            Problem(where=key, what="is not known here", allowed=", ".join(sorted(known)))
            for key in document
            if key not in known
        ]

    def one(self, key: str, part: type[Part]) -> Part | None:
        if key not in self._document:
            self.problems.append(Problem(where=key, what="is missing", allowed=f"[{key}]"))
            return None
        return self._checked(self._document[key], part, f"{key}.")

    def many(self, key: str, part: type[Part]) -> list[Part]:
        given = self._document.get(key, [])
        if not isinstance(given, list) or not given:
            self.problems.append(Problem(where=key, what="there is none", allowed=f"one [[{key}]] or more"))
            return []
        parts = [self._checked(item, part, f"{key}[{_label(item, number)}].") for number, item in enumerate(given)]
        return [part for part in parts if part is not None]

    def names(self, key: str) -> set[str]:
        """The ids given under `key`, also of parts with mistakes."""
        given = self._document.get(key, [])
        return {str(item.get("id")) for item in given if isinstance(item, dict)} if isinstance(given, list) else set()

    def _checked(self, item: object, part: type[Part], prefix: str) -> Part | None:
        try:
            return part.model_validate(item)
        except ValidationError as error:
            self.problems += problems_of(error, prefix)
            return None


def _label(item: object, number: int) -> str:
    return str(item["id"]) if isinstance(item, dict) and "id" in item else str(number)


def _profiles(wanted: set[str], problems: list[Problem]) -> dict[str, Profile]:
    found: dict[str, Profile] = {}
    for name in sorted(wanted & set(names())):
        try:
            found[name] = load_profile(name)
        except ConfigurationError as error:
            problems += [
                Problem(where=f"profile {name}, {problem.where}", what=problem.what, allowed=problem.allowed)
                for problem in error.problems
            ]
    return found


def _misfits(
    lines: list[LineSection], devices: list[DeviceSection], profiles: dict[str, Profile], line_ids: set[str]
) -> list[Problem]:
    """Everything that does not fit together."""
    problems = _twice("line", [line.id for line in lines])
    problems += _twice("address of a line", [f"{line.host}:{line.port}" for line in lines])
    problems += _twice("device", [device.id for device in devices])
    problems += _twice("block id", [block for device in devices for block in device.blocks.values()])
    for device in devices:
        where = f"device[{device.id}]"
        if device.line not in line_ids:
            problems.append(
                Problem(where=f"{where}.line", what=f"no line {device.line!r}", allowed=", ".join(sorted(line_ids)))
            )
        if device.profile not in names():
            problems.append(
                Problem(where=f"{where}.profile", what=f"no profile {device.profile!r}", allowed=", ".join(names()))
            )
        elif device.profile in profiles:
            problems += _against_profile(where, device, profiles[device.profile])
    return problems


def _against_profile(where: str, device: DeviceSection, profile: Profile) -> list[Problem]:
    blocks = [block.name for block in profile.block]
    problems = [
        Problem(where=f"{where}.blocks", what=f"the profile has no block {name!r}", allowed=", ".join(blocks))
        for name in device.blocks
        if name not in blocks
    ]
    for name, value in device.parameters.items():
        place = f"{where}.parameters.{name}"
        try:
            parameter = profile.parameter(name)
        except NotFound:
            allowed = ", ".join(profile.parameters) or "none"
            problems.append(Problem(where=place, what="the profile has no such parameter", allowed=allowed))
            continue
        if not parameter.low <= value <= parameter.high:
            problems.append(
                Problem(
                    where=place,
                    what=f"{value} is out of range",
                    allowed=f"{parameter.low} to {parameter.high} {parameter.unit}",
                )
            )
    return problems


def _twice(kind: str, keys: Sequence[str] | Sequence[int]) -> list[Problem]:
    return [
        Problem(where=f"{kind} {key}", what="stands more than once", allowed="once")
        for key in sorted({str(key) for key in keys if list(keys).count(key) > 1})
    ]
