"""The aggregator and a sample server of a group of its own that runs in a pod, as any client sees it.

'[sig-api-machinery] Aggregator Should be able to support the 1.17 Sample API Server using the current Aggregator
[Conformance]'
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.aggregation import sample_server
from tests.conformance.aggregation.sample_server import GROUP, VERSION
from tests.e2e.cluster import BIN, Cluster, eventually
from tiphys.cmd.certificates import Authority, Profile

NAME = f"{VERSION}.{GROUP}"
PORT = 7443


@pytest.fixture(scope="module")
def image(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image that has Python and a server for HTTPS: our own."""
    archive = tmp_path_factory.mktemp("image") / "tiphys.tar"
    command = [str(BIN / "tiphys"), "image", "build", "tiphys", "-o", str(archive)]
    built = subprocess.run(command, check=True, timeout=300, capture_output=True, text=True)
    cluster.tiphys("image", "load", str(archive))
    return built.stdout.split()[-1]


def authority(folder: Path) -> Authority:
    return Authority.load_or_create(folder / "ca.crt", folder / "ca.key", "sample", datetime.now(UTC))


def manifests(cluster: Cluster, namespace: str, image: str, ca: Authority) -> Iterator[dict[str, Any]]:
    serving = ca.issue(Profile("sample", names=(f"sample-api.{namespace}.svc",)), datetime.now(UTC))
    published = cluster.get("configmap", "extension-apiserver-authentication", "-n", "kube-system")["data"]
    yield {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "sample"},
        "stringData": {
            "tls.crt": serving.certificate.decode(),
            "tls.key": serving.key.decode(),
            "front-proxy-ca.crt": published["requestheader-client-ca-file"],
            "server.py": Path(sample_server.__file__).read_text(),
        },
    }
    container = {
        "name": "server",
        "image": image,
        "imagePullPolicy": "Never",
        "command": ["python3", "/etc/sample/server.py"],
        "ports": [{"name": "https", "containerPort": 8443}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "https", "scheme": "HTTPS"}, "periodSeconds": 1},
        "volumeMounts": [{"name": "sample", "mountPath": "/etc/sample"}],
    }
    labels = {"app": "sample"}
    pod = {
        "containers": [container],
        "volumes": [{"name": "sample", "secret": {"secretName": "sample"}}],
        "terminationGracePeriodSeconds": 0,
    }
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "sample"},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }
    ports = [{"port": PORT, "targetPort": "https"}]
    spec = {"selector": labels, "ports": ports}
    yield {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "sample-api"}, "spec": spec}
    yield {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": NAME},
        "spec": {
            "group": GROUP,
            "version": VERSION,
            "service": {"name": "sample-api", "namespace": namespace, "port": PORT},
            "groupPriorityMinimum": 2000,
            "versionPriority": 200,
            "caBundle": base64.b64encode(ca.pem).decode(),
        },
    }


def condition(cluster: Cluster) -> dict[str, str]:
    found = cluster.get("apiservice", NAME).get("status", {}).get("conditions", ())
    return next((one for one in found if one["type"] == "Available"), {"status": "", "reason": ""})


def flunder(name: str) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Flunder", "metadata": {"name": name}}


def test_a_server_in_a_pod_serves_its_group(cluster: Cluster, namespace: str, image: str, tmp_path: Path) -> None:
    try:
        for manifest in manifests(cluster, namespace, image, authority(tmp_path)):
            cluster.apply(manifest, namespace)
        eventually(lambda: condition(cluster)["status"] == "True", "the server answers")
        assert condition(cluster)["reason"] == "Passed"
        assert "flunders" in cluster.output("api-resources", "--api-group", GROUP, "-o", "name")
        _is_used(cluster, namespace)
        cluster.kubectl("scale", "deployment/sample", "--replicas=0", "-n", namespace)
        eventually(lambda: condition(cluster)["status"] == "False", "it is missed")
        assert condition(cluster)["reason"] in ("MissingEndpoints", "EndpointsNotFound", "FailedDiscoveryCheck")
        gone = cluster.kubectl("get", f"flunders.{GROUP}", "-n", namespace, check=False)
        assert gone.returncode != 0
        cluster.kubectl("get", "pods", "-n", namespace)
        cluster.kubectl("scale", "deployment/sample", "--replicas=1", "-n", namespace)
        eventually(lambda: condition(cluster)["status"] == "True", "it answers again")
    finally:
        cluster.kubectl("delete", "apiservice", NAME, "--ignore-not-found")
    eventually(lambda: GROUP not in cluster.output("get", "--raw", "/apis"), "its group is gone")


def _is_used(cluster: Cluster, namespace: str) -> None:
    """Everything a client does with a resource, through the apiserver, as somebody."""
    created = json.dumps(flunder("one"))
    cluster.kubectl("create", "-n", namespace, "--validate=false", "-f", "-", stdin=created)
    found = cluster.get(f"flunders.{GROUP}", "one", "-n", namespace)
    assert found["metadata"]["annotations"]["wardle.example.com/creator"] == "kubernetes-admin"
    again = cluster.kubectl("create", "-n", namespace, "--validate=false", "-f", "-", stdin=created, check=False)
    assert "already exists" in again.stderr
    names = cluster.output("get", f"flunders.{GROUP}", "-A", "-o", "name")
    assert names == f"flunder.{GROUP}/one"
    refused = cluster.kubectl("get", f"flunders.{GROUP}", "-n", namespace, "--as", "nobody", check=False)
    assert 'User "nobody" cannot list resource "flunders"' in refused.stderr
    watching = subprocess.Popen(
        cluster.kubectl_command("get", f"flunders.{GROUP}", "-n", namespace, "--watch-only", "-o", "name"),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert watching.stdout is not None
        _until_seen(cluster, namespace, watching)
    finally:
        watching.kill()
        watching.wait(timeout=10)
        watching.stdout.close()
    cluster.kubectl("delete", f"flunders.{GROUP}", "one", "-n", namespace)
    missing = cluster.kubectl("get", f"flunders.{GROUP}", "one", "-n", namespace, check=False)
    assert f'flunders.{GROUP} "one" not found' in missing.stderr


def _until_seen(cluster: Cluster, namespace: str, watching: subprocess.Popen[str]) -> None:
    """Make one after another until the watch, which begins at some time, shows one."""
    import select

    assert watching.stdout is not None
    for number in range(30):
        made = json.dumps(flunder(f"seen-{number}"))
        cluster.kubectl("create", "-n", namespace, "--validate=false", "-f", "-", stdin=made)
        if select.select([watching.stdout], [], [], 1.0)[0]:
            assert watching.stdout.readline().strip().startswith(f"flunder.{GROUP}/seen-")
            return
    raise AssertionError("the watch shows nothing")
