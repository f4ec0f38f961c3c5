"""Logging in and out, passwords, and how sessions end."""

from __future__ import annotations

import stat

import pytest
from websockets.exceptions import ConnectionClosed

from api.app import PREFIX
from api.feed import CLOSE_FORBIDDEN, CLOSE_UNAUTHORISED
from api.sessions import COOKIE

from .running import PASSWORD, Api, code

NEW = "another long password"


def test_logging_in_says_who_one_is_and_hides_the_token(api: Api) -> None:
    name = api.add("supervisor")
    client = api.client()
    answer = client.post(f"{PREFIX}/session", json={"username": name, "password": PASSWORD})
    body = answer.json()
    assert (body["username"], body["role"], body["must_change_password"]) == (name, "supervisor", False)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert client.cookies[COOKIE] not in answer.text
    assert client.get(f"{PREFIX}/session").json() == body
    (stored,) = api.sql("SELECT token_hash FROM session WHERE user_name = %s", name)
    assert bytes(stored[0]) != client.cookies[COOKIE].encode()


@pytest.mark.parametrize("user", ["known", "unknown", "closed"])
def test_a_wrong_password_is_told_clearly_and_alike_for_everybody(api: Api, user: str) -> None:
    name = api.add("viewer") if user != "unknown" else "nobody"
    password = PASSWORD if user == "closed" else "wrong"
    if user == "closed":
        api.sql("UPDATE app_user SET active = false WHERE name = %s", name)
    answer = api.anybody.post(f"{PREFIX}/session", json={"username": name, "password": password})
    assert (answer.status_code, code(answer)) == (401, "wrong_credentials")
    assert answer.json()["error"]["message"] == "user name or password is wrong"
    assert "set-cookie" not in answer.headers


def test_too_many_wrong_passwords_make_one_wait_even_with_the_right_one(own_api: Api) -> None:
    name = own_api.add("viewer")
    for _ in range(5):
        answer = own_api.anybody.post(f"{PREFIX}/session", json={"username": name, "password": "wrong"})
        assert answer.status_code == 401
    answer = own_api.anybody.post(f"{PREFIX}/session", json={"username": name, "password": PASSWORD})
    assert (answer.status_code, code(answer)) == (429, "too_many_tries")
    wait_s = int(answer.headers["retry-after"])
    assert 0 < wait_s <= 60
    assert answer.json()["error"]["detail"] == {"retry_after_s": wait_s}
    other = own_api.add("viewer")
    assert own_api.log_in(other).get("/session").status_code == 200
    assert len(own_api.sql("SELECT 1 FROM audit WHERE actor = %s AND result = 'refused'", name)) == 5


def test_guessing_many_names_from_one_address_ends_too(own_api: Api) -> None:
    answers = [
        own_api.anybody.post(f"{PREFIX}/session", json={"username": f"name-{n}", "password": "wrong"}).status_code
        for n in range(21)
    ]
    assert answers == [401] * 20 + [429]


@pytest.mark.parametrize("name", ["", "x" * 65, "a\x00b", "Robert'); DROP TABLE app_user;--", "甲", "\u202e", " admin"])
def test_odd_user_names_are_refused_and_break_nothing(own_api: Api, name: str) -> None:
    answer = own_api.anybody.post(f"{PREFIX}/session", json={"username": name, "password": "wrong"})
    assert answer.status_code in {401, 422}
    assert answer.status_code == 422 if not name or len(name) > 64 or "\x00" in name else answer.status_code == 401


def test_a_session_ends_when_its_time_is_up(api: Api) -> None:
    viewer = api.somebody("viewer")
    assert viewer.get("/session").status_code == 200
    api.sql("UPDATE session SET expires_at = now() - interval '1 s' WHERE user_name = %s", viewer.name)
    answer = viewer.get("/alarms")
    assert (answer.status_code, code(answer)) == (401, "not_logged_in")


def test_logging_out_ends_the_session_on_the_server(api: Api) -> None:
    viewer = api.somebody("viewer")
    answer = viewer.http.delete(f"{PREFIX}/session")
    assert answer.status_code == 204
    viewer.http.cookies.set(COOKIE, viewer.cookie)
    assert viewer.get("/session").status_code == 401


def test_a_cookie_that_was_made_up_is_no_session(api: Api) -> None:
    for token in ("x", "x" * 4000, "%00", "a b"):
        answer = api.anybody.get(f"{PREFIX}/alarms", headers={"Cookie": f"{COOKIE}={token}"})
        assert (answer.status_code, code(answer)) == (401, "not_logged_in")


def test_a_new_password_ends_the_users_other_sessions_and_keeps_this_one(api: Api) -> None:
    here = api.somebody("operator")
    there = api.log_in(here.name)
    answer = here.post("/session/password", {"old": PASSWORD, "new": NEW})
    assert answer.status_code == 204, answer.text
    assert here.get("/alarms").status_code == 200
    assert there.get("/alarms").status_code == 401
    assert api.log_in(here.name, NEW).get("/session").status_code == 200
    assert api.anybody.post(f"{PREFIX}/session", json={"username": here.name, "password": PASSWORD}).status_code == 401


@pytest.mark.parametrize(
    ("old", "new", "status", "said"),
    [
        ("wrong", NEW, 401, "wrong_credentials"),
        (PASSWORD, "short", 422, "invalid_value"),
        (PASSWORD, PASSWORD, 422, "invalid_value"),
        (PASSWORD, "x" * 300, 422, "invalid_value"),
    ],
)
def test_a_password_is_changed_only_to_a_proper_other_one(api: Api, old: str, new: str, status: int, said: str) -> None:
    viewer = api.somebody("viewer")
    answer = viewer.post("/session/password", {"old": old, "new": new})
    assert (answer.status_code, code(answer)) == (status, said)
    assert PASSWORD not in answer.text
    assert api.log_in(viewer.name).get("/session").status_code == 200


def test_who_must_change_the_password_can_do_nothing_else(api: Api) -> None:
    person = api.somebody("administrator", must_change=True)
    assert person.get("/session").json()["must_change_password"] is True
    for answer in (person.get("/alarms"), person.get("/users"), person.post("/alarms/acknowledge", {"alarm_ids": [1]})):
        assert (answer.status_code, code(answer)) == (403, "not_allowed")
        assert answer.json()["error"]["detail"]["needs"] == "a password of your own"
    with api.live(person) as feed, pytest.raises(ConnectionClosed) as closed:
        feed.recv(timeout=20)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == CLOSE_FORBIDDEN
    assert person.post("/session/password", {"old": PASSWORD, "new": NEW}).status_code == 204
    assert person.get("/users").status_code == 200


def test_a_closed_user_is_out_at_once_everywhere(api: Api) -> None:
    administrator, viewer = api.somebody("administrator"), api.somebody("viewer")
    with api.live(viewer) as feed:
        assert administrator.http.patch(f"{PREFIX}/users/{viewer.name}", json={"active": False}).status_code == 200
        assert viewer.get("/alarms").status_code == 401
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                feed.recv(timeout=20)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == CLOSE_UNAUTHORISED
    assert (
        api.anybody.post(f"{PREFIX}/session", json={"username": viewer.name, "password": PASSWORD}).status_code == 401
    )


def test_a_new_role_counts_at_once(api: Api) -> None:
    administrator, person = api.somebody("administrator"), api.somebody("viewer")
    assert person.get("/audit").status_code == 403
    administrator.http.patch(f"{PREFIX}/users/{person.name}", json={"role": "supervisor"})
    assert person.get("/audit").status_code == 200


def test_a_person_is_let_in_with_a_password_they_must_change(api: Api) -> None:
    administrator = api.somebody("administrator")
    answer = administrator.post("/users", {"name": "new.person", "role": "operator"})
    assert answer.status_code == 201
    person = api.log_in("new.person", answer.json()["password"])
    assert person.get("/session").json()["must_change_password"] is True
    again = administrator.post("/users", {"name": "new.person", "role": "operator"})
    assert (again.status_code, code(again)) == (409, "conflict")
    listed = administrator.get("/users").json()
    assert [row["password"] for row in listed] == [None] * len(listed)


@pytest.mark.parametrize("change", [{"active": False}, {"role": "viewer"}])
def test_nobody_locks_themselves_out(api: Api, change: dict[str, object]) -> None:
    administrator = api.somebody("administrator")
    answer = administrator.http.patch(f"{PREFIX}/users/{administrator.name}", json=change)
    assert (answer.status_code, code(answer)) == (409, "conflict")
    entry = next(row for row in administrator.get("/audit").json() if row["actor"] == administrator.name)
    assert (entry["action"], entry["result"], entry["address"]) == ("user_changed", "refused", "127.0.0.1")


def test_what_administrators_do_is_audited_with_where_from(api: Api) -> None:
    administrator, person = api.somebody("administrator"), api.somebody("viewer")
    administrator.http.patch(f"{PREFIX}/users/{person.name}", json={"reset_password": True})
    found = [row for row in administrator.get("/audit").json() if row["subject"] == person.name]
    assert {(row["action"], row["result"], row["address"]) for row in found} == {
        ("user_changed", "done", "127.0.0.1"),
        ("password_reset", "done", "127.0.0.1"),
    }
    assert person.get("/session").status_code == 401


def test_a_user_has_a_bounded_number_of_sessions(api: Api) -> None:
    first = api.somebody("viewer")
    api.sql(
        "INSERT INTO session SELECT sha256(n::text::bytea), %s, 'x', now(), now() + interval '1 h' "
        "FROM generate_series(1, 60) n",
        first.name,
    )
    last = api.log_in(first.name)
    assert last.get("/session").status_code == 200
    assert api.sql("SELECT count(*) FROM session WHERE user_name = %s", first.name) == [(50,)]
    assert first.get("/session").status_code == 401


def test_the_first_start_leaves_an_administrators_password_in_a_private_file(api: Api) -> None:
    file = api.config.hub.data_dir / "secrets" / "admin-password"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert api.log_in("admin", file.read_text(encoding="utf-8").strip()).get("/users").status_code == 200
