"""The hub's configuration: one TOML file that every service reads, checked whole before anything starts.

`load` reports every mistake at once, each with its place and what would be allowed. Secrets never stand in the file:
it names files that hold them.
"""

from __future__ import annotations

import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from .clock import Clock, ScaledClock, SystemClock
from .errors import ConfigurationError, Problem

Port = Annotated[int, Field(ge=1, le=65535)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HubSection(_Section):
    """Who this hub is and where its local state lies."""

    name: str = "gashub"
    timezone: str = "Asia/Shanghai"
    gas_day_hour: Annotated[int, Field(ge=0, le=23)] = 8
    data_dir: Path = Path("var")

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("not a time zone of the IANA list, e.g. Asia/Shanghai")
        return value

    @property
    def zone_info(self) -> ZoneInfo:
        """The hub's local time, in which gas days begin."""
        return ZoneInfo(self.timezone)


class ClockSection(_Section):
    """Leave out to run on the machine's clock; give all three to run an exercise at another time and speed."""

    real_start: datetime
    hub_start: datetime
    speed: Annotated[float, Field(gt=0, le=10_000)]

    @field_validator("real_start", "hub_start")
    @classmethod
    def _aware(cls, value: datetime) -> datetime:
        if value.tzinfo is None:
            raise ValueError("needs a time zone, e.g. 2026-11-01T00:00:00Z")
        return value


class DatabaseSection(_Section):
    """PostgreSQL: `dsn_file` holds a libpq URL."""

    dsn_file: Path


class BrokerSection(_Section):
    """The MQTT broker, and the file with the password of `username`."""

    host: str = "127.0.0.1"
    port: Port = 1883
    username: str = "hub"
    password_file: Path
    tls_ca_file: Path | None = None


class IngestSection(_Section):
    """How the historian takes readings in.

    Several workers share a hub by zones: each has a name of its own and lists the zones it reads (none: all).
    """

    worker: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,40}$")] = "1"
    zones: tuple[str, ...] = ()
    batch_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 25_000
    batch_age_s: Annotated[float, Field(gt=0, le=10)] = 0.1
    window_messages: Annotated[int, Field(ge=1, le=60_000)] = 2_000
    future_limit_s: Annotated[float, Field(ge=0)] = 300.0
    oldest_days: Annotated[int, Field(ge=1)] = 400
    retention_days: Annotated[int, Field(ge=1)] = 3_660
    metrics_port: Port | None = None


class AlarmsSection(_Section):
    """How alarms are judged; `rulebook_file` adds to or overrides the rules that come with the hub."""

    rulebook_file: Path | None = None
    metrics_port: Port | None = None


class DispatchSection(_Section):
    """What stands on tickets and notices."""

    hotline: str = "96777"
    utility_name_en: str = "City Gas"
    utility_name_zh: str = "城市燃气"
    emergency_restoration_h: Annotated[float, Field(gt=0)] = 8.0
    metrics_port: Port | None = None


class ApiSection(_Section):
    """Where the console and the API listen."""

    host: str = "127.0.0.1"
    port: Port = 8080
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    session_hours: Annotated[float, Field(gt=0, le=72)] = 12.0


class HubConfig(_Section):
    """The whole file."""

    hub: HubSection = HubSection()
    clock: ClockSection | None = None
    database: DatabaseSection
    broker: BrokerSection
    ingest: IngestSection = IngestSection()
    alarms: AlarmsSection = AlarmsSection()
    dispatch: DispatchSection = DispatchSection()
    api: ApiSection = ApiSection()

    def make_clock(self) -> Clock:
        """The clock that this configuration asks for."""
        if self.clock is None:
            return SystemClock()
        return ScaledClock(real_start=self.clock.real_start, hub_start=self.clock.hub_start, speed=self.clock.speed)

    def dsn(self) -> str:
        """The database's connection string, read from its file."""
        return read_secret(self.database.dsn_file)

    def broker_password(self) -> str:
        """The broker's password, read from its file."""
        return read_secret(self.broker.password_file)


def read_secret(path: Path) -> str:
    """The one line a secret's file holds. Raises ConfigurationError if it cannot be read or is empty."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(str(path), [Problem(where=str(path), what=error.strerror or str(error))]) from error
    if not text:
        raise ConfigurationError(str(path), [Problem(where=str(path), what="the file is empty")])
    return text


def problems_of(error: ValidationError, prefix: str = "") -> list[Problem]:
    """Every mistake that pydantic found, in the hub's own words."""
    return [
        Problem(
            where=prefix + ".".join(str(part) for part in item["loc"]),
            what=item["msg"] + ("" if item["type"] == "missing" else f", given {item['input']!r}"),
        )
        for item in error.errors(include_url=False)
    ]


def read_toml(path: Path) -> dict[str, object]:
    """Parse a TOML file. Raises ConfigurationError with the place of the mistake."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(str(path), [Problem(where=str(path), what=error.strerror or str(error))]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(path), [Problem(where=str(path), what=f"not TOML: {error}")]) from error


def load(path: Path) -> HubConfig:
    """Read and check the hub's configuration; relative paths in it are relative to the file.

    Raises ConfigurationError that lists every mistake.
    """
    try:
        config = HubConfig.model_validate(read_toml(path))
    except ValidationError as error:
        raise ConfigurationError(str(path), problems_of(error)) from error
    config = _resolved(config, path.resolve().parent)
    missing = [
        Problem(where=where, what=f"no file {file}")
        for where, file in (
            ("database.dsn_file", config.database.dsn_file),
            ("broker.password_file", config.broker.password_file),
        )
        if not file.is_file()
    ]
    if missing:
        raise ConfigurationError(str(path), missing)
    return config


def _resolved(config: HubConfig, base: Path) -> HubConfig:
    """The same configuration with every path absolute."""
    changes: dict[str, BaseModel] = {}
    for name in HubConfig.model_fields:
        section = getattr(config, name)
        if isinstance(section, BaseModel):
            paths = {
                field: base / value
                for field in type(section).model_fields
                if isinstance(value := getattr(section, field), Path)
            }
            changes[name] = section.model_copy(update=paths)
    return config.model_copy(update=changes)
