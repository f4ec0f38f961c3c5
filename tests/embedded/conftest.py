"""Waiting for conditions, and other processes to do things in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def eventually(condition: Callable[[], object], timeout_s: float = 40.0) -> None:
    """Return once the condition is true; fail after the time."""
    pause = threading.Event()
    for _ in range(round(timeout_s / 0.02)):
        if condition():
            return
        pause.wait(0.02)
    pytest.fail(f"still not true after {timeout_s} s: {condition}")


def alive(pid: int) -> bool:
    """Whether the process runs; one that is dead but not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int) -> list[int]:
    """All descendants."""
    try:
        direct = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return direct + [grandchild for child in direct for grandchild in children(child)]


class Other:
    """A Python process that runs some lines, says one JSON value, and then stays until it is killed."""

    def __init__(self, script: str, *arguments: str, before: list[str] | None = None) -> None:
        self.process = subprocess.Popen(
            [*(before or []), sys.executable, "-c", script + _STAY, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd="/",
        )

    def said(self) -> Any:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("SAID "):
                return json.loads(line[5:])
        return pytest.fail("it ended without a word")

    def close(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)


_STAY = """
import json, os, sys
os.write(1, (chr(10) + "SAID " + json.dumps(say) + chr(10)).encode())  # whole, whatever other threads log meanwhile
sys.stdin.read()
"""


@pytest.fixture
def other() -> Iterator[Callable[..., Other]]:
    started: list[Other] = []

    def start(script: str, *arguments: str, before: list[str] | None = None) -> Other:
        started.append(Other(script, *arguments, before=before))
        return started[-1]

    yield start
    for process in started:
        process.close()
