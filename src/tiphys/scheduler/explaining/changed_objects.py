"""Pods and nodes after a change."""

from __future__ import annotations

from typing import Final

from tiphys.api.codec import from_dict, to_dict
from tiphys.api.patch import json_patch
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.scheduler.explaining.explanation import Change
from tiphys.scheduler.nodes import CORDON_TAINT, HOSTNAME

_CONDITIONS: Final = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")


def patched(pod: Pod, change: Change) -> Pod:
    """The pod after a patch."""
    return from_dict(Pod, json_patch(to_dict(pod), list(change.patch)))


def patched_node(node: Node, change: Change) -> Node:
    """The node after a patch, and after what the node lifecycle controller does when it is uncordoned."""
    after = json_patch(to_dict(node), list(change.patch))
    spec = after.get("spec", {})
    if node.spec.unschedulable and not spec.get("unschedulable"):
        taints = [taint for taint in spec.get("taints", ()) if taint["key"] != CORDON_TAINT]
        after = after | {"spec": {**spec, "taints": taints}}
    return from_dict(Node, after)


def empty_like(node: Node, name: str) -> Node:
    """A new node of that kind: its labels, taints and room; in use, not cordoned, and well."""
    document = to_dict(node)
    meta, spec = document["metadata"], document.get("spec", {})
    labels = {**meta.get("labels", {})}
    if HOSTNAME in labels:
        labels[HOSTNAME] = name
    taints = [taint for taint in spec.get("taints", ()) if not is_condition(taint["key"])]
    kept = {key: value for key, value in spec.items() if key not in ("unschedulable", "taints")}
    status = {key: document.get("status", {}).get(key, {}) for key in ("allocatable", "capacity")}
    made = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {**kept, "taints": taints},
        "status": status,
    }
    return from_dict(Node, made)


def is_condition(taint_key: str) -> bool:
    """Whether a taint says how a node is, not what it is for: it comes and goes with the state."""
    return taint_key.startswith(_CONDITIONS)
