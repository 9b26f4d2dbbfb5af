"""Configuration reaches running containers on every host: files change in place, the environment stays."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.hosts import HostsCluster
from tests.e2e.manifests import BUSYBOX

SECONDS = 30
PROMPTLY_SECONDS = 5.0
"""Kubelets watch what they mount: they do not wait for a round of theirs."""


def _readers() -> dict[str, Any]:
    """A pod on each host that has the ConfigMap and the Secret in every form."""
    projected = [
        {"configMap": {"name": "settings", "items": [{"key": "color", "path": "color"}]}},
        {"secret": {"name": "keys"}},
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 600, "audience": "shop"}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    ]
    main = {
        "name": "main", "image": BUSYBOX, "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", "touch /tmp/once && exec sleep 10000"],
        "env": [{"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "color"}}}],
        "envFrom": [{"secretRef": {"name": "keys"}}],
        "volumeMounts": [
            {"name": "settings", "mountPath": "/settings"}, {"name": "keys", "mountPath": "/keys"},
            {"name": "all", "mountPath": "/all"},
            {"name": "settings", "mountPath": "/fixed/color", "subPath": "color"},
        ],
    }  # fmt: skip
    spec = {
        "containers": [main],
        "terminationGracePeriodSeconds": 1,
        "volumes": [
            {"name": "settings", "configMap": {"name": "settings"}},
            {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o400}},
            {"name": "all", "projected": {"sources": projected}},
        ],
    }
    template = {"metadata": {"labels": {"app": "reader"}}, "spec": spec}
    return {
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "reader"},
        "spec": {"selector": {"matchLabels": {"app": "reader"}}, "template": template},
    }  # fmt: skip


def _settings(color: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"color": color}}


def _keys(password: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"PASSWORD": password}}


class Readers:
    """The pods of the DaemonSet, one on each of three hosts."""

    def __init__(self, cluster: HostsCluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        cluster.apply(_settings("red"), namespace)
        cluster.apply(_keys("first"), namespace)
        cluster.apply(_readers(), namespace)
        cluster.kubectl("rollout", "status", "daemonset/reader", "-n", namespace, "--timeout=80s")
        pods = cluster.get("pods", "-n", namespace, "-l", "app=reader")["items"]
        self.names = {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in pods}
        assert set(self.names) == set(cluster.names())

    def each(self, *command: str) -> set[str]:
        """What a command prints, of all hosts: one entry when they agree."""
        return {self.on(host, *command) for host in self.names}

    def on(self, host: str, *command: str) -> str:
        return self.cluster.output("exec", "-n", self.namespace, self.names[host], "--", *command)

    def soon(self, expected: set[str], *command: str) -> None:
        eventually(lambda: self.each(*command) == expected, f"{' '.join(command)} prints {expected}", SECONDS)

    def restarts(self) -> int:
        pods = self.cluster.get("pods", "-n", self.namespace, "-l", "app=reader")["items"]
        assert {pod["metadata"]["name"] for pod in pods} == set(self.names.values()), "the same pods"
        return sum(status["restartCount"] for pod in pods for status in pod["status"]["containerStatuses"])


@pytest.fixture
def readers(hosts_cluster: HostsCluster, namespace: str) -> Iterator[Readers]:
    yield Readers(hosts_cluster, namespace)


def test_changes_reach_running_containers_on_every_host(readers: Readers) -> None:
    cluster, namespace = readers.cluster, readers.namespace
    assert readers.each("cat", "/settings/color", "/all/color", "/fixed/color") == {"redredred"}
    assert readers.each("sh", "-c", "echo $COLOR $PASSWORD; stat -Lc %a /keys/PASSWORD") == {"red first\n400"}

    cluster.apply(_settings("green"), namespace)
    cluster.apply(_keys("second"), namespace)
    changed = time.monotonic()
    readers.soon({"greengreen"}, "cat", "/settings/color", "/all/color")
    readers.soon({"secondsecond"}, "cat", "/keys/PASSWORD", "/all/PASSWORD")
    assert time.monotonic() - changed < PROMPTLY_SECONDS
    assert readers.each("cat", "/fixed/color") == {"red"}, "a subPath is what it was at the start"
    assert readers.each("sh", "-c", "echo $COLOR $PASSWORD") == {"red first"}, "so is the environment"
    assert readers.restarts() == 0

    cluster.kubectl("rollout", "restart", "daemonset/reader", "-n", namespace)
    cluster.kubectl("rollout", "status", "daemonset/reader", "-n", namespace, "--timeout=80s")
    pods = cluster.get("pods", "-n", namespace, "-l", "app=reader")["items"]
    readers.names = {
        pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]
    }
    assert readers.each("sh", "-c", "echo $COLOR $PASSWORD; cat /fixed/color") == {"green second\ngreen"}


def test_a_key_that_comes_and_goes_does_so_in_the_files(readers: Readers) -> None:
    cluster, namespace = readers.cluster, readers.namespace
    cluster.kubectl("patch", "configmap", "settings", "-n", namespace, "-p", '{"data":{"size":"XL"}}')
    readers.soon({"XL"}, "cat", "/settings/size")
    cluster.kubectl("patch", "configmap", "settings", "-n", namespace, "-p", '{"data":{"size":null}}')
    readers.soon({"color"}, "ls", "/settings")


def test_labels_reach_the_files_of_a_running_pod(readers: Readers) -> None:
    for host, name in readers.names.items():
        readers.cluster.kubectl("label", "pod", name, "-n", readers.namespace, f"seen={host}")
    for host in readers.names:
        eventually(
            lambda host=host: f'seen="{host}"' in readers.on(host, "cat", "/all/labels"), f"labels on {host}", SECONDS
        )


def test_tokens_are_for_their_audience_pod_and_host(readers: Readers) -> None:
    tokens = {}
    for host, name in readers.names.items():
        claims = _claims(readers.on(host, "cat", "/all/token"))
        assert claims["aud"] == ["shop"] and claims["kubernetes.io"]["pod"]["name"] == name
        assert claims["kubernetes.io"]["node"]["name"] == host
        assert claims["exp"] - claims["iat"] == 600
        tokens[host] = claims["jti"]
    assert len(set(tokens.values())) == 3
    host = next(iter(tokens))
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
    asked = review | {"spec": {"token": readers.on(host, "cat", "/all/token"), "audiences": ["shop"]}}
    answer = json.loads(readers.cluster.output("create", "-o", "json", "-f", "-", stdin=json.dumps(asked)))
    assert answer["status"]["authenticated"] and answer["status"]["audiences"] == ["shop"]


def _claims(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


def test_what_is_immutable_stays(hosts_cluster: HostsCluster, namespace: str) -> None:
    hosts_cluster.apply(_settings("red") | {"immutable": True}, namespace)
    changed = hosts_cluster.kubectl(
        "patch", "configmap", "settings", "-n", namespace, "-p", '{"data":{"color":"blue"}}', check=False
    )
    assert changed.returncode != 0 and "field is immutable when `immutable` is set" in changed.stderr
