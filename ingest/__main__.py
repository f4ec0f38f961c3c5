"""`python -m ingest --config hub.toml`: the ingest service."""

from __future__ import annotations

import sys

from gashub.process import main

from .service import run

if __name__ == "__main__":
    sys.exit(main("ingest", run))
