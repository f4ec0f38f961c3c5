"""Connections to PostgreSQL, and bringing its schema up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import psycopg
from alembic import command
from alembic.config import Config
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import NullPool, create_engine

MIGRATIONS: Final = Path(__file__).parent / "migrations"
_MIGRATION_LOCK: Final = 0x6761736875620001


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def migrate(dsn: str) -> None:
    """Bring the database to this version's schema; safe to call from several processes at once."""
    with psycopg.connect(dsn, autocommit=True) as guard:
        guard.execute("SELECT pg_advisory_lock(%s)", (_MIGRATION_LOCK,))
        engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=NullPool)
        try:
            with engine.connect() as connection:
                config = _alembic()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                connection.commit()
        finally:
            engine.dispose()


def pool(dsn: str, *, name: str, max_size: int = 8) -> AsyncConnectionPool:
    """A connection pool, not yet open: use it as an asynchronous context manager."""
    return AsyncConnectionPool(
        dsn,
        name=name,
        min_size=1,
        max_size=max_size,
        open=False,
        kwargs={"application_name": f"gashub-{name}"},
        check=AsyncConnectionPool.check_connection,
    )
