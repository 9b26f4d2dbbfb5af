"""Workloads and the pods they have, made short."""

from __future__ import annotations

from typing import Any

from tests.unit.scheduler.objects import pod
from tiphys.api.codec import from_dict
from tiphys.api.types.apps_v1 import DaemonSet, Deployment, ReplicaSet, StatefulSet
from tiphys.api.types.batch_v1 import Job
from tiphys.api.types.core_v1 import Pod
from tiphys.api.types.meta_v1 import OwnerReference

_KINDS: dict[str, tuple[type[Any], str]] = {
    "Deployment": (Deployment, "apps/v1"),
    "ReplicaSet": (ReplicaSet, "apps/v1"),
    "StatefulSet": (StatefulSet, "apps/v1"),
    "DaemonSet": (DaemonSet, "apps/v1"),
    "Job": (Job, "batch/v1"),
}


def workload(kind: str, name: str, replicas: int | None = None, *, cpu: str = "1", **spec: Any) -> Any:
    """`spec` goes into the pods'; for a Job, `replicas` is its parallelism."""
    labels = {"app": name}
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], **spec}}
    said: dict[str, Any] = {"template": template}
    if kind != "Job":
        said["selector"] = {"matchLabels": labels}
    if replicas is not None:
        said["parallelism" if kind == "Job" else "replicas"] = replicas
    struct, version = _KINDS[kind]
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    return from_dict(struct, {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": said})


def owned(name: str, kind: str, owner: str, *, cpu: str = "1", **fields: Any) -> Pod:
    """A pod of that workload; `owner` is its name."""
    made = pod(name, cpu=cpu, labels={"app": owner}, **fields)
    reference = OwnerReference(api_version="apps/v1", kind=kind, name=owner, uid=f"uid-{owner}", controller=True)
    made.metadata.owner_references = (reference,)
    return made
