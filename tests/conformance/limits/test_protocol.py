"""What clients send: client-go, the Python, Java and JavaScript clients, curl, and some that are broken."""

from __future__ import annotations

import json
import re

import pytest

from tests.conformance.api.running import RunningServer
from tests.conformance.limits.wire import Wire, wire

DEFAULT = "/api/v1/namespaces/default"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def _get(target: str, *headers: str, version: str = "1.1", method: str = "GET") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: api.test", *headers, "", ""]
    return "\r\n".join(lines).encode()


def _post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: api.test", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def _map(name: str) -> bytes:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}).encode()


def test_the_headers_of_an_answer(server: RunningServer) -> None:
    with wire(server) as on:
        on.send(_get(DEFAULT))
        answer = on.answer()
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-cache, private"
    assert UUID.fullmatch(answer.headers["audit-id"])
    assert answer.headers["date"].endswith(" GMT")
    assert int(answer.headers["content-length"]) == len(answer.body)
    for name in ("flowschema", "prioritylevel"):
        assert UUID.fullmatch(answer.headers[f"x-kubernetes-pf-{name}-uid"])


def test_an_audit_id_that_is_given_is_kept(server: RunningServer) -> None:
    with wire(server) as on:
        on.send(_get(DEFAULT, "Audit-ID: 3a8d7b5e-0000-4000-8000-1234567890ab"))
        assert on.answer().headers["audit-id"] == "3a8d7b5e-0000-4000-8000-1234567890ab"


@pytest.mark.parametrize(
    ("request_bytes", "status", "said"),
    [
        pytest.param(_get("/api/v1/namespaces/%64efault"), 200, '"name":"default"', id="percent-encoded name"),
        pytest.param(_get(f"https://api.test{DEFAULT}"), 200, '"name":"default"', id="absolute form"),
        pytest.param(_get(f"{DEFAULT}/"), 200, '"name":"default"', id="trailing slash"),
        pytest.param(_get(f"/{DEFAULT}"), 404, "404 page not found", id="double slash at the start"),
        pytest.param(_get("/api/v1//namespaces/default"), 404, "", id="double slash inside"),
        pytest.param(_get("/nope"), 404, "404 page not found\n", id="unknown path"),
        pytest.param(
            _get("/apis/nope.io/v1/things"), 404, "the server could not find the requested resource", id="unknown group"
        ),
        pytest.param(_get(f"{DEFAULT}/configmaps/%2e%2e"), 404, "not found", id="a name that would climb"),
        pytest.param(_get(f"{DEFAULT}/configmaps/a%00b"), 404, "not found", id="a name with a zero byte"),
        pytest.param(_get("/api/v1/names%zz"), 400, "invalid URL escape", id="broken percent-encoding"),
        pytest.param(_get(f"{DEFAULT}?pretty=%zz&x"), 200, "", id="broken percent-encoding in the query"),
        pytest.param(_get("/api/v1/pods", method="OPTIONS"), 405, "does not allow this method", id="OPTIONS"),
        pytest.param(_get("/api/v1/pods", method="TRACE"), 405, "does not allow this method", id="TRACE"),
        pytest.param(_get(DEFAULT, method="get"), 400, "", id="lower-case method"),
        pytest.param(_get(DEFAULT, "Accept: */*;q=0.8"), 200, '"kind":"Namespace"', id="Accept with quality"),
        pytest.param(
            _get(DEFAULT, "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            200,
            "Namespace",
            id="Accept of a browser",
        ),
        pytest.param(
            _get(DEFAULT, "Accept: application/vnd.kubernetes.protobuf, application/json"),
            200,
            '"kind":"Namespace"',
            id="Accept of client-go",
        ),
        pytest.param(_get(DEFAULT, "Accept: application/json;charset=utf-8"), 200, "", id="Accept with charset"),
        pytest.param(_get(DEFAULT, "Accept: image/png"), 406, "406: Not Acceptable", id="Accept of nothing"),
        pytest.param(_get(DEFAULT, "Accept-Encoding: br;q=1.0, zstd"), 200, '"kind"', id="encodings we have not"),
        pytest.param(_get(DEFAULT, "Content-Length: 2") + b"{}", 200, "Namespace", id="GET with a body"),
        pytest.param(_get(DEFAULT, "Connection: Upgrade", "Upgrade: h2c"), 200, "", id="h2c is passed by"),
        pytest.param(_get(DEFAULT, "Authorization: Basic YTpi"), 200, "", id="a certificate goes before a password"),
        pytest.param(_get(f"{DEFAULT}?timeout=soon"), 400, "invalid timeout specified in", id="a timeout"),
        pytest.param(_get(f"{DEFAULT}?timeout=32s"), 200, "", id="timeout of client-go"),
        pytest.param(_get("/api/v1/pods?limit=x"), 400, "", id="a limit that is no number"),
        pytest.param(_get("/livez"), 200, "ok", id="livez"),
        pytest.param(_get("/readyz/"), 200, "ok", id="readyz with a slash"),
        pytest.param(_get("/healthz?verbose"), 200, "[+]etcd ok", id="healthz in many words"),
        pytest.param(_get("/readyz/etcd-readiness"), 200, "ok", id="one check"),
        pytest.param(_get("/livez/nope"), 404, "404 page not found", id="a check there is not"),
    ],
)
def test_what_is_asked_and_answered(server: RunningServer, request_bytes: bytes, status: int, said: str) -> None:
    with wire(server) as on:
        on.send(request_bytes)
        answer = on.answer()
    assert (answer.status, said in answer.body.decode()) == (status, True), answer.body


@pytest.mark.parametrize(
    ("request_bytes", "status", "said"),
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, "400 Bad Request: missing required Host header", id="no Host"),
        pytest.param(b"NONSENSE\r\n\r\n", 400, "400 Bad Request", id="no HTTP"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "400 Bad Request", id="HTTP/2 that nobody agreed on"),
        pytest.param(_get("/", "X: " + "y" * 600_000), 431, "431 Request Header Fields Too Large", id="a large header"),
        pytest.param(_get("/" + "y" * 600_000), 431, "431 Request Header Fields Too Large", id="a long URI"),
        pytest.param(_post("/", b"", "Content-Length: 1", "Content-Length: 2"), 400, "", id="two lengths"),
        pytest.param(_post("/", b"", "Content-Length: -1"), 400, "", id="a negative length"),
        pytest.param(
            _post("/", b"0\r\n\r\n", "Content-Length: 4", "Transfer-Encoding: chunked"), 400, "", id="length and chunks"
        ),
        pytest.param(_post("/", b"", "Content-Length: 1", "Expect: wonders"), 417, "417", id="unknown expectation"),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(
    server: RunningServer, request_bytes: bytes, status: int, said: str
) -> None:
    with wire(server) as on:
        on.send(request_bytes)
        answer = on.answer()
        assert (answer.status, said in answer.body.decode()) == (status, True), answer.body
        assert answer.headers["connection"] == "close"
        assert on.ended()


def test_a_body_in_chunks(server: RunningServer, namespace: str) -> None:
    body = _map("chunks")
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:])) + b"0\r\n\r\n"
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    with wire(server) as on:
        on.send(_post(path, chunks, "Content-Type: application/json; charset=utf-8", "Transfer-Encoding: chunked"))
        assert on.answer("POST").status == 201


def test_a_client_that_waits_to_be_told_to_go_on(server: RunningServer, namespace: str) -> None:
    body = _map("expected")
    with wire(server) as on:
        on.send(
            _post(
                f"/api/v1/namespaces/{namespace}/configmaps",
                b"",
                "Content-Type: application/json",
                f"Content-Length: {len(body)}",
                "Expect: 100-continue",
            )
        )
        assert on.answer("POST").status == 100
        on.send(body)
        assert on.answer("POST").status == 201


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("", 201),
        ("application/json", 201),
        ("application/json; charset=UTF-8", 201),
        ("Application/JSON", 201),
        ("*/*", 415),
        ("text/plain", 415),
        ("application/xml", 415),
    ],
)
def test_content_types(server: RunningServer, namespace: str, content_type: str, status: int) -> None:
    body = _map("typed")
    lines = [f"Content-Length: {len(body)}", *([f"Content-Type: {content_type}"] if content_type else [])]
    with wire(server) as on:
        on.send(_post(f"/api/v1/namespaces/{namespace}/configmaps", body, *lines))
        answer = on.answer("POST")
    assert answer.status == status, answer.body
    if status == 415:
        assert answer.reason == "UnsupportedMediaType"
        assert answer.message.startswith(
            "the body of the request was in an unknown format - accepted media types include:"
        )


def test_a_body_in_an_encoding_we_have_not_is_malformed(server: RunningServer, namespace: str) -> None:
    body = b"\x1f\x8b\x08\x00garbage"
    with wire(server) as on:
        lines = ("Content-Type: application/json", "Content-Encoding: gzip", f"Content-Length: {len(body)}")
        on.send(_post(f"/api/v1/namespaces/{namespace}/configmaps", body, *lines))
        answer = on.answer("POST")
    assert (answer.status, answer.reason) == (400, "BadRequest")


def test_pipelined_requests_are_answered_in_order(server: RunningServer, namespace: str) -> None:
    body = _map("piped")
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    made = _post(path, body, "Content-Type: application/json", f"Content-Length: {len(body)}")
    with wire(server) as on:
        on.send(made + _get(f"{path}/piped") + _get("/livez"))
        assert [on.answer(method).status for method in ("POST", "GET", "GET")] == [201, 200, 200]


def test_head_has_headers_only(server: RunningServer) -> None:
    """Resources have no HEAD, as upstream's have none; documents do."""
    with wire(server) as on:
        on.send(_get("/version", method="HEAD") + _get(DEFAULT, method="HEAD") + _get("/livez"))
        head = on.answer("HEAD")
        assert (head.status, head.body) == (200, b"")
        assert int(head.headers["content-length"]) > 100
        assert on.answer("HEAD").status == 405
        assert on.answer().body == b"ok"


def test_the_connection_ends_when_the_client_says_so(server: RunningServer) -> None:
    with wire(server) as on:
        on.send(_get(DEFAULT, "Connection: close"))
        answer = on.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert on.ended()


def test_old_clients(server: RunningServer) -> None:
    with wire(server) as on:
        on.send(f"GET {DEFAULT} HTTP/1.0\r\n\r\n".encode())
        assert on.answer().status == 200
        assert on.ended()
    with wire(server) as on:
        on.send(f"GET {DEFAULT}/pods?watch=1&timeoutSeconds=1&resourceVersion=0 HTTP/1.0\r\n\r\n".encode())
        answer = on.answer()
        assert answer.status == 200
        assert "transfer-encoding" not in answer.headers


def test_who_shows_nothing_and_who_shows_nonsense(server: RunningServer) -> None:
    with wire(server, certificate=False) as on:
        on.send(_get(DEFAULT))
        answer = on.answer()
        assert (answer.status, answer.reason) == (403, "Forbidden")
        assert 'User "system:anonymous" cannot get resource "namespaces"' in answer.message
        for _ in range(50):
            on.send(_get(DEFAULT, "Authorization: Bearer eyJhbGciOiJFUzI1NiJ9.e30.nonsense"))
            answer = on.answer()
            assert (answer.status, answer.reason, answer.message) == (401, "Unauthorized", "Unauthorized")


def test_many_requests_on_one_connection(server: RunningServer) -> None:
    with wire(server) as on:
        for _ in range(200):
            on.send(_get("/version"))
            assert _version(on) == "1"


def _version(on: Wire) -> str:
    return str(on.answer().json["major"])
