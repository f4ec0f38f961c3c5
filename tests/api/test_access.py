"""Who gets in, and what they may do: denied unless allowed."""

from __future__ import annotations

import re
from typing import Any

import httpx
import psycopg
import pytest

from api.app import MAX_BODY_BYTES, OPEN_PATHS, PREFIX
from api.sessions import COOKIE, CSRF_HEADER

from .paths import ROUTES
from .running import PASSWORD, Api, Person, code

CLOSED = [route for route in ROUTES if route not in OPEN_PATHS]


@pytest.fixture(scope="module")
def people(api: Api) -> dict[str, Person]:
    return {role: api.somebody(role) for role in ("viewer", "operator", "supervisor", "administrator")}


@pytest.mark.parametrize(("method", "path"), CLOSED, ids=str)
def test_every_route_but_the_open_ones_asks_for_a_session(api: Api, method: str, path: str) -> None:
    answer = api.anybody.request(method, re.sub(r"{.*?}", "1", path), json={} if method != "GET" else None)
    assert (answer.status_code, code(answer)) == (401, "not_logged_in")


def test_only_the_open_paths_answer_without_a_session() -> None:
    assert set(ROUTES) - set(CLOSED) == OPEN_PATHS
    assert len(CLOSED) > 30


@pytest.mark.parametrize("path", [f"{PREFIX}/openapi.json", "/openapi.json", "/docs", "/redoc"])
def test_the_interface_is_not_described_to_strangers(api: Api, path: str) -> None:
    answer = api.anybody.get(path)
    assert "paths" not in answer.text
    assert answer.status_code == (401 if path.startswith(PREFIX) else answer.status_code)


MATRIX: list[tuple[str, str, dict[str, Any] | None, str]] = [
    ("GET", "/network", None, "viewer"),
    ("GET", "/points", None, "viewer"),
    ("GET", "/latest?point=9", None, "viewer"),
    ("GET", "/points/9/latest", None, "viewer"),
    ("GET", "/alarms", None, "viewer"),
    ("GET", "/rules", None, "viewer"),
    ("GET", "/incidents", None, "viewer"),
    ("GET", "/incidents/1", None, "viewer"),
    ("GET", "/incidents/1/timeline", None, "viewer"),
    ("GET", "/zones", None, "viewer"),
    ("GET", "/tickets", None, "viewer"),
    ("GET", "/tickets/1", None, "viewer"),
    ("GET", "/notices", None, "viewer"),
    ("GET", "/notices/1", None, "viewer"),
    ("GET", "/accounts", None, "viewer"),
    ("GET", "/accounts/a1", None, "viewer"),
    ("GET", "/ingest/ledger", None, "viewer"),
    ("GET", "/ingest/dead-letters", None, "viewer"),
    ("GET", "/ingest/unknown-blocks", None, "viewer"),
    ("GET", "/gateways", None, "viewer"),
    ("GET", "/status", None, "viewer"),
    ("GET", "/events", None, "viewer"),
    ("GET", "/simulation", None, "viewer"),
    ("GET", "/openapi.json", None, "viewer"),
    ("POST", "/alarms/acknowledge", {"alarm_ids": [999]}, "operator"),
    ("POST", "/alarms/999/shelve", {"until": "2000-01-01T00:00:00Z", "reason": "works"}, "operator"),
    ("POST", "/alarms/999/unshelve", None, "operator"),
    ("POST", "/tickets/999/steps", {"step": "dispatched"}, "operator"),
    ("POST", "/notices/999/amend", {"reason": "later"}, "operator"),
    ("POST", "/notices/999/restore", {}, "operator"),
    ("POST", "/notices/999/close", None, "operator"),
    ("POST", "/simulation/commands", {"heal": "all"}, "operator"),
    ("POST", "/notices/999/withdraw", {"reason": "mistaken"}, "supervisor"),
    ("GET", "/audit", None, "supervisor"),
    ("GET", "/users", None, "administrator"),
    ("POST", "/users", {"name": "Bad Name", "role": "viewer"}, "administrator"),
    ("PATCH", "/users/nobody", {}, "administrator"),
]
ORDER = ["viewer", "operator", "supervisor", "administrator"]


@pytest.mark.parametrize("role", ORDER)
@pytest.mark.parametrize(("method", "path", "body", "needs"), MATRIX, ids=[f"{row[0]} {row[1]}" for row in MATRIX])
def test_a_role_may_what_it_may_and_no_more(
    people: dict[str, Person], method: str, path: str, body: dict[str, Any] | None, needs: str, role: str
) -> None:
    answer = people[role].http.request(method, f"{PREFIX}{path}", json=body)
    if ORDER.index(role) < ORDER.index(needs):
        assert (answer.status_code, code(answer)) == (403, "not_allowed")
        assert answer.json()["error"]["detail"]["needs"] == needs
    elif method == "GET":
        assert answer.status_code == 200, answer.text
    else:
        assert answer.status_code in {404, 409, 422}, answer.text


def test_the_matrix_names_every_route(api: Api) -> None:
    asked = {(method, path.split("?")[0]) for method, path, _, _ in MATRIX}
    known = {(method, re.sub(r"{account_id}", "a1", path).replace(PREFIX, "")) for method, path in CLOSED}
    shapes = [(m, re.compile("^" + re.sub(r"{.*?}", "[^/]+", p) + "$")) for m, p in known]
    left = [
        (method, shape.pattern)
        for method, shape in shapes
        if not any(method == m and shape.match(p) for m, p in asked) and "session" not in shape.pattern
    ]
    assert sorted(left) == [
        ("GET", "^/accounts/a1/readings$"),
        ("GET", "^/points/[^/]+/trend$"),
    ]


def test_a_viewer_who_acknowledges_is_refused_and_it_is_audited(api: Api, people: dict[str, Person]) -> None:
    viewer = people["viewer"]
    answer = viewer.post("/alarms/acknowledge", {"alarm_ids": [1]})
    assert answer.status_code == 403
    assert answer.json()["error"]["detail"]["needs"] == "operator"
    entry = next(row for row in people["supervisor"].get("/audit").json() if row["actor"] == viewer.name)
    assert (entry["result"], entry["action"]) == ("refused", f"POST {PREFIX}/alarms/acknowledge")
    assert entry["address"] == "127.0.0.1"
    assert api.sql("SELECT acknowledged FROM alarm WHERE id = 1") == [(False,)]


def test_what_was_refused_by_the_rules_is_audited_with_the_reason(people: dict[str, Person]) -> None:
    operator = people["operator"]
    assert operator.post("/alarms/999/unshelve").status_code == 404
    entry = next(row for row in people["supervisor"].get("/audit").json() if row["actor"] == operator.name)
    assert (entry["action"], entry["subject"], entry["result"]) == ("alarm_unshelved", "alarm:999", "refused")
    assert entry["detail"] == {"why": "not_found"}


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"])
def test_the_audit_can_only_grow(api: Api, people: dict[str, Person], statement: str) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        api.sql(statement)


def test_names_and_telephone_numbers_are_masked_for_viewers(people: dict[str, Person]) -> None:
    (seen,) = people["viewer"].get("/accounts").json()
    assert (seen["name"], seen["phone"]) == ("G**", "*******1234")
    detail = people["viewer"].get("/accounts/a1").json()
    assert (detail["name"], detail["phone"]) == ("G**", "*******1234")
    assert people["viewer"].get("/accounts", search="Bakery").json() == []
    (whole,) = people["operator"].get("/accounts", search="Bakery").json()
    assert (whole["name"], whole["phone"]) == ("Golden Bakery", "13800001234")


def test_a_change_without_the_sessions_token_is_refused(api: Api) -> None:
    operator = api.somebody("operator")
    for given in (None, "", "wrong", "é"):
        headers = {} if given is None else {CSRF_HEADER: given.encode()}
        client = api.client()
        client.cookies.set(COOKIE, operator.cookie)
        answer = client.post(f"{PREFIX}/alarms/acknowledge", json={"alarm_ids": [1]}, headers=headers)
        assert (answer.status_code, code(answer)) == (403, "not_allowed")
        assert CSRF_HEADER in answer.json()["error"]["message"]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://[", "https://"])
def test_a_change_from_another_site_is_refused(people: dict[str, Person], origin: str) -> None:
    answer = people["operator"].http.post(
        f"{PREFIX}/alarms/acknowledge", json={"alarm_ids": [999]}, headers={"Origin": origin}
    )
    assert (answer.status_code, code(answer)) == (403, "not_allowed")


def test_a_change_from_the_consoles_own_page_is_taken(api: Api, people: dict[str, Person]) -> None:
    answer = people["operator"].http.post(
        f"{PREFIX}/alarms/acknowledge", json={"alarm_ids": [999]}, headers={"Origin": api.url}
    )
    assert answer.status_code == 404


def test_a_body_that_is_too_large_is_refused(people: dict[str, Person]) -> None:
    def chunks() -> Any:
        yield b"{}"

    large = people["operator"].http.post(f"{PREFIX}/alarms/acknowledge", content=b" " * (MAX_BODY_BYTES + 1))
    unsaid = people["operator"].http.post(f"{PREFIX}/alarms/acknowledge", content=chunks())
    assert (large.status_code, code(large)) == (413, "too_large")
    assert (unsaid.status_code, code(unsaid)) == (413, "too_large")


@pytest.mark.parametrize("path", ["/", "/healthz", f"{PREFIX}/session", f"{PREFIX}/nothing", "/alarms/12"])
def test_every_answer_carries_the_security_headers(api: Api, path: str) -> None:
    headers = api.anybody.get(path).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers
    if path.startswith(PREFIX):
        assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/" + "x" * 5000, "/%00", "/..%2f..%2fapp.py", "/%ff", "/.", "//"])
def test_no_path_breaks_the_console(api: Api, path: str) -> None:
    answer = api.anybody.get(path)
    assert answer.status_code in {200, 404, 503}
    assert "create_app" not in answer.text


def test_an_unknown_path_of_the_interface_is_not_found(people: dict[str, Person]) -> None:
    assert code(people["viewer"].get("/nothing")) == "not_found"


def test_the_password_used_here_is_never_answered(api: Api, people: dict[str, Person]) -> None:
    answers: list[httpx.Response] = [people["administrator"].get("/users"), people["administrator"].get("/audit")]
    assert all(PASSWORD not in answer.text and "argon2" not in answer.text for answer in answers)
