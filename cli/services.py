"""Verbs that run the hub's services in the foreground, one or all."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from gashub.config import HubConfig, load
from gashub.embedded.supervisor import ProcessGroup

CONFIG = Annotated[
    Path, typer.Option("--config", "-c", envvar="GASHUB_CONFIG", help="The hub's configuration (hub.toml).")
]
HUB_SERVICES = ("ingest", "alarms", "dispatch", "api")


def checked(config: Path) -> HubConfig:
    """The configuration, or every mistake in it as one error."""
    return load(config)


def become(module: str, *arguments: str) -> NoReturn:
    """Replace this process by `python -m module`, so that signals and exit codes are the service's own."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


def ingest(config: CONFIG = Path("hub.toml")) -> None:
    """Store what gateways send: bus → historian, acknowledged after commit.

    Run several on one broker for more throughput. Stop with Ctrl-C; what was not committed is delivered again.
    """
    checked(config)
    become("ingest", "--config", str(config))


def alarms(config: CONFIG = Path("hub.toml")) -> None:
    """Judge what gateways send: limits, balances, leaks → alarms and incidents.

    Two of these may run: zones are held by lease, and the second takes over within seconds when the first dies.
    """
    checked(config)
    become("alarms", "--config", str(config))


def dispatch(config: CONFIG = Path("hub.toml")) -> None:
    """Act on incidents: open repair tickets and interruption notices, exactly once each."""
    checked(config)
    become("dispatch", "--config", str(config))


def api(config: CONFIG = Path("hub.toml")) -> None:
    """Serve the console, the REST API and the live feed."""
    checked(config)
    become("api", "--config", str(config))


SERVICE_COMMANDS = (ingest, alarms, dispatch, api)


def gateway(
    config: Annotated[list[Path], typer.Argument(help="One or more gateway files, e.g. gateway-east.toml.")],
) -> None:
    """Poll devices over Modbus and send their readings; keeps them on disk while the hub is away."""
    become("gateway", "--config", *map(str, config))


def simulate(
    plant: Annotated[Path, typer.Option(help="The town's directory, e.g. var/demo/plant.")],
    config: CONFIG = Path("hub.toml"),
    seed: Annotated[int, typer.Option(help="The same seed gives the same town, weather and noise.")] = 1,
    scenario: Annotated[str | None, typer.Option(help="A scenario to play from the start: a name or a file.")] = None,
) -> None:
    """Run the simulated town: its pipes, weather, customers, and real Modbus devices on loopback ports."""
    checked(config)
    more = ["--scenario", scenario] if scenario else []
    become("simulators", "--plant", str(plant), "--config", str(config), "--seed", str(seed), *more)


def run(
    config: CONFIG = Path("hub.toml"),
    only: Annotated[list[str] | None, typer.Option(help="Run these services only; repeat for more.")] = None,
) -> None:
    """Run the hub's own services against the database and broker that the configuration names.

    Restarts a service that dies. For a first look without any server of your own, use `gashub demo`.
    """
    settings = checked(config)
    wanted = only or list(HUB_SERVICES)
    if unknown := set(wanted) - set(HUB_SERVICES):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: choose from {', '.join(HUB_SERVICES)}")
    with ProcessGroup(settings.hub.data_dir / "logs") as group:
        for module in wanted:
            group.add_service(module, "--config", str(config.resolve()))
        group.start(timeout_s=60)
        typer.echo(f"running {', '.join(wanted)}; logs in {settings.hub.data_dir / 'logs'}; Ctrl-C stops them")
        reason = group.wait()
    typer.echo(f"stopped ({reason})")
