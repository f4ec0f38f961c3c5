"""`python -m gateway --config gw1.toml [gw2.toml ...]`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

import uvloop

from gashub.errors import ConfigurationError, HubError
from gashub.logs import configure

from .config import GatewayConfig, load
from .service import run


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="gateway", description="Poll devices and forward their readings to the hub, as each file says."
    )
    parser.add_argument("--config", type=Path, nargs="+", required=True, help="one TOML file per gateway")
    parser.add_argument("--seed", type=int, default=None, help="make the spread of polls repeatable")
    return parser.parse_args()


async def _serve(configs: list[GatewayConfig], seed: int | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run(configs, stop, seed=seed)


def main() -> int:
    arguments = _arguments()
    configure("gateway")
    # pymodbus logs every request that is not answered; the pollers log when a unit falls silent and when it is back.
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    try:
        configs = [load(path) for path in arguments.config]
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        uvloop.run(_serve(configs, arguments.seed))
    except HubError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
