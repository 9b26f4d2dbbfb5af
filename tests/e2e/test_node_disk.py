"""Pods that take more of the node's disk than they said are evicted, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.manifests import pod

WRITE = "dd if=/dev/zero of={} bs=1M count=20 2>/dev/null; sleep 1000"


def _evicted(cluster: Cluster, namespace: str, name: str) -> str:
    """The message of the pod's end, once it was evicted."""

    def failed() -> Any:
        status = cluster.get("pod", name, "-n", namespace)["status"]
        return status if status.get("phase") == "Failed" else None

    status = eventually(failed, f"{name} is evicted", 60)
    assert status["reason"] == "Evicted"
    (condition,) = (c for c in status["conditions"] if c["type"] == "DisruptionTarget")
    assert condition["reason"] == "TerminationByKubelet"
    return str(status["message"])


@pytest.mark.parametrize(
    ("limits", "volume", "path", "message"),
    [
        ({}, {"sizeLimit": "10Mi"}, "/v/file", 'Usage of EmptyDir volume "v" exceeds the limit "10Mi". '),
        (
            {"ephemeral-storage": "10Mi"}, {}, "/file",
            "Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. ",
        ),
    ],
    ids=["emptydir", "container"],
)  # fmt: skip
def test_what_outgrows_its_limit_is_evicted(
    cluster: Cluster, namespace: str, limits: dict[str, str], volume: dict[str, str], path: str, message: str
) -> None:
    container = {"resources": {"limits": limits}, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    subject = pod(
        "greedy", ["sh", "-c", WRITE.format(path)], container=container, volumes=[{"name": "v", "emptyDir": volume}]
    )
    modest = pod("modest", ["sh", "-c", "sleep 1000"], container=container, volumes=[{"name": "v", "emptyDir": volume}])
    cluster.apply(modest, namespace)
    cluster.apply(subject, namespace)
    assert _evicted(cluster, namespace, "greedy") == message
    assert cluster.get("pod", "modest", "-n", namespace)["status"]["phase"] == "Running"
