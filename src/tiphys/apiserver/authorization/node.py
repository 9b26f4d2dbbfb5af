"""The node authorizer: a kubelet reads only what the pods on its node refer to, and writes only its own.

What a node may reach is asked of the watch cache when needed, not kept as a graph: kubelets ask seldom, pods change
often.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from tiphys.api import local_path, rbac
from tiphys.api.types.core_v1 import Container, EphemeralContainer, PersistentVolume, PersistentVolumeClaim, Pod
from tiphys.api.types.rbac_v1 import PolicyRule
from tiphys.api.types.storage_v1 import VolumeAttachment
from tiphys.apiserver.authentication.user import User
from tiphys.apiserver.authorization.attributes import Attributes, Decision, selected

MAX_REMEMBERED_PODS: Final = 4096
LEASE_NAMESPACE: Final = "kube-node-lease"

Reference = tuple[str, str, str]  # resource, namespace, name


class NodeObjects(Protocol):
    """What the authorizer must know of the cluster's objects; answers come from memory."""

    def pods_on(self, node_name: str) -> Iterable[tuple[str, int]]:
        """(key, revision) of each pod bound to the node; the key is ``namespace/name``."""
        ...

    def pod(self, key: str) -> Pod | None: ...

    def claim(self, namespace: str, name: str) -> PersistentVolumeClaim | None: ...

    def volume(self, name: str) -> PersistentVolume | None: ...

    def attachment(self, name: str) -> VolumeAttachment | None: ...


class NodeAuthorizer:
    """Decides for users that are nodes; has no opinion on others. `rules` are those of the role system:node."""

    def __init__(self, objects: NodeObjects, rules: tuple[PolicyRule, ...]) -> None:
        self._objects = objects
        self._rules = rules
        self._references: dict[str, tuple[int, frozenset[Reference]]] = {}  # of pods

    def decide(self, user: User, attributes: Attributes) -> Decision:
        """Whether the kubelet `user` is may do it, with upstream's reason if not."""
        node = user.node_name
        if not node:
            return Decision(False)
        if attributes.resource:
            check = _CHECKS.get((attributes.group, attributes.resource))
            if check is not None:
                reason = check(self, node, attributes)
                if reason is not None:
                    return Decision(not reason, reason)
        allowed = any(
            rbac.allows_resource(rule, *attributes[:4], name=attributes.name)
            if attributes.resource
            else rbac.allows_path(rule, attributes.verb, attributes.path)
            for rule in self._rules
        )
        return Decision(allowed)

    # One check a resource: None to let the rules decide, "" to allow, a reason to refuse.

    def _referenced(self, node: str, attributes: Attributes) -> str | None:
        """For what pods refer to: get, list and watch of single objects."""
        if attributes.verb not in ("get", "list", "watch"):
            return "can only read resources of this type"
        if attributes.subresource:
            return "cannot read subresource"
        if not attributes.namespace or not attributes.name:
            return (
                "can only read namespaced object of this type" if not attributes.namespace else "No Object name found"
            )
        return self._reachable(node, (attributes.resource, attributes.namespace, attributes.name))

    def _claim(self, node: str, attributes: Attributes) -> str | None:
        if attributes.subresource == "status":
            if attributes.verb not in ("get", "update", "patch"):
                return "can only get/update/patch this type"
        elif attributes.verb != "get" or attributes.subresource:
            return "can only get individual resources of this type"
        return self._reachable(node, (attributes.resource, attributes.namespace, attributes.name))

    def _volume(self, node: str, attributes: Attributes) -> str | None:
        if self._keeps(node, attributes):
            return ""
        if attributes.verb != "get" or attributes.subresource:
            return "can only get individual resources of this type"
        return self._reachable(node, (attributes.resource, "", attributes.name))

    def _keeps(self, node: str, attributes: Attributes) -> bool:
        """Whether it is about volumes whose directories the node keeps; admission bounds what it changes of them."""
        if attributes.subresource:
            return False
        if attributes.verb in ("list", "watch"):
            return selected(attributes.label_selector, local_path.NODE_LABEL) == node
        volume = self._objects.volume(attributes.name) if attributes.verb in ("get", "patch", "update") else None
        return volume is not None and local_path.node_of(volume) == node

    def _service_account(self, node: str, attributes: Attributes) -> str | None:
        if attributes.subresource == "token":
            if attributes.verb != "create":
                return "can only create tokens for individual service accounts"
        elif attributes.subresource or attributes.verb != "get":
            return "can only get individual resources of this type"
        if not attributes.name:
            return "No Object name found"
        return self._reachable(node, ("serviceaccounts", attributes.namespace, attributes.name))

    def _lease(self, node: str, attributes: Attributes) -> str | None:
        if attributes.verb not in ("get", "create", "update", "patch", "delete"):
            return "can only get, create, update, patch, or delete a node lease"
        if attributes.namespace != LEASE_NAMESPACE:
            return f"can only access leases in the {LEASE_NAMESPACE!r} system namespace".replace("'", '"')
        if attributes.verb != "create" and attributes.name != node:
            return "can only access node lease with the same name as the requesting node"
        return ""

    def _attachment(self, node: str, attributes: Attributes) -> str | None:
        if attributes.verb != "get" or attributes.subresource:
            return "can only get individual resources of this type"
        found = self._objects.attachment(attributes.name)
        return "" if found is not None and found.spec.node_name == node else _no_relationship(node)

    def _csi_node(self, node: str, attributes: Attributes) -> str | None:
        if attributes.verb not in ("get", "create", "update", "patch", "delete"):
            return "can only get, create, update, patch, or delete a CSINode"
        if attributes.subresource:
            return "cannot authorize CSINode subresources"
        if attributes.verb != "create" and attributes.name != node:
            return "can only access CSINode with the same name as the requesting node"
        return ""

    def _node(self, node: str, attributes: Attributes) -> str | None:
        if attributes.verb in ("get", "list", "watch") and not attributes.subresource:
            if attributes.name != node:
                return f"node '{node}' cannot read '{attributes.name}', only its own Node object"
            return ""
        return None

    def _pod(self, node: str, attributes: Attributes) -> str | None:
        if attributes.verb == "get" and attributes.name and not attributes.subresource:
            pod = self._objects.pod(f"{attributes.namespace}/{attributes.name}")
            return "" if pod is not None and pod.spec.node_name == node else _no_relationship(node)
        if attributes.verb in ("list", "watch") and selected(attributes.field_selector, "spec.nodeName") != node:
            return "can only list/watch pods with spec.nodeName field selector"
        return None

    def _reachable(self, node: str, wanted: Reference) -> str:
        for key, revision in self._objects.pods_on(node):
            if wanted in self._references_of(key, revision):
                return ""
        return _no_relationship(node)

    def _references_of(self, key: str, revision: int) -> frozenset[Reference]:
        known = self._references.get(key)
        if known is not None and known[0] == revision:
            return known[1]
        pod = self._objects.pod(key)
        found = frozenset(self._walk(pod)) if pod is not None else frozenset()
        if not any(resource == "persistentvolumeclaims" for resource, _, _ in found):
            # A claim's volume may change without its pod: such pods are looked at each time.
            if len(self._references) >= MAX_REMEMBERED_PODS:
                self._references.clear()
            self._references[key] = (revision, found)
        return found

    def _walk(self, pod: Pod) -> Iterator[Reference]:
        namespace = pod.metadata.namespace or ""
        for resource, name in references(pod):
            yield resource, namespace, name
            if resource != "persistentvolumeclaims":
                continue
            claim = self._objects.claim(namespace, name)
            volume_name = claim.spec.volume_name if claim is not None else None
            if volume_name:
                yield "persistentvolumes", "", volume_name
                volume = self._objects.volume(volume_name)
                if volume is not None:
                    yield from _volume_secrets(volume, namespace)


def references(pod: Pod) -> Iterator[tuple[str, str]]:
    """(resource, name) of everything in its namespace that a pod's spec refers to."""
    spec = pod.spec
    yield "serviceaccounts", spec.service_account_name or "default"
    for secret in spec.image_pull_secrets:
        yield "secrets", secret.name or ""
    containers: list[Container | EphemeralContainer] = [
        *spec.init_containers,
        *spec.containers,
        *spec.ephemeral_containers,
    ]
    for container in containers:
        for source in container.env_from:
            if source.config_map_ref is not None:
                yield "configmaps", source.config_map_ref.name or ""
            if source.secret_ref is not None:
                yield "secrets", source.secret_ref.name or ""
        for variable in container.env:
            if (origin := variable.value_from) is None:
                continue
            if origin.config_map_key_ref is not None:
                yield "configmaps", origin.config_map_key_ref.name or ""
            if origin.secret_key_ref is not None:
                yield "secrets", origin.secret_key_ref.name or ""
    yield from _of_volumes(pod)


def _of_volumes(pod: Pod) -> Iterator[tuple[str, str]]:
    for volume in pod.spec.volumes:
        if volume.config_map is not None:
            yield "configmaps", volume.config_map.name or ""
        if volume.secret is not None:
            yield "secrets", volume.secret.secret_name or ""
        if volume.persistent_volume_claim is not None:
            yield "persistentvolumeclaims", volume.persistent_volume_claim.claim_name
        if volume.ephemeral is not None:
            yield "persistentvolumeclaims", f"{pod.metadata.name}-{volume.name}"
        if volume.csi is not None and volume.csi.node_publish_secret_ref is not None:
            yield "secrets", volume.csi.node_publish_secret_ref.name or ""
        for source in volume.projected.sources if volume.projected is not None else ():
            if source.config_map is not None:
                yield "configmaps", source.config_map.name or ""
            if source.secret is not None:
                yield "secrets", source.secret.name or ""


def _volume_secrets(volume: PersistentVolume, namespace: str) -> Iterator[Reference]:
    csi = volume.spec.csi
    if csi is None:
        return
    for reference in (csi.node_publish_secret_ref, csi.node_stage_secret_ref, csi.node_expand_secret_ref):
        if reference is not None and reference.name:
            yield "secrets", reference.namespace or namespace, reference.name


def _no_relationship(node: str) -> str:
    return f"no relationship found between node '{node}' and this object"


_CHECKS: Final = {
    ("", "secrets"): NodeAuthorizer._referenced,
    ("", "configmaps"): NodeAuthorizer._referenced,
    ("", "persistentvolumeclaims"): NodeAuthorizer._claim,
    ("", "persistentvolumes"): NodeAuthorizer._volume,
    ("", "serviceaccounts"): NodeAuthorizer._service_account,
    ("", "nodes"): NodeAuthorizer._node,
    ("", "pods"): NodeAuthorizer._pod,
    ("coordination.k8s.io", "leases"): NodeAuthorizer._lease,
    ("storage.k8s.io", "csinodes"): NodeAuthorizer._csi_node,
    ("storage.k8s.io", "volumeattachments"): NodeAuthorizer._attachment,
}
