"""Bringing a database to this version's schema.

Apart from `database.py`, since what migrates (Alembic, SQLAlchemy) takes a second to load and no service needs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import psycopg
from alembic import command
from alembic.config import Config
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
