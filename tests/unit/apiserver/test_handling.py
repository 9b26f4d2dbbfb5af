"""Around every request: identity, limits, errors, health, metrics."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.unit.apiserver.harness import ADMIN, Api, config_map, make_server, settle
from tiphys.base.http.messages import PeerIdentity
from tiphys.store.backend import WriteFailed

CMS = "/api/v1/namespaces/default/configmaps"


async def test_every_answer_has_an_audit_id(api: Api) -> None:
    first, second = await api.call("GET", CMS), await api.call("GET", "/nope")
    assert first.headers[b"audit-id"] != second.headers[b"audit-id"]
    assert len(first.headers[b"audit-id"]) == 36
    given = await api.call("GET", CMS, headers={"Audit-Id": "mine"})
    assert given.headers[b"audit-id"] == b"mine"


async def test_reads_are_answered_without_a_task(api: Api) -> None:
    await api.create(CMS, config_map("a"))
    answer = api.start("GET", f"{CMS}/a")
    assert answer.status == 200


async def test_a_read_waits_for_what_is_committed(api: Api) -> None:
    cache = api.server.feed
    cache.revision -= 1
    answer = api.start("GET", CMS)
    assert not hasattr(answer, "status")
    waiting = asyncio.ensure_future(answer)
    await settle()
    assert not waiting.done()
    cache._advance(cache.revision + 1)
    assert (await waiting).status == 200


async def test_anonymous_and_unauthorized(api: Api) -> None:
    anonymous = await api.call("GET", CMS, peer=None)
    assert (anonymous.status, anonymous.body["reason"]) == (403, "Forbidden")
    assert (await api.call("GET", "/healthz", peer=None)).status == 200
    stranger = await api.call("GET", CMS, peer=PeerIdentity("jane", (), "cc"))
    assert 'User "jane" cannot list resource "configmaps"' in stranger.body["message"]


async def test_too_many_requests() -> None:
    server, clock = make_server(max_requests_inflight=0, max_mutating_requests_inflight=0)
    await server.start()
    api, jane = Api(server, clock), PeerIdentity("jane", (), "cc")
    binding = {
        "metadata": {"name": "jane"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}],
    }
    await api.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    server.context.backend.put = _stuck  # type: ignore[method-assign]
    first = asyncio.ensure_future(api.call("POST", CMS, config_map("a"), peer=jane))
    await settle()
    others = [asyncio.ensure_future(api.call("POST", CMS, config_map("a"), peer=jane)) for _ in range(400)]
    await settle()
    refused = [one.result() for one in others if one.done()]
    assert len(refused) == 400 - 6 * 50
    assert {(one.status, one.body["reason"], one.headers[b"retry-after"]) for one in refused} == {
        (429, "TooManyRequests", b"1")
    }
    # A read that needs no waiting holds nothing up, and administrators are exempt.
    assert (await api.call("GET", CMS, peer=jane)).status == 200
    admin = asyncio.ensure_future(api.call("POST", CMS, config_map("b")))
    await settle()
    assert not admin.done()
    for one in (first, admin, *others):
        one.cancel()
    await asyncio.gather(first, admin, *others, return_exceptions=True)
    assert not server.flow_control.seats.borrowing
    await api.close()


async def test_answers_tell_their_flow(api: Api) -> None:
    schemas = await api.get("/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas")
    levels = await api.get("/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations")
    uids = {item["metadata"]["name"]: item["metadata"]["uid"].encode() for item in schemas["items"]}
    level_uids = {item["metadata"]["name"]: item["metadata"]["uid"].encode() for item in levels["items"]}
    answer = await api.call("GET", CMS)
    assert answer.headers[b"x-kubernetes-pf-flowschema-uid"] == uids["exempt"]
    assert answer.headers[b"x-kubernetes-pf-prioritylevel-uid"] == level_uids["exempt"]
    refused = await api.call("GET", CMS, peer=PeerIdentity("jane", (), "cc"))
    assert (refused.status, refused.headers[b"x-kubernetes-pf-flowschema-uid"]) == (403, uids["global-default"])
    probe = await api.call("GET", "/healthz", peer=None)
    assert probe.headers[b"x-kubernetes-pf-flowschema-uid"] == uids["probes"]


async def test_the_timeout_of_the_query_counts(api: Api) -> None:
    backend = api.server.context.backend
    put, backend.put = backend.put, _stuck  # type: ignore[method-assign]
    answer = await api.call("POST", f"{CMS}?timeout=10ms", config_map("a"))
    assert (answer.status, answer.body["reason"]) == (504, "Timeout")
    assert answer.body["message"] == "Timeout: request did not complete within the allotted timeout"
    backend.put = put  # type: ignore[method-assign]
    for text, said in (
        ("soon", 'invalid duration \\"soon\\"'),
        ("5", 'missing unit in duration \\"5\\"'),
        ("5y", 'unknown unit \\"y\\" in duration \\"5y\\"'),
    ):
        wrong = await api.call("GET", f"{CMS}?timeout={text}")
        assert wrong.status == 400
        assert said in wrong.response.body.decode()
    assert (await api.call("GET", f"{CMS}?timeout=1h1m1.5s")).status == 200
    assert (await api.call("GET", f"{CMS}?timeout=0")).status == 200


async def test_a_request_has_a_time_limit() -> None:
    server, clock = make_server(request_timeout_seconds=0.01)
    await server.start()
    api = Api(server, clock)
    server.context.backend.put = _stuck  # type: ignore[method-assign]
    answer = await api.call("POST", CMS, config_map("a"))
    assert (answer.status, answer.body["reason"]) == (504, "Timeout")
    await api.close()


async def _stuck(*arguments: Any, **options: Any) -> Any:
    await asyncio.Event().wait()


async def test_a_write_that_fails_is_an_error(api: Api) -> None:
    api.server.context.backend.put = _full  # type: ignore[method-assign]
    answer = await api.call("POST", CMS, config_map("a"))
    assert (answer.status, answer.body["reason"]) == (500, "InternalError")


async def _full(*arguments: Any, **options: Any) -> Any:
    raise WriteFailed("database or disk is full")


async def test_health(api: Api) -> None:
    assert (await api.call("GET", "/livez")).response.body == b"ok"
    verbose = (await api.call("GET", "/readyz?verbose")).response.body.decode()
    assert "[+]shutdown ok" in verbose and verbose.endswith("readyz check passed\n")
    assert (await api.call("GET", "/livez/ping")).status == 200
    assert (await api.call("GET", "/livez/nope")).status == 404
    assert "[+]poststarthook/rbac/bootstrap-roles ok" in verbose and "[+]etcd-readiness ok" in verbose
    unknown = (await api.call("GET", "/livez?verbose&exclude=a&exclude=ping")).response.body.decode()
    assert 'warn: some health checks cannot be excluded: no matches for "a"' in unknown
    assert "[+]ping excluded: ok" in unknown
    api.server.health.shutting_down = True
    failing = await api.call("GET", "/readyz/shutdown")
    assert failing.response.body == b"internal server error: process is shutting down\n"
    assert (await api.call("GET", "/readyz")).status == 500
    assert (await api.call("GET", "/livez")).status == 200
    assert (await api.call("GET", "/readyz?exclude=shutdown")).status == 200


async def test_a_server_that_ends_asks_to_come_back(api: Api) -> None:
    backend = api.server.context.backend
    release = asyncio.Event()
    put = backend.put

    async def slow(*arguments: Any, **options: Any) -> Any:
        await release.wait()
        return await put(*arguments, **options)

    backend.put = slow  # type: ignore[method-assign]
    under_way = asyncio.ensure_future(api.call("POST", CMS, config_map("a")))
    await settle()
    draining = asyncio.ensure_future(api.server.handler.drain(60))  # type: ignore[attr-defined]
    await settle()
    refused = (await api.call("GET", CMS)).response
    assert refused.body == b"The apiserver is shutting down, please try again later.\n"
    assert (refused.status, dict(refused.headers)[b"Retry-After"]) == (429, b"5")
    assert (b"Connection", b"close") in refused.headers
    assert (await api.call("GET", "/livez")).status == 200
    assert not draining.done()
    release.set()
    assert (await under_way).status == 201
    await draining


async def test_metrics_count_requests(api: Api) -> None:
    await api.call("GET", CMS)
    text = (await api.call("GET", "/metrics")).response.body.decode()
    line = next(t for t in text.splitlines() if 'resource="configmaps"' in t and "request_total" in t)
    assert 'apiserver_current_inflight_requests{request_kind="readOnly"}' in text
    assert 'apiserver_flowcontrol_dispatched_requests_total{priority_level="exempt"}' in text
    assert 'verb="LIST"' in line and line.endswith(" 1.0")


async def test_version_and_index(api: Api) -> None:
    assert (await api.get("/version"))["minor"] == "36"
    assert await api.get("/version/") == await api.get("/version")
    assert (await api.get("/apis/"))["kind"] == "APIGroupList"
    assert {"/api/v1", "/apis/apps/v1", "/openapi/v3", "/readyz"} <= set((await api.get("/"))["paths"])


async def test_a_restart_finds_everything(api: Api) -> None:
    await api.create(CMS, config_map("a"))
    before = await api.get(CMS)
    server, _ = make_server()
    server.feed._backend = api.server.context.backend
    await server.feed.start()
    cache = server.feed.caches["", "configmaps"]
    assert [obj.key for obj in cache.in_namespace("default")] == ["default/a"]
    assert server.feed.revision == int(before["metadata"]["resourceVersion"])
    await server.feed.close()


async def test_requests_act_for_others(api: Api) -> None:
    headers = {"Impersonate-User": "jane"}
    assert (await api.call("GET", CMS, headers=headers)).status == 403
    assert (await api.call("GET", CMS, headers={**headers, "Impersonate-Group": "system:masters"})).status == 200
    jane = PeerIdentity("jane", (), "dd")
    assert (await api.call("GET", CMS, peer=jane, headers={"Impersonate-User": "x"})).status == 403
    assert ADMIN.organizations == ("system:masters",)


async def test_what_a_cluster_needs_comes_back(api: Api) -> None:
    services = "/api/v1/namespaces/default/services/kubernetes"
    await api.call("DELETE", services)
    assert (await api.call("GET", services)).status == 404
    await settle()
    await api.clock.advance(1.0)
    assert (await api.get(services))["spec"]["clusterIP"] == "10.96.0.1"
