"""See that Debian's Chromium is there for the browser tests; as root on Debian, install it.

Elsewhere, name one that is there with GASHUB_CHROMIUM.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys


def find() -> str | None:
    """The path of a Chromium, if there is one."""
    named = os.environ.get("GASHUB_CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def install() -> None:
    """Install Debian's package."""
    sys.stdout.write("installing Chromium for the browser tests (apt-get)\n")
    sys.stdout.flush()
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "-qq", "update"],
        ["apt-get", "-qq", "install", "-y", "--no-install-recommends", "chromium", "fonts-noto-cjk"],
    ):
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def main() -> int:
    """Return 0 when a browser is there."""
    if find():
        return 0
    if os.name == "posix" and os.geteuid() == 0 and shutil.which("apt-get"):
        try:
            install()
        except subprocess.CalledProcessError as error:
            sys.stderr.write(f"need_browser: {' '.join(error.cmd)} exited {error.returncode}\n")
    if find():
        return 0
    sys.stderr.write(
        "need_browser: the browser tests need Chromium: install it, or name one with GASHUB_CHROMIUM=/path\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
