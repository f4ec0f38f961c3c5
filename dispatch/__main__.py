"""Run the dispatch service: `python -m dispatch --config hub.toml`."""

import sys

from gashub.process import main

from .service import run

if __name__ == "__main__":
    sys.exit(main("dispatch", run))
