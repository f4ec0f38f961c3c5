"""Builds the console into api/static when the package is built; does nothing when it is there and up to date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleBuildHook(BuildHookInterface):  # type: ignore[misc]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        del version, build_data
        subprocess.run([sys.executable, str(Path(self.root) / "scripts" / "build_console.py")], check=True)
