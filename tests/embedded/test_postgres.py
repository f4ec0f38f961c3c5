"""An embedded PostgreSQL: starts, stops, survives, and never outlives its hub."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from gashub.embedded.keeper import processes_in
from gashub.embedded.postgres import EmbeddedPostgres, _binary
from gashub.embedded.server import DirectoryInUse
from gashub.embedded.supervisor import Event, EventKind, StartFailed

from .conftest import Other, alive, eventually

FAST = {"shared_buffers": "16MB"}

START = """
import sys
from pathlib import Path
from gashub.embedded.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), settings={"shared_buffers": "16MB"})
server.start()
say = {"pid": server.pid, "port": server.port, "keeper": server._supervised._keeper.pid}
"""


@pytest.fixture(scope="module")
def module_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("pg") / "data", settings=FAST) as running:
        yield running


@pytest.fixture
def server(module_server: EmbeddedPostgres) -> EmbeddedPostgres:
    """Shared, and running again whatever the test before did to it."""
    module_server.start()
    return module_server


def one(dsn: str, query: str) -> object:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def do(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(statement.encode())


def postgres_processes(server: EmbeddedPostgres) -> list[int]:
    return processes_in(str(server.data_dir / "pgdata"), str(_binary("postgres")))


def test_the_hub_owns_its_database(server: EmbeddedPostgres) -> None:
    assert one(server.dsn, "SELECT current_user || ' ' || current_database()") == "gashub gashub"
    assert one(server.dsn, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    assert one(server.admin_dsn, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is True


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_connections", "100"),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("max_wal_size", "4GB"),
        ("checkpoint_timeout", "15min"),
        ("jit", "off"),
        ("data_checksums", "on"),
        ("TimeZone", "UTC"),
        ("server_encoding", "UTF8"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
    ],
)
def test_it_is_set_up_for_a_hub(server: EmbeddedPostgres, setting: str, value: str) -> None:
    assert one(server.admin_dsn, f"SHOW {setting}") == value


def test_two_run_side_by_side(server: EmbeddedPostgres, tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "data", settings=FAST) as second:
        assert second.port != server.port
        assert one(server.dsn, "SELECT 1") == one(second.dsn, "SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="password"):
            one(server.dsn.replace(f":{server.port}/", f":{second.port}/"), "SELECT 1")


def test_a_wrong_password_is_refused(server: EmbeddedPostgres) -> None:
    wrong = server.dsn.replace("postgresql://gashub:", "postgresql://gashub:x")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        one(wrong, "SELECT 1")


def test_only_the_owner_can_read_its_files(server: EmbeddedPostgres) -> None:
    open_to_others = [
        path
        for path in (server.data_dir, *server.data_dir.iterdir(), *(server.data_dir / "pgdata").iterdir())
        if stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    assert open_to_others == []


def test_it_runs_without_root(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    status = dict(line.split(":", 1) for line in Path(f"/proc/{server.pid}/status").read_text().splitlines())
    capabilities = int(status["CapEff"], 16)
    own_namespace = Path(f"/proc/{server.pid}/ns/user").readlink() == Path("/proc/self/ns/user").readlink()
    assert capabilities == 0 or not own_namespace
    assert os.geteuid() != 0 or status["Uid"].split()[1] != "0" or not own_namespace


def test_data_port_and_passwords_survive_a_restart(server: EmbeddedPostgres) -> None:
    do(server.dsn, "CREATE TABLE kept AS SELECT 7 AS value")
    before = server.dsn
    server.restart()
    assert server.dsn == before
    assert one(server.dsn, "SELECT value FROM kept") == 7


def test_committed_data_survives_a_kill(server: EmbeddedPostgres) -> None:
    do(server.dsn, "CREATE TABLE kept_over_kill AS SELECT 7 AS value")
    server.kill()
    assert postgres_processes(server) == []
    assert (server.data_dir / "pgdata" / "postmaster.pid").exists()
    server.start()
    assert one(server.dsn, "SELECT value FROM kept_over_kill") == 7


def test_stop_leaves_nothing_running_and_may_be_repeated(server: EmbeddedPostgres) -> None:
    processes = postgres_processes(server)
    assert len(processes) > 3
    server.stop()
    server.stop()
    assert [pid for pid in processes if alive(pid)] == []
    assert server.pid is None


def test_a_start_is_harmless_while_it_runs(server: EmbeddedPostgres) -> None:
    before = server.pid
    server.start()
    assert server.pid == before


def test_a_server_that_dies_is_restarted_and_the_death_is_told(tmp_path: Path) -> None:
    events: list[Event] = []
    with EmbeddedPostgres(tmp_path / "data", settings=FAST, on_event=events.append) as server:
        before = server.pid
        server.crash()
        eventually(lambda: server.pid not in {before, None} and server._answers(server.pid or 0))
        assert one(server.dsn, "SELECT 1") == 1
        died = next(event for event in events if event.kind is EventKind.EXITED)
        assert (died.name, died.returncode) == ("postgresql", -signal.SIGKILL)


def test_a_keeper_that_is_killed_is_replaced(tmp_path: Path) -> None:
    events: list[Event] = []
    with EmbeddedPostgres(tmp_path / "data", settings=FAST, on_event=events.append) as server:
        before = server.pid
        assert server._supervised is not None and server._supervised._keeper is not None
        os.kill(server._supervised._keeper.pid, signal.SIGKILL)
        eventually(lambda: server.pid not in {before, None} and server._answers(server.pid or 0))
        assert one(server.dsn, "SELECT 1") == 1
        assert EventKind.KEEPER_LOST in [event.kind for event in events]
        assert not alive(before or 0)


def test_nothing_is_left_when_the_hub_is_killed(tmp_path: Path, other: Callable[..., Other]) -> None:
    hub = other(START, str(tmp_path / "data"))
    said = hub.said()
    server = EmbeddedPostgres(tmp_path / "data", settings=FAST)
    processes = [said["keeper"], *postgres_processes(server)]
    assert said["pid"] in processes
    hub.process.kill()
    eventually(lambda: not any(map(alive, processes)))
    assert not (tmp_path / "data" / "pgdata" / "postmaster.pid").exists(), "it was stopped cleanly"


def test_nothing_is_left_when_the_hub_and_the_keeper_are_killed(tmp_path: Path, other: Callable[..., Other]) -> None:
    hub = other(START, str(tmp_path / "data"))
    said = hub.said()
    os.kill(hub.process.pid, signal.SIGSTOP)
    os.kill(said["keeper"], signal.SIGKILL)
    hub.process.kill()
    eventually(lambda: not alive(said["pid"]))


def test_the_next_hub_takes_over_from_one_that_was_killed(tmp_path: Path, other: Callable[..., Other]) -> None:
    hub = other(START, str(tmp_path / "data"))
    said = hub.said()
    hub.process.kill()
    with EmbeddedPostgres(tmp_path / "data", settings=FAST) as server:
        assert one(server.dsn, "SELECT 1") == 1
        assert server.port == said["port"]
        assert not alive(said["pid"])


def test_a_pid_file_that_names_a_living_stranger_is_stale(server: EmbeddedPostgres) -> None:
    server.kill()
    pid_file = server.data_dir / "pgdata" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    server.start()
    assert one(server.dsn, "SELECT 1") == 1


def test_a_directory_serves_one_hub_at_a_time(server: EmbeddedPostgres) -> None:
    second = EmbeddedPostgres(server.data_dir, settings=FAST, lock_timeout_s=0.2)
    with pytest.raises(DirectoryInUse):
        second.start()
    assert one(server.dsn, "SELECT 1") == 1


def test_a_port_taken_meanwhile_is_exchanged(server: EmbeddedPostgres) -> None:
    server.stop()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", server.port))
        taken.listen()
        before = server.port
        server.start()
        assert server.port != before
    assert one(server.dsn, "SELECT 1") == 1


def test_a_start_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data", settings={"shared_buffers": "nonsense"})
    with pytest.raises(StartFailed, match="nonsense"):
        server.start()
    assert postgres_processes(server) == []


def test_data_of_another_major_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data" / "pgdata").mkdir(parents=True)
    (tmp_path / "data" / "pgdata" / "PG_VERSION").write_text("12\n")
    with pytest.raises(StartFailed, match="PostgreSQL 12"):
        EmbeddedPostgres(tmp_path / "data").start()


def test_an_interrupted_first_start_is_made_good(tmp_path: Path) -> None:
    draft = tmp_path / "data" / "pgdata.new"
    draft.mkdir(parents=True)
    (draft / "half").write_text("made")
    with EmbeddedPostgres(tmp_path / "data", settings=FAST) as server:
        assert one(server.dsn, "SELECT 1") == 1
    assert not draft.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_where_the_kernel_grants_no_namespace_it_runs_as_nobody(reachable: Path) -> None:
    with EmbeddedPostgres(reachable / "data", settings=FAST, privilege="nobody") as server:
        assert Path(f"/proc/{server.pid}").stat().st_uid == 65534
        assert one(server.dsn, "SELECT 1") == 1
        server.kill()
        server.start()
        assert one(server.dsn, "SELECT 1") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_nobody_cannot_run_under_a_closed_directory(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(StartFailed, match="closed to the unprivileged user"):
        EmbeddedPostgres(tmp_path / "data", privilege="nobody").start()


def test_an_ordinary_user_needs_nothing_special(reachable: Path, other: Callable[..., Other]) -> None:
    """Root becomes one first; in a namespace, since the interpreter may lie where only root can go."""
    become = ["unshare", "--user", "--map-user=65534", "--map-group=65534"] if os.geteuid() == 0 else []
    hub = other(START + "import os\nsay['uid'] = os.geteuid()\n", str(reachable / "data"), before=become)
    said = hub.said()
    assert said["uid"] != 0
    assert alive(said["pid"])
    hub.process.kill()
    eventually(lambda: not alive(said["pid"]))


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that every user can reach; pytest's own are closed."""
    directory = Path(tempfile.mkdtemp(dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def test_the_binaries_are_there() -> None:
    said = subprocess.run([_binary("postgres"), "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("postgres (PostgreSQL) 18")
