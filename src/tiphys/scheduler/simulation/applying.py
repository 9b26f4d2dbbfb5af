"""Makes each kind of change: nodes first of all; what becomes of the pods is decided here, where they go is not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from tiphys.api import scheme
from tiphys.api.types.apps_v1 import DaemonSet, Deployment, StatefulSet
from tiphys.api.types.core_v1 import Namespace, Node, Pod, Taint
from tiphys.scheduler.explaining.changed_objects import empty_like
from tiphys.scheduler.nodes import CORDON_TAINT
from tiphys.scheduler.simulation.admitted import admitted
from tiphys.scheduler.simulation.changes import (
    Add,
    AddNodes,
    Change,
    ChangeError,
    Cordon,
    Delete,
    Drain,
    RemoveNode,
    RescheduleAll,
    Scale,
    Uncordon,
)
from tiphys.scheduler.simulation.daemons import create_daemon_pods
from tiphys.scheduler.simulation.outcome import Cause, Stayed
from tiphys.scheduler.simulation.workloads import create, create_pods, makes_pods, replica_sets, replicas, scaled
from tiphys.scheduler.simulation.world import World, is_daemon, is_static, named
from tiphys.scheduler.snapshot import queue_order
from tiphys.scheduler.snapshot_file import KINDS
from tiphys.scheduler.template import PodInfo

MAXIMUM_ADDED: Final = 100_000
"""Objects that one change may add."""


def apply(world: World, change: Change) -> None:
    """Make the change. Raises ChangeError, and then the world is half changed."""
    _APPLY[type(change)](world, change)


def _cordon(world: World, change: Cordon | Drain) -> None:
    node = _node(world, change.node)
    taints = tuple(taint for taint in node.spec.taints if taint.key != CORDON_TAINT)
    taints = (*taints, Taint(key=CORDON_TAINT, effect="NoSchedule"))
    world.put(replace(node, spec=replace(node.spec, unschedulable=True, taints=taints)))
    world.node_changes[change.node] = "cordoned"


def _uncordon(world: World, change: Uncordon) -> None:
    node = _node(world, change.node)
    taints = tuple(taint for taint in node.spec.taints if taint.key != CORDON_TAINT)
    world.put(replace(node, spec=replace(node.spec, unschedulable=None, taints=taints)))
    world.node_changes[change.node] = "uncordoned"


def _drain(world: World, change: Drain) -> None:
    _cordon(world, change)
    world.node_changes[change.node] = "drained"
    for info in _pods_on(world, change.node):
        if is_daemon(info.pod) or is_static(info.pod):
            why = "a DaemonSet's pod" if is_daemon(info.pod) else "a static pod"
            owner = world.owner(info.pod)
            world.stayed.append(Stayed(pod=named(info.key), owner=owner, node=change.node, why=why))
            continue
        world.evicted.append(info)
        _move(world, info, Cause.DRAINED, "it has no owner that would make it again")


def _remove_node(world: World, change: RemoveNode) -> None:
    node = _node(world, change.node)
    for info in _pods_on(world, change.node):
        if is_daemon(info.pod) or is_static(info.pod):
            world.take_off(info)
            world.lose(info, "it was the node's own", lost=False)
        else:
            _move(world, info, Cause.NODE_REMOVED, "it has no owner that would make it again")
    world.drop(node)
    world.node_changes[change.node] = "removed"


def _add_nodes(world: World, change: AddNodes) -> None:
    if not 0 < change.count <= MAXIMUM_ADDED:
        raise ChangeError(f"{change.count} nodes cannot be added: 1 to {MAXIMUM_ADDED}")
    model = change.node if change.node is not None else _node(world, change.like)
    base = change.like or model.metadata.name or "node"
    nodes, made = world.cluster.nodes, []
    number = 0
    for _ in range(change.count):
        number += 1
        # The name of a manifest is taken as it is, once.
        name = base if change.node is not None and change.count == 1 else f"{base}-new-{number}"
        while name in nodes.rows:
            number += 1
            name = f"{base}-new-{number}"
        node = empty_like(model, name)
        if not node.status.allocatable:
            node = replace(node, status=replace(node.status, allocatable=node.status.capacity))
        world.put(node)
        world.node_changes[name] = "added"
        made.append(name)
    for daemon_set in list(world.snapshot.of(DaemonSet).values()):
        create_daemon_pods(world, daemon_set, made, Cause.ADDED)


def _add(world: World, change: Add) -> None:
    if not 0 < change.count * len(change.objects) <= MAXIMUM_ADDED:
        raise ChangeError(f"{change.count} times {len(change.objects)} objects cannot be added: 1 to {MAXIMUM_ADDED}")
    # What others refer to comes first, whatever the order in the file.
    for obj in sorted(change.objects, key=lambda o: makes_pods(type(o)) or isinstance(o, (Pod, DaemonSet))):
        if isinstance(obj, Node):
            _add_nodes(world, AddNodes(change.count, node=obj))
        else:
            for number in range(1, change.count + 1):
                _add_object(world, _renamed(obj, number, change.count))


def _renamed(obj: Any, number: int, count: int) -> Any:
    name = obj.metadata.name or f"{(obj.metadata.generate_name or obj.kind.lower()).removesuffix('-')}-1"
    if count > 1:
        name = f"{obj.metadata.name or (obj.metadata.generate_name or obj.kind.lower()).removesuffix('-')}-{number}"
    made = copy.copy(obj)
    made.metadata = replace(obj.metadata, name=name)
    return made


def _add_object(world: World, obj: Any) -> None:
    kind = type(obj)
    if isinstance(obj, Pod):
        create(world, admitted(world, obj), Cause.ADDED)
    elif isinstance(obj, DaemonSet) or makes_pods(kind):
        made = admitted(world, obj)
        key = (made.metadata.namespace, made.metadata.name)
        if (before := world.snapshot.of(kind).get(key)) is not None:
            world.note(f"{made.kind} {named(key)} is there already: its pods are replaced by new ones.")
            _delete_workload(world, before, "replaced by a new version")
        world.put(made)
        if isinstance(made, DaemonSet):
            create_daemon_pods(world, made, world.cluster.nodes.rows, Cause.ADDED)
        else:
            create_pods(world, made, replicas(made), Cause.ADDED)
    elif kind in KINDS:
        world.put(admitted(world, obj))
    else:
        world.note(f"{obj.kind} {obj.metadata.name}: nothing that places pods depends on it.")


def _scale(world: World, change: Scale) -> None:
    if not 0 <= change.replicas <= MAXIMUM_ADDED:
        raise ChangeError(f"{change.kind}/{change.name} cannot have {change.replicas} replicas: 0 to {MAXIMUM_ADDED}")
    workload = _find(world, change.kind, change.name, change.namespace)
    if isinstance(workload, PodInfo):
        raise ChangeError("a Pod cannot be scaled")
    after = scaled(workload, change.replicas)
    pods = _pods_of(world, workload)
    world.put(after)
    if change.replicas >= len(pods):
        create_pods(world, workload, change.replicas - len(pods), Cause.SCALED_UP)
        return
    together: dict[str, int] = {}
    for info in pods:
        together[info.node_name] = together.get(info.node_name, 0) + 1
    order = _last_ordinal_first if isinstance(workload, StatefulSet) else lambda info: _dispensable(info, together)
    for info in sorted(pods, key=order)[: len(pods) - change.replicas]:
        world.take_off(info)
        world.lose(info, "scaled down", lost=False)


def _last_ordinal_first(info: PodInfo) -> tuple[int, int, bool, str]:
    ordinal = (info.pod.metadata.name or "").rpartition("-")[2]
    return (0, -int(ordinal) if ordinal.isdigit() else 0, False, "")


def _dispensable(info: PodInfo, together: dict[str, int]) -> tuple[int, int, bool, str]:
    """Sorts first what a ReplicaSet removes first: no node, not ready, many of them together, young."""
    ready = any(c.type == "Ready" and c.status == "True" for c in info.pod.status.conditions)
    born = info.pod.metadata.creation_timestamp or ""
    age = "".join(chr(255 - ord(letter)) for letter in born)
    return (1 if info.node_name else 0, -together[info.node_name], ready, age)


def _delete(world: World, change: Delete) -> None:
    obj = _find(world, change.kind, change.name, change.namespace)
    if isinstance(obj, PodInfo):
        _move(world, obj, Cause.RECREATED, "deleted", lost=False)
    elif isinstance(obj, Node):
        _remove_node(world, RemoveNode(change.name))
    elif isinstance(obj, Namespace):
        for info in [info for info in world.pods() if info.key[0] == change.name]:
            world.take_off(info)
            world.lose(info, f"namespace {change.name} deleted", lost=False)
        world.drop(obj)
    elif isinstance(obj, DaemonSet) or makes_pods(type(obj)):
        _delete_workload(world, obj, f"{obj.kind} deleted")
    else:
        world.drop(obj)


def _delete_workload(world: World, workload: Any, why: str) -> None:
    for info in _pods_of(world, workload):
        world.take_off(info)
        world.lose(info, why, lost=False)
    if isinstance(workload, Deployment):
        for replica_set in replica_sets(world, workload):
            world.drop(replica_set)
    world.drop(workload)


def _reschedule_all(world: World, change: RescheduleAll) -> None:
    movable = [info for info in world.bound.values() if not is_daemon(info.pod) and not is_static(info.pod)]
    for info in movable:
        world.take_off(info)
    for info in sorted(movable, key=queue_order):
        world.make_again(info, Cause.RESCHEDULED)


def _move(world: World, info: PodInfo, cause: Cause, why: str, *, lost: bool = True) -> None:
    """Take the pod off; its owner makes it again, or it is gone."""
    world.take_off(info)
    if world.owner(info.pod):
        world.make_again(info, cause)
    else:
        world.lose(info, why, lost=lost)


def _pods_of(world: World, workload: Any) -> list[PodInfo]:
    uids = [workload.metadata.uid or ""]
    if isinstance(workload, Deployment):
        uids += [found.metadata.uid or "" for found in replica_sets(world, workload)]
    return world.owned_by(uids)


def _pods_on(world: World, node_name: str) -> list[PodInfo]:
    rows = world.cluster.nodes.rows
    return sorted(world.cluster.pods_on[rows[node_name]].values(), key=queue_order)


def _node(world: World, name: str) -> Node:
    node = world.snapshot.of(Node).get(("", name))
    if node is None:
        raise ChangeError(f'node "{name}" not found')
    return node


def _find(world: World, kind: str, name: str, namespace: str) -> Any:
    """The object, or for a pod its PodInfo."""
    wanted = kind.lower()
    for resource in scheme.RESOURCES:
        if wanted in (resource.plural, resource.singular, *resource.short_names) and resource.struct in KINDS:
            break
    else:
        raise ChangeError(f"{kind}/{name}: of kind {kind} nothing is simulated")
    key = (namespace if resource.namespaced else "", name)
    if resource.struct is Pod:
        case = world.waiting.get(key)
        found: Any = world.bound.get(key) or (case.info if case is not None else None)
    else:
        found = world.snapshot.of(resource.struct).get(key)
    if found is None:
        where = f' in namespace "{namespace}"' if resource.namespaced else ""
        raise ChangeError(f'{resource.singular} "{name}" not found{where}')
    return found


_APPLY: Final[dict[type[Any], Callable[[World, Any], None]]] = {
    Cordon: _cordon,
    Uncordon: _uncordon,
    Drain: _drain,
    RemoveNode: _remove_node,
    AddNodes: _add_nodes,
    Add: _add,
    Scale: _scale,
    Delete: _delete,
    RescheduleAll: _reschedule_all,
}
