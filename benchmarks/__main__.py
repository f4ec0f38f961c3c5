"""`make bench`: run every benchmark, print a table, write bench.json.

A benchmark is a module here with `rows(quick) -> list[dict]`; each row has name, value, unit, reference and ratio,
where the reference was measured in the same run. Wall times differ between machines and hours; ratios hold.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

MODULES = ("hydraulics", "gateway", "alarms", "dispatch", "ingest", "demo")
"""In the order in which they run; `demo` starts a whole hub and comes last."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=MODULES, help="run one part")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, not how fast")
    parser.add_argument("--output", type=Path, default=Path("bench.json"))
    arguments = parser.parse_args()
    console = Console()
    found: list[dict[str, Any]] = []
    for name in [arguments.only] if arguments.only else MODULES:
        console.print(f"[dim]· {name}[/dim]")
        found += importlib.import_module(f"benchmarks.{name}").rows(arguments.quick)
    table = Table("name", "value", "unit", "reference", "ratio")
    for row in found:
        numbers = [f"{row[key]:.4g}" if row[key] is not None else "–" for key in ("value", "reference", "ratio")]
        table.add_row(row["name"], numbers[0], row["unit"], numbers[1], numbers[2])
    console.print(table)
    arguments.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
