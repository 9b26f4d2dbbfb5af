"""Who goes when memory runs short."""

from __future__ import annotations

from typing import Any

from tests.unit.kubelet.player import container, pod
from tiphys.api.types.core_v1 import Pod
from tiphys.cri.types import ContainerStats
from tiphys.kubelet.pods.eviction import choose


def a_pod(uid: str, request: str = "", **spec: Any) -> Pod:
    resources = {"requests": {"memory": request}} if request else {}
    return pod({"containers": [container("web", resources=resources)], **spec}, uid=uid)


def using(**mebibytes: int) -> list[ContainerStats]:
    return [
        ContainerStats(
            uid,
            "web",
            {"io.kubernetes.pod.uid": uid, "io.kubernetes.container.name": "web"},
            0,
            memory_working_set_bytes=number << 20,
        )
        for uid, number in mebibytes.items()
    ]


def chosen(pods: list[Pod], stats: list[ContainerStats]) -> str:
    choice = choose(pods, stats, available_bytes=50 << 20, threshold_bytes=100 << 20)
    return choice.uid if choice is not None else ""


def test_those_over_their_request_go_first() -> None:
    pods = [a_pod("within", "1Gi"), a_pod("over", "10Mi")]
    assert chosen(pods, using(within=900, over=20)) == "over"


def test_then_the_least_important_and_then_the_largest() -> None:
    pods = [a_pod("high", priority=10), a_pod("low", priority=1), a_pod("low-large", priority=1)]
    assert chosen(pods, using(high=900, **{"low": 10, "low-large": 20})) == "low-large"


def test_critical_and_static_pods_stay() -> None:
    static = a_pod("static")
    static.metadata.annotations["kubernetes.io/config.source"] = "file"
    assert chosen([a_pod("critical", priority=2_000_001_000), static], using(critical=1, static=1)) == ""
    assert chosen([], []) == ""


def test_the_pod_is_told_why() -> None:
    choice = choose([a_pod("u", "10Mi")], using(u=20), available_bytes=50 << 20, threshold_bytes=100 << 20)
    assert choice is not None
    assert choice.message == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
        "Container web was using 20Mi, request is 10Mi, has larger consumption of memory. "
    )
