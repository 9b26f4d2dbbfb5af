"""What lists answer to their options, one case a row: code, reason, message."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from tests.conformance.api.running import RunningServer

INVALID = 'ListOptions.meta.k8s.io "" is invalid: '
MATCH = "resourceVersionMatch: "
UNLESS = "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
WITH_TOKEN = "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided"
ZERO = 'resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
INITIAL = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"
UNKNOWN = 'resourceVersionMatch: Unsupported value: "{}": supported values: "Exact", "NotOlderThan", ""'
TOKEN = "invalid continue token: continue key is not valid"
UNKNOWN_FIELD = '"{}" is not a known field selector: only "metadata.name", "metadata.namespace"'


def token(**parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


GOOD = token(v="meta.k8s.io/v1", rv=-1, start="a\0")
MAPS, PODS = "configmaps", "pods"
REFUSED = [
    # plural, query, code, reason, message
    (MAPS, "limit=x", 400, "BadRequest", 'strconv.ParseInt: parsing "x": invalid syntax'),
    (MAPS, "limit=1.5", 400, "BadRequest", 'strconv.ParseInt: parsing "1.5": invalid syntax'),
    (MAPS, "limit=1_0", 400, "BadRequest", 'strconv.ParseInt: parsing "1_0": invalid syntax'),
    (MAPS, f"limit={2**63}", 400, "BadRequest", f'strconv.ParseInt: parsing "{2**63}": value out of range'),
    (MAPS, "timeoutSeconds=soon", 400, "BadRequest", 'strconv.ParseInt: parsing "soon": invalid syntax'),
    (
        *(MAPS, "resourceVersion=abc", 400, "BadRequest"),
        'invalid resource version: resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": '
        "invalid syntax",
    ),
    (
        *(MAPS, "resourceVersion=-1", 400, "BadRequest"),
        'invalid resource version: resourceVersion: Invalid value: "-1": strconv.ParseUint: parsing "-1": '
        "invalid syntax",
    ),
    (
        *(MAPS, f"resourceVersion={2**64}", 400, "BadRequest"),
        f'invalid resource version: resourceVersion: Invalid value: "{2**64}": strconv.ParseUint: parsing '
        f'"{2**64}": value out of range',
    ),
    (MAPS, "resourceVersionMatch=Exact", 422, "Invalid", INVALID + UNLESS),
    (MAPS, "resourceVersionMatch=NotOlderThan", 422, "Invalid", INVALID + UNLESS),
    (MAPS, "resourceVersion=0&resourceVersionMatch=Exact", 422, "Invalid", INVALID + ZERO),
    (MAPS, "resourceVersion=1&resourceVersionMatch=exact", 422, "Invalid", INVALID + UNKNOWN.format("exact")),
    (MAPS, "resourceVersionMatch=x", 422, "Invalid", f"{INVALID}[{UNLESS}, {UNKNOWN.format('x')}]"),
    (MAPS, f"resourceVersion=1&resourceVersionMatch=Exact&continue={GOOD}", 422, "Invalid", INVALID + WITH_TOKEN),
    (MAPS, f"resourceVersionMatch=Exact&continue={GOOD}", 422, "Invalid", f"{INVALID}[{UNLESS}, {WITH_TOKEN}]"),
    (MAPS, "sendInitialEvents=true", 422, "Invalid", INVALID + INITIAL),
    (MAPS, "sendInitialEvents=false", 422, "Invalid", INVALID + INITIAL),
    (MAPS, "sendInitialEvents", 422, "Invalid", INVALID + INITIAL),
    (MAPS, "sendInitialEvents=1&resourceVersionMatch=Exact", 422, "Invalid", f"{INVALID}[{UNLESS}, {INITIAL}]"),
    (
        *(MAPS, f"resourceVersion=1&continue={GOOD}", 400, "BadRequest"),
        "specifying resource version is not allowed when using continue",
    ),
    (MAPS, "continue=@@@", 400, "BadRequest", f"{TOKEN}: illegal base64 data at input byte 0"),
    (MAPS, "continue=YWJj=", 400, "BadRequest", f"{TOKEN}: illegal base64 data at input byte 4"),
    (
        *(MAPS, f"continue={token(v='meta.k8s.io/v2', rv=1, start='a')}", 400, "BadRequest"),
        f"{TOKEN}: server does not recognize this encoded version meta.k8s.io/v2",
    ),
    (
        *(MAPS, f"continue={token(rv=1, start='a')}", 400, "BadRequest"),
        f"{TOKEN}: server does not recognize this encoded version ",
    ),
    (
        *(MAPS, f"continue={token(v='meta.k8s.io/v1', rv=0, start='a')}", 400, "BadRequest"),
        f"{TOKEN}: incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
    ),
    (
        *(MAPS, f"continue={token(v='meta.k8s.io/v1', rv=1, start='')}", 400, "BadRequest"),
        f"{TOKEN}: encoded start key empty (version meta.k8s.io/v1)",
    ),
    (
        *(MAPS, f"continue={token(v='meta.k8s.io/v1', rv=1, start='../secrets/a')}", 400, "BadRequest"),
        f"{TOKEN}: ../secrets/a",
    ),
    (MAPS, "labelSelector=a===b", 400, "BadRequest", "unable to parse requirement: found '=', expected: identifier"),
    (MAPS, "labelSelector=a in b", 400, "BadRequest", "unable to parse requirement: found 'b' expected: '('"),
    (
        *(MAPS, "labelSelector=a b", 400, "BadRequest"),
        "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
    ),
    (MAPS, "fieldSelector=data", 400, "BadRequest", "invalid selector: 'data'; can't understand 'data'"),
    (MAPS, "fieldSelector=data=x", 400, "BadRequest", UNKNOWN_FIELD.format("data")),
    (MAPS, "fieldSelector=metadata.uid=x", 400, "BadRequest", UNKNOWN_FIELD.format("metadata.uid")),
    (PODS, "fieldSelector=spec.x=1", 400, "BadRequest", "field label not supported: spec.x"),
    (PODS, "fieldSelector=status.phase=a,spec.x!=1", 400, "BadRequest", "field label not supported: spec.x"),
    (
        *(MAPS, "fieldSelector=metadata.name=a=b", 400, "BadRequest"),
        "invalid field selector: unescaped character in value: =",
    ),
]


@pytest.mark.parametrize(("plural", "query", "code", "reason", "message"), REFUSED, ids=[row[1] for row in REFUSED])
def test_refused(server: RunningServer, plural: str, query: str, code: int, reason: str, message: str) -> None:
    answer = server.raw("GET", f"/api/v1/namespaces/default/{plural}?{quote(query, safe='=&')}")
    assert (answer.status, answer.reason, answer.message) == (code, reason, message)


@pytest.mark.parametrize(
    ("field", "reason", "message"),
    [
        ("resourceVersionMatch", "FieldValueForbidden", UNLESS),
        ("resourceVersionMatch", "FieldValueNotSupported", UNKNOWN.format("x")),
        ("sendInitialEvents", "FieldValueForbidden", INITIAL),
    ],
)
def test_causes_name_the_options(server: RunningServer, field: str, reason: str, message: str) -> None:
    query = "resourceVersionMatch=x&sendInitialEvents=1"
    status = server.raw("GET", f"/api/v1/configmaps?{query}").json
    assert (status["details"]["group"], status["details"]["kind"]) == ("meta.k8s.io", "ListOptions")
    assert {"field": field, "reason": reason, "message": message.partition(": ")[2]} in status["details"]["causes"]


ACCEPTED = [
    # query, and how many of five are returned
    ("", 5),
    ("limit=0", 5),
    ("limit=-1", 5),
    ("limit=2", 2),
    ("limit=5", 5),
    ("limit=%2B2", 2),
    ("limit=2&resourceVersion=0", 5),  # whatever state there is comes whole
    ("resourceVersion=0", 5),
    ("resourceVersion=0&resourceVersionMatch=NotOlderThan", 5),
    ("resourceVersion=1&resourceVersionMatch=NotOlderThan&limit=3", 3),
    ("timeoutSeconds=5", 5),
    ("allowWatchBookmarks=true", 5),
    ("watch=false", 5),
    ("watch=0", 5),
    ("labelSelector=even=true", 3),
    ("labelSelector=even!=true", 2),
    ("labelSelector=even in (true,false)", 5),
    ("labelSelector=even notin (true)", 2),
    ("labelSelector=number>2", 2),
    ("labelSelector=number<2,even", 2),
    ("labelSelector=!even", 0),
    ("labelSelector=even=true&limit=2", 2),
    ("labelSelector=", 5),
    ("fieldSelector=metadata.name=m1", 1),
    ("fieldSelector=metadata.name!=m1", 4),
    ("fieldSelector=metadata.name==m1", 1),
    ("fieldSelector=metadata.name=m1,metadata.name=m2", 0),
    ("fieldSelector=metadata.namespace=elsewhere", 0),
    ("fieldSelector=metadata.name=m1&labelSelector=even=true", 0),
    ("fieldSelector=,metadata.name=m1,", 1),
    ("unheard=of", 5),
]


@pytest.fixture(scope="module")
def five(server: RunningServer) -> str:
    """A namespace with m0 … m4, and its path."""
    server.raw("POST", "/api/v1/namespaces", {"metadata": {"name": "five"}})
    path = "/api/v1/namespaces/five/configmaps"
    for number in range(5):
        labels = {"even": str(number % 2 == 0).lower(), "number": str(number)}
        server.raw("POST", path, {"metadata": {"name": f"m{number}", "labels": labels}})
    return path


@pytest.mark.parametrize(("query", "count"), ACCEPTED, ids=[row[0] or "none" for row in ACCEPTED])
def test_accepted(server: RunningServer, five: str, query: str, count: int) -> None:
    answer = server.raw("GET", f"{five}?{quote(query, safe='=&%')}")
    assert answer.status == 200, answer.body
    assert len(answer.json["items"]) == count
    assert answer.json["kind"] == "ConfigMapList" and int(answer.json["metadata"]["resourceVersion"])


@pytest.mark.parametrize(
    ("query", "remaining"),
    [
        ("limit=2", 3),
        ("limit=5", None),
        ("limit=2&labelSelector=number", None),  # what selectors leave is not counted
        ("limit=2&fieldSelector=metadata.name!=m9", None),
    ],
)
def test_what_remains_is_told_of_whole_lists_only(
    server: RunningServer, five: str, query: str, remaining: int | None
) -> None:
    metadata = server.raw("GET", f"{five}?{quote(query, safe='=&%')}").json["metadata"]
    assert metadata.get("remainingItemCount") == remaining
    assert ("continue" in metadata) is (query != "limit=5")


def test_a_revision_the_server_has_not_reached(server: RunningServer) -> None:
    query = "?resourceVersion=999999999"
    targets = [f"/api/v1/configmaps{query}{match}" for match in ("", "&resourceVersionMatch=NotOlderThan")]
    targets += [f"/api/v1/configmaps{query}&resourceVersionMatch=Exact", f"/api/v1/namespaces/default{query}"]
    with ThreadPoolExecutor(len(targets)) as pool:  # each is waited for, three seconds
        answers = list(pool.map(lambda target: server.raw("GET", target), targets))
    for answer in answers:
        assert (answer.status, answer.reason) == (504, "Timeout")
        assert answer.message.startswith("Timeout: Too large resource version: 999999999, current: ")
        assert answer.headers["retry-after"] == "1"
        assert answer.json["details"] == {
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        }


def test_a_revision_that_is_forgotten(server: RunningServer, five: str) -> None:
    old = server.raw("GET", five).json["metadata"]["resourceVersion"]
    for _ in range(2):
        server.raw("PATCH", f"{five}/m0", {"data": {"x": old}}, {"Content-Type": "application/merge-patch+json"})
        server.raw("PATCH", f"{five}/m0", {"data": {"x": ""}}, {"Content-Type": "application/merge-patch+json"})
    exact = f"{five}?resourceVersion={old}&resourceVersionMatch=Exact"
    past = server.raw("GET", f"{exact}&limit=2").json
    assert past["metadata"]["resourceVersion"] == old and past["metadata"]["remainingItemCount"] == 3
    assert "data" not in past["items"][0]
    server.compact()
    for target in (exact, f"{five}?resourceVersion={old}&limit=1"):
        answer = server.raw("GET", target)
        assert (answer.status, answer.reason) == (410, "Expired")
        assert answer.message == "The resourceVersion for the provided list is too old."
    assert server.raw("GET", f"{five}?resourceVersion={old}").status == 200
