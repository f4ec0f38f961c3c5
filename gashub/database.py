"""Connections to PostgreSQL."""

from __future__ import annotations

from psycopg_pool import AsyncConnectionPool


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
