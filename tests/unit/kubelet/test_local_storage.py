"""Pods that take more of the node's disk than they said."""

from __future__ import annotations

from typing import Any

from tests.unit.kubelet.player import container, pod
from tiphys.api.types.core_v1 import Pod
from tiphys.kubelet.pods.local_storage import LocalUse, choose, excess, has_limits, shortage_message

MIB = 1 << 20


def limited(name: str, limit: str = "", request: str = "") -> dict[str, Any]:
    resources: dict[str, Any] = {}
    if limit:
        resources["limits"] = {"ephemeral-storage": limit}
    if request:
        resources["requests"] = {"ephemeral-storage": request}
    return container(name, resources=resources)


def a_pod(*containers: dict[str, Any], size_limit: str = "", medium: str = "", **metadata: Any) -> Pod:
    source: dict[str, Any] = {"sizeLimit": size_limit} if size_limit else {}
    if medium:
        source["medium"] = medium
    return pod({"containers": list(containers), "volumes": [{"name": "v", "emptyDir": source}]}, **metadata)


def test_a_volume_over_its_size() -> None:
    subject = a_pod(container("web"), size_limit="10Mi")
    assert has_limits(subject)
    assert excess(subject, LocalUse({"v": 10 * MIB})) == ""
    assert excess(subject, LocalUse({"v": 11 * MIB})) == 'Usage of EmptyDir volume "v" exceeds the limit "10Mi". '


def test_volumes_in_memory_are_limited_by_the_kernel() -> None:
    subject = a_pod(container("web"), size_limit="10Mi", medium="Memory")
    assert excess(subject, LocalUse({"v": 11 * MIB})) == ""


def test_a_container_over_its_limit() -> None:
    subject = a_pod(limited("a", "10Mi"), limited("b", "30Mi"))
    words = 'Container a exceeded its local ephemeral storage limit "10Mi". '
    assert excess(subject, LocalUse({}, {"a": 11 * MIB})) == words
    assert excess(subject, LocalUse({}, {"b": 11 * MIB})) == ""


def test_a_pod_over_the_sum_of_its_limits_volumes_included() -> None:
    subject = a_pod(limited("a", "10Mi"), limited("b", "30Mi"))
    use = LocalUse({"v": 40 * MIB}, {"b": MIB})
    assert excess(subject, use) == "Pod ephemeral local storage usage exceeds the total limit of containers 40Mi. "


def test_a_pod_has_no_limit_when_one_container_has_none() -> None:
    subject = a_pod(limited("a", "10Mi"), container("b"))
    assert excess(subject, LocalUse({"v": 40 * MIB})) == ""
    assert not has_limits(a_pod(container("a")))


def test_when_the_disk_is_full_those_over_their_request_go_first() -> None:
    modest = a_pod(limited("a", request="1Gi"), uid="modest")
    greedy = a_pod(limited("a", request="1Mi"), uid="greedy")
    choice = choose([(modest, LocalUse({}, {"a": 500 * MIB})), (greedy, LocalUse({}, {"a": 2 * MIB}))])
    assert choice is not None
    assert choice[0].metadata.uid == "greedy"
    assert shortage_message(*choice, available_bytes=MIB, threshold_bytes=2 * MIB) == (
        "The node was low on resource: ephemeral-storage. Threshold quantity: 2Mi, available: 1Mi. "
        "Container a was using 2Mi, request is 1Mi, has larger consumption of ephemeral-storage. "
    )
    assert choose([]) is None
