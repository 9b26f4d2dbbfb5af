"""DefaultStorageClass, DefaultIngressClass, StorageObjectInUseProtection, RuntimeClass: what the cluster fills in."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api.persistent_volumes import default_class, names_a_class
from tiphys.api.types.core_v1 import Pod
from tiphys.api.types.networking_v1 import IngressClass
from tiphys.api.types.node_v1 import RuntimeClass
from tiphys.api.types.storage_v1 import StorageClass
from tiphys.apiserver.admission.chain import CREATE, Base, Lookup, refuse
from tiphys.apiserver.registry.context import Write

_DEFAULT_INGRESS: Final = "ingressclass.kubernetes.io/is-default-class"
_INGRESS_ANNOTATION: Final = "kubernetes.io/ingress.class"
_NO_OVERHEAD: Final = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
_OTHER_OVERHEAD: Final = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
_FINALIZERS: Final = {
    ("", "persistentvolumes"): "kubernetes.io/pv-protection",
    ("", "persistentvolumeclaims"): "kubernetes.io/pvc-protection",
    ("storage.k8s.io", "volumeattributesclasses"): "kubernetes.io/vac-protection",
}


class StorageObjectInUseProtection(Base):
    """Volumes, claims and classes of attributes stay while they are in use."""

    def concerns(self, group: str, plural: str, operation: str, subresource: str) -> bool:
        return (group, plural) in _FINALIZERS and operation == CREATE and not subresource

    def admit(self, write: Write) -> None:
        finalizer, meta = _FINALIZERS[write.resource.group, write.resource.plural], write.obj.metadata
        if finalizer not in meta.finalizers:
            meta.finalizers = (*meta.finalizers, finalizer)


class DefaultStorageClass(Base):
    """A claim that names no class gets the newest default class."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def concerns(self, group: str, plural: str, operation: str, subresource: str) -> bool:
        return plural == "persistentvolumeclaims" and not group and operation == CREATE and not subresource

    def admit(self, write: Write) -> None:
        claim = write.obj
        if names_a_class(claim):
            return
        found = default_class(self._lookup.list(StorageClass))
        if found is not None:
            claim.spec.storage_class_name = found.metadata.name


class DefaultIngressClass(Base):
    """An Ingress that names no class gets the newest default class."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def concerns(self, group: str, plural: str, operation: str, subresource: str) -> bool:
        return plural == "ingresses" and group == "networking.k8s.io" and operation == CREATE and not subresource

    def admit(self, write: Write) -> None:
        ingress = write.obj
        if ingress.spec.ingress_class_name is not None or _INGRESS_ANNOTATION in ingress.metadata.annotations:
            return
        classes = [c for c in self._lookup.list(IngressClass) if c.metadata.annotations.get(_DEFAULT_INGRESS) == "true"]
        if classes:
            ingress.spec.ingress_class_name = newest(classes).metadata.name


class RuntimeClassAdmission(Base):
    """A pod carries the overhead and the placement of its runtime class."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def concerns(self, group: str, plural: str, operation: str, subresource: str) -> bool:
        return plural == "pods" and not group and operation == CREATE and not subresource

    def admit(self, write: Write) -> None:
        pod: Pod = write.obj
        if not pod.spec.runtime_class_name:
            return
        found = self._class(write, pod)
        if found.overhead is not None:
            fixed = dict(found.overhead.pod_fixed)
            if pod.spec.overhead and pod.spec.overhead != fixed:
                raise refuse(write, _OTHER_OVERHEAD)
            pod.spec.overhead = fixed
        scheduling = found.scheduling
        if scheduling is None:
            return
        for key, value in scheduling.node_selector.items():
            other = pod.spec.node_selector.get(key, value)
            if other != value:
                text = f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}"
                raise refuse(write, f"{text}; pod.spec.nodeSelector[{key}] = {other}")
        pod.spec.node_selector = {**pod.spec.node_selector, **scheduling.node_selector}
        new = tuple(t for t in scheduling.tolerations if t not in pod.spec.tolerations)
        pod.spec.tolerations = pod.spec.tolerations + new

    def validate(self, write: Write) -> None:
        pod: Pod = write.obj
        found = self._class(write, pod) if pod.spec.runtime_class_name else None
        if found is None or found.overhead is None:
            if pod.spec.overhead:
                raise refuse(write, _NO_OVERHEAD)
        elif pod.spec.overhead != dict(found.overhead.pod_fixed):
            raise refuse(write, _OTHER_OVERHEAD)

    def _class(self, write: Write, pod: Pod) -> RuntimeClass:
        name = pod.spec.runtime_class_name or ""
        found = self._lookup.get(RuntimeClass, name)
        if found is None:
            raise refuse(write, f'pod rejected: RuntimeClass "{name}" not found')
        return found


def newest(objects: list[Any]) -> Any:
    """The object created last; of several, the first by name."""
    latest = max(o.metadata.creation_timestamp or "" for o in objects)
    return min((o for o in objects if (o.metadata.creation_timestamp or "") == latest), key=lambda o: o.metadata.name)
