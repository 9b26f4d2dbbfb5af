"""Which pods must leave a node, and how long they are waited for."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api.errors import ApiError, too_many_requests
from tiphys.api.types.core_v1 import Node, Pod, PodStatus
from tiphys.api.types.meta_v1 import ObjectMeta, OwnerReference
from tiphys.cmd.config import ConfigError
from tiphys.cmd.hosts import drain as draining
from tiphys.cmd.hosts.drain import MIRROR, drain, leaving


def pod(name: str, *, owner: str = "", mirror: bool = False, phase: str = "Running") -> Pod:
    owners = (OwnerReference(api_version="apps/v1", kind=owner, name="o", uid="u", controller=True),) if owner else ()
    annotations = {MIRROR: "x"} if mirror else {}
    meta = ObjectMeta(name=name, namespace="default", owner_references=owners, annotations=annotations)
    return Pod(metadata=meta, status=PodStatus(phase=phase))


def test_daemons_static_pods_and_ended_ones_stay() -> None:
    pods = [
        pod("bare"),
        pod("replica", owner="ReplicaSet"),
        pod("daemon", owner="DaemonSet"),
        pod("static", mirror=True),
        pod("done", phase="Succeeded"),
        pod("failed", phase="Failed"),
    ]
    assert [one.metadata.name for one in leaving(pods)] == ["bare", "replica"]


class FakeClient:
    """Pods that go when they are evicted, after as many refusals as their budget makes."""

    def __init__(self, pods: list[Pod], refusals: int) -> None:
        self.pods = pods
        self.refusals = refusals
        self.patched: list[Any] = []

    async def patch(self, kind: type[Node], name: str, namespace: str, body: Any) -> None:
        self.patched.append((kind, name, body))

    async def list(self, kind: type[Pod], *, field_selector: str) -> Any:
        assert field_selector == "spec.nodeName=n"
        return type("Listed", (), {"items": tuple(self.pods)})

    async def evict(self, namespace: str, name: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
        self.pods = [one for one in self.pods if one.metadata.name != name]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "_RETRY_SECONDS", 0.0)


async def test_a_budget_is_asked_again_until_it_agrees() -> None:
    client = FakeClient([pod("a"), pod("b"), pod("d", owner="DaemonSet")], refusals=3)
    await drain(client, "n", timeout_seconds=10, progress=lambda _: None)  # type: ignore[arg-type]
    assert client.patched == [(Node, "n", {"spec": {"unschedulable": True}})]
    assert [one.metadata.name for one in client.pods] == ["d"]


async def test_pods_that_never_leave_are_named_and_the_node_stays() -> None:
    client = FakeClient([pod("a")], refusals=1_000_000)
    with pytest.raises(ConfigError, match="n still has default/a after 0 s: it stays, cordoned"):
        await drain(client, "n", timeout_seconds=0, progress=lambda _: None)  # type: ignore[arg-type]


async def test_what_is_no_budget_s_refusal_ends_it() -> None:
    client = FakeClient([pod("a")], refusals=0)

    async def forbidden(namespace: str, name: str) -> None:
        raise ApiError.from_body(403, b"")

    client.evict = forbidden  # type: ignore[method-assign]
    with pytest.raises(ApiError):
        await drain(client, "n", timeout_seconds=10, progress=lambda _: None)  # type: ignore[arg-type]
