"""`python -m alarms --config hub.toml`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import uvloop

from gashub import logs
from gashub.config import HubConfig, load
from gashub.errors import ConfigurationError

from .service import run


async def _serve(config: HubConfig, worker: str | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(config, stop, worker=worker)


def main() -> int:
    """Serve until a signal comes; 2 if the configuration is wrong."""
    parser = argparse.ArgumentParser(prog="alarms", description="Judge what comes over the bus and raise alarms.")
    parser.add_argument("--config", type=Path, required=True, help="the hub's configuration, e.g. hub.toml")
    parser.add_argument("--worker", help="name of this worker, where several run; the machine's name if not given")
    arguments = parser.parse_args()
    logs.configure("alarms")
    try:
        uvloop.run(_serve(load(arguments.config), arguments.worker))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
