"""`python -m simulators`: read the configuration, build the town, run it until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import uvloop

from gashub import config as hub_config
from gashub import logs
from gashub.clock import SystemClock
from gashub.errors import ConfigurationError

from .scenario import find
from .service import Bus, Settings, run


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulators", description="The simulated town and its Modbus devices.")
    parser.add_argument("--plant", type=Path, required=True, help="directory with network.json, devices.json, …")
    parser.add_argument("--config", type=Path, help="the hub's configuration: its broker and clock")
    parser.add_argument("--sim-user", default="sim", help="the simulator's name at the broker")
    parser.add_argument("--sim-password-file", type=Path, help="its password; else the one the configuration names")
    parser.add_argument("--seed", type=_seed, help="of weather, demand and noise; else the scenario's, else 1")
    parser.add_argument("--scenario", help="a scenario's name or file, played from the start")
    parser.add_argument("--truth", type=Path, help="append what really happens to this file, as JSON lines")
    return parser.parse_args()


def _seed(text: str) -> int:
    seed = int(text)
    if not 0 <= seed < 2**63:
        raise argparse.ArgumentTypeError(f"{seed} is not between 0 and 2⁶³ - 1")
    return seed


def _settings(arguments: argparse.Namespace) -> Settings:
    scenario = find(arguments.scenario) if arguments.scenario else None
    seed = arguments.seed if arguments.seed is not None else scenario.seed if scenario else 1
    if arguments.config is None:
        return Settings(
            plant=arguments.plant,
            clock=SystemClock(),
            seed=seed,
            scenario=scenario,
            truth_file=arguments.truth,
        )
    config = hub_config.load(arguments.config)
    own = arguments.sim_password_file
    bus = Bus(
        broker=config.broker,
        username=arguments.sim_user if own else config.broker.username,
        password=hub_config.read_secret(own) if own else config.broker_password(),
    )
    return Settings(
        plant=arguments.plant,
        clock=config.make_clock(),
        seed=seed,
        bus=bus,
        scenario=scenario,
        truth_file=arguments.truth,
    )


async def _main(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run(settings, stop)


def main() -> int:
    arguments = _arguments()
    logs.configure("simulators")
    try:
        uvloop.run(_main(_settings(arguments)))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
