"""The API against its own description: any request that can be made gets an answer of a kind that is described."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case

from api.app import PREFIX

from .paths import DOCUMENT
from .running import Api, Person

_ENDS_THE_SESSION = {
    ("DELETE", f"{PREFIX}/session"),
    ("POST", f"{PREFIX}/session/password"),
    ("POST", f"{PREFIX}/session"),
}
schema = schemathesis.openapi.from_dict(DOCUMENT)


@pytest.fixture(scope="module")
def administrator(api: Api) -> Person:
    return api.somebody("administrator")


@schema.exclude(
    func=lambda context: (context.operation.method.upper(), context.operation.path) in _ENDS_THE_SESSION
).parametrize()
@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
def test_any_request_is_answered_as_described(case: Case, api: Api, administrator: Person) -> None:
    headers = {name: value for name, value in administrator.http.headers.items() if name.lower() == "x-csrf-token"}
    cookies = dict(administrator.http.cookies)
    response: Any = case.call(base_url=api.url, headers=headers, cookies=cookies)
    assert response.status_code < 500, response.text
    case.validate_response(
        response,
        checks=[
            schemathesis.checks.not_a_server_error,
            schemathesis.specs.openapi.checks.status_code_conformance,
            schemathesis.specs.openapi.checks.content_type_conformance,
            schemathesis.specs.openapi.checks.response_schema_conformance,
        ],
    )


HOSTILE = ["0", "-1", str(2**63), str(10**40), "1.5", "NaN", "%00", "a%00b", "%F0%9F%92%A9", "'--", "..", "x" * 3000]
PATHS = sorted({path for path in DOCUMENT["paths"] if "{" in path})


@pytest.mark.parametrize("path", PATHS)
def test_no_key_in_a_path_breaks_anything(administrator: Person, path: str) -> None:
    before, _, after = path.partition("{")
    for key in HOSTILE:
        url = before + key + after.partition("}")[2]
        query = {"start": "2026-11-10T00:00:00Z", "end": "2026-11-11T00:00:00Z"}
        for method in DOCUMENT["paths"][path]:
            answer = administrator.http.request(method, url, params=query, json={} if method != "get" else None)
            assert answer.status_code in {200, 404, 405, 422}, (method, url, answer.text)


DATES = [
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "9999-12-31T23:59:59Z",
    "1e30",
    "2026-11-10T00:00:00",
    "-1",
]


@pytest.mark.parametrize("moment", DATES)
def test_no_moment_breaks_anything(administrator: Person, moment: str) -> None:
    for path in ("/points/9/trend", "/accounts/a1/readings"):
        for span in (
            {"start": moment, "end": "2026-11-11T00:00:00Z"},
            {"start": "2026-11-10T00:00:00Z", "end": moment},
        ):
            answer = administrator.get(path, **span)
            assert answer.status_code == 422, (path, span, answer.text)
    for path, body in (
        ("/alarms/1/shelve", {"until": moment, "reason": "works"}),
        ("/notices/1/amend", {"expected_end_at": moment, "reason": "later"}),
        ("/tickets/1/steps", {"step": "postponed", "note": "later", "body": {"until": moment}}),
    ):
        answer = administrator.post(path, body)
        assert answer.status_code in {409, 422}, (path, answer.text)


@pytest.mark.parametrize("text", ["a\x00b", "\ufffe", "\U0001f4a9" * 10, "\u202eabc"])
def test_no_text_breaks_anything(administrator: Person, text: str) -> None:
    answers = [
        administrator.get("/accounts", search=text),
        administrator.post("/alarms/1/shelve", {"until": "2026-11-10T12:00:00Z", "reason": text + "..."}),
        administrator.post("/notices/1/amend", {"reason": text + "..."}),
        administrator.post("/tickets/1/steps", {"step": text}),
        administrator.post("/tickets/1/steps", {"step": "dispatched", "note": text, "body": {text: {text: [text]}}}),
        administrator.post("/users", {"name": text, "role": "viewer"}),
        administrator.post("/simulation/commands", {"scenario": text}),
    ]
    assert all(answer.status_code in {200, 201, 204, 404, 409, 422} for answer in answers), [a.text for a in answers]


def test_numbers_that_are_none_and_numbers_too_large_are_still_answered(api: Api, administrator: Person) -> None:
    api.sql("INSERT INTO zone_balance VALUES ('east', now(), 'NaN', 1, 1, 1, 'Infinity', 1, 1, true)")
    api.sql("UPDATE alarm SET evidence = '{\"x\": 1e40}', value = 'NaN'")
    zones = administrator.get("/zones")
    assert zones.status_code == 200
    (east,) = [zone for zone in zones.json() if zone["id"] == "east"]
    assert east["balance"]["inlet_m3h"] is None
    (alarm,) = administrator.get("/alarms").json()
    assert alarm["value"] is None


def test_operations_have_plain_names_of_their_own() -> None:
    names = [operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and name == name.lower() for name in names)
    assert all(operation["description"] for path in DOCUMENT["paths"].values() for operation in path.values())
