"""From the bus to the commit, against PostgreSQL alone taking the same rows.

    raw publisher (own process, payloads encoded beforehand) ─► embedded broker ─► ingest (own process) ─► commit

ingest.vs_copy              readings/s with 200 readings a message; reference: server-side COPY of the same rows from a
                            binary file into the same kind of table with its key, before and after, the mean of both
ingest.vs_copy_large        the same with 2,000 readings a message
ingest.cpu_us_per_reading   processor time of the ingest process
ingest.small_vs_bare        messages/s with 8 readings a message; reference: a bare reader of the same broker that
                            acknowledges at once and keeps nothing
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import psycopg

from gashub import wire
from gashub.clock import stopwatch_s
from gashub.embedded.broker import EmbeddedBroker
from gashub.embedded.postgres import EmbeddedPostgres
from gashub.frames import SLOTS, FrameBatch, concatenate, to_ms
from gashub.quality import GOOD
from gashub.schema import migrate
from ingest.rows import copy_rows

BLOCKS: Final = 1_250
ZONE: Final = "bench"
GATEWAY: Final = "gw-bench"
_TIMEOUT_S: Final = 300.0
_ROOT: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is published: so many messages of so many full frames."""

    name: str
    messages: int
    frames: int

    @property
    def readings(self) -> int:
        """In all messages."""
        return self.messages * self.frames * SLOTS


def rows(quick: bool) -> list[dict[str, Any]]:
    """The rows of this benchmark."""
    shrink = 100 if quick else 1
    loads = [
        Load(name="ingest.vs_copy", messages=30_000 // shrink, frames=25),
        Load(name="ingest.vs_copy_large", messages=4_000 // shrink, frames=250),
        Load(name="ingest.small_vs_bare", messages=40_000 // shrink, frames=1),
    ]
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="gashub-") as name:
        directory = Path(name)
        with EmbeddedPostgres(directory / "postgres") as postgres, EmbeddedBroker(directory / "broker") as broker:
            migrate(postgres.dsn)
            _enrol(postgres.dsn)
            for load in loads:
                found += _measure(load, directory, postgres, broker)
    return found


def _enrol(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO zone VALUES (%s, '', '')", (ZONE,))
        connection.execute("INSERT INTO junction VALUES ('j', %s, 0, 0, 0)", (ZONE,))
        connection.execute("INSERT INTO station VALUES ('s', %s, 'regulator', '', '', 'j')", (ZONE,))
        connection.execute("INSERT INTO gateway VALUES (%s, %s)", (GATEWAY, ZONE))
        connection.execute(
            "INSERT INTO device (id, gateway, station, profile, enrolled_at) VALUES ('d', %s, 's', '', now())",
            (GATEWAY,),
        )
        connection.execute(
            "INSERT INTO block SELECT b, 'd', 'b' || b, 1 FROM generate_series(1, %s::integer) b", (BLOCKS,)
        )


def _batches(load: Load) -> list[FrameBatch]:
    """Every block once a second, cut into messages."""
    random = np.random.default_rng(7)
    start = to_ms(datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2))
    number = np.arange(load.messages * load.frames)
    whole = FrameBatch(
        block_id=(number % BLOCKS + 1).astype(np.int32),
        measured_at_ms=start + number // BLOCKS * 1_000,
        values=random.normal(100, 5, (len(number), SLOTS)),
        quality=np.full((len(number), SLOTS), GOOD, np.uint8),
    )
    return [whole.take(slice(i * load.frames, (i + 1) * load.frames)) for i in range(load.messages)]


def _measure(load: Load, directory: Path, postgres: EmbeddedPostgres, broker: EmbeddedBroker) -> list[dict[str, Any]]:
    batches = _batches(load)
    payloads = directory / "payloads"
    with payloads.open("wb") as file:
        for seq, batch in enumerate(batches, 1):
            header = wire.Header(gateway=GATEWAY, boot=load.name, lane=wire.Lane.LIVE, seq=seq)
            payload = wire.encode(header, batch)
            file.write(len(payload).to_bytes(4, "big") + payload)
    if load.name.endswith("_vs_bare"):
        elapsed_s, cpu_s = _run(load, directory, postgres, broker, payloads)
        rate, reference, unit = load.messages / elapsed_s, _bare(load, broker, payloads), "messages/s"
    else:
        copy_file = postgres.data_dir / "reference.copy"
        copy_file.write_bytes(copy_rows(concatenate(batches)))
        copy_file.chmod(0o644)
        before = _reference(postgres, copy_file, load)
        elapsed_s, cpu_s = _run(load, directory, postgres, broker, payloads)
        reference = (before + _reference(postgres, copy_file, load)) / 2
        rate, unit = load.readings / elapsed_s, "readings/s"
    cpu_name = "ingest.cpu_us_per_reading" + {25: "", 250: "_large", 1: "_small"}[load.frames]
    return [
        {"name": load.name, "value": rate, "unit": unit, "reference": reference, "ratio": rate / reference},
        {"name": cpu_name, "value": cpu_s / load.readings * 1e6, "unit": "µs", "reference": None, "ratio": None},
    ]


def _bare(load: Load, broker: EmbeddedBroker, payloads: Path) -> float:
    """Messages/s that a bare reader takes from the same broker. The topic is one that ingest does not read."""
    topic = f"gas/v1/{ZONE}/{GATEWAY}/ack"
    with (
        _process(broker, "benchmarks.bare_reader", "hub", topic, str(load.messages)) as reader,
        _process(broker, "benchmarks.publisher", "field", topic, str(payloads), "1000") as publisher,
    ):
        began = _begin(publisher)
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"done\n"
        return load.messages / (stopwatch_s() - began)


@contextmanager
def _process(broker: EmbeddedBroker, module: str, user: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """One of the bare processes, ready."""
    with subprocess.Popen(
        [sys.executable, "-m", module, broker.host, str(broker.port), user, *arguments],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "GASHUB_BENCH_PASSWORD": broker.users[user]},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        # Whatever it still says, so that it can end.
        process.stdout.read()


def _begin(publisher: subprocess.Popen[bytes]) -> float:
    assert publisher.stdin is not None
    began = stopwatch_s()
    publisher.stdin.write(b"go\n")
    publisher.stdin.close()
    return began


def _reference(postgres: EmbeddedPostgres, file: Path, load: Load) -> float:
    """Readings/s of a server-side COPY into an empty table of the same kind."""
    today = datetime.now(UTC).date()
    with psycopg.connect(postgres.url(user="postgres"), autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS reference")
        connection.execute("CREATE TABLE reference (LIKE frame INCLUDING ALL) PARTITION BY RANGE (ts)")
        for days in range(-1, 2):
            day = today + timedelta(days=days)
            connection.execute(
                f"CREATE TABLE reference_{days + 1} PARTITION OF reference "
                f"FOR VALUES FROM ('{day}Z') TO ('{day + timedelta(days=1)}Z')".encode()
            )
        connection.execute("CHECKPOINT")
        began = stopwatch_s()
        connection.execute(f"COPY reference FROM '{file}' (FORMAT BINARY)".encode())
        elapsed_s = stopwatch_s() - began
        connection.execute("DROP TABLE reference")
        connection.execute("CHECKPOINT")
    return load.readings / elapsed_s


def _run(
    load: Load, directory: Path, postgres: EmbeddedPostgres, broker: EmbeddedBroker, payloads: Path
) -> tuple[float, float]:
    """Seconds from the first publication to the last commit, and the ingest process's processor seconds."""
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute("TRUNCATE frame, ingest_ledger")
        read, write = os.pipe()
        worker = subprocess.Popen(
            [sys.executable, "-m", "ingest", "--config", str(_configure(directory, postgres, broker))],
            cwd=_ROOT,
            pass_fds=[write],
            env={**os.environ, "GASHUB_READY_FD": str(write)},
        )
        os.close(write)
        try:
            if os.read(read, 16) != b"ready\n":
                raise SystemExit("ingest did not start")
            return _publish_and_wait(load, broker, payloads, connection, psutil.Process(worker.pid))
        finally:
            os.close(read)
            worker.terminate()
            worker.wait(30)


def _publish_and_wait(
    load: Load,
    broker: EmbeddedBroker,
    payloads: Path,
    connection: psycopg.Connection[Any],
    worker: psutil.Process,
) -> tuple[float, float]:
    topic = f"gas/v1/{ZONE}/{GATEWAY}/data"
    with _process(broker, "benchmarks.publisher", "field", topic, str(payloads), "1000") as publisher:
        used = worker.cpu_times()
        began = _begin(publisher)
        _await_committed(connection, load, began)
        elapsed_s = stopwatch_s() - began
        now = worker.cpu_times()
    _check(connection, load)
    return elapsed_s, now.user + now.system - used.user - used.system


def _await_committed(connection: psycopg.Connection[Any], load: Load, began: float) -> None:
    """Look at the ledger ten times a second."""
    while stopwatch_s() - began < _TIMEOUT_S:
        row = connection.execute(
            "SELECT max(committed_seq), pg_sleep(0.05) FROM ingest_ledger WHERE boot = %s", (load.name,)
        ).fetchone()
        if row is not None and row[0] == load.messages:
            return
    raise SystemExit(f"{load.name}: not everything was committed within {_TIMEOUT_S} s")


def _check(connection: psycopg.Connection[Any], load: Load) -> None:
    row = connection.execute("SELECT count(*) FROM frame").fetchone()
    assert row == (load.messages * load.frames,), row


def _configure(directory: Path, postgres: EmbeddedPostgres, broker: EmbeddedBroker) -> Path:
    (directory / "dsn").write_text(postgres.dsn, encoding="utf-8")
    path = directory / "hub.toml"
    path.write_text(
        f"[database]\ndsn_file = 'dsn'\n[broker]\nhost = '{broker.host}'\nport = {broker.port}\n"
        f"password_file = '{broker.password_file('hub')}'\n[ingest]\nwindow_messages = 2000\nbatch_rows = 25000\n",
        encoding="utf-8",
    )
    return path
