"""A dispatcher's way through the console, from a quiet town to the notice, by clicking and by keys alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from .conftest import Hub, fill

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240)]

AXE = Path(__file__).parents[2] / "console" / "node_modules" / "axe-core" / "axe.min.js"


def serious(page: Page) -> list[str]:
    """What axe finds on the page as it stands that is serious or worse."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = page.evaluate("axe.run(document).then((result) => result.violations)")
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in found if one["impact"] in ("serious", "critical")
    ]


def test_a_wrong_password_is_refused_in_words(stranger: Page, hub: Hub) -> None:
    stranger.goto(hub.url)
    fill(stranger, {"login-username": "admin", "login-password": "not the password"})
    stranger.get_by_test_id("login-submit").click()
    expect(stranger.get_by_test_id("login-error")).to_have_text("User name or password is wrong.")
    expect(stranger.get_by_test_id("map-canvas")).to_have_count(0)
    assert serious(stranger) == []


def test_a_quiet_town_is_calm_and_current(page: Page) -> None:
    expect(page.get_by_test_id("connection-state")).to_have_attribute("data-state", "live")
    expect(page.get_by_test_id("situation-calm")).to_contain_text("Nothing abnormal")
    expect(page.get_by_test_id("zone-tile")).to_have_count(5)
    expect(page.get_by_test_id("alarm-row")).to_have_count(0)
    assert serious(page) == []


def test_language_and_theme_change_without_a_reload(page: Page) -> None:
    page.evaluate("window.untouched = true")
    page.get_by_test_id("language-switch").click()
    expect(page.get_by_test_id("situation-calm")).to_contain_text("一切正常")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.get_by_test_id("theme-switch").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert serious(page) == []
    page.get_by_test_id("theme-switch").click()
    page.get_by_test_id("language-switch").click()
    assert page.evaluate("window.untouched")


def test_keys_alone_find_a_point_and_show_its_trend(page: Page) -> None:
    page.keyboard.press("/")
    page.get_by_test_id("search-input").wait_for()
    page.keyboard.type("drs-east outlet")
    expect(page.get_by_test_id("search-result").first).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("point")).to_be_visible()
    expect(page.get_by_test_id("trend")).not_to_have_attribute("data-count", "0", timeout=15_000)
    assert serious(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("point")).to_have_count(0)


def test_the_map_has_a_table_with_the_same_content(page: Page) -> None:
    page.get_by_test_id("map-table-switch").click()
    row = page.get_by_test_id("map-table").get_by_role("row").filter(has_text="East district station 1")
    expect(row).to_contain_text(re.compile(r"Outlet pressure [\d.]+ MPa"))
    assert serious(page) == []


def test_a_lost_connection_is_said_in_words_and_found_again(page: Page, hub: Hub) -> None:
    cut = False

    def pass_on(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        forward: Callable[[Any], None] = lambda message: None if cut else socket.send(message)  # noqa: E731
        server.on_message(forward)

    page.route_web_socket(re.compile(r"/api/v1/live$"), pass_on)
    page.reload()
    expect(page.get_by_test_id("connection-state")).to_have_attribute("data-state", "live")
    cut = True
    expect(page.get_by_test_id("connection-lost")).to_contain_text("Connection lost since", timeout=15_000)
    cut = False
    expect(page.get_by_test_id("connection-lost")).to_have_count(0, timeout=15_000)
    expect(page.get_by_test_id("connection-state")).to_have_attribute("data-state", "live")


def test_a_slam_shut_is_seen_acknowledged_and_leads_to_ticket_and_notice(page: Page) -> None:
    page.get_by_test_id("sim-open").click()
    page.get_by_test_id("sim-scenario-slam-shut-closes").click()
    page.keyboard.press("Escape")
    alarm = page.locator("[data-testid=alarm-row][data-rule=slam_shut_closed]")
    alarm.wait_for(timeout=120_000)
    expect(page.get_by_test_id("situation-line")).to_contain_text("Slam-shut closed")
    alarm.get_by_test_id("alarm-acknowledge").click()
    expect(alarm).to_have_attribute("data-acknowledged", "true", timeout=10_000)

    ticket = page.get_by_test_id("ticket-row")
    expect(ticket).to_have_count(1, timeout=20_000)
    ticket.get_by_role("button").click()
    page.get_by_test_id("ticket-step-dispatched").click()
    page.get_by_test_id("ticket-need-crew").fill("east-1")
    page.get_by_test_id("ticket-step-confirm").click()
    expect(page.get_by_test_id("ticket-state")).to_have_attribute("data-state", "dispatched")
    page.get_by_test_id("ticket-step-accepted").click()
    expect(page.get_by_test_id("ticket-state")).to_have_attribute("data-state", "accepted")
    assert serious(page) == []

    notice = page.get_by_test_id("notice-row")
    expect(notice).to_have_count(1, timeout=30_000)
    notice.get_by_role("button").click()
    expect(page.get_by_test_id("notice-text-en")).to_contain_text(re.compile("gas", re.IGNORECASE))
    expect(page.get_by_test_id("notice-text-zh")).to_contain_text("燃气")
    expect(page.get_by_test_id("notice-points").get_by_role("listitem").first).to_be_visible()
    page.get_by_test_id("notice-show-area").click()
    assert serious(page) == []


def test_the_timeline_tells_the_incident_from_the_alarm_to_the_crew(page: Page) -> None:
    page.get_by_test_id("situation-line").get_by_role("button").first.click()
    timeline = page.get_by_test_id("incident-timeline")
    for words in ("Alarm: Slam-shut closed", "Ticket opened", "Notice issued", "Acknowledged", "accepted"):
        expect(timeline).to_contain_text(words)
    assert serious(page) == []


def test_an_alarm_is_shelved_with_a_reason_and_taken_back_by_keys(page: Page) -> None:
    alarm = page.locator("[data-testid=alarm-row][data-rule=slam_shut_closed]")
    alarm.get_by_role("button").first.click()
    page.keyboard.press("s")
    dialog = page.get_by_test_id("shelve")
    expect(dialog).to_contain_text(re.compile(r"Until .+ this alarm stays silent"))
    page.keyboard.press("ArrowRight")
    expect(page.get_by_test_id("shelve-120")).to_be_checked()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("shelve-refused")).to_have_text("Give a reason in a few words.")
    assert serious(page) == []
    page.keyboard.type("the crew works at it")
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(alarm).to_have_attribute("data-state", "shelved")
    expect(alarm.get_by_test_id("alarm-shelf")).to_contain_text(
        re.compile(r"until [\d:]+\s+· admin · the crew works at it")
    )
    page.keyboard.press("s")
    expect(alarm).to_have_attribute("data-state", "unacknowledged")  # it still stands, and is announced anew
    page.keyboard.press("a")
    expect(alarm).to_have_attribute("data-state", "acknowledged")


def test_an_unacknowledged_emergency_calls_until_it_is_silenced(page: Page, hub: Hub) -> None:
    page.add_init_script(
        "const start = OscillatorNode.prototype.start; window.tones = 0;"
        "OscillatorNode.prototype.start = function (...when) { window.tones += 1; start.apply(this, when); };"
    )
    page.reload()
    alarm = page.locator("[data-testid=alarm-row][data-rule=slam_shut_closed]")
    page.get_by_test_id("sound-switch").click()
    page.wait_for_function("window.tones === 4")
    announce_anew(page, hub, str(alarm.get_attribute("data-alarm")))
    page.get_by_test_id("sound-silence").wait_for()
    page.wait_for_function("window.tones >= 8")
    assert serious(page) == []
    page.keyboard.press("m")
    expect(page.get_by_test_id("sound-silence")).to_have_count(0)
    expect(alarm).to_have_attribute("data-state", "unacknowledged")
    alarm.get_by_test_id("alarm-acknowledge").click()
    expect(alarm).to_have_attribute("data-state", "acknowledged")
    page.get_by_test_id("sound-switch").click()
    expect(page.get_by_test_id("sound-switch")).to_have_attribute("data-state", "off")


def announce_anew(page: Page, hub: Hub, alarm: str) -> None:
    """Shelve a standing alarm and take it back: it is then unacknowledged."""
    api = f"{hub.url}api/v1"
    headers = {"X-CSRF-Token": page.request.get(f"{api}/session").json()["csrf_token"]}
    hub_time = datetime.fromisoformat(page.request.get(f"{api}/status").json()["hub_time"])
    shelving = {"until": (hub_time + timedelta(hours=1)).isoformat(), "reason": "to be announced anew"}
    for action, data in (("shelve", shelving), ("unshelve", None)):
        answer = page.request.post(f"{api}/alarms/{alarm}/{action}", data=data, headers=headers)
        assert answer.ok, answer.text()


def test_a_notice_is_amended_with_a_later_end_and_its_old_text_stays(page: Page) -> None:
    page.get_by_test_id("notice-row").get_by_role("button").click()
    first = page.get_by_test_id("notice-text-en").inner_text()
    page.get_by_test_id("notice-amend").click()
    page.get_by_test_id("notice-later-2").click()
    page.get_by_test_id("notice-confirm").click()
    expect(page.get_by_test_id("notice-refused")).to_have_text("Give a reason in a few words.")
    page.get_by_test_id("notice-reason").fill("a valve is stuck")
    expect(page.get_by_test_id("notice-means")).to_contain_text("Earlier versions are kept")
    assert serious(page) == []
    page.get_by_test_id("notice-confirm").click()
    expect(page.get_by_test_id("message")).to_have_text("The notice is amended")
    expect(page.get_by_test_id("notice-text-en")).to_contain_text("a valve is stuck")
    versions = page.get_by_test_id("notice-versions").get_by_role("listitem")
    expect(versions.first).to_contain_text("a valve is stuck")
    versions.last.get_by_role("button").click()
    expect(page.get_by_test_id("notice-text-en")).to_have_text(first)


def test_supply_comes_back_point_by_point_after_the_test_and_the_notice_is_closed(page: Page, hub: Hub) -> None:
    page.get_by_test_id("notice-row").get_by_role("button").click()
    expect(page.get_by_test_id("notice-restore")).to_be_disabled()
    pass_tightness_test(page, hub)
    page.get_by_test_id("notice-restore").click()
    page.get_by_test_id("restore-some").check()
    page.get_by_test_id("restore-point").first.check()
    expect(page.get_by_test_id("notice-means")).to_contain_text("1 service points have gas again")
    assert serious(page) == []
    page.get_by_test_id("notice-confirm").click()
    expect(page.get_by_test_id("message")).to_have_text("Supply is recorded as restored")
    expect(page.get_by_test_id("notice-points")).to_contain_text(re.compile("sp"))
    page.get_by_test_id("notice-restore").click()
    expect(page.get_by_test_id("notice-means")).to_contain_text("The notice then says that supply is back")
    page.get_by_test_id("notice-confirm").click()
    expect(page.get_by_test_id("notice")).to_have_attribute("data-state", "restored")
    page.get_by_test_id("notice-closeNotice").click()
    page.get_by_test_id("notice-confirm").click()
    expect(page.get_by_test_id("notice")).to_have_attribute("data-state", "closed")
    expect(page.get_by_test_id("notice-row")).to_have_count(0)


def pass_tightness_test(page: Page, hub: Hub) -> None:
    """Take the one open ticket, accepted by its crew, as far as its tightness test."""
    api = f"{hub.url}api/v1"
    token = page.request.get(f"{api}/session").json()["csrf_token"]
    (ticket,) = page.request.get(f"{api}/tickets").json()
    for step, body in (
        ("on_the_way", {}),
        ("on_site", {}),
        ("made_safe", {}),
        ("repaired", {}),
        ("tested", {"passed": True}),
    ):
        answer = page.request.post(
            f"{api}/tickets/{ticket['id']}/steps",
            data={"step": step, "note": "as it should be", "body": body},
            headers={"X-CSRF-Token": token},
        )
        assert answer.ok, answer.text()


def test_a_viewer_chooses_a_password_first_and_may_look_but_not_act(page: Page, stranger: Page, hub: Hub) -> None:
    session = page.request.get(f"{hub.url}api/v1/session").json()
    added = page.request.post(
        f"{hub.url}api/v1/users",
        data={"name": "looker", "role": "viewer"},
        headers={"X-CSRF-Token": session["csrf_token"]},
    ).json()
    stranger.goto(hub.url)
    fill(stranger, {"login-username": "looker", "login-password": added["password"]})
    stranger.get_by_test_id("login-submit").click()
    own = "a password of my own"
    fill(stranger, {"password-old": added["password"], "password-new": own, "password-again": own})
    assert serious(stranger) == []
    stranger.get_by_test_id("password-submit").click()
    expect(stranger.get_by_test_id("alarm-row").first).to_be_visible()
    expect(stranger.get_by_test_id("situation-line")).to_contain_text("Slam-shut closed")
    for test_id in ("alarm-acknowledge", "alarm-shelve", "situation-acknowledge"):
        expect(stranger.get_by_test_id(test_id)).to_have_count(0)
