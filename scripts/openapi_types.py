"""Write what the hub's interface takes and answers as TypeScript types for the console: console/src/wire/api.d.ts.

The OpenAPI document comes from the application itself, without a running hub. The written file is kept under version
control; `--check` (and tests/console) says whether it still fits the hub.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, cast

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from api.app import create_app  # noqa: E402 - the path comes first
from scripts.build_console import BuildFailed, install, node_commands, node_root, run  # noqa: E402

TARGET: Final = ROOT / "console" / "src" / "wire" / "api.d.ts"
TIMEOUT_S: Final = 120


def document() -> dict[str, Any]:
    """The OpenAPI document without its routes: the console needs the nouns, and no titles that repeat their names."""
    nothing = cast("Any", None)  # describing the routes needs none of the hub's parts
    described = create_app(nothing, nothing, nothing).openapi()
    schemas: dict[str, Any] = described["components"]["schemas"]
    for schema in schemas.values():
        schema.pop("title", None)
        for field in schema.get("properties", {}).values():
            field.pop("title", None)
    return {**described, "paths": {}, "components": {"schemas": schemas}}


def types() -> str:
    """The document as TypeScript. Raises BuildFailed."""
    console = ROOT / "console"
    node, npm = node_commands(node_root())
    at = Path(node[0])
    generator = console / "node_modules" / "openapi-typescript" / "bin" / "cli.js"
    if not generator.is_file():
        install(console, npm, at)
    with tempfile.TemporaryDirectory(prefix="gashub-") as directory:
        source, target = Path(directory) / "openapi.json", Path(directory) / "api.d.ts"
        source.write_text(json.dumps(document()), encoding="utf-8")
        command = [*node, str(generator), str(source), "--output", str(target)]
        run(command, cwd=console, node=at, timeout_s=TIMEOUT_S, what="writing the API's types (openapi-typescript)")
        return target.read_text(encoding="utf-8")


def main() -> int:
    """`python scripts/openapi_types.py [--check]`."""
    try:
        fresh = types()
    except BuildFailed as error:
        print(f"console: {error}", file=sys.stderr)
        return 1
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(fresh, encoding="utf-8")
    elif not TARGET.is_file() or TARGET.read_text(encoding="utf-8") != fresh:
        print("console: the API changed; run scripts/openapi_types.py", file=sys.stderr)
        return 1
    print("console: types fit the API")
    return 0


if __name__ == "__main__":
    sys.exit(main())
