"""A dispatcher's way through the console, from a fault to the notice, by clicking."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from .conftest import Hub, log_in

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser"), pytest.mark.timeout(240)]


def test_a_wrong_password_is_refused_in_words(page: Page, hub: Hub) -> None:
    page.goto(hub.url)
    page.get_by_test_id("login-username").fill("admin")
    page.get_by_test_id("login-password").fill("not the password")
    page.get_by_test_id("login-submit").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_test_id("map-canvas")).to_have_count(0)


def test_a_slam_shut_is_seen_acknowledged_and_leads_to_ticket_and_notice(page: Page, hub: Hub) -> None:
    log_in(page, hub)
    page.get_by_test_id("sim-scenario-slam-shut-closes").click()
    alarm = page.get_by_test_id("alarm-row").filter(has_text=re.compile("slam", re.IGNORECASE)).first
    alarm.wait_for(timeout=120_000)
    alarm.click()
    page.get_by_test_id("alarm-acknowledge").first.click()
    expect(alarm).to_have_attribute("data-acknowledged", "true", timeout=10_000)
    expect(page.get_by_test_id("ticket-row")).to_have_count(1, timeout=20_000)
    notice = page.get_by_test_id("notice-row")
    expect(notice).to_have_count(1, timeout=30_000)
    notice.click()
    expect(page.get_by_test_id("notice-text-en")).to_contain_text(re.compile("gas", re.IGNORECASE))
    expect(page.get_by_test_id("notice-text-zh")).to_contain_text("燃气")
