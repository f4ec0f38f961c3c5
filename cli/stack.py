"""A whole hub in one directory: embedded servers, a simulated town, and every service, started and stopped as one.

    data_dir/
      hub.toml          what the services read
      postgres/ broker/ the embedded servers' own
      plant/            the town: network, registry, accounts, one file per gateway
      secrets/          passwords, mode 0600
      logs/             one file per service

The database comes up while the town is built; services start together and are awaited together.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg

from gashub.clock import SystemClock
from gashub.config import BrokerSection, ClockSection, HubConfig, load
from gashub.embedded.broker import EmbeddedBroker
from gashub.embedded.postgres import EmbeddedPostgres
from gashub.embedded.secrets import make_private_dir, write_private
from gashub.embedded.supervisor import ProcessGroup
from gashub.plant import ACCOUNTS_FILE, NETWORK_FILE, REGISTRY_FILE, read_network, read_registry, store
from metering.plant import store as store_accounts

from .ports import PortRange

SERVICES: Final = ("ingest", "alarms", "dispatch", "api")
_LEAD_S: Final = 3.0

STEPS: Final = 4
"""How many times a start reports progress."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExerciseTime:
    """Time that runs `speed` times as fast, from `start` on, or from now on where that is None."""

    start: datetime | None = None
    speed: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """What a stack is made of.

    exercise: None for the machine's clock. scenario: a scenario's name or file the simulator plays from its start.
    http_port: None for one of the row of ports that the town's devices get.
    """

    data_dir: Path
    seed: int = 1
    exercise: ExerciseTime | None = None
    scenario: str | None = None
    http_port: int | None = None
    timezone: str = "Asia/Shanghai"


class Stack:
    """A hub and its town. Use it as a context manager; `config` is what its services read."""

    def __init__(self, options: StackOptions, progress: Progress) -> None:
        self.options = options
        self._progress = progress
        self.clock: ClockSection | None = None
        self._cleanup = ExitStack()
        data_dir = options.data_dir.resolve()
        self.data_dir = data_dir
        self.config_file = data_dir / "hub.toml"
        self.plant_dir = data_dir / "plant"
        self.postgres = EmbeddedPostgres(data_dir / "postgres")
        self.broker = EmbeddedBroker(data_dir / "broker")
        self.services = ProcessGroup(data_dir / "logs")

    @property
    def config(self) -> HubConfig:
        """The configuration as the services read it."""
        return load(self.config_file)

    @property
    def admin_password_file(self) -> Path:
        """Where the API leaves the first administrator's password."""
        return self.data_dir / "secrets" / "admin-password"

    def __enter__(self) -> Self:
        make_private_dir(self.data_dir)
        make_private_dir(self.data_dir / "secrets")
        with self._cleanup:
            self._claim_ports()
            self._start_servers()
            self._set_clock()
            self._write_plant()
            self._write_config()
            self._store_plant()
            self._start_services()
            self._cleanup = self._cleanup.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop everything, the services first."""
        self._cleanup.close()

    def _claim_ports(self) -> None:
        self.ports = PortRange()
        self._cleanup.callback(self.ports.close)
        self.http_port = self.options.http_port or self.ports.http

    def _start_servers(self) -> None:
        """Bring up broker and database side by side."""
        with ThreadPoolExecutor(2) as threads:
            database = threads.submit(self._start_database)
            broker = threads.submit(self.broker.start)
            self._cleanup.callback(self.postgres.stop)
            self._cleanup.callback(self.broker.stop)
            # Loaded here, while the servers start in processes of their own.
            import simulators.town  # noqa: F401

            broker.result()
            self._progress("message broker is up")
            database.result()
            self._progress("database is up to date")

    def _start_database(self) -> None:
        self.postgres.start()
        # Loaded here, while the broker starts and the town is read: it takes a while.
        from gashub.schema import migrate

        migrate(self.postgres.dsn)

    def _set_clock(self) -> None:
        """Let an exercise's time begin when its services are about to be ready, not while servers still start."""
        exercise = self.options.exercise
        if exercise is not None:
            start = SystemClock().now() + timedelta(seconds=_LEAD_S)
            self.clock = ClockSection(real_start=start, hub_start=exercise.start or start, speed=exercise.speed)

    def _write_plant(self) -> None:
        # Loaded here: the other verbs do not need a town.
        from simulators.town import write_plant

        make_private_dir(self.plant_dir)
        for stale in self.plant_dir.glob("gateway-*.toml"):
            stale.unlink()
        broker = BrokerSection(
            host=self.broker.host,
            port=self.broker.port,
            username="field",
            password_file=self.broker.password_file("field"),
        )
        write_plant(
            self.plant_dir,
            broker=broker,
            clock=self.clock,
            first_port=self.ports.first,
            seed=self.options.seed,
        )

    def _write_config(self) -> None:
        dsn_file = self.data_dir / "secrets" / "database-dsn"
        write_private(dsn_file, self.postgres.dsn)
        self.config_file.write_text(self._config_text(dsn_file), encoding="utf-8")

    def _config_text(self, dsn_file: Path) -> str:
        clock = self.clock
        sections: dict[str, dict[str, object]] = {
            "hub": {"name": "demo", "timezone": self.options.timezone, "data_dir": str(self.data_dir)},
            "database": {"dsn_file": str(dsn_file)},
            "broker": {
                "host": self.broker.host,
                "port": self.broker.port,
                "username": "hub",
                "password_file": str(self.broker.password_file("hub")),
            },
            "api": {"host": "127.0.0.1", "port": self.http_port},
        }
        if clock is not None:
            sections["clock"] = {
                "real_start": clock.real_start,
                "hub_start": clock.hub_start,
                "speed": clock.speed,
            }
        return to_toml(sections)

    def _store_plant(self) -> None:
        network = read_network(self.plant_dir / NETWORK_FILE)
        registry = read_registry(self.plant_dir / REGISTRY_FILE, network)
        with psycopg.connect(self.postgres.dsn) as connection:
            store(connection, network, registry, at=SystemClock().now())
            store_accounts(connection, self.plant_dir / ACCOUNTS_FILE, network, registry)
        self._progress(f"town is built: {len(registry.devices)} devices, {len(network.service_points)} service points")

    def _start_services(self) -> None:
        for module in SERVICES:
            self.services.add_service(module, "--config", str(self.config_file))
        arguments = ["--plant", str(self.plant_dir), "--config", str(self.config_file)]
        arguments += ["--sim-password-file", str(self.broker.password_file("sim")), "--seed", str(self.options.seed)]
        if self.options.scenario:
            arguments += ["--scenario", self.options.scenario]
        self.services.add_service("simulators", *arguments)
        gateways = sorted(str(path) for path in self.plant_dir.glob("gateway-*.toml"))
        self.services.add_service("gateway", "--config", *gateways)
        self._cleanup.callback(self.services.close)
        self.services.start(timeout_s=90)
        self._progress("all services are ready")


def to_toml(sections: dict[str, dict[str, object]]) -> str:
    """Sections of plain values as TOML text."""
    lines: list[str] = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {_toml_value(value)}" for key, value in values.items()]
        lines.append("")
    return "\n".join(lines)


def _toml_value(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return json.dumps(value)
