"""The first thing a newcomer runs: address, password, live values; and nothing left behind, however it ends."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@contextmanager
def demo(directory: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running demo and what it printed."""
    log = directory / "printed"
    command = [sys.executable, "-m", "cli", "demo", "--data-dir", str(directory / "demo")]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, text=True)
    try:
        deadline = time.monotonic() + 120
        while "Ctrl-C" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield process, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(30)


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def all_gone(processes: list[psutil.Process]) -> bool:
    gone, alive = psutil.wait_procs(processes, timeout=30)
    return not alive and len(gone) == len(processes)


def test_it_shows_live_values_and_leaves_nothing_behind_after_ctrl_c_or_a_sigkill(tmp_path: Path) -> None:
    with demo(tmp_path) as (process, printed):
        children = family(process)
        assert len(children) >= 8
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert all_gone(children)
    with demo(tmp_path) as (process, printed):
        address = re.search(r"http://127\.0\.0\.1:\d+", printed)
        password = re.search(r"Password\s+(\S+)", printed)
        assert address
        assert password
        with httpx.Client(base_url=f"{address.group()}/api/v1") as client:
            said = client.post("/session", json={"username": "admin", "password": password.group(1)})
            assert said.status_code == 200, "the password outlives a restart"
            assert len(client.get("/points").json()) > 400
            assert client.get("/status").json()["database"] == "up"
        children = family(process)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        assert all_gone(children)
