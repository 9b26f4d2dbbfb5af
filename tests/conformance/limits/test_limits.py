"""How much of anything a request may have."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.api.running import Answer, RunningServer
from tests.conformance.limits.wire import wire

LIMIT_BYTES = 3 * 1024 * 1024
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
Raw = Callable[..., Answer]


def _map(name: str, text: str = "") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": text}}


@pytest.mark.parametrize(
    "framing", [f"Content-Length: {LIMIT_BYTES + 1}", "Transfer-Encoding: chunked"], ids=["announced", "in chunks"]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_body_over_three_megabytes(server: RunningServer, method: str, framing: str) -> None:
    with wire(server) as on:
        lines = [f"{method} /api/v1/namespaces/default/configmaps/a HTTP/1.1", "Host: api.test", framing, "", ""]
        on.send("\r\n".join(lines).encode())
        if "chunked" in framing:
            chunk = b"%x\r\n%b\r\n" % (1 << 16, b" " * (1 << 16))
            for _ in range(LIMIT_BYTES // (1 << 16) + 1):
                on.send(chunk)
        answer = on.answer(method)
        assert (answer.status, answer.reason) == (413, "RequestEntityTooLarge")
        assert answer.message == f"Request entity too large: limit is {LIMIT_BYTES}"
        assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("who", ["nobody", "somebody unknown", "somebody without rights"])
@pytest.mark.parametrize("framing", ["Content-Length: 3000000", "Transfer-Encoding: chunked", "Expect: 100-continue"])
def test_a_body_of_those_who_may_not_is_not_read(server: RunningServer, who: str, framing: str) -> None:
    known = who == "somebody without rights"
    lines = ["POST /api/v1/namespaces/default/configmaps HTTP/1.1", "Host: api.test", "Content-Type: application/json"]
    if framing.startswith("Expect"):
        lines.append("Content-Length: 10")
    if known:
        lines.append("Impersonate-User: jane")
    elif who == "somebody unknown":
        lines.append("Authorization: Bearer nonsense")
    with wire(server, certificate=known) as on:
        on.send("\r\n".join([*lines, framing, "", ""]).encode())
        answer = on.answer("POST")
        status, reason = (401, "Unauthorized") if who == "somebody unknown" else (403, "Forbidden")
        assert (answer.status, answer.reason) == (status, reason)
        assert answer.headers["connection"] == "close" and answer.headers["audit-id"]
        if known:
            words = 'configmaps is forbidden: User "jane" cannot create resource "configmaps" in API group "" in the '
            assert answer.message == words + 'namespace "default"'


def test_a_large_body_of_those_who_may_is_asked_for(server: RunningServer, namespace: str) -> None:
    body = json.dumps(_map("asked-for", "x" * 100_000)).encode()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    head = [f"POST {path} HTTP/1.1", "Host: api.test", "Content-Type: application/json", "Expect: 100-continue"]
    with wire(server) as on:
        on.send("\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode())
        assert on.answer().status == 100
        on.send(body)
        assert on.answer("POST").status == 201


def test_a_body_just_below_it_is_read(raw: Raw, namespace: str) -> None:
    body = json.dumps(_map("large", "x" * 1000)).encode()
    padded = body + b" " * (LIMIT_BYTES - len(body))
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    assert raw("POST", path, padded, {"Content-Type": "application/json"}).status == 201
    too_much = raw("POST", path, _map("huge", "x" * ((1 << 20) + 1)))
    assert (too_much.status, too_much.reason) == (422, "Invalid")
    assert "Too long: may not be more than 1048576 bytes" in too_much.message


@pytest.mark.parametrize(
    ("method", "content_type"),
    [
        ("POST", "application/json"),
        ("PUT", "application/json"),
        ("PATCH", "application/merge-patch+json"),
        ("PATCH", "application/strategic-merge-patch+json"),
        ("PATCH", "application/json-patch+json"),
        ("PATCH", "application/apply-patch+yaml"),
    ],
)
def test_nesting_is_bounded(raw: Raw, namespace: str, method: str, content_type: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    raw("POST", path, _map("deep"))
    deep = "[" * 20_000 + "]" * 20_000
    body = f'{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"deep"}},"data":{deep}}}'
    if content_type == "application/json-patch+json":
        body = f'[{{"op":"add","path":"/data","value":{deep}}}]'
    target = path if method == "POST" else f"{path}/deep?fieldManager=tests"
    answer = raw(method, target, body.encode(), {"Content-Type": content_type})
    assert (answer.status, answer.reason) == (400, "BadRequest"), answer.body[:300]


def test_operations_of_a_json_patch_are_bounded(raw: Raw, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    raw("POST", path, _map("patched"))
    operation = {"op": "test", "path": "/data/text", "value": ""}
    assert raw("PATCH", f"{path}/patched", [operation] * 10_000, JSON_PATCH).status == 200
    answer = raw("PATCH", f"{path}/patched", [operation] * 10_001, JSON_PATCH)
    assert (answer.status, answer.reason) == (413, "RequestEntityTooLarge")
    assert answer.message == (
        "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
    )


def test_copies_of_a_json_patch_are_bounded(raw: Raw, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    raw("POST", path, _map("copied", "x" * 100_000))
    copies = [{"op": "copy", "from": "/data/text", "path": f"/data/t{number}"} for number in range(100)]
    answer = raw("PATCH", f"{path}/copied", copies, JSON_PATCH)
    assert answer.status in (413, 422), answer.body[:300]


def test_parameters_of_a_query_are_bounded(raw: Raw) -> None:
    answer = raw("GET", "/api/v1/pods?" + "&".join(["a"] * 20_000))
    assert (answer.status, answer.message) == (400, "too many query parameters")


@pytest.mark.parametrize(
    ("target", "status", "message"),
    [
        (
            "/api/v1/pods?timeout=soon",
            400,
            'invalid timeout specified in the request URL - time: invalid duration "soon"',
        ),
        (
            "/api/v1/pods?timeout=10",
            400,
            'invalid timeout specified in the request URL - time: missing unit in duration "10"',
        ),
        (
            "/api/v1/pods?timeout=1y",
            400,
            'invalid timeout specified in the request URL - time: unknown unit "y" in duration "1y"',
        ),
    ],
)
def test_timeouts_that_are_none(raw: Raw, target: str, status: int, message: str) -> None:
    answer = raw("GET", target)
    assert (answer.status, answer.reason, answer.message) == (status, "BadRequest", message)


def test_names_metrics_go_by(raw: Raw) -> None:
    raw("GET", "/api/v1/namespaces/default")
    text = raw("GET", "/metrics").body.decode()
    for name in (
        'apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="namespaces"',
        "apiserver_request_duration_seconds_bucket{",
        "apiserver_request_duration_seconds_count{",
        'apiserver_current_inflight_requests{request_kind="mutating"}',
        "apiserver_longrunning_requests{",
        'apiserver_storage_objects{resource="pods"}',
        'apiserver_flowcontrol_nominal_limit_seats{priority_level="workload-low"}',
    ):
        assert name in text, name
