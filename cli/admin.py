"""Verbs for whoever looks after a hub: its database, its network and registry, its users."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import psycopg
import typer
from rich.console import Console
from rich.table import Table

from api import users
from gashub.clock import SystemClock
from gashub.plant import ACCOUNTS_FILE, NETWORK_FILE, REGISTRY_FILE, read_network, read_registry, store
from metering.plant import store as store_accounts

from .services import CONFIG, checked

database_app = typer.Typer(no_args_is_help=True, help="The hub's database.")
network_app = typer.Typer(no_args_is_help=True, help="The pipe network and what stands in the field.")
user_app = typer.Typer(no_args_is_help=True, help="Who may log in, and as what.")
_console = Console()


@database_app.command("migrate")
def migrate_database(config: CONFIG = Path("hub.toml")) -> None:
    """Bring the database to this version's schema. Safe to run again, and while a hub runs."""
    # Loaded here: only this verb needs it, and it takes a while.
    from gashub.schema import migrate

    migrate(checked(config).dsn())
    _console.print("the database is up to date")


@network_app.command("import")
def import_network(
    directory: Annotated[Path, typer.Argument(help="Holds network.json, registry.json and accounts.json.")],
    config: CONFIG = Path("hub.toml"),
    check: Annotated[bool, typer.Option("--check", help="Only say what is wrong; change nothing.")] = False,
) -> None:
    """Take in a plant: the network, gateways, devices, points, accounts and meters. Checked whole before it is used."""
    network = read_network(directory / NETWORK_FILE)
    registry = read_registry(directory / REGISTRY_FILE, network)
    table = Table("what", "how many", title=network.name)
    for what, nouns in (
        ("zones", network.zones),
        ("junctions", network.junctions),
        ("pipes", network.pipes),
        ("valves", network.valves),
        ("regulators", network.regulators),
        ("service points", network.service_points),
        ("gateways", registry.gateways),
        ("devices", registry.devices),
        ("points", registry.points),
    ):
        table.add_row(what, str(len(nouns)))
    _console.print(table)
    if check:
        _console.print("nothing wrong; nothing changed")
        return
    with psycopg.connect(checked(config).dsn()) as connection:
        store(connection, network, registry, at=SystemClock().now())
        store_accounts(connection, directory / ACCOUNTS_FILE, network, registry)
    _console.print("taken in; running services notice within seconds")


@user_app.command("list")
def list_users(config: CONFIG = Path("hub.toml")) -> None:
    """Everybody who may log in."""
    table = Table("name", "role", "active", "must change password")
    with psycopg.connect(checked(config).dsn()) as connection:
        for user in users.listed(connection):
            table.add_row(user.name, user.role, str(user.active), str(user.must_change_password))
    _console.print(table)


@user_app.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="What the person logs in with.")],
    role: Annotated[str, typer.Option(help="viewer, operator, supervisor or administrator")] = "viewer",
    config: CONFIG = Path("hub.toml"),
) -> None:
    """Add a person; prints a password to be changed at the first log-in."""
    with psycopg.connect(checked(config).dsn()) as connection:
        password = users.add(connection, name=name, role=role, actor="command line", now=SystemClock().now())
    _console.print(f"{name} ({role}): password [bold]{password}[/bold], to be changed at the first log-in")


@user_app.command("password")
def reset_password(
    name: Annotated[str, typer.Argument(help="Whose password.")], config: CONFIG = Path("hub.toml")
) -> None:
    """Give a person a new password, to be changed at the next log-in; ends the sessions they have open."""
    with psycopg.connect(checked(config).dsn()) as connection:
        password = users.reset_password(connection, name=name, actor="command line", now=SystemClock().now())
    _console.print(f"{name}: password [bold]{password}[/bold], to be changed at the next log-in")
