"""The API as it runs: its service in a thread, a real database and broker behind it, HTTP and WebSocket before it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import structlog

from gashub.embedded.broker import EmbeddedBroker
from gashub.embedded.postgres import EmbeddedPostgres

from . import plants
from .running import Api, configured


@pytest.fixture(scope="package", autouse=True)
def _plain_logs() -> None:
    """Drawing a traceback with all its values takes seconds."""
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, plain])


@pytest.fixture(scope="module")
def api(module_database_dsn: str, broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One API per module, for tests that leave it as it was or keep to users and alarms of their own."""
    directory = tmp_path_factory.mktemp("api")
    config = configured(directory, module_database_dsn, broker)
    plants.store(config, directory)
    with Api(config) as api:
        yield api
    shutil.rmtree(directory)


@pytest.fixture
def own_api(database_dsn: str, broker: EmbeddedBroker, tmp_path: Path) -> Iterator[Api]:
    """An API of the test's own."""
    config = configured(tmp_path, database_dsn, broker)
    plants.store(config, tmp_path)
    with Api(config) as api:
        yield api


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server that the test may stop and start."""
    with ExitStack() as stack:
        server = EmbeddedPostgres(tmp_path / "postgres", settings={"fsync": "off"})
        stack.callback(server.stop)
        server.start()
        yield server
