"""Take the README's picture of the console: start a hub, play a scenario, log in, and save what a dispatcher sees.

Needs the dev environment and Chromium (scripts/test installs both). Writes docs/images/console.png.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cli.stack import Stack, StackOptions  # noqa: E402 - the path comes first
from scripts.need_browser import find  # noqa: E402

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]


def main() -> int:
    """Start, play, look, save."""
    language = os.environ.get("GASHUB_LANGUAGE", "en")
    target = ROOT / "docs" / "images" / "console.png"
    with tempfile.TemporaryDirectory(prefix="gashub-") as directory:
        stack = Stack(StackOptions(data_dir=Path(directory)), lambda what: None)
        with stack, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find(), args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1600, "height": 900}, locale=language)
            page.goto(f"http://127.0.0.1:{stack.http_port}/")
            page.get_by_test_id("login-username").fill("admin")
            page.get_by_test_id("login-password").fill(stack.admin_password_file.read_text().strip())
            page.get_by_test_id("login-submit").click()
            page.wait_for_timeout(90_000)  # until every zone has a balance to show
            page.get_by_test_id("sim-open").click()
            page.get_by_test_id("sim-scenario-slam-shut-closes").click()
            page.keyboard.press("Escape")
            page.get_by_test_id("notice-row").get_by_role("button").first.click(timeout=120_000)
            page.get_by_test_id("notice-show-area").click()
            page.wait_for_timeout(3_000)
            page.screenshot(path=target)
            browser.close()
    sys.stdout.write(f"{target.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
