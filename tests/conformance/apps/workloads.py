"""What tests of workloads do over and over: make them, look at their pods, patch and wait, through stock kubectl."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.manifests import BUSYBOX

Object = dict[str, Any]
GROUPS = {
    "deployments": "apps/v1", "replicasets": "apps/v1", "statefulsets": "apps/v1", "daemonsets": "apps/v1",
    "jobs": "batch/v1", "replicationcontrollers": "v1", "poddisruptionbudgets": "policy/v1",
}  # fmt: skip
SLEEP = ["sleep", "10000"]


def container(command: list[str] | None = None, **more: Any) -> Object:
    return {"name": "main", "image": BUSYBOX, "imagePullPolicy": "IfNotPresent", "command": command or SLEEP} | more


def template(name: str, command: list[str] | None = None, *, main: Object | None = None, **spec: Any) -> Object:
    """Pods labelled ``app=<name>`` that end at once when asked to."""
    inner = {"containers": [container(command, **(main or {}))], "terminationGracePeriodSeconds": 1} | spec
    return {"metadata": {"labels": {"app": name}}, "spec": inner}


def workload(kind: str, name: str, *, pods: Object | None = None, version: str = "apps/v1", **spec: Any) -> Object:
    """An object that makes pods labelled ``app=<name>``."""
    selector: Object = {"matchLabels": {"app": name}}
    if kind == "ReplicationController":
        selector, version = {"app": name}, "v1"
    return {
        "apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": {"e2e": name}},
        "spec": {"selector": selector, "template": pods or template(name)} | spec,
    }  # fmt: skip


def job(name: str, script: str, *, pod: Object | None = None, **spec: Any) -> Object:
    """A Job of shell scripts."""
    inner = template(name, ["sh", "-c", script])
    inner["spec"] |= {"restartPolicy": "Never"} | (pod or {})
    meta = {"name": name, "labels": {"e2e": name}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": inner} | spec}


class Apps:
    """A cluster seen from one namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace

    def make(self, *manifests: Object) -> None:
        for manifest in manifests:
            self.cluster.kubectl("create", "-n", self.namespace, "-f", "-", stdin=json.dumps(manifest))

    def get(self, kind: str, name: str) -> Object:
        found: Object = self.cluster.get(kind, name, "-n", self.namespace)
        return found

    def list(self, kind: str, selector: str = "") -> list[Object]:
        chosen = ["-l", selector] if selector else []
        found: list[Object] = self.cluster.get(kind, "-n", self.namespace, *chosen)["items"]
        return found

    def pods(self, name: str) -> list[Object]:
        """Its pods that are not being deleted, by name."""
        alive = [pod for pod in self.list("pods", f"app={name}") if "deletionTimestamp" not in pod["metadata"]]
        return sorted(alive, key=lambda pod: str(pod["metadata"]["name"]))

    def ready(self, name: str) -> list[Object]:
        return [pod for pod in self.pods(name) if condition(pod, "Ready") == "True"]

    def ready_count(self, name: str, count: int, timeout_seconds: float = 40) -> list[Object]:
        """Wait for so many ready pods and no others; returns them."""

        def there() -> list[Object] | None:
            pods = self.pods(name)
            return pods if len(pods) == count == len(self.ready(name)) else None

        if count == 0:
            eventually(lambda: not self.pods(name), f"{name} has no pods", timeout_seconds)
            return []
        found: list[Object] = eventually(there, f"{name} has {count} ready pods", timeout_seconds)
        return found

    def patch(self, kind: str, name: str, patch: Any, *flags: str, form: str = "merge") -> Object:
        done = self.cluster.output(
            "patch", kind, name, "-n", self.namespace, f"--type={form}", "-p", json.dumps(patch), "-o", "json", *flags
        )
        found: Object = json.loads(done)
        return found

    def replace(self, path: str, body: Object) -> Object:
        """PUT an object back to a path below the namespace."""
        group = GROUPS[path.split("/")[0]]
        root = f"/api/{group}" if group == "v1" else f"/apis/{group}"
        target = f"{root}/namespaces/{self.namespace}/{path}"
        found: Object = json.loads(self.cluster.output("replace", "--raw", target, "-f", "-", stdin=json.dumps(body)))
        return found

    def raw(self, path: str) -> Object:
        group = GROUPS[path.split("/")[0]]
        root = f"/api/{group}" if group == "v1" else f"/apis/{group}"
        found: Object = json.loads(self.cluster.output("get", "--raw", f"{root}/namespaces/{self.namespace}/{path}"))
        return found

    def delete(self, kind: str, *which: str) -> None:
        self.cluster.kubectl("delete", kind, *which, "-n", self.namespace, "--wait=false")

    def until(self, kind: str, name: str, holds: Callable[[Object], Any], what: str, seconds: float = 40) -> Object:
        """Wait until the object is as wished; returns it as it is then."""

        def seen() -> Object | None:
            found = self.get(kind, name)
            return found if holds(found) else None

        found: Object = eventually(seen, f"{kind} {name}: {what}", seconds)
        return found


def condition(subject: Object, kind: str, field: str = "status") -> str:
    found = (one for one in subject.get("status", {}).get("conditions", ()) if one["type"] == kind)
    return next((str(one.get(field, "")) for one in found), "")


def owner(subject: Object) -> str:
    """Name of its controller; empty when it has none."""
    owners = subject["metadata"].get("ownerReferences", ())
    return next((str(one["name"]) for one in owners if one.get("controller")), "")
