"""Groups that another server serves: a real one, over TLS, on a port of its own."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unit.apiserver.harness import Api, Watch, make_server
from tiphys.api.types.core_v1 import Service, ServicePort, ServiceSpec
from tiphys.api.types.discovery_v1 import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.apiserver.aggregation import backends as backends_module
from tiphys.apiserver.aggregation import published
from tiphys.apiserver.aggregation.backends import AVOID_SECONDS, Backends
from tiphys.apiserver.aggregation.endpoints import Address, Unresolved, resolve
from tiphys.apiserver.aggregation.published import Published
from tiphys.apiserver.aggregation.remotes import Remote
from tiphys.apiserver.bootstrap.front_proxy import merged
from tiphys.base.http.messages import PeerIdentity, Request, Response, StreamResponse, StreamWriter
from tiphys.base.http.server import HttpServer
from tiphys.base.http.tls import server_context
from tiphys.cmd.certificates import Authority, Identity, Profile

SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
NAME = "v1.flowers.example.com"
GROUP = "/apis/flowers.example.com"
ROSES = f"{GROUP}/v1/namespaces/default/roses"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@dataclass
class Flowers:
    """The other server. `seen` are the requests it got that were not about discovery."""

    server: HttpServer | None = None
    port: int = 0
    seen: list[Request] = field(default_factory=list)
    status: int = 200
    schemas: bytes = b""
    asked: list[bytes] = field(default_factory=list)

    def answer(self, request: Request) -> Response:
        if request.path == f"{GROUP}/v1":
            entry = {
                "name": "roses",
                "singularName": "rose",
                "namespaced": True,
                "kind": "Rose",
                "verbs": ["get", "list"],
            }
            document = {"kind": "APIResourceList", "groupVersion": "flowers.example.com/v1", "resources": [entry]}
            return Response(self.status, json.dumps(document).encode())
        if request.path == "/openapi/v3":
            url = {"serverRelativeURL": "/openapi/v3/apis/flowers.example.com/v1?hash=1"}
            return Response(200, json.dumps({"paths": {"apis/flowers.example.com/v1": url}}).encode())
        if request.path == "/openapi/v2":
            return self._openapi(request)
        self.seen.append(request)
        if request.query.get("watch"):
            return StreamResponse(self._watched)
        return Response(201 if request.method == "POST" else 200, json.dumps({"echo": request.method}).encode())

    def _openapi(self, request: Request) -> Response:
        """`asked` are the versions that the client said it has."""
        self.asked.append(request.headers.get(b"if-none-match"))
        if not self.schemas:
            return Response(404, b"")
        tag = f'"{hashlib.sha256(self.schemas).hexdigest()}"'.encode()
        if self.asked[-1] == tag:
            return Response(304, b"", "", ((b"ETag", tag),))
        return Response(200, self.schemas, headers=((b"ETag", tag),))

    async def _watched(self, writer: StreamWriter) -> None:
        for number in range(3):
            writer.write(json.dumps({"type": "ADDED", "object": {"number": number}}).encode() + b"\n")
            await writer.drain()
        await asyncio.Event().wait()


@dataclass
class Other:
    api: Api
    flowers: Flowers
    serving: Identity
    front: bytes
    ca: bytes

    async def start(self, port: int = 0) -> None:
        tls = server_context(self.serving.certificate, self.serving.key, client_ca=self.front)
        self.flowers.server = HttpServer(self.flowers.answer, tls=tls)
        self.flowers.port = await self.flowers.server.start("127.0.0.1", port)

    async def stop(self) -> None:
        if self.flowers.server is not None:
            await self.flowers.server.close(grace_seconds=0)
            self.flowers.server = None

    async def register(self, **spec: Any) -> None:
        """A Service that leads to the server, and an APIService to that."""
        service = {"type": "ExternalName", "externalName": "localhost"}
        await self.api.create("/api/v1/namespaces/default/services", {"metadata": {"name": "flowers"}, "spec": service})
        body = {
            "metadata": {"name": NAME},
            "spec": {
                "group": "flowers.example.com",
                "version": "v1",
                "groupPriorityMinimum": 1000,
                "versionPriority": 10,
                "service": {"name": "flowers", "namespace": "default", "port": self.flowers.port},
                "caBundle": base64.b64encode(self.ca).decode(),
                **spec,
            },
        }
        await self.api.create(SERVICES, body)

    async def condition(self, reason: str) -> dict[str, Any]:
        """The condition Available, once it has that reason."""
        async with asyncio.timeout(5):
            while True:
                status = (await self.api.get(f"{SERVICES}/{NAME}")).get("status", {})
                for condition in status.get("conditions", ()):
                    if condition["reason"] == reason:
                        return condition  # type: ignore[no-any-return]
                await asyncio.sleep(0.01)


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(5):
        while not await check():  # noqa: ASYNC110 (whoever makes it true does not know of us)
            await asyncio.sleep(0.01)


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[Other]:
    now = datetime.now(UTC)
    front = Authority.load_or_create(tmp_path / "f.crt", tmp_path / "f.key", "front-proxy-ca", now)
    cluster = Authority.load_or_create(tmp_path / "c.crt", tmp_path / "c.key", "kubernetes", now)
    proxy = front.issue(Profile("front-proxy-client"), now)
    serving = cluster.issue(Profile("flowers", names=("flowers.default.svc",)), now)
    server, clock = make_server(
        client_ca=cluster.pem,
        requestheader_client_ca=front.pem,
        proxy_client_certificate=proxy.certificate,
        proxy_client_key=proxy.key,
    )
    await server.start()
    api = Api(server, clock)
    made = Other(api, Flowers(), serving, front.pem, cluster.pem)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
        await api.close()


async def test_requests_are_passed_on_with_who_asks(other: Other) -> None:
    await other.register()
    condition = await other.condition("Passed")
    assert (condition["status"], condition["message"]) == ("True", "all checks passed")
    lies = {"x-remote-user": "root", "x-remote-group": "system:masters", "authorization": "Bearer x", "accept": "a/b"}
    jane = PeerIdentity("jane", ("system:masters", "florists"), "aa")
    answer = await other.api.call("POST", f"{ROSES}?x=%2F", {"red": 1}, peer=jane, headers=lies)
    assert (answer.status, answer.body) == (201, {"echo": "POST"})
    (request,) = other.flowers.seen
    assert request.raw_target == f"{ROSES}?x=%2F".encode() and json.loads(request.body) == {"red": 1}
    assert request.headers.get_all(b"x-remote-user") == [b"jane"]
    assert request.headers.get_all(b"x-remote-group") == [b"system:masters", b"florists", b"system:authenticated"]
    assert b"authorization" not in request.headers and request.headers.get(b"accept") == b"a/b"
    assert request.peer_certificate is not None and request.peer_certificate.common_name == "front-proxy-client"


async def test_who_may_not_gets_no_further(other: Other) -> None:
    await other.register()
    await other.condition("Passed")
    answer = await other.api.call("GET", ROSES, peer=PeerIdentity("jane", (), "aa"))
    assert answer.status == 403 and not other.flowers.seen


async def test_watches_pass_through(other: Other) -> None:
    await other.register()
    await other.condition("Passed")
    answer = await other.api.call("GET", f"{ROSES}?watch=true")
    assert isinstance(answer.response, StreamResponse)
    watch = Watch(answer.response)

    async def complete() -> bool:
        return len(watch.events) == 3

    await until(complete)
    assert [obj["number"] for _, obj in watch.events] == [0, 1, 2]
    watch._task.cancel()  # as the server does when the client goes away
    await asyncio.wait((watch._task,))


async def test_discovery_has_its_groups(other: Other) -> None:
    await other.register()
    await other.condition("Passed")
    groups = (await other.api.get("/apis"))["groups"]
    assert groups[-1]["name"] == "flowers.example.com" and groups[-1]["preferredVersion"]["version"] == "v1"
    assert (await other.api.get(GROUP))["kind"] == "APIGroup"
    assert (await other.api.get(f"{GROUP}/v1"))["resources"][0]["name"] == "roses"
    answer = await other.api.call("GET", "/apis", headers={"accept": AGGREGATED})
    (version,) = answer.body["items"][-1]["versions"]
    assert version["freshness"] == "Current" and version["resources"][0]["responseKind"]["kind"] == "Rose"
    index = (await other.api.get("/openapi/v3"))["paths"]
    assert index["apis/flowers.example.com/v1"]["serverRelativeURL"].endswith("?hash=1")
    assert (await other.api.get("/openapi/v3/apis/flowers.example.com/v1")) == {"echo": "GET"}


def described(kind: str) -> bytes:
    """An OpenAPI version 2 document with one kind and one path."""
    gvk = [{"group": "flowers.example.com", "version": "v1", "kind": kind}]
    name = f"com.example.flowers.v1.{kind}"
    answer = {"200": {"description": "OK", "schema": {"$ref": f"#/definitions/{name}"}}}
    document = {
        "swagger": "2.0",
        "info": {"title": "Flowers", "version": "1"},
        "paths": {f"{GROUP}/v1/roses": {"get": {"responses": answer}}},
        "definitions": {name: {"type": "object", "x-kubernetes-group-version-kind": gvk}},
    }
    return json.dumps(document).encode()


async def test_its_openapi_document_is_merged(other: Other) -> None:
    openapi = other.api.server.openapi

    async def has_part() -> bool:
        return bool(openapi._parts)  # the document itself takes long to make: it is asked for once

    async def has_none() -> bool:
        return not openapi._parts

    other.flowers.schemas = described("Rose")
    await other.register()
    await until(has_part)
    whole = await other.api.call("GET", "/openapi/v2")
    assert f"{GROUP}/v1/roses" in whole.body["paths"]
    assert "com.example.flowers.v1.Rose" in whole.body["definitions"]
    await other.api.call("DELETE", f"{SERVICES}/{NAME}")
    await until(has_none)
    without = await other.api.call("GET", "/openapi/v2")
    assert f"{GROUP}/v1/roses" not in without.body["paths"]
    assert without.headers[b"etag"] != whole.headers[b"etag"]


async def test_an_openapi_document_is_fetched_when_it_changed(other: Other, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    address = Address("127.0.0.1", other.flowers.port)
    row = Remote(NAME, "flowers.example.com", "v1", "default", "flowers", 443, other.ca, False, 1, 1)
    identity = (other.api.server.config.proxy_client_certificate, other.api.server.config.proxy_client_key)
    backends = Backends(identity, lambda: now[0])
    asked, documents = other.flowers.asked, Published(backends, lambda: now[0])
    try:
        assert await documents.part(row, [address]) is None, "404: it has none"
        other.flowers.schemas = described("Rose")
        assert await documents.part(row, [address]) is None and len(asked) == 1, "not time to ask again"
        now[0] += published.REFRESH_SECONDS
        rose = await documents.part(row, [address])
        assert rose is not None and list(rose.sections["paths"]) == [f"{GROUP}/v1/roses"]
        now[0] += published.REFRESH_SECONDS
        assert await documents.part(row, [address]) is rose and asked[-1], "unchanged"
        for broken in (b"{", b"[]", b'{"paths": 1}', b"[" * 1000, b'{"a": "' + b"x" * 5000 + b'"}'):
            monkeypatch.setattr(published, "MAX_DOCUMENT_BYTES", 4000)
            other.flowers.schemas = broken
            now[0] += 2 * published.LONGEST_RETRY_SECONDS
            count = len(asked)
            assert await documents.part(row, [address]) is rose, "what it said last"
            assert await documents.part(row, [address]) is rose and len(asked) == count + 1, "backed off"
        other.flowers.schemas = described("Tulip")
        now[0] += 2 * published.LONGEST_RETRY_SECONDS
        tulip = await documents.part(row, [address])
        assert tulip is not None and tulip != rose
        documents.forget(NAME)
        assert await documents.part(row, [address]) == tulip and asked[-1] == b"", "asked anew"
    finally:
        await backends.close()


async def test_a_server_that_does_not_answer_takes_nobody_with_it(other: Other) -> None:
    await other.register()
    await other.condition("Passed")
    await other.stop()
    answer = await other.api.call("GET", ROSES)
    assert (answer.status, answer.body["reason"]) == (503, "ServiceUnavailable")
    condition = await other.condition("FailedDiscoveryCheck")
    assert condition["status"] == "False" and "failing or missing response from https://" in condition["message"]
    assert (await other.api.call("GET", f"{GROUP}/v1")).status == 503
    assert any(group["name"] == "flowers.example.com" for group in (await other.api.get("/apis"))["groups"])
    answer = await other.api.call("GET", "/apis", headers={"accept": AGGREGATED})
    (version,) = answer.body["items"][-1]["versions"]
    assert version["freshness"] == "Stale" and version["resources"], "what it had is still known"
    await other.start(other.flowers.port)
    await other.condition("Passed")
    assert (await other.api.call("GET", ROSES)).status == 200


async def test_a_server_with_another_certificate_is_not_believed(other: Other, tmp_path: Path) -> None:
    stranger = Authority.load_or_create(tmp_path / "s.crt", tmp_path / "s.key", "stranger", datetime.now(UTC))
    await other.register(caBundle=base64.b64encode(stranger.pem).decode())
    condition = await other.condition("FailedDiscoveryCheck")
    assert "certificate verify failed" in condition["message"]
    change = {"spec": {"caBundle": None, "insecureSkipTLSVerify": True}}
    merge = "application/merge-patch+json"
    assert (await other.api.call("PATCH", f"{SERVICES}/{NAME}", change, content_type=merge)).status == 200
    await other.condition("Passed")


async def test_errors_of_the_service_are_named(other: Other) -> None:
    await other.register(service={"name": "nobody", "namespace": "default", "port": 443})
    condition = await other.condition("ServiceNotFound")
    assert condition["message"] == 'service/nobody in "default" is not present'


async def test_a_group_goes_with_its_service(other: Other) -> None:
    await other.register()
    await other.condition("Passed")
    assert (await other.api.call("DELETE", f"{SERVICES}/{NAME}")).status == 200

    async def gone() -> bool:
        return all(group["name"] != "flowers.example.com" for group in (await other.api.get("/apis"))["groups"])

    await until(gone)
    assert (await other.api.call("GET", ROSES)).status == 404


async def test_what_is_served_here_has_its_service_too(other: Other) -> None:
    listed = (await other.api.get(SERVICES))["items"]
    names = [service["metadata"]["name"] for service in listed]
    assert {"v1.", "v1.apps", "v2.autoscaling"} <= set(names) and "v1.apiregistration.k8s.io" not in names
    apps = await other.api.get(f"{SERVICES}/v1.apps")
    assert apps["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
    assert apps["spec"] == {"group": "apps", "version": "v1", "groupPriorityMinimum": 17800, "versionPriority": 15}
    (condition,) = apps["status"]["conditions"]
    assert (condition["reason"], condition["message"]) == ("Local", "Local APIServices are always available")
    await other.api.call("DELETE", f"{SERVICES}/v1.apps")

    async def back() -> bool:
        return (await other.api.call("GET", f"{SERVICES}/v1.apps")).status == 200

    await until(back)


async def test_front_proxies_are_published(other: Other) -> None:
    path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
    data = (await other.api.get(path))["data"]
    assert data["requestheader-allowed-names"] == '["front-proxy-client"]'
    assert data["requestheader-client-ca-file"].encode() == other.front
    assert data["client-ca-file"].encode() == other.ca


def test_authorities_of_other_apiservers_stay_trusted() -> None:
    def pem(text: str) -> str:
        return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"

    stored = {"client-ca-file": pem("a"), "other": "1"}
    found = merged(stored, {"client-ca-file": pem("b"), "more": "2"})
    assert found == {"client-ca-file": pem("a") + pem("b"), "other": "1", "more": "2"}
    assert merged(found, {"client-ca-file": pem("b")}) == found


def service(**spec: Any) -> Service:
    ports = (ServicePort(name="https", port=443),)
    return Service(metadata=ObjectMeta(name="s", namespace="x"), spec=ServiceSpec(ports=ports, **spec))


def slice_of(*endpoints: tuple[str, bool | None], port: str = "https", of: str = "s") -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(name="s-1", labels={"kubernetes.io/service-name": of}),
        address_type="IPv4",
        endpoints=tuple(
            Endpoint(addresses=(address,), conditions=EndpointConditions(ready=ready)) for address, ready in endpoints
        ),
        ports=(EndpointPort(name=port, port=8443),),
    )


def test_addresses_are_those_of_ready_endpoints() -> None:
    slices = [slice_of(("10.0.0.2", True), ("10.0.0.3", False)), slice_of(("10.0.0.1", None)), slice_of(of="t")]
    found = resolve("s", "x", 443, service(), slices)
    assert [address.url for address in found] == ["https://10.0.0.1:8443", "https://10.0.0.2:8443"]
    assert Address("fd00::1", 1).url == "https://[fd00::1]:1"


@pytest.mark.parametrize(
    ("found", "slices", "port", "reason"),
    [
        (None, [], 443, "ServiceNotFound"),
        (service(), [], 444, "ServicePortError"),
        (service(), [slice_of(of="t")], 443, "EndpointsNotFound"),
        (service(), [slice_of(("10.0.0.1", True), port="other")], 443, "MissingEndpoints"),
    ],
)
def test_why_there_are_none(found: Service | None, slices: list[EndpointSlice], port: int, reason: str) -> None:
    with pytest.raises(Unresolved) as caught:
        resolve("s", "x", port, found, slices)
    assert caught.value.reason == reason


def test_an_address_that_did_not_answer_comes_last_for_a_while() -> None:
    now = [0.0]
    backends = Backends((b"", b""), lambda: now[0])
    first, second = Address("10.0.0.1", 1), Address("10.0.0.2", 1)
    backends._avoid(first)
    assert backends._ordered((first, second)) == [second, first]
    now[0] = AVOID_SECONDS + 1
    assert backends._ordered((first, second)) == [first, second]


async def test_a_read_turns_from_a_server_that_says_nothing(other: Other, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends_module, "PATIENCE_SECONDS", 0.1)

    ended = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()  # the client's hello, until it gives up
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            ended.set()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    try:
        dead = Address("127.0.0.1", silent.sockets[0].getsockname()[1])
        alive = Address("127.0.0.1", other.flowers.port)
        remote = Remote(NAME, "flowers.example.com", "v1", "default", "flowers", 443, other.ca, False, 1, 1)
        backends = Backends((b"", b""), asyncio.get_running_loop().time)
        for _ in range(2):
            addresses = (dead, alive)
            answer = await backends.request(remote, addresses, "GET", f"{GROUP}/v1", b"", (), timeout_seconds=5)
            assert answer.status == 200
        await backends.close()
        async with asyncio.timeout(5):
            await ended.wait()  # the server's own closing waits for nobody in Python 3.11
    finally:
        silent.close()
        await silent.wait_closed()
