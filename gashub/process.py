"""How each service of the hub is a process: read the configuration, run until told to stop, end cleanly.

    python -m ingest --config hub.toml

Exit code 0 after SIGTERM or SIGINT, 2 for a configuration that is wrong (every mistake on stderr), 1 for a crash.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from .config import HubConfig, load
from .errors import HubError
from .logs import configure

Run = Callable[[HubConfig, asyncio.Event], Awaitable[None]]


def main(service: str, run: Run) -> int:
    """Run one service of the hub as this process; returns its exit code."""
    parser = argparse.ArgumentParser(prog=f"python -m {service}", description=f"Run the hub's {service} service.")
    parser.add_argument("--config", type=Path, required=True, help="the hub's configuration (hub.toml)")
    path: Path = parser.parse_args().config
    configure(service)
    try:
        config = load(path)
        uvloop.run(until_told(lambda stop: run(config, stop)))
    except HubError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


async def until_told(run: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run with an event that SIGTERM or SIGINT sets."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run(stop)
