"""Models of clusters for these tests, made of objects; and remedies applied to the objects themselves."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from tiphys.api.codec import from_dict, to_dict
from tiphys.api.patch import json_patch
from tiphys.api.types.core_v1 import Node, PersistentVolumeClaim, Pod
from tiphys.scheduler.algorithm import Algorithm, Placed
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.explaining.explain import explain
from tiphys.scheduler.explaining.explanation import Change, Explanation, Remedy
from tiphys.scheduler.explaining.model import Model
from tiphys.scheduler.profiles import default_profile
from tiphys.scheduler.template import PodInfo, Templates


def on(node_name: str, pod: Pod) -> Pod:
    """The pod, bound to that node."""
    return replace(pod, spec=replace(pod.spec, node_name=node_name))


def model(objects: Iterable[Any]) -> Model:
    """Nodes, bound pods, claims, volumes and classes as the scheduler has them."""
    cluster, templates = Cluster(), Templates()
    pods = []
    for obj in objects:
        if isinstance(obj, Node):
            cluster.add_node(obj)
        elif isinstance(obj, Pod):
            pods.append(obj)
        else:
            cluster.volumes.observe(obj)
    for pod in pods:
        cluster.place(PodInfo(pod, templates.of(pod)), pod.spec.node_name or "")
    return Model(cluster, default_profile(), templates.of)


def why(pod: Pod, *objects: Any) -> Explanation:
    return explain(pod, model(objects))


def texts(explanation: Explanation) -> list[str]:
    return [remedy.text for remedy in explanation.remedies]


def placed_by(pod: Pod, objects: Sequence[Any], remedy: Remedy) -> str:
    """Where the scheduler puts the pod in a new cluster of the objects changed; "" if nowhere."""
    pod, there = after(pod, objects, remedy)
    algorithm = Algorithm(there.cluster, default_profile(), random.Random(0))
    decision = algorithm.decide(PodInfo(pod, there.template_of(pod)), list)
    return decision.node_name if isinstance(decision, Placed) else ""


def after(pod: Pod, objects: Sequence[Any], remedy: Remedy) -> tuple[Pod, Model]:
    """The pod, and a new cluster of the objects, after the remedy's changes."""
    changed = list(objects)
    for change in remedy.changes:
        pod, changed = _applied(pod, changed, change)
    return pod, model(changed)


def _applied(pod: Pod, objects: list[Any], change: Change) -> tuple[Pod, list[Any]]:
    def is_it(obj: Any) -> bool:
        meta = obj.metadata
        return (type(obj).__name__, meta.namespace or "", meta.name) == (change.kind, change.namespace, change.name)

    if change.action == "patch" and is_it(pod):
        return from_dict(Pod, json_patch(to_dict(pod), list(change.patch))), objects
    if change.action == "delete":
        assert any(map(is_it, objects))
        return pod, [obj for obj in objects if not is_it(obj)]
    if change.action == "create" and change.kind == "Node":
        like = next(obj for obj in objects if isinstance(obj, Node) and obj.metadata.name == change.like)
        labels = {k: change.name if k == "kubernetes.io/hostname" else v for k, v in like.metadata.labels.items()}
        taints = tuple(taint for taint in like.spec.taints if not taint.key.startswith("node.kubernetes.io/"))
        fresh = replace(
            like,
            metadata=replace(like.metadata, name=change.name, labels=labels),
            spec=replace(like.spec, unschedulable=None, taints=taints),
        )
        return pod, [*objects, from_dict(Node, json_patch(to_dict(fresh), list(change.patch)))]
    if change.action == "create":
        made = from_dict({"PersistentVolumeClaim": PersistentVolumeClaim, "Pod": Pod}[change.kind], change.object)
        return pod, [*(obj for obj in objects if not is_it(obj)), made]
    assert any(map(is_it, objects))
    changed = [
        from_dict(type(obj), json_patch(to_dict(obj), list(change.patch))) if is_it(obj) else obj for obj in objects
    ]
    # A node that is uncordoned loses the taint by the node lifecycle controller.
    return pod, [_uncordoned(obj) if isinstance(obj, Node) else obj for obj in changed]


def _uncordoned(node: Node) -> Node:
    if node.spec.unschedulable:
        return node
    taints = tuple(taint for taint in node.spec.taints if taint.key != "node.kubernetes.io/unschedulable")
    return replace(node, spec=replace(node.spec, taints=taints))
