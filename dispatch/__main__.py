"""Run the dispatch service: `python -m dispatch --config hub.toml`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import uvloop

from gashub.config import HubConfig, load
from gashub.errors import ConfigurationError
from gashub.logs import configure

from .service import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dispatch", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the hub's configuration file")
    path: Path = parser.parse_args().config
    configure("dispatch")
    try:
        config = load(path)
        config.dsn()
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    uvloop.run(_serve(config))
    return 0


async def _serve(config: HubConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run(config, stop)


if __name__ == "__main__":
    sys.exit(main())
