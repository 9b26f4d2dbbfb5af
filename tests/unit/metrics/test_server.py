"""The metrics API, from kubelets that answer as told to users that are known by headers or tokens."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tiphys.api.types.authentication_v1 import UserInfo
from tiphys.api.types.core_v1 import (
    ConfigMap,
    DaemonEndpoint,
    Node,
    NodeAddress,
    NodeCondition,
    NodeDaemonEndpoints,
    ServiceAccount,
)
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.rbac_v1 import ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject
from tiphys.base.http.client import ClientResponse
from tiphys.base.http.messages import Headers, PeerIdentity, Request
from tiphys.metrics.api import MetricsApi
from tiphys.metrics.delegation import CONFIG_MAP, Delegated, FrontProxy
from tiphys.metrics.kubelets import COLD_SECONDS, RESOLUTION_SECONDS, Kubelets, kubelet_url
from tiphys.testing import builders
from tiphys.testing.clock import FakeClock
from tiphys.testing.control_plane import ControlPlane, control_plane

FRONT_PROXY = PeerIdentity("front-proxy-client")
PODS = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods"


@dataclass
class FakeKubelet:
    """Half a core and 1 MiB, whenever it is asked."""

    clock: FakeClock
    asked: int = 0
    pods: list[str] = field(default_factory=lambda: ["p"])

    async def request(self, method: str, target: str, *, timeout_seconds: float) -> ClientResponse:
        self.asked += 1
        now = self.clock.now()
        lines = [f"node_cpu_usage_seconds_total {now / 2} {now * 1000:.0f}", f"node_memory_working_set_bytes {1 << 30}"]
        for pod in self.pods:
            labels = f'{{container="c",namespace="default",pod="{pod}"}}'
            lines += [
                f"container_cpu_usage_seconds_total{labels} {now / 4} {now * 1000:.0f}",
                f"container_memory_working_set_bytes{labels} {1 << 20} {now * 1000:.0f}",
            ]
        return ClientResponse(200, Headers(), "\n".join(lines).encode() + b"\n")

    async def close(self) -> None:
        return


class SteppingClock(FakeClock):
    """Sleeping is passing time at once."""

    async def sleep(self, seconds: float) -> None:
        self._now += seconds
        self._monotonic += seconds


@dataclass
class Asked:
    """What a test sends, and to whom it goes."""

    plane: ControlPlane
    api: MetricsApi
    kubelet: FakeKubelet
    clock: FakeClock

    async def get(self, path: str, user: str = "admin", *groups: str, accept: str = "*/*") -> tuple[int, Any]:
        headers = Headers([(b"x-remote-user", user.encode()), (b"accept", accept.encode())])
        for group in groups or ("system:masters",):
            headers.add(b"x-remote-group", group.encode())
        request = Request("GET", path.encode(), headers, peer_certificate=FRONT_PROXY)
        answer = await self.api.handle(request)
        return answer.status, json.loads(answer.body)


@pytest.fixture
async def asked(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asked]:
    clock = SteppingClock()
    async with control_plane(clock=FakeClock()) as plane:
        account = ServiceAccount(metadata=ObjectMeta(name="default", namespace="default"))
        await plane.client.create(account)
        node = builders.node("n", labels={"zone": "a"})
        await plane.client.create(node)
        node = await plane.client.get(Node, "n")
        node.status.addresses = (NodeAddress(type="InternalIP", address="192.0.2.7"),)
        node.status.daemon_endpoints = NodeDaemonEndpoints(kubelet_endpoint=DaemonEndpoint(port=10250))
        await plane.client.update_status(node)
        await plane.client.create(builders.pod("p", labels={"app": "x"}))
        kubelets = Kubelets(plane.client, ssl.create_default_context(), clock)
        kubelet = FakeKubelet(clock)

        async def connection(name: str, url: str) -> FakeKubelet:
            assert (name, url) == ("n", "https://192.0.2.7:10250")
            return kubelet

        monkeypatch.setattr(kubelets, "_connection", connection)
        proxy = FrontProxy(
            b"CA",
            ("front-proxy-client",),
            ("X-Remote-User",),
            ("X-Remote-Uid",),
            ("X-Remote-Group",),
            ("X-Remote-Extra-",),
        )
        delegated = Delegated(plane.client, proxy, clock)
        yield Asked(plane, MetricsApi(plane.client, kubelets, delegated), kubelet, clock)


async def test_use_of_nodes_and_pods(asked: Asked) -> None:
    status, nodes = await asked.get("/apis/metrics.k8s.io/v1beta1/nodes")
    assert status == 200 and nodes["kind"] == "NodeMetricsList"
    (node,) = nodes["items"]
    assert node["metadata"]["name"] == "n" and node["metadata"]["labels"] == {"zone": "a"}
    assert node["usage"] == {"cpu": "500000000n", "memory": "1048576Ki"}
    assert node["window"] == f"{COLD_SECONDS:g}s"
    status, pod = await asked.get(f"{PODS}/p")
    assert status == 200
    assert pod["containers"] == [{"name": "c", "usage": {"cpu": "250000000n", "memory": "1024Ki"}}]
    assert pod["metadata"]["labels"] == {"app": "x"}


async def test_kubelets_are_read_when_somebody_asks_and_not_too_often(asked: Asked) -> None:
    for _ in range(3):
        await asked.get(PODS)
    assert asked.kubelet.asked == 2, "the first answer needs two readings"
    await asked.clock.sleep(RESOLUTION_SECONDS)
    assert asked.kubelet.asked == 2, "nobody asks, nobody looks"
    _, pods = await asked.get(PODS)
    assert asked.kubelet.asked == 3 and pods["items"][0]["window"] == f"{RESOLUTION_SECONDS:g}s"


async def test_a_pod_that_is_new_is_looked_for(asked: Asked) -> None:
    await asked.get(PODS)
    await asked.plane.client.create(builders.pod("new"))
    asked.kubelet.pods.append("new")
    await asked.clock.sleep(3)
    _, pods = await asked.get(PODS)
    assert asked.kubelet.asked == 3
    await asked.clock.sleep(3)
    _, pods = await asked.get(PODS)
    assert [pod["metadata"]["name"] for pod in pods["items"]] == ["new", "p"]


async def test_selectors_and_what_is_not_there(asked: Asked) -> None:
    assert (await asked.get(f"{PODS}?labelSelector=app%3Dx"))[1]["items"]
    assert not (await asked.get(f"{PODS}?labelSelector=app%3Dy"))[1]["items"]
    status, body = await asked.get(f"{PODS}/nobody")
    assert (status, body["message"]) == (404, 'pods.metrics.k8s.io "nobody" not found')
    assert (await asked.get("/apis/metrics.k8s.io/v1beta1/things"))[0] == 404


async def test_tables_are_for_kubectl(asked: Asked) -> None:
    _, table = await asked.get(PODS, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert [row["cells"][:3] for row in table["rows"]] == [["p", "250000000n", "1024Ki"]]


async def test_who_may_not_is_told_so_as_by_the_apiserver(asked: Asked) -> None:
    status, body = await asked.get(PODS, "jane", "system:authenticated")
    assert (status, body["reason"]) == (403, "Forbidden")
    expected = 'User "jane" cannot list resource "pods" in API group "metrics.k8s.io" in the namespace "default"'
    assert body["message"] == f"pods.metrics.k8s.io is forbidden: {expected}"
    rule = PolicyRule(verbs=("list",), api_groups=("metrics.k8s.io",), resources=("pods",))
    await asked.plane.client.create(ClusterRole(metadata=ObjectMeta(name="see"), rules=(rule,)))
    reference = RoleRef(api_group="rbac.authorization.k8s.io", kind="ClusterRole", name="see")
    jane = Subject(kind="User", name="jane", api_group="rbac.authorization.k8s.io")
    await asked.plane.client.create(
        ClusterRoleBinding(metadata=ObjectMeta(name="see"), role_ref=reference, subjects=(jane,))
    )
    assert (await asked.get(PODS, "jane", "system:authenticated"))[0] == 403, "for ten seconds a no is a no"
    await asked.clock.sleep(11)
    assert (await asked.get(PODS, "jane", "system:authenticated"))[0] == 200


async def test_headers_are_believed_from_the_front_proxy_alone(asked: Asked) -> None:
    headers = Headers([(b"x-remote-user", b"admin"), (b"x-remote-group", b"system:masters")])
    for peer in (None, PeerIdentity("somebody")):
        answer = await asked.api.handle(Request("GET", PODS.encode(), headers, peer_certificate=peer))
        assert answer.status == 401


async def test_extra_fields_are_read(asked: Asked) -> None:
    headers = Headers([(b"x-remote-user", b"j"), (b"x-remote-extra-a%2fb", b"1"), (b"x-remote-uid", b"7")])
    headers.add(b"x-remote-extra-a%2fb", b"2")
    user = await asked.api._delegated.user(Request("GET", b"/", headers, peer_certificate=FRONT_PROXY))
    assert user == UserInfo(username="j", uid="7", extra={"a/b": ("1", "2")})


def test_the_front_proxy_is_read_from_its_config_map() -> None:
    data = {"requestheader-client-ca-file": "PEM", "requestheader-allowed-names": '["front"]'}
    found = FrontProxy.of(ConfigMap(metadata=ObjectMeta(name=CONFIG_MAP), data=data))
    assert (found.ca, found.names, found.user_headers) == (b"PEM", ("front",), ("X-Remote-User",))
    with pytest.raises(ValueError, match="no authority"):
        FrontProxy.of(ConfigMap())


def test_nodes_without_a_kubelet_are_not_asked() -> None:
    assert kubelet_url(builders.node("n")) == ""


async def test_nodes_that_nobody_hears_of_are_not_waited_for(asked: Asked) -> None:
    node = await asked.plane.client.get(Node, "n")
    node.status.conditions = (NodeCondition(type="Ready", status="Unknown"),)
    await asked.plane.client.update_status(node)
    status, nodes = await asked.get("/apis/metrics.k8s.io/v1beta1/nodes")
    assert (status, nodes["items"], asked.kubelet.asked) == (200, [], 0)
