"""What the apiserver would make of a new object: defaults, priority, a namespace's limits, overhead, tolerations."""

from __future__ import annotations

import copy
from typing import Any, Final

from msgspec.structs import replace

from tiphys.api import persistent_volumes as facts
from tiphys.api import scheme
from tiphys.api.defaulting import default
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    Container,
    LimitRange,
    ObjectReference,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    Toleration,
)
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.node_v1 import RuntimeClass
from tiphys.api.types.scheduling_v1 import PriorityClass
from tiphys.api.types.storage_v1 import StorageClass
from tiphys.scheduler.simulation.changes import ChangeError
from tiphys.scheduler.simulation.world import World
from tiphys.scheduler.volumes import provisionable

_SYSTEM_CLASSES: Final = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
_TOLERATED: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_TOLERATED_SECONDS: Final = 300


def admitted(world: World, obj: Any) -> Any:
    """A copy of `obj` as it would be stored: with a uid, a namespace and defaults. Raises ChangeError."""
    made = default(copy.deepcopy(obj))
    made.metadata.uid = world.uid()
    kind: Any = type(made)
    if scheme.by_kind(kind).namespaced:
        made.metadata.namespace = made.metadata.namespace or "default"
    else:
        made.metadata.namespace = None
    if isinstance(made, Pod):
        _admit_pod(world, made)
    elif isinstance(made, PersistentVolumeClaim):
        _admit_claim(world, made)
    elif isinstance(made, PersistentVolume) and made.spec.claim_ref is None:
        made.status.phase = facts.AVAILABLE
    return made


def _admit_pod(world: World, pod: Pod) -> None:
    _prioritize(world, pod)
    _limit(world, pod)
    _follow_runtime_class(world, pod)
    spec = pod.spec
    for key in _TOLERATED:
        if not any(t.key in (key, "", None) and t.effect in ("NoExecute", "", None) for t in spec.tolerations):
            own = Toleration(key=key, operator="Exists", effect="NoExecute", toleration_seconds=_TOLERATED_SECONDS)
            spec.tolerations = (*spec.tolerations, own)


def _prioritize(world: World, pod: Pod) -> None:
    classes, spec = world.snapshot.of(PriorityClass), pod.spec
    found: PriorityClass | None = None
    if spec.priority_class_name:
        found = classes.get(("", spec.priority_class_name))
        if found is None and spec.priority_class_name in _SYSTEM_CLASSES:
            spec.priority = _SYSTEM_CLASSES[spec.priority_class_name]
            return
        if found is None and classes:
            raise ChangeError(
                f"pod {pod.metadata.name}: no PriorityClass with name {spec.priority_class_name} was found"
            )
        if found is None:
            # A snapshot of nodes and pods only: the pod's own number, if it has one, must do.
            world.note(f"The snapshot has no PriorityClass {spec.priority_class_name}: 0 is taken for it.")
    else:
        found = min((c for c in classes.values() if c.global_default), key=lambda c: c.value or 0, default=None)
    if found is not None:
        spec.priority_class_name = found.metadata.name
        spec.priority = found.value or 0
        spec.preemption_policy = found.preemption_policy or spec.preemption_policy
    elif spec.priority is None:
        spec.priority = 0


def _limit(world: World, pod: Pod) -> None:
    limits: dict[str, Quantity] = {}
    requests: dict[str, Quantity] = {}
    for (namespace, _), limit_range in world.snapshot.of(LimitRange).items():
        if namespace == pod.metadata.namespace:
            for item in limit_range.spec.limits:
                if item.type == "Container":
                    limits |= item.default
                    requests |= item.default_request

    def limited(container: Container) -> Container:
        own = container.resources
        resources = replace(own, limits=limits | own.limits, requests=requests | own.requests)
        return replace(container, resources=resources)

    if limits or requests:
        pod.spec.containers = tuple(map(limited, pod.spec.containers))
        pod.spec.init_containers = tuple(map(limited, pod.spec.init_containers))


def _follow_runtime_class(world: World, pod: Pod) -> None:
    found = world.snapshot.of(RuntimeClass).get(("", pod.spec.runtime_class_name or ""))
    if found is None:
        return
    if found.overhead is not None and not pod.spec.overhead:
        pod.spec.overhead = found.overhead.pod_fixed
    if found.scheduling is not None:
        pod.spec.node_selector = {**pod.spec.node_selector, **found.scheduling.node_selector}
        pod.spec.tolerations = (*pod.spec.tolerations, *found.scheduling.tolerations)


def _admit_claim(world: World, claim: PersistentVolumeClaim) -> None:
    """The default class, and a volume at once if the class does not wait for the pod."""
    classes = world.snapshot.of(StorageClass)
    if claim.spec.storage_class_name is None:
        fallback = facts.default_class(classes.values())
        claim.spec.storage_class_name = fallback.metadata.name if fallback is not None else None
    of_claim = classes.get(("", facts.class_of_claim(claim)))
    if of_claim is None or facts.waits_for_consumer(of_claim) or not provisionable(of_claim):
        return
    name = of_claim.metadata.name
    world.note(f"Class {name} binds before pods are placed: its new volumes are taken to be within every node's reach.")
    volume = PersistentVolume(metadata=ObjectMeta(name=f"pvc-{claim.metadata.uid}"))
    volume.spec.storage_class_name = name
    volume.spec.claim_ref = ObjectReference(
        kind="PersistentVolumeClaim",
        namespace=claim.metadata.namespace,
        name=claim.metadata.name,
        uid=claim.metadata.uid,
    )
    world.put(volume)
    claim.spec.volume_name = volume.metadata.name
    claim.metadata.annotations = {**claim.metadata.annotations, facts.BIND_COMPLETED: "yes"}
