"""NodeRestriction: a kubelet writes its own Node and the pods bound to it, nothing of other nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from tiphys.api import local_path
from tiphys.api.certificate_requests import (
    API_SERVER_CLIENT_KUBELET,
    KUBELET_SERVING,
    NODE_PREFIX,
    RequestError,
    parse_encoded,
)
from tiphys.api.field_errors import quote
from tiphys.api.types.certificates_v1 import CertificateSigningRequest
from tiphys.api.types.coordination_v1 import Lease
from tiphys.api.types.core_v1 import Node, PersistentVolume, Pod
from tiphys.apiserver.admission.chain import CREATE, DELETE, UPDATE, Base, Lookup, refuse
from tiphys.apiserver.authorization.node import LEASE_NAMESPACE, references
from tiphys.apiserver.registry.context import Write

MIRROR_ANNOTATION: Final = "kubernetes.io/config.mirror"
# Of the labels under these domains a kubelet may set those about what it is, and under its own prefixes any.
_GUARDED: Final = ("kubernetes.io", "k8s.io")
_KUBELET_LABELS: Final = frozenset(
    {
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
    }
)
_KUBELET_PREFIXES: Final = ("kubelet.kubernetes.io/", "node.kubernetes.io/")
_NODE_SIGNERS: Final = frozenset({API_SERVER_CLIENT_KUBELET, KUBELET_SERVING})
_RESTRICTION: Final = "node-restriction.kubernetes.io"


class NodeRestriction(Base):
    """For users that are kubelets; others are not looked at."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def concerns(self, group: str, plural: str, operation: str, subresource: str) -> bool:
        return (group, plural) in _CHECKS

    def admit(self, write: Write) -> None:
        node = getattr(write.user, "node_name", "")
        if node:
            check = _CHECKS[write.resource.group, write.resource.plural]
            check(self, write, node)

    def _node(self, write: Write, node: str) -> None:
        name = write.name or write.obj.metadata.name
        if name != node:
            raise refuse(write, f"node {quote(node)} is not allowed to modify node {quote(name)}")
        if write.operation == CREATE:
            created: Node = write.obj
            if bad := sorted(_guarded(created.metadata.labels)):
                raise refuse(write, f"is not allowed to set the following labels: {', '.join(bad)}")
        elif write.operation == UPDATE:
            new: Node = write.obj
            old: Node = write.old
            if new.spec.taints != old.spec.taints:
                raise refuse(write, f"node {quote(node)} is not allowed to modify taints")
            changed = _changed(old.metadata.labels, new.metadata.labels)
            if bad := sorted(_guarded(changed)):
                raise refuse(write, f"is not allowed to modify labels: {', '.join(bad)}")

    def _pod(self, write: Write, node: str) -> None:
        if write.subresource == "eviction":
            pod = self._lookup.get(Pod, write.name, write.namespace)
            if pod is not None and pod.spec.node_name != node:
                raise refuse(write, f"node {quote(node)} can only evict pods with spec.nodeName set to itself")
        elif write.operation == CREATE and not write.subresource:
            self._mirror_pod(write, node)
        elif write.operation == DELETE:
            if write.old.spec.node_name != node:
                raise refuse(write, f"node {quote(node)} can only delete pods with spec.nodeName set to itself")
        elif write.operation == UPDATE and write.subresource == "status":
            if write.old.spec.node_name != node:
                text = f"node {quote(node)} can only update pod status for pods with spec.nodeName set to itself"
                raise refuse(write, text)
            if write.obj.metadata.labels != write.old.metadata.labels:
                raise refuse(write, f"node {quote(node)} cannot update labels through pod status")
        else:
            text = f"node {quote(node)} can only create and delete mirror pods"
            raise refuse(write, f"unexpected operation {write.operation}, {text}")

    def _mirror_pod(self, write: Write, node: str) -> None:
        pod: Pod = write.obj
        if MIRROR_ANNOTATION not in pod.metadata.annotations:
            text = f"pod does not have {quote(MIRROR_ANNOTATION)} annotation"
            raise refuse(write, f"{text}, node {quote(node)} can only create mirror pods")
        if pod.spec.node_name != node:
            raise refuse(write, f"node {quote(node)} can only create pods with spec.nodeName set to itself")
        for owner in pod.metadata.owner_references:
            if owner.kind != "Node" or owner.name != node:
                raise refuse(write, f"node {quote(node)} can only create pods with an owner reference set to itself")
        if pod.spec.service_account_name:
            raise refuse(write, f"node {quote(node)} can not create pods that reference a service account")
        found = sorted({resource for resource, _ in references(pod)} - {"serviceaccounts"})
        if found:
            raise refuse(write, f"node {quote(node)} can not create pods that reference {found[0]}")

    def _lease(self, write: Write, node: str) -> None:
        if write.namespace != LEASE_NAMESPACE:
            text = f"can only access leases in the {quote(LEASE_NAMESPACE)} system namespace"
            raise refuse(write, text)
        lease: Lease = write.old if write.operation == DELETE else write.obj
        if lease.metadata.name != node:
            raise refuse(write, "can only access node lease with the same name as the requesting node")

    def _signing_request(self, write: Write, node: str) -> None:
        request: CertificateSigningRequest = write.obj
        if write.operation != CREATE or request.spec.signer_name not in _NODE_SIGNERS:
            return
        try:
            asked = parse_encoded(request.spec.request)
        except RequestError as error:
            raise refuse(write, f"unable to parse csr: {error}") from None
        if asked.common_name != f"{NODE_PREFIX}{node}":
            raise refuse(write, f"can only create a node CSR with CN={NODE_PREFIX}{node}")

    def _volume(self, write: Write, node: str) -> None:
        """Of a volume whose directory it keeps, a node changes that it has made it, or keeps it no longer."""
        if write.operation != UPDATE or write.subresource or local_path.node_of(write.old) != node:
            raise refuse(write, f"node {quote(node)} can only update volumes that it keeps")
        old, new = write.old, write.obj
        released = tuple(f for f in old.metadata.finalizers if f != local_path.FINALIZER)
        if new.metadata.finalizers not in (old.metadata.finalizers, released):
            raise refuse(write, f"node {quote(node)} can only remove the finalizer {quote(local_path.FINALIZER)}")
        if _kept_of_volume(new) != _kept_of_volume(old):
            raise refuse(write, f"node {quote(node)} can only remove the finalizer {quote(local_path.FINALIZER)}")

    def _csi_node(self, write: Write, node: str) -> None:
        named = write.old if write.operation == DELETE else write.obj
        if named.metadata.name != node:
            raise refuse(write, "can only access CSINode with the same name as the requesting node")


def _kept_of_volume(volume: PersistentVolume) -> tuple[Any, ...]:
    """What no node changes."""
    meta = volume.metadata
    annotations = {key: value for key, value in meta.annotations.items() if key != local_path.MADE_ANNOTATION}
    return (volume.spec, volume.status, meta.labels, annotations, meta.owner_references)


def _changed(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return [key for key in {*old, *new} if old.get(key) != new.get(key)]


def _guarded(labels: Any) -> set[str]:
    """The labels among `labels` that no kubelet may set."""
    bad = set()
    for label in labels:
        domain, slash, _ = label.partition("/")
        if not slash:
            continue
        if domain == _RESTRICTION or domain.endswith(f".{_RESTRICTION}"):
            bad.add(label)
        elif domain in _GUARDED or domain.endswith(tuple(f".{guarded}" for guarded in _GUARDED)):
            own = label in _KUBELET_LABELS or label.startswith(_KUBELET_PREFIXES)
            if not own and not domain.endswith(tuple(f".{prefix[:-1]}" for prefix in _KUBELET_PREFIXES)):
                bad.add(label)
    return bad


_CHECKS: Final[Mapping[tuple[str, str], Callable[[NodeRestriction, Write, str], None]]] = {
    ("", "nodes"): NodeRestriction._node,
    ("", "persistentvolumes"): NodeRestriction._volume,
    ("", "pods"): NodeRestriction._pod,
    ("coordination.k8s.io", "leases"): NodeRestriction._lease,
    ("storage.k8s.io", "csinodes"): NodeRestriction._csi_node,
    ("certificates.k8s.io", "certificatesigningrequests"): NodeRestriction._signing_request,
}
