"""kill -9 of each service in turn, while the town is polled: nothing lost, nothing twice, still one ticket."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from cli.stack import ExerciseTime, Stack, StackOptions
from simulators.scenario import find

from .eavesdropper import Eavesdropper, Key

SPEED = 10.0
RAISED = "SELECT count(*) FROM alarm WHERE rule = 'slam_shut_closed'"


def eventually(condition: Callable[[], bool], within_s: float, what: str) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def kill(stack: Stack, service: str) -> None:
    """Kill a service and wait until its keeper has started another."""
    pid = stack.services[service].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: stack.services[service].pid not in (None, pid), 30, f"{service} did not come back")


def stored(connection: psycopg.Connection[tuple[int, int]]) -> list[Key]:
    return connection.execute("SELECT block_id, (extract(epoch FROM ts) * 1000)::bigint FROM frame").fetchall()


def count(connection: psycopg.Connection[tuple[int, int]], query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_killing_ingest_alarms_and_dispatch_under_load_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    script = find("slam-shut-closes")
    options = StackOptions(
        data_dir=tmp_path, exercise=ExerciseTime(start=script.start, speed=SPEED), scenario=script.name
    )
    with (
        Stack(options, lambda what: None) as stack,
        Eavesdropper(stack.config) as heard,
        psycopg.connect(stack.postgres.dsn, autocommit=True) as connection,
    ):
        for service in ("ingest", "alarms", "dispatch", "ingest"):
            kill(stack, service)
        eventually(lambda: count(connection, RAISED) > 0, 150, "no alarm came")
        for service in ("dispatch", "alarms", "ingest", "dispatch"):
            kill(stack, service)
        eventually(lambda: count(connection, "SELECT count(*) FROM notice") > 0, 60, "no notice came")
        stack.services["gateway"].stop()
        eventually(lambda: heard.frames <= set(stored(connection)), 60, "frames that were sent are not stored")
        rows = stored(connection)
        assert len(rows) == len(set(rows))
        assert count(connection, "SELECT count(*) FROM ticket") == 1
        assert count(connection, "SELECT count(*) FROM notice") == 1
        assert count(connection, "SELECT count(*) FROM incident WHERE emergency") == 1
        assert count(connection, RAISED) == 1
