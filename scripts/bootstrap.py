"""Make .venv from the lock files, build the console, install the hub: all that `make demo` and `make test` need.

Runs on any Python from 3.11 on with nothing but the standard library:

    python3 scripts/bootstrap.py runtime     what `make demo` needs
    python3 scripts/bootstrap.py dev         what `make test`, `make check` and `make bench` need

A second run finds its stamp and returns at once. When something is missing it says what, in one line, and exits 1.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
REQUIREMENTS = ROOT / "requirements"
GROUPS = {"runtime": ["runtime", "build"], "dev": ["dev"]}
PACKAGES = ("alarms", "api", "cli", "dispatch", "gashub", "gateway", "ingest", "metering", "simulators")
STEPS = 5


class Missing(Exception):
    """Something this machine lacks; the message says how to get it."""


def say(step: int, what: str) -> None:
    """One line of progress."""
    filled = "█" * (step * 4) + "·" * ((STEPS - step) * 4)
    sys.stdout.write(f"[{filled}] {what}\n")
    sys.stdout.flush()


def check_python() -> None:
    """Refuse a Python that is too old or cannot make an environment."""
    if sys.version_info < (3, 11):
        raise Missing(f"gashub needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}")
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        raise Missing(f"this Python lacks {error.name}; on Debian or Ubuntu: apt-get install python3-venv") from error


def stamp(group: str) -> str:
    """What the environment was made from: changes when a lock file, the project file or the Python does."""
    digest = hashlib.sha256(sys.version.encode())
    for path in [*sorted(REQUIREMENTS.glob("*.txt")), ROOT / "pyproject.toml", ROOT / "hatch_build.py"]:
        digest.update(path.read_bytes())
    digest.update(str(ROOT).encode())
    return f"{group} {digest.hexdigest()}"


def run(*command: str | Path, what: str) -> None:
    """Run one command quietly; on failure show what it said."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment["VIRTUAL_ENV"] = str(VENV)
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.stderr.write(done.stdout[-4000:] + done.stderr[-4000:])
        raise Missing(f"{what} failed (exit {done.returncode}); what it said stands above")


def install(group: str) -> None:
    """Fill the environment from the lock files and install the hub into it."""
    if not (BIN / "python").exists() and not (BIN / "python.exe").exists():
        say(0, "making .venv")
        run(sys.executable, "-m", "venv", "--clear", VENV, what="making .venv")
    python = BIN / "python"
    say(1, "fetching the installer")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--require-hashes"]
    run(*pip, "-r", REQUIREMENTS / "uv.txt", what="fetching the installer")
    say(2, "installing the locked packages")
    uv_install = [python, "-m", "uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", python]
    locks = [part for name in GROUPS[group] for part in ("-r", REQUIREMENTS / f"{name}.txt")]
    run(*uv_install, "--require-hashes", *locks, what="installing the locked packages")
    if group == "runtime":
        run(
            *uv_install, "--require-hashes", "--no-deps", "-r", REQUIREMENTS / "town.txt",
            what="installing the town's pipes",
        )  # fmt: skip
    say(3, "building the console")
    run(python, ROOT / "scripts" / "build_console.py", what="building the console")
    say(4, "installing gashub")
    run(*uv_install, "--no-deps", "--no-build-isolation", "--editable", ROOT, what="installing gashub")
    # Half a dozen processes start at once: without this each would compile the hub's modules anew.
    run(python, "-m", "compileall", "-q", *PACKAGES, what="compiling gashub")


def main() -> int:
    """Bring .venv to what `group` needs."""
    group = sys.argv[1] if len(sys.argv) > 1 else "runtime"
    if group not in GROUPS:
        sys.stderr.write(f"bootstrap: {group!r} is no group; use {' or '.join(GROUPS)}\n")
        return 2
    try:
        check_python()
        mark = VENV / "gashub-stamp"
        wanted = stamp(group)
        found = mark.read_text(encoding="utf-8") if mark.exists() else ""
        if found in (wanted, wanted.replace("runtime", "dev", 1)):
            run(BIN / "python", ROOT / "scripts" / "build_console.py", what="building the console")
            return 0
        install(group)
        mark.write_text(wanted, encoding="utf-8")
        say(STEPS, "ready")
    except (Missing, OSError) as error:
        sys.stderr.write(f"bootstrap: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
