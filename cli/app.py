"""The `gashub` command and its verbs. Each verb's `--help` says what it does, and what to try next."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer

from gashub.errors import HubError

from . import admin, demo, exercise, services

app = typer.Typer(
    name="gashub",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help=(
        "Telemetry and dispatch hub for city gas networks: from a register to a repair ticket and an interruption "
        "notice.\n\nNew here? Run **gashub demo** and open the address it prints."
    ),
)
app.command()(demo.demo)
app.command()(services.run)
for _service in services.SERVICE_COMMANDS:
    app.command(_service.__name__)(_service)
app.command("gateway")(services.gateway)
app.command("simulate")(services.simulate)
app.add_typer(exercise.app, name="scenario")
app.add_typer(admin.database_app, name="db")
app.add_typer(admin.network_app, name="network")
app.add_typer(admin.user_app, name="user")


@app.command()
def check(config: Annotated[Path, typer.Argument(help="hub.toml")]) -> None:
    """Check a hub's configuration and say everything wrong with it at once."""
    services.checked(config)
    typer.echo(f"{config}: nothing wrong")


def main() -> None:
    """Run the command; errors of the hub's own are told in their words and end with exit code 2."""
    # A person reads this; what services have to say stands in their log files.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        app()
    except HubError as error:
        typer.secho(f"gashub: {error}", err=True, fg=typer.colors.RED)
        sys.exit(2)
