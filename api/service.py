"""The API's composition: database, bus, journal, HTTP, and whoever keeps them fresh, in one TaskGroup."""

from __future__ import annotations

import asyncio
import secrets
from datetime import datetime
from pathlib import Path

import psycopg
import structlog
import uvicorn

from gashub.config import HubConfig
from gashub.database import pool
from gashub.embedded import readiness
from gashub.embedded.secrets import make_private_dir, write_private
from gashub.errors import Unavailable

from . import users
from .app import create_app
from .feed import Pulse
from .followers import Followers
from .hub import Hub
from .last_known import preload
from .live import Live
from .plant_copy import PlantCopy, PlantKeeper
from .tail import JournalTail

ADMIN_PASSWORD_FILE = "admin-password"  # noqa: S105 - a file's name
_log = structlog.get_logger()


def first_administrator(dsn: str, secrets_dir: Path, *, now: datetime) -> None:
    """Where nobody can log in yet, add `admin` with a generated password and leave it in a private file."""
    with psycopg.connect(dsn) as connection:
        connection.execute("LOCK TABLE app_user IN EXCLUSIVE MODE")
        if users.listed(connection):
            return
        password = users.add(
            connection, name="admin", role="administrator", actor="first start", now=now, must_change_password=False
        )
        write_private(make_private_dir(secrets_dir) / ADMIN_PASSWORD_FILE, password + "\n")
    _log.info("first_administrator_added", password_file=ADMIN_PASSWORD_FILE)


async def run(config: HubConfig, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    dsn = config.dsn()
    followers = Followers()
    live = Live(config.broker, config.broker_password(), f"api-live-{secrets.token_hex(4)}", followers.offer)

    def plant_changed(copy: PlantCopy) -> None:
        live.values.know(list(copy.points))

    connections = pool(dsn, name="api", max_size=10)
    async with connections:
        hub = Hub(config=config, pool=connections, clock=config.make_clock(), live=live, followers=followers)
        await asyncio.to_thread(first_administrator, dsn, config.hub.data_dir / "secrets", now=hub.wall.now())
        plant = PlantKeeper(dsn, plant_changed)
        await plant.refresh()
        await preload(hub)
        tail = JournalTail(dsn, followers)
        app = create_app(hub, plant, tail)
        pulse = app.state.pulse = Pulse(hub, tail)
        server = _server(config, app)
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(live.run(), name="live"),
                tasks.create_task(plant.run(), name="plant"),
                tasks.create_task(tail.run(), name="tail"),
                tasks.create_task(pulse.run(), name="pulse"),
                tasks.create_task(_announce(server, live, tail), name="announce"),
            ]
            serving = tasks.create_task(_serve(server), name="http")
            await _either(stop, serving)
            server.should_exit = True
            await serving
            for task in beside:
                task.cancel()


async def _either(stop: asyncio.Event, serving: asyncio.Task[None]) -> None:
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait({waiting, serving}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


async def _announce(server: uvicorn.Server, live: Live, tail: JournalTail) -> None:
    """Say that the service is ready once it listens and has found broker and journal."""
    await live.connected.wait()
    await tail.started()
    while not server.started:
        await asyncio.sleep(0.01)
    readiness.announce()


async def _serve(server: uvicorn.Server) -> None:
    try:
        await server.serve()
    except SystemExit as ended:
        # uvicorn ends the process when it cannot listen; here one place decides that.
        raise Unavailable(f"cannot listen on {server.config.host}:{server.config.port}") from ended


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the service has its own."""

    def install_signal_handlers(self) -> None:
        return


def _server(config: HubConfig, app: object) -> uvicorn.Server:
    return _Server(
        uvicorn.Config(
            app,  # type: ignore[arg-type]
            host=config.api.host,
            port=config.api.port,
            log_config=None,
            access_log=False,
            server_header=False,
            ws_per_message_deflate=False,
            ws_max_size=64 * 1024,
            timeout_graceful_shutdown=3,
            ssl_certfile=config.api.tls_certificate_file,
            ssl_keyfile=config.api.tls_key_file,
        )
    )
