"""The cluster to try things on: what every plugin says of every node, now and after a change that is taken back.

judge(pod) ──► Judgement            fitting(pod, changes): change ──► judge ──► take back
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from tiphys.api import persistent_volumes as facts
from tiphys.api.codec import from_dict, to_dict
from tiphys.api.patch import json_patch
from tiphys.api.types.core_v1 import Node, PersistentVolume, PersistentVolumeClaim, Pod
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.resource_v1 import ResourceClaim
from tiphys.scheduler.arrays import ABSENT, ALL, Bools, Ints
from tiphys.scheduler.cluster import Cluster, PodKey
from tiphys.scheduler.devices.state import DeviceState, claim_names
from tiphys.scheduler.explaining.explanation import Change
from tiphys.scheduler.framework import NodeFilter, Plugin
from tiphys.scheduler.plugins.dynamic_resources import DynamicResources
from tiphys.scheduler.profiles import Profile
from tiphys.scheduler.template import PodInfo, Template
from tiphys.scheduler.volumes import provisionable

HOSTNAME = "kubernetes.io/hostname"
CORDON_TAINT = "node.kubernetes.io/unschedulable"


class Reason(NamedTuple):
    """What a plugin says of nodes. `rows` is a column: for which of them."""

    plugin: str
    words: str
    subject: str
    """What tells it from the plugin's other reasons: the taints, for a taint."""
    rows: Bools


class Judgement:
    """What all filters say of all nodes for one pod. Columns are as long as the node table was."""

    def __init__(self, template: Template, cluster: Cluster, plugins: Sequence[Plugin]) -> None:
        # Asking for the vector may add a resource column: before any filter is made.
        cluster.vector(template)
        self.template = template
        self.active: Bools = cluster.nodes.active.copy()
        self.filters: list[tuple[str, NodeFilter]] = []
        self.rejects: dict[str, Bools] = {}
        #: Reasons that are the pod's own, whatever the nodes are like: (plugin, words).
        self.pod_reasons: list[tuple[str, str]] = []
        self.feasible: Bools = self.active.copy()
        for plugin in plugins:
            node_filter = plugin.filter(template, cluster)
            if node_filter is None:
                continue
            if node_filter.pod_reason:
                self.pod_reasons.append((plugin.name, node_filter.pod_reason))
                self.feasible[:] = False
                continue
            rejected = self.active & ~node_filter.passes(ALL)
            if rejected.any():
                self.filters.append((plugin.name, node_filter))
                self.rejects[plugin.name] = rejected
                self.feasible &= ~rejected

    @property
    def rows(self) -> Ints:
        """The rows that would take the pod."""
        return np.flatnonzero(self.feasible)

    def reasons(self) -> Iterator[Reason]:
        """Every reason of every plugin, each with the rows it holds for; also of nodes that others reject too."""
        for name, node_filter in self.filters:
            rows = np.flatnonzero(self.rejects[name])
            for words, holds in node_filter.reasons(rows):
                if holds.any():
                    column = np.zeros(len(self.active), np.bool_)
                    column[rows[holds]] = True
                    yield Reason(name, words, "", column)


class Model:
    """A cluster and the plugins of a profile. Used by one at a time; leaves the cluster as it was."""

    def __init__(self, cluster: Cluster, profile: Profile, template_of: Callable[[Pod], Template]) -> None:
        self.cluster = cluster
        self.profile = profile
        self.plugins = profile.filters
        self.template_of = template_of
        #: The devices and the claims on them; None if the profile knows none.
        self.devices: DeviceState | None = next(
            (plugin.state for plugin in profile.plugins if isinstance(plugin, DynamicResources)), None
        )
        #: How often the filters were run; the search has a bound on it.
        self.judged = 0
        self._by_key: dict[PodKey, PodInfo] | None = None

    def judge(self, pod: Pod) -> Judgement:
        self.judged += 1
        return Judgement(self.template_of(pod), self.cluster, self.plugins)

    def judge_by(self, pod: Pod, plugin_name: str) -> Bools:
        """Which rows one plugin accepts; inactive rows mean nothing."""
        template = self.template_of(pod)
        self.cluster.vector(template)
        for plugin in self.plugins:
            if plugin.name == plugin_name and (node_filter := plugin.filter(template, self.cluster)) is not None:
                if node_filter.pod_reason:
                    return np.zeros(self.cluster.nodes.size, np.bool_)
                return node_filter.passes(ALL)
        return np.ones(self.cluster.nodes.size, np.bool_)

    def fitting(self, pod: Pod, changes: Sequence[Change]) -> tuple[str, ...]:
        """The names of the nodes that would take the pod after all `changes`."""
        with self.changed(pod, changes) as changed:
            names = self.cluster.nodes.names
            return tuple(names[row] for row in self.judge(changed).rows)

    @contextmanager
    def changed(self, pod: Pod, changes: Sequence[Change]) -> Iterator[Pod]:
        """The pod after `changes`, while the cluster has them too."""
        with ExitStack() as undo:
            for change in changes:
                if change.kind == "Pod" and change.action == "patch":
                    pod = patched(pod, change)
                elif change.kind == "Pod" and change.action == "create":
                    self._create_pod(change, undo)
                elif change.kind == "Pod":
                    self._delete_pod(change, undo)
                elif change.kind == "Node":
                    self._change_node(change, undo)
                else:
                    self._create_claim_or_volume(change, undo)
            yield pod

    def pod(self, key: PodKey) -> PodInfo | None:
        """A pod that is on a node."""
        if self._by_key is None:
            self._by_key = {info.key: info for pods in self.cluster.pods_on.values() for info in pods.values()}
        return self._by_key.get(key)

    def node(self, row: int) -> Node:
        node = self.cluster.nodes.nodes[row]
        assert node is not None
        return node

    def _delete_pod(self, change: Change, undo: ExitStack) -> None:
        info = self.pod((change.namespace, change.name))
        if info is not None and info.row != ABSENT:
            node_name = info.node_name
            self.cluster.remove(info)
            undo.callback(self.cluster.place, info, node_name)
            self._free_devices(info.pod, undo)

    def _free_devices(self, pod: Pod, undo: ExitStack) -> None:
        """As when the pod is gone: claims made for it go, others that only it uses lose their devices."""
        state = self.devices
        if state is None:
            return
        for _, key in claim_names(pod):
            claim = state.claims.get(key) if key is not None else None
            if claim is None:
                continue
            if any(owner.uid == pod.metadata.uid for owner in claim.metadata.owner_references):
                state.observe_claim(claim, gone=True)
            elif all(user.uid == pod.metadata.uid for user in claim.status.reserved_for):
                status = replace(claim.status, allocation=None, reserved_for=())
                state.observe_claim(replace(claim, status=status))
            undo.callback(state.observe_claim, claim)

    def _create_pod(self, change: Change, undo: ExitStack) -> None:
        made = from_dict(Pod, change.object or {})
        info = PodInfo(made, self.template_of(made))
        self.cluster.place(info, made.spec.node_name or "")
        undo.callback(self.cluster.remove, info)

    def _change_node(self, change: Change, undo: ExitStack) -> None:
        nodes = self.cluster.nodes
        if change.action == "create":
            made = empty_like(self.node(nodes.rows[change.like]), change.name)
            self.cluster.add_node(patched_node(made, change) if change.patch else made)
            undo.callback(self.cluster.remove_node, change.name)
            return
        before = self.node(nodes.rows[change.name])
        self.cluster.update_node(patched_node(before, change))
        undo.callback(self.cluster.update_node, before)

    def _create_claim_or_volume(self, change: Change, undo: ExitStack) -> None:
        """A claim or a volume, and what their controllers make of it: immediate claims are bound."""
        table = self.cluster.volumes
        if change.kind == "ResourceClaim":
            assert self.devices is not None
            asked = from_dict(ResourceClaim, change.object or {})
            self.devices.observe_claim(asked)
            undo.callback(self.devices.observe_claim, asked, gone=True)
            return
        made = from_dict(STORAGE[change.kind], change.object or {})
        if isinstance(made, PersistentVolumeClaim):
            storage_class = table.class_of(made)
            self._observe(made, undo)
            if provisionable(storage_class) and not facts.waits_for_consumer(storage_class):
                self._bound(made, PersistentVolume(metadata=ObjectMeta(name=f"of-{change.name}")), undo)
            return
        self._observe(made, undo)
        reference = made.spec.claim_ref
        claim = table.claims.get((reference.namespace or "", reference.name or "")) if reference is not None else None
        if claim is not None and not facts.waits_for_consumer(table.class_of(claim)):
            self._bound(claim, made, undo)

    def _bound(self, claim: PersistentVolumeClaim, volume: PersistentVolume, undo: ExitStack) -> None:
        name = volume.metadata.name or ""
        if name not in self.cluster.volumes.volumes:
            self._observe(volume, undo)
        annotations = {**claim.metadata.annotations, facts.BIND_COMPLETED: "yes"}
        bound = replace(
            claim,
            metadata=replace(claim.metadata, annotations=annotations),
            spec=replace(claim.spec, volume_name=name),
            status=replace(claim.status, phase=facts.BOUND),
        )
        self._observe(bound, undo)

    def _observe(self, obj: PersistentVolumeClaim | PersistentVolume, undo: ExitStack) -> None:
        table, meta = self.cluster.volumes, obj.metadata
        before: PersistentVolumeClaim | PersistentVolume | None = (
            table.claims.get((meta.namespace or "", meta.name or ""))
            if isinstance(obj, PersistentVolumeClaim)
            else table.volumes.get(meta.name or "")
        )
        table.observe(obj)
        if before is None:
            undo.callback(table.observe, obj, gone=True)
        else:
            undo.callback(table.observe, before)


STORAGE: dict[str, type[Any]] = {
    "PersistentVolumeClaim": PersistentVolumeClaim,
    "PersistentVolume": PersistentVolume,
}


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


_CONDITIONS = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")


def is_condition(taint_key: str) -> bool:
    """Whether a taint says how a node is, not what it is for: it comes and goes with the state."""
    return taint_key.startswith(_CONDITIONS)
