"""A whole hub with its town, and Debian's Chromium to look at it with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from cli.stack import Stack, StackOptions
from scripts.need_browser import find

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass(frozen=True, slots=True)
class Hub:
    """Where the console is, and how to get in."""

    stack: Stack
    url: str
    password: str


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    directory = tmp_path_factory.mktemp("hub")
    with Stack(StackOptions(data_dir=directory), lambda what: None) as stack:
        password = stack.admin_password_file.read_text(encoding="utf-8").strip()
        yield Hub(stack, f"http://127.0.0.1:{stack.http_port}/", password)
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = find()
    assert executable, "no Chromium: scripts/need_browser.py says how to get one"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1366, "height": 768}, locale="en")
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.screenshot(path=tmp_path / "last.png")
    context.close()
    assert errors == []


def log_in(page: Page, hub: Hub) -> None:
    page.goto(hub.url)
    page.get_by_test_id("login-username").fill("admin")
    page.get_by_test_id("login-password").fill(hub.password)
    page.get_by_test_id("login-submit").click()
    page.get_by_test_id("map-canvas").wait_for()
