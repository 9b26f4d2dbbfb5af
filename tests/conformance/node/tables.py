"""Many small pods at once: applied together, awaited together, their outputs compared."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.cluster import Cluster
from tests.e2e.manifests import pod

Manifest = dict[str, Any]


def once(name: str, script: str, container: Manifest | None = None, **spec: Any) -> Manifest:
    """A pod that runs `script` in busybox's shell, once."""
    return pod(name, ["sh", "-c", script], container=container or {}, **({"restartPolicy": "Never"} | spec))


def apply_all(cluster: Cluster, namespace: str, manifests: list[Manifest]) -> None:
    """One `kubectl apply` of everything."""
    cluster.apply("\n---\n".join(json.dumps(manifest) for manifest in manifests), namespace)


def wait_phase(cluster: Cluster, namespace: str, names: list[str], phase: str) -> None:
    pods = [f"pod/{name}" for name in names]
    cluster.kubectl("wait", *pods, f"--for=jsonpath={{.status.phase}}={phase}", "-n", namespace, "--timeout=60s")


def outputs(cluster: Cluster, namespace: str, manifests: list[Manifest]) -> dict[str, list[str]]:
    """Run `manifests` to success, all at once; the lines each pod printed, by its name."""
    apply_all(cluster, namespace, manifests)
    names = [manifest["metadata"]["name"] for manifest in manifests]
    wait_phase(cluster, namespace, names, "Succeeded")
    return {name: cluster.output("logs", name, "-n", namespace).splitlines() for name in names}


def config_map(name: str, data: dict[str, str], **more: Any) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data} | more


def secret(name: str, data: dict[str, str], **more: Any) -> Manifest:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data} | more


def volume(name: str, **source: Any) -> Manifest:
    return {"name": name} | source


def mounts(*names: str) -> list[Manifest]:
    """Each volume at /<its name>."""
    return [{"name": name, "mountPath": f"/{name}"} for name in names]
