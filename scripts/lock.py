"""Write the hashed requirements files from pyproject.toml.

    requirements/runtime.txt   what a hub needs
    requirements/build.txt     what building the console and the package needs
    requirements/dev.txt       all of that and what tests and checks need
    requirements/town.txt      the package that carries the simulated town's pipes, without its dependencies
    requirements/uv.txt        the installer itself

The files name no index, so they work behind any mirror. Run it with `make lock`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
UV = "uv==0.13.9"


def compile_lock(name: str, wanted: list[str], *options: str) -> None:
    """Resolve `wanted` for every platform and Python from 3.11 on into requirements/<name>.txt."""
    with tempfile.NamedTemporaryFile("w", suffix=".in", delete=False) as source:
        source.write("\n".join(wanted) + "\n")
    command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"]
    command += ["--no-header", "--no-annotate", "--upgrade", "--output-file", str(REQUIREMENTS / f"{name}.txt")]
    subprocess.run([sys.executable, "-m", *command, *options, source.name], check=True, cwd=ROOT)
    Path(source.name).unlink()


def main() -> None:
    """Lock every group; the smaller ones are held to the versions of the largest."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    runtime = project["project"]["dependencies"]
    groups = project["dependency-groups"]
    compile_lock("uv", [UV])
    compile_lock("dev", runtime + groups["build"] + groups["dev"])
    held = ("--constraint", str(REQUIREMENTS / "dev.txt"))
    compile_lock("runtime", runtime, *held)
    compile_lock("build", groups["build"], *held)
    compile_lock("town", groups["town"], "--no-deps")


if __name__ == "__main__":
    main()
