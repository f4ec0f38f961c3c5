"""A whole hub with its town, and Debian's Chromium to look at it with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

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


def new_context(browser: Browser) -> BrowserContext:
    """An English browser on a small screen that has never been here."""
    return browser.new_context(
        viewport={"width": 1366, "height": 768}, locale="en", color_scheme="dark", reduced_motion="reduce"
    )


@pytest.fixture
def stranger(browser: Browser) -> Iterator[Page]:
    """The page of somebody who has not signed in."""
    context = new_context(browser)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def signed_in(browser: Browser, hub: Hub) -> Iterator[BrowserContext]:
    """One session of the first administrator."""
    context = new_context(browser)
    page = context.new_page()
    page.goto(hub.url)
    fill(page, {"login-username": "admin", "login-password": hub.password})
    page.get_by_test_id("login-submit").click()
    page.get_by_test_id("map-canvas").wait_for()
    page.close()
    yield context
    context.close()


@pytest.fixture
def page(signed_in: BrowserContext, hub: Hub, tmp_path: Path) -> Iterator[Page]:
    """The console, signed in and live; a script error fails the test."""
    page = signed_in.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(hub.url)
    page.get_by_test_id("map-canvas").wait_for()
    yield page
    page.screenshot(path=tmp_path / "last.png")
    page.close()
    assert errors == []


def fill(page: Page, fields: dict[str, str]) -> None:
    """Type into fields by their test ids."""
    for test_id, text in fields.items():
        page.get_by_test_id(test_id).fill(text)
