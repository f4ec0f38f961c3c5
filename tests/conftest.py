"""Servers for tests: real ones, started once per test process, with a clean place for each test.

    postgres_server     an embedded PostgreSQL, without fsync: test data may die with the machine
    database_dsn        a fresh migrated database per test, cloned from a template that is migrated once (0.1 s)
    module_database_dsn the same, one per module, for tests that only read or keep apart by themselves
    broker              an embedded MQTT broker; a test of faults starts one of its own
    zone                a zone id no other test has

The broker is shared: a test keeps to topics `gas/v1/{zone}/...` and to client ids that contain its zone.
"""

from __future__ import annotations

import itertools
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql

from gashub.embedded.broker import EmbeddedBroker
from gashub.embedded.postgres import HUB, EmbeddedPostgres
from gashub.schema import migrate

_TEMPLATE = "migrated"
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones first, so that the workers end together."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    directory = tmp_path_factory.mktemp("postgres")
    settings = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "128MB", "max_connections": "200"}
    with EmbeddedPostgres(directory, settings=settings) as server:
        yield server
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def migrated_template(postgres_server: EmbeddedPostgres) -> str:
    """Name of a database at this version's schema to which nobody connects any more, as a template must be."""
    with psycopg.connect(postgres_server.admin_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(_TEMPLATE), sql.Identifier(HUB)))
        migrate(postgres_server.url(database=_TEMPLATE))
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(_TEMPLATE)))
    return _TEMPLATE


@contextmanager
def _cloned(server: EmbeddedPostgres, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY file_copy").format(
        sql.Identifier(name), sql.Identifier(template), sql.Identifier(HUB)
    )
    with psycopg.connect(server.admin_dsn, autocommit=True) as admin:
        admin.execute(create)
    yield server.url(database=name)
    with psycopg.connect(server.admin_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database_dsn(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    with _cloned(postgres_server, migrated_template) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def module_database_dsn(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    with _cloned(postgres_server, migrated_template) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    directory = tmp_path_factory.mktemp("broker")
    with EmbeddedBroker(directory) as server:
        yield server
    shutil.rmtree(directory)


@pytest.fixture
def zone() -> str:
    return f"z{uuid.uuid4().hex[:12]}"
