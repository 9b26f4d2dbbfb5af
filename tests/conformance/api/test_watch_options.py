"""What watches answer to their options: refused, begun with an error, or served."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.conformance.api.running import RunningServer

INVALID = 'ListOptions.meta.k8s.io "" is invalid: '
REQUIRES = "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
UNLESS = (
    "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
)
WITH_TOKEN = "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided"
UNKNOWN = 'resourceVersionMatch: Unsupported value: "{}": supported values: "NotOlderThan"'
UNSIGNED = 'resourceVersion: Invalid value: "{0}": strconv.ParseUint: parsing "{0}": invalid syntax'
STREAMS = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
INITIAL_END = "k8s.io/initial-events-end"

REFUSED = [
    ("sendInitialEvents=true", 422, "Invalid", INVALID + REQUIRES),
    ("sendInitialEvents=false", 422, "Invalid", INVALID + REQUIRES),
    ("sendInitialEvents", 422, "Invalid", INVALID + REQUIRES),
    ("sendInitialEvents=true&resourceVersion=1", 422, "Invalid", INVALID + REQUIRES),
    (
        *("sendInitialEvents=true&resourceVersionMatch=Exact", 422, "Invalid"),
        f"{INVALID}[{REQUIRES}, {UNKNOWN.format('Exact')}]",
    ),
    ("resourceVersionMatch=NotOlderThan", 422, "Invalid", INVALID + UNLESS),
    ("resourceVersionMatch=NotOlderThan&resourceVersion=0", 422, "Invalid", INVALID + UNLESS),
    ("resourceVersionMatch=Exact", 422, "Invalid", f"{INVALID}[{UNLESS}, {UNKNOWN.format('Exact')}]"),
    (
        *("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&continue=x", 422, "Invalid"),
        INVALID + WITH_TOKEN,
    ),
    ("resourceVersion=abc", 500, "", UNSIGNED.format("abc")),
    ("resourceVersion=-5", 500, "", UNSIGNED.format("-5")),
    ("timeoutSeconds=x", 400, "BadRequest", 'strconv.ParseInt: parsing "x": invalid syntax'),
    ("limit=x", 400, "BadRequest", 'strconv.ParseInt: parsing "x": invalid syntax'),
    ("labelSelector=a===b", 400, "BadRequest", "unable to parse requirement: found '=', expected: identifier"),
    (
        *("fieldSelector=data=x", 400, "BadRequest"),
        '"data" is not a known field selector: only "metadata.name", "metadata.namespace"',
    ),
]


@pytest.mark.parametrize(("query", "code", "reason", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(server: RunningServer, query: str, code: int, reason: str, message: str) -> None:
    for watch in ("watch=1", "watch=true", "watch=yes"):
        answer = server.raw("GET", f"/api/v1/configmaps?{watch}&{quote(query, safe='=&')}")
        assert (answer.status, answer.reason, answer.message) == (code, reason, message)


@pytest.fixture(scope="module")
def maps(server: RunningServer) -> str:
    """The path of the ConfigMaps of a namespace with two of them."""
    server.raw("POST", "/api/v1/namespaces", {"metadata": {"name": "watched"}})
    path = "/api/v1/namespaces/watched/configmaps"
    for name in ("a", "b"):
        assert server.raw("POST", path, {"metadata": {"name": name, "labels": {"l": name}}}).status == 201
    return path


def told(event: Any) -> str:
    metadata = event["object"].get("metadata", {})
    if event["type"] == "BOOKMARK":
        return "END" if metadata.get("annotations", {}).get(INITIAL_END) == "true" else "BOOKMARK"
    return f"{event['type']} {metadata.get('name', '')}"


NOT_OLDER = "&resourceVersionMatch=NotOlderThan"
SERVED = [
    # options, what comes first; then "c" is made
    ("", ["ADDED a", "ADDED b", "ADDED c"]),
    ("resourceVersion=0", ["ADDED a", "ADDED b", "ADDED c"]),
    ("resourceVersion=NOW", ["ADDED c"]),
    # Streaming lists are on: also a watch that says nothing of them is told where its state ends.
    ("allowWatchBookmarks=true", ["ADDED a", "ADDED b", "END", "ADDED c"]),
    ("allowWatchBookmarks=true&resourceVersion=0", ["ADDED a", "ADDED b", "END", "ADDED c"]),
    ("allowWatchBookmarks=true&resourceVersion=NOW", ["ADDED c"]),
    (f"sendInitialEvents=true{NOT_OLDER}", ["ADDED a", "ADDED b", "ADDED c"]),
    (f"sendInitialEvents=true{NOT_OLDER}&allowWatchBookmarks=true", ["ADDED a", "ADDED b", "END", "ADDED c"]),
    (
        f"sendInitialEvents=true{NOT_OLDER}&allowWatchBookmarks=1&resourceVersion=NOW",
        ["ADDED a", "ADDED b", "END", "ADDED c"],
    ),
    (f"sendInitialEvents=false{NOT_OLDER}&allowWatchBookmarks=true", ["ADDED c"]),
    (f"sendInitialEvents=false{NOT_OLDER}&resourceVersion=0", ["ADDED c"]),
    ("labelSelector=l=a&allowWatchBookmarks=true", ["ADDED a", "END"]),
    ("labelSelector=l!=a&resourceVersion=0", ["ADDED b", "ADDED c"]),
    ("fieldSelector=metadata.name=c", ["ADDED c"]),
    ("fieldSelector=metadata.name!=a", ["ADDED b", "ADDED c"]),
    ("limit=1", ["ADDED a", "ADDED b", "ADDED c"]),
]


@pytest.mark.parametrize(("query", "expected"), SERVED, ids=[row[0] or "none" for row in SERVED])
def test_served(server: RunningServer, maps: str, query: str, expected: list[str]) -> None:
    now = server.raw("GET", maps).json["metadata"]["resourceVersion"]
    path = f"{maps}?watch=1&{quote(query.replace('NOW', now), safe='=&')}"
    with server.watch(path) as stream:
        assert stream.status == 200 and stream.response.getheader("Content-Type") == "application/json"
        try:
            created = server.raw("POST", maps, {"metadata": {"name": "c"}}).json
            events = [stream.next() for _ in expected]
            assert [told(event) for event in events] == expected
            if "END" in expected:
                end = events[expected.index("END")]["object"]
                assert (end["kind"], end["apiVersion"]) == ("ConfigMap", "v1")
                assert int(end["metadata"]["resourceVersion"]) >= int(now)
            if expected[-1] == "ADDED c":
                assert events[-1]["object"]["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]
        finally:
            server.raw("DELETE", f"{maps}/c")


def test_the_time_is_over_after_a_last_bookmark(server: RunningServer, maps: str) -> None:
    with server.watch(f"{maps}?watch=1&timeoutSeconds=3&allowWatchBookmarks=true&resourceVersion=0") as stream:
        made = server.raw("POST", maps, {"metadata": {"name": "late"}}).json["metadata"]["resourceVersion"]
        events = stream.rest()
    server.raw("DELETE", f"{maps}/late")
    assert [told(event) for event in events] == ["ADDED a", "ADDED b", "END", "ADDED late", "BOOKMARK"]
    assert int(events[-1]["object"]["metadata"]["resourceVersion"]) >= int(made)


@pytest.mark.parametrize("seconds", ["-1", "1"])
def test_a_short_time(server: RunningServer, maps: str, seconds: str) -> None:
    path = f"{maps}?watch=1&timeoutSeconds={seconds}&allowWatchBookmarks=true&resourceVersion=0"
    with server.watch(path) as stream:
        assert [told(event) for event in stream.rest()] in (["ADDED a", "ADDED b", "END"], [])


def test_a_version_that_is_forgotten_is_an_event_of_type_error(server: RunningServer, maps: str) -> None:
    def forget(running: Any) -> None:
        history = running.feed.caches["", "configmaps"].history
        history.complete_after = running.feed.revision

    async def done(running: Any) -> None:
        forget(running)

    server.call(done)
    with server.watch(f"{maps}?watch=1&resourceVersion=1") as stream:
        (event,) = stream.rest()
    status = event["object"]
    assert (event["type"], status["code"], status["reason"]) == ("ERROR", 410, "Expired")
    assert status["message"].startswith("too old resource version: 1 (")


def test_state_of_a_version_to_come_is_an_event_of_type_error(server: RunningServer, maps: str) -> None:
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=999999999"
    with server.watch(f"{maps}?{query}") as stream:
        (event,) = stream.rest()
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 504, "Timeout")
    assert event["object"]["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/api/v1/watch/namespaces/watched/configmaps", ["a", "b"]),
        ("/api/v1/watch/namespaces/watched/configmaps/b", ["b"]),
        ("/api/v1/namespaces/watched/configmaps/b?watch=1", ["b"]),
        ("/api/v1/watch/configmaps?labelSelector=l+in+(a,b)", ["a", "b"]),
        ("/api/v1/watch/namespaces/watched", ["watched"]),
    ],
)
def test_paths_of_old_and_of_one_object(server: RunningServer, maps: str, path: str, names: list[str]) -> None:
    with server.watch(path) as stream:
        assert [stream.next()["object"]["metadata"]["name"] for _ in names] == names


def test_a_name_and_a_selector_of_another(server: RunningServer) -> None:
    answer = server.raw("GET", "/api/v1/watch/namespaces/default/configmaps/a?fieldSelector=metadata.name%3Db")
    assert (answer.status, answer.message) == (400, "fieldSelector metadata.name doesn't match requested name")


@pytest.mark.parametrize("accept", ["application/yaml", "application/yaml;q=0.9,application/json;q=0.1"])
def test_events_are_not_told_in_yaml(server: RunningServer, accept: str) -> None:
    answer = server.raw("GET", "/api/v1/configmaps?watch=1", headers={"Accept": accept})
    assert (answer.status, answer.headers["content-type"]) == (406, "application/yaml")
    assert f"only the following media types are accepted: {STREAMS}" in answer.body.decode()


def test_methods_that_are_no_watch(server: RunningServer) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
        assert server.raw(method, "/api/v1/watch/configmaps").status == 405
    for method in ("HEAD", "OPTIONS"):
        assert server.raw(method, "/api/v1/configmaps").status == 405
