"""A published operator from its published chart: dask-kubernetes, with no more rights than the chart gives it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cluster import eventually
from tests.e2e.operators.conftest import Helm, Kubectl, Run

_PACKAGE = "dask_kubernetes/operator/deployment/helm/dask-kubernetes-operator"
_CONTAINER = {"name": "main", "image": "dask:any", "args": ["dask"]}
_PORT = {"name": "comm", "containerPort": 8786}
_CLUSTER = {
    "apiVersion": "kubernetes.dask.org/v1",
    "kind": "DaskCluster",
    "metadata": {"name": "simple", "labels": {"kept": "yes"}},
    "spec": {
        "worker": {"replicas": 2, "spec": {"containers": [_CONTAINER | {"name": "worker"}]}},
        "scheduler": {
            "spec": {"containers": [_CONTAINER | {"name": "scheduler", "ports": [_PORT]}]},
            "service": {
                "type": "ClusterIP",
                "selector": {"dask.org/cluster-name": "simple", "dask.org/component": "scheduler"},
                "ports": [{"name": "tcp-comm", "port": 8786, "targetPort": "comm"}],
            },
        },
    },
}


@pytest.fixture(scope="session")
def chart(programs: Path) -> Path:
    """The chart as the package has it."""
    (found,) = programs.parent.glob(f"lib/python*/site-packages/{_PACKAGE}")
    return found


def test_a_chart_and_its_operator(kubectl: Kubectl, helm: Helm, operator: Run, chart: Path, tmp_path: Path) -> None:
    """Helm installs CRDs, roles and a Deployment; the operator makes, scales and removes a cluster of its kind."""
    release = helm("install", "dask", str(chart), json.dumps({"fullnameOverride": "dask"}))
    assert release["status"] == "deployed"
    names = kubectl("get", "deployment,serviceaccount", "-o", "name")
    assert "deployment.apps/dask" in names and "serviceaccount/dask" in names

    config = _credentials(kubectl, "dask", tmp_path)
    arguments = ("run", "-m", "dask_kubernetes.operator.controller", "-n", kubectl.namespace)
    running = operator("kopf", *arguments, KUBECONFIG=str(config), HOME=str(tmp_path))
    running.says("Initial authentication has finished.")
    kubectl("apply", "-f", "-", stdin=json.dumps(_CLUSTER))
    workers = ("get", "pods", "-l", "dask.org/component=worker", "-o", "json")
    eventually(lambda: len(_items(kubectl(*workers))) == 2, f"two workers\n{running.written}")
    pod = _items(kubectl(*workers))[0]
    assert pod["metadata"]["labels"]["dask.org/cluster-name"] == "simple"
    assert kubectl("get", "service", "simple-scheduler", "-o", "jsonpath={.spec.ports[0].port}") == "8786"
    kubectl("scale", "daskworkergroup", "simple-default", "--replicas=3")
    eventually(lambda: len(_items(kubectl(*workers))) == 3, f"three workers\n{running.written}")
    kubectl("delete", "daskcluster", "simple", "--timeout=30s")
    eventually(lambda: not _items(kubectl("get", "pods", "-l", "dask.org/cluster-name=simple", "-o", "json")), "gone")
    helm("uninstall", "dask")
    assert "deployment.apps/dask" not in kubectl("get", "deployment", "-o", "name")


def _items(text: str) -> list[dict[str, Any]]:
    return list(json.loads(text)["items"])


def _credentials(kubectl: Kubectl, account: str, folder: Path) -> Path:
    """A kubeconfig with a token of a service account, as its pod would have."""
    config = yaml.safe_load(kubectl("config", "view", "--raw", "--minify"))
    config["users"][0]["user"] = {"token": kubectl("create", "token", account)}
    made = folder / "kubeconfig"
    made.write_text(yaml.safe_dump(config))
    return made
