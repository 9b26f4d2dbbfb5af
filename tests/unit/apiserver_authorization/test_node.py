"""What a kubelet may read and write."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest

from tests.unit.apiserver_authorization.cluster import JANE
from tiphys.api import codec
from tiphys.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod
from tiphys.api.types.storage_v1 import VolumeAttachment, VolumeAttachmentSpec
from tiphys.apiserver.authentication.user import User
from tiphys.apiserver.authorization.attributes import Attributes
from tiphys.apiserver.authorization.bootstrap import node_rules
from tiphys.apiserver.authorization.node import NodeAuthorizer

NODE = User("system:node:a", groups=("system:nodes", "system:authenticated"))
POD = codec.decode(
    Pod,
    b"""{"metadata": {"name": "p", "namespace": "ns", "uid": "1"}, "spec": {
    "nodeName": "a", "serviceAccountName": "robot", "imagePullSecrets": [{"name": "pull"}],
    "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "from"}}]}],
    "containers": [{"name": "c",
      "env": [{"name": "x", "valueFrom": {"configMapKeyRef": {"name": "env", "key": "k"}}}]}],
    "volumes": [
      {"name": "v1", "secret": {"secretName": "mounted"}},
      {"name": "v2", "projected": {"sources": [{"configMap": {"name": "projected"}}]}},
      {"name": "v3", "persistentVolumeClaim": {"claimName": "claim"}}]}}""",
)


class Objects:
    def __init__(self) -> None:
        self.pods = {"ns/p": (1, POD)}
        claim = b'{"metadata":{"name":"claim","namespace":"ns"},"spec":{"volumeName":"volume"}}'
        self.claims = {("ns", "claim"): codec.decode(PersistentVolumeClaim, claim)}
        csi = b'{"metadata":{"name":"volume"},"spec":{"csi":{"driver":"d","volumeHandle":"h",'
        secret = b'"nodePublishSecretRef":{"name":"publish","namespace":"storage"}}}}'
        self.volumes = {"volume": codec.decode(PersistentVolume, csi + secret)}

    def pods_on(self, node_name: str) -> Iterable[tuple[str, int]]:
        return [(key, revision) for key, (revision, pod) in self.pods.items() if pod.spec.node_name == node_name]

    def pod(self, key: str) -> Pod | None:
        return self.pods[key][1] if key in self.pods else None

    def claim(self, namespace: str, name: str) -> PersistentVolumeClaim | None:
        return self.claims.get((namespace, name))

    def volume(self, name: str) -> PersistentVolume | None:
        return self.volumes.get(name)

    def attachment(self, name: str) -> VolumeAttachment | None:
        nodes = {"here": "a", "there": "b"}
        return VolumeAttachment(spec=VolumeAttachmentSpec(node_name=nodes[name])) if name in nodes else None


def get(resource: str, name: str, namespace: str = "ns", verb: str = "get", subresource: str = "") -> Attributes:
    return Attributes(verb, "", resource, subresource, namespace, name)


def attachment(name: str, verb: str = "get") -> Attributes:
    return Attributes(verb, "storage.k8s.io", "volumeattachments", "", "", name)


NO_RELATION = "no relationship found between node 'a' and this object"


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (get("secrets", "pull"), ""),
        (get("secrets", "from"), ""),
        (get("secrets", "mounted", verb="watch"), ""),
        (get("configmaps", "env"), ""),
        (get("configmaps", "projected", verb="list"), ""),
        (get("serviceaccounts", "robot", verb="create", subresource="token"), ""),
        (get("persistentvolumeclaims", "claim"), ""),
        (get("persistentvolumes", "volume", ""), ""),
        (get("secrets", "publish", "storage"), ""),
        (get("secrets", "other"), NO_RELATION),
        (get("secrets", "mounted", "elsewhere"), NO_RELATION),
        (get("serviceaccounts", "else", verb="create", subresource="token"), NO_RELATION),
        (get("secrets", "mounted", verb="delete"), "can only read resources of this type"),
        (get("secrets", "", verb="list"), "No Object name found"),
        (attachment("here"), ""),
        (attachment("there"), NO_RELATION),
        (attachment("missing"), NO_RELATION),
        (attachment("here", "delete"), "can only get individual resources of this type"),
        (get("nodes", "a", ""), ""),
        (get("nodes", "b", ""), "node 'a' cannot read 'b', only its own Node object"),
        (get("nodes", "", "", verb="create"), ""),
        (get("pods", "p"), ""),
        (get("pods", "q"), NO_RELATION),
        (get("pods", "", "", verb="watch"), "can only list/watch pods with spec.nodeName field selector"),
        (get("pods", "", "", verb="list")._replace(field_selector="spec.nodeName=a"), ""),
        (
            get("pods", "", "", verb="list")._replace(field_selector="spec.nodeName=b"),
            "can only list/watch pods with spec.nodeName field selector",
        ),
        (get("pods", "p", verb="patch", subresource="status"), ""),
        (get("services", "", "", verb="list"), ""),
        (Attributes("update", "coordination.k8s.io", "leases", "", "kube-node-lease", "a"), ""),
        (
            Attributes("update", "coordination.k8s.io", "leases", "", "kube-node-lease", "b"),
            "can only access node lease with the same name as the requesting node",
        ),
        (
            Attributes("create", "coordination.k8s.io", "leases", "", "kube-system", ""),
            'can only access leases in the "kube-node-lease" system namespace',
        ),
    ],
)
def test_a_node_reaches_what_its_pods_refer_to(attributes: Attributes, reason: str) -> None:
    decision = NodeAuthorizer(Objects(), node_rules()).decide(NODE, attributes)
    assert (decision.allowed, decision.reason) == (not reason, reason)


def test_others_and_other_verbs_are_no_business_of_it() -> None:
    decides = NodeAuthorizer(Objects(), node_rules())
    assert not decides.decide(JANE, get("secrets", "pull")).allowed
    assert not decides.decide(NODE, get("deployments", "d")).allowed
    assert not decides.decide(User("system:node:a", groups=("x",)), get("secrets", "pull")).allowed


def test_it_follows_the_pods() -> None:
    objects = Objects()
    decides = NodeAuthorizer(objects, node_rules())
    assert decides.decide(NODE, get("secrets", "mounted")).allowed
    moved = msgspec.structs.replace(POD, spec=msgspec.structs.replace(POD.spec, node_name="b"))
    objects.pods["ns/p"] = (2, moved)
    assert not decides.decide(NODE, get("secrets", "mounted")).allowed
    objects.pods["ns/p"] = (3, msgspec.structs.replace(POD, spec=msgspec.structs.replace(POD.spec, volumes=())))
    assert not decides.decide(NODE, get("secrets", "mounted")).allowed
    assert decides.decide(NODE, get("secrets", "pull")).allowed
