"""demo.ready_s: from `gashub demo` to all services ready, on a new data directory.

The reference is the bare minimum under it in the same run: starting the two servers and migrating the database.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from cli.stack import Stack, StackOptions
from gashub.clock import stopwatch_s
from gashub.embedded.broker import EmbeddedBroker
from gashub.embedded.postgres import EmbeddedPostgres
from gashub.schema import migrate


def rows(quick: bool) -> list[dict[str, Any]]:
    del quick
    with tempfile.TemporaryDirectory(prefix="gashub-") as directory:
        began = stopwatch_s()
        with EmbeddedPostgres(Path(directory) / "postgres") as postgres, EmbeddedBroker(Path(directory) / "broker"):
            migrate(postgres.dsn)
            servers_s = stopwatch_s() - began
    with tempfile.TemporaryDirectory(prefix="gashub-") as directory:
        began = stopwatch_s()
        with Stack(StackOptions(data_dir=Path(directory)), lambda what: None):
            ready_s = stopwatch_s() - began
    return [
        {"name": "demo.ready_s", "value": ready_s, "unit": "s", "reference": servers_s, "ratio": ready_s / servers_s}
    ]
